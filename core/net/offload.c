/* SPDX-License-Identifier: Apache-2.0 */

/* A few threads, one queue under one lock. A job is long compared with taking the lock, so nothing
 * cleverer would show. Signals are for the control thread: the pool's threads block them all. */

#include "net/offload.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

struct offload {
    /* owned */
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* a job has come, or the end */
    /* state; under the lock */
    struct offload_job *first, **last;
    int nthreads;
    int queued, max_queued;
    bool stopping;
};

/* The next job; NULL when there will be none. */
static struct offload_job *take(struct offload *o)
{
    struct offload_job *job;

    pthread_mutex_lock(&o->lock);
    while (!o->first && !o->stopping)
        pthread_cond_wait(&o->wake, &o->lock);
    job = o->first;
    if (job) {
        o->first = job->next;
        if (!o->first)
            o->last = &o->first;
        o->queued--;
    }
    pthread_mutex_unlock(&o->lock);
    return job;
}

static void *run(void *arg)
{
    struct offload *o = arg;
    struct offload_job *job;

    pthread_setname_np(pthread_self(), "dml-offload");
    while ((job = take(o))) {
        job->work(job);
        mailbox_send(job->mailbox, &job->home);
    }
    return NULL;
}

struct offload *offload_new(int threads, int max_queued)
{
    struct offload *o = calloc(1, sizeof(*o));
    sigset_t all, before;

    REQUIRE(o != NULL && threads > 0);
    o->threads = calloc((size_t)threads, sizeof(o->threads[0]));
    REQUIRE(o->threads != NULL);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->wake, NULL);
    o->last = &o->first;
    o->nthreads = threads;
    o->max_queued = max_queued;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < threads; i++)
        REQUIRE(pthread_create(&o->threads[i], NULL, run, o) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return o;
}

void offload_free(struct offload *o)
{
    pthread_mutex_lock(&o->lock);
    o->stopping = true;
    pthread_cond_broadcast(&o->wake);
    pthread_mutex_unlock(&o->lock);
    for (int i = 0; i < o->nthreads; i++)
        pthread_join(o->threads[i], NULL);
    pthread_cond_destroy(&o->wake);
    pthread_mutex_destroy(&o->lock);
    free(o->threads);
    free(o);
}

int offload_submit(struct offload *o, struct offload_job *job)
{
    bool full;

    pthread_mutex_lock(&o->lock);
    full = o->queued >= o->max_queued;
    if (!full) {
        job->next = NULL;
        *o->last = job;
        o->last = &job->next;
        o->queued++;
        pthread_cond_signal(&o->wake);
    }
    pthread_mutex_unlock(&o->lock);
    return full ? ERR_FULL : 0;
}
