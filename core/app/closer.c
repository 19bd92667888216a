/* SPDX-License-Identifier: Apache-2.0 */

/* A list under a lock. Whenever it has become empty the memory goes back to the system: what was freed was another
 * configuration's, and most of it. */

#include "app/closer.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base.h"
#include "base/check.h"
#include "base/list.h"

#define NICE 10 /* nothing waits for it */

struct closing {
    struct list link;
    void (*fn)(void *arg);
    void *arg;
};

struct closer {
    /* owned */
    struct list queue;
    pthread_t thread;
    /* state */
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool is_over;
};

/* Waits for one; NULL at the end. */
static struct closing *take(struct closer *c)
{
    pthread_mutex_lock(&c->lock);
    while (list_is_empty(&c->queue) && !c->is_over)
        pthread_cond_wait(&c->news, &c->lock);
    struct list *link = list_pop(&c->queue);
    pthread_mutex_unlock(&c->lock);
    return link ? container_of(link, struct closing, link) : NULL;
}

static bool is_empty(struct closer *c)
{
    pthread_mutex_lock(&c->lock);
    bool empty = list_is_empty(&c->queue);
    pthread_mutex_unlock(&c->lock);
    return empty;
}

static void *close_all(void *arg)
{
    struct closer *c = arg;
    struct closing *one;

    (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    while ((one = take(c))) {
        one->fn(one->arg);
        free(one);
        if (is_empty(c))
            malloc_trim(0);
    }
    return NULL;
}

void closer_give(struct closer *c, void (*fn)(void *arg), void *arg)
{
    struct closing *one = malloc(sizeof(*one));

    REQUIRE(one != NULL);
    *one = (struct closing){.fn = fn, .arg = arg};
    pthread_mutex_lock(&c->lock);
    list_append(&c->queue, &one->link);
    pthread_cond_signal(&c->news);
    pthread_mutex_unlock(&c->lock);
}

struct closer *closer_new(void)
{
    struct closer *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL);
    list_init(&c->queue);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->news, NULL);
    REQUIRE(pthread_create(&c->thread, NULL, close_all, c) == 0);
    pthread_setname_np(c->thread, "closer");
    return c;
}

void closer_free(struct closer *c)
{
    pthread_mutex_lock(&c->lock);
    c->is_over = true;
    pthread_cond_signal(&c->news);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->news);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
