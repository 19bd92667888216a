/* SPDX-License-Identifier: Apache-2.0 */

/* A few threads, one queue under one lock. A job is long compared with taking the lock, so nothing
 * cleverer would show. Signals are for the control thread: the pool's threads block them all. */

#include "net/offload.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

#define NICE 5

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
        job->state = OFFLOAD_RUNS;
    }
    pthread_mutex_unlock(&o->lock);
    return job;
}

/* Sent under the lock: who has left it may free the mailbox, so either it knows of this mail, or there
 * is none. */
static void send_home(struct offload *o, struct offload_job *job)
{
    pthread_mutex_lock(&o->lock);
    bool was_left = job->was_left;
    if (!was_left) {
        job->state = OFFLOAD_SENT;
        mailbox_send(job->mailbox, &job->home);
    }
    pthread_mutex_unlock(&o->lock);
    if (was_left)
        job->drop(job);
}

static void on_home(struct mail *m, void *reader)
{
    struct offload_job *job = container_of(m, struct offload_job, home);

    if (job->was_left)
        job->drop(job);
    else
        job->done(job, reader);
}

static void *run(void *arg)
{
    struct offload *o = arg;
    struct offload_job *job;

    pthread_setname_np(pthread_self(), "dml-offload");
    (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    while ((job = take(o))) {
        job->work(job);
        send_home(o, job);
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
        job->home.fn = on_home;
        job->pool = o;
        job->state = OFFLOAD_QUEUED;
        job->was_left = false;
        job->next = NULL;
        *o->last = job;
        o->last = &job->next;
        o->queued++;
        pthread_cond_signal(&o->wake);
    }
    pthread_mutex_unlock(&o->lock);
    return full ? ERR_FULL : 0;
}

/* Takes a job out of the queue. */
static void withdraw(struct offload *o, struct offload_job *job)
{
    struct offload_job **at = &o->first;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    if (o->last == &job->next)
        o->last = at;
    o->queued--;
}

void offload_leave(struct offload_job *job)
{
    struct offload *o = job->pool;

    pthread_mutex_lock(&o->lock);
    job->was_left = true;
    bool is_queued = job->state == OFFLOAD_QUEUED;
    if (is_queued)
        withdraw(o, job);
    pthread_mutex_unlock(&o->lock);
    if (is_queued)
        job->drop(job);
}
