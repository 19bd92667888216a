/* SPDX-License-Identifier: Apache-2.0 */

/* Nearly always there are none: then asking is one load. */

#include "side/response_purges.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"

struct purge {
    struct list link;
    uint64_t number;
    enum response_purge what;
    size_t len;
    char text[];
};

struct response_purges {
    pthread_mutex_t lock;
    /* owned, under the lock */
    struct list waiting;
    /* state */
    uint64_t number;
    atomic_size_t n;
};

struct response_purges *response_purges_new(void)
{
    struct response_purges *p = calloc(1, sizeof(*p));

    REQUIRE(p != NULL);
    pthread_mutex_init(&p->lock, NULL);
    list_init(&p->waiting);
    return p;
}

static void drop(struct response_purges *p, struct purge *one)
{
    list_remove(&one->link);
    free(one);
    atomic_fetch_sub(&p->n, 1);
}

static void drop_all(struct response_purges *p)
{
    LIST_EACH (link, &p->waiting)
        drop(p, container_of(link, struct purge, link));
}

void response_purges_free(struct response_purges *p)
{
    drop_all(p);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void append(struct response_purges *p, enum response_purge what, struct slice text)
{
    struct purge *one = malloc(sizeof(*one) + text.len);

    REQUIRE(one != NULL);
    one->number = ++p->number;
    one->what = what;
    one->len = text.len;
    slice_put(one->text, text);
    list_append(&p->waiting, &one->link);
    atomic_fetch_add(&p->n, 1);
}

void response_purges_add(struct response_purges *p, enum response_purge what, struct slice text)
{
    if (text.len > RESPONSE_PURGE_TEXT_MAX)
        return;
    pthread_mutex_lock(&p->lock);
    if (atomic_load(&p->n) < RESPONSE_PURGES_MAX) {
        append(p, what, text);
    } else {
        drop_all(p);
        append(p, RESPONSE_PURGE_PREFIX, SLICE(""));
    }
    pthread_mutex_unlock(&p->lock);
}

bool response_purges_first(struct response_purges *p, uint64_t *number, enum response_purge *what,
                           char *text, size_t *len)
{
    pthread_mutex_lock(&p->lock);
    bool is_there = !list_is_empty(&p->waiting);
    if (is_there) {
        struct purge *one = container_of(list_first(&p->waiting), struct purge, link);
        *number = one->number;
        *what = one->what;
        *len = one->len;
        slice_put(text, slice_of(one->text, one->len));
    }
    pthread_mutex_unlock(&p->lock);
    return is_there;
}

void response_purges_done(struct response_purges *p, uint64_t number)
{
    pthread_mutex_lock(&p->lock);
    LIST_EACH (link, &p->waiting) {
        struct purge *one = container_of(link, struct purge, link);
        if (one->number == number)
            drop(p, one);
    }
    pthread_mutex_unlock(&p->lock);
}

static bool means(const struct purge *one, struct slice key)
{
    struct slice text = slice_of(one->text, one->len);

    switch (one->what) {
    case RESPONSE_PURGE_KEY: return slice_eq(text, key);
    case RESPONSE_PURGE_PREFIX: return slice_starts(key, text);
    default: return true;
    }
}

bool response_purges_mean(struct response_purges *p, struct slice key)
{
    bool is_meant = false;

    if (atomic_load(&p->n) == 0)
        return false;
    pthread_mutex_lock(&p->lock);
    LIST_EACH (link, &p->waiting)
        is_meant = is_meant || means(container_of(link, struct purge, link), key);
    pthread_mutex_unlock(&p->lock);
    return is_meant;
}
