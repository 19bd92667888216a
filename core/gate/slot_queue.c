/* SPDX-License-Identifier: Apache-2.0 */

/* The counters are atomics that the usual case touches without a lock; the queue and the seats
 * are under one. The pair "show, then look" on both sides is sequentially consistent (see the
 * header), which is the whole protection against a lost wake-up. */

#include "gate/slot_queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/upstream.h"

#define PASSED_OVER_MAX 4

struct slot_queue {
    /* borrowed */
    struct upstream_live *live;
    struct list waiters, seats;
    /* state */
    pthread_mutex_t lock;
    uint32_t max; /* max_connections as last asked for */
};

struct slot_queue *slot_queue_new(struct upstream_live *l)
{
    struct slot_queue *q = calloc(1, sizeof(*q));

    REQUIRE(q != NULL);
    q->live = l;
    list_init(&q->waiters);
    list_init(&q->seats);
    pthread_mutex_init(&q->lock, NULL);
    return q;
}

void slot_queue_free(struct slot_queue *q)
{
    REQUIRE(list_is_empty(&q->waiters) && list_is_empty(&q->seats));
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static bool count_up(struct upstream_live *l, uint32_t max)
{
    int n = atomic_load(&l->connections);

    while ((uint32_t)n < max)
        if (atomic_compare_exchange_weak(&l->connections, &n, n + 1))
            return true;
    return false;
}

bool slot_take(struct upstream_live *l, uint32_t max)
{
    return atomic_load(&l->pending) == 0 && count_up(l, max);
}

static struct slot_waiter *waiter_of(struct list *link)
{
    return container_of(link, struct slot_waiter, link);
}

/* Under the lock, as all below that take q. */
static void unqueue(struct slot_queue *q, struct slot_waiter *w)
{
    list_remove(&w->link);
    w->is_queued = false;
    atomic_fetch_sub(&q->live->pending, 1);
}

static void wake(struct slot_queue *q)
{
    struct list *first;

    while ((first = list_first(&q->waiters)) && count_up(q->live, q->max)) {
        struct slot_waiter *w = waiter_of(first);
        unqueue(q, w);
        slot_grant(w, NULL);
    }
}

static void nudge_seats(struct slot_queue *q)
{
    LIST_EACH (it, &q->seats) {
        struct slot_seat *s = container_of(it, struct slot_seat, link);
        if (!s->is_nudged && atomic_load(&s->nidle) > 0) {
            s->is_nudged = true;
            mailbox_send(s->mailbox, &s->nudge);
        }
    }
}

void slot_release(struct upstream_live *l)
{
    struct slot_queue *q = l->queue;

    atomic_fetch_sub(&l->connections, 1);
    if (LIKELY(atomic_load(&l->pending) == 0))
        return;
    pthread_mutex_lock(&q->lock);
    wake(q);
    pthread_mutex_unlock(&q->lock);
}

int slot_wait(struct upstream_live *l, struct slot_waiter *w, uint32_t max, uint32_t max_pending)
{
    struct slot_queue *q = l->queue;
    int rc = ERR_OVERLOAD;

    pthread_mutex_lock(&q->lock);
    q->max = max;
    if ((uint32_t)atomic_load(&l->pending) < max_pending) {
        rc = 0;
        w->connection = NULL;
        w->passed_over = 0;
        w->is_queued = true;
        list_append(&q->waiters, &w->link);
        atomic_fetch_add(&l->pending, 1);
        wake(q); /* what came free while w was on its way here */
        nudge_seats(q);
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

bool slot_leave(struct upstream_live *l, struct slot_waiter *w)
{
    struct slot_queue *q = l->queue;

    pthread_mutex_lock(&q->lock);
    bool was_queued = w->is_queued;
    if (was_queued)
        unqueue(q, w);
    pthread_mutex_unlock(&q->lock);
    return was_queued;
}

bool slot_is_wanted(struct upstream_live *l)
{
    return atomic_load(&l->pending) > 0;
}

static struct slot_waiter *first_who_wants(struct slot_queue *q, const struct target *t)
{
    struct slot_waiter *first = waiter_of(q->waiters.next);

    if (first->wants == t || first->passed_over >= PASSED_OVER_MAX)
        return first->wants == t ? first : NULL;
    LIST_EACH (it, &q->waiters) {
        if (waiter_of(it)->wants == t) {
            first->passed_over++;
            return waiter_of(it);
        }
    }
    return NULL;
}

struct slot_waiter *slot_next(struct upstream_live *l, const struct target *t)
{
    struct slot_queue *q = l->queue;
    struct slot_waiter *w = NULL;

    pthread_mutex_lock(&q->lock);
    if (!list_is_empty(&q->waiters))
        w = t ? first_who_wants(q, t) : waiter_of(q->waiters.next);
    if (w)
        unqueue(q, w);
    pthread_mutex_unlock(&q->lock);
    return w;
}

void slot_grant(struct slot_waiter *w, struct outbound *connection)
{
    w->connection = connection;
    mailbox_send(w->mailbox, &w->mail);
}

void slot_seat_add(struct upstream_live *l, struct slot_seat *s)
{
    pthread_mutex_lock(&l->queue->lock);
    list_append(&l->queue->seats, &s->link);
    pthread_mutex_unlock(&l->queue->lock);
}

bool slot_seat_remove(struct upstream_live *l, struct slot_seat *s)
{
    pthread_mutex_lock(&l->queue->lock);
    list_remove(&s->link);
    bool is_nudged = s->is_nudged;
    pthread_mutex_unlock(&l->queue->lock);
    return is_nudged;
}

void slot_seat_answered(struct upstream_live *l, struct slot_seat *s)
{
    pthread_mutex_lock(&l->queue->lock);
    s->is_nudged = false;
    pthread_mutex_unlock(&l->queue->lock);
}

uint32_t slot_count_idle(struct upstream_live *l)
{
    int n = atomic_load(&l->shelved);

    pthread_mutex_lock(&l->queue->lock);
    LIST_EACH (it, &l->queue->seats)
        n += (int)atomic_load(&container_of(it, struct slot_seat, link)->nidle);
    pthread_mutex_unlock(&l->queue->lock);
    return (uint32_t)n;
}
