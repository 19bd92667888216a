/* SPDX-License-Identifier: Apache-2.0 */

/* Connection slots of an upstream, counted over all workers, and those who wait for one, in one
 * queue over all workers. A slot belongs to a connection from before it is opened until it is
 * closed, idle or not.
 *
 * Nothing that is free stays unseen: who waits is first counted (live->pending) and then looks
 * for what is free; who frees a slot or a connection first makes it visible and then looks
 * whether anybody waits. So one of the two sees the other, whatever the order. What is found
 * goes to the waiter by mail, and is the waiter's from that moment: one that has lost interest
 * passes it on.
 *
 * All functions: any thread. */

#ifndef DML_GATE_SLOT_QUEUE_H
#define DML_GATE_SLOT_QUEUE_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/list.h"
#include "net/mailbox.h"

struct outbound;
struct slot_queue;
struct target;
struct upstream_live;

/* One who waits. */
struct slot_waiter {
    /* set by who waits */
    struct mail mail; /* sent, once, when there is something */
    struct mailbox *mailbox;
    const struct target *wants; /* a connection to it would do; NULL: only a slot will */
    /* what came with the mail: a detached connection and its slot, or (NULL) a slot alone */
    struct outbound *connection;
    /* the queue's */
    struct list link;
    uint32_t passed_over;
    bool is_queued;
};

/* A worker that holds connections of this upstream. It tells how many of them are idle, and is
 * asked by mail to give them up when somebody waits. */
struct slot_seat {
    /* set by the worker */
    struct mail nudge; /* sent again only after slot_seat_answered */
    struct mailbox *mailbox;
    /* state */
    struct list link;
    atomic_uint nidle;
    bool is_nudged;
};

struct slot_queue *slot_queue_new(struct upstream_live *l);
void slot_queue_free(struct slot_queue *q); /* nobody waits any more */

/* A slot at once, or false: there is none, or others wait already. */
bool slot_take(struct upstream_live *l, uint32_t max);

/* A slot is free again (its connection is closed): wakes who waits longest. */
void slot_release(struct upstream_live *l);

/* Queues w and asks all seats that have idle connections to give them up. 0, or ERR_OVERLOAD
 * (max_pending wait already; w is not queued). */
MUST_CHECK int slot_wait(struct upstream_live *l, struct slot_waiter *w, uint32_t max,
                         uint32_t max_pending);

/* Takes w out of the queue. False: it is out already and its mail is on the way. */
bool slot_leave(struct upstream_live *l, struct slot_waiter *w);

/* Somebody waits. To be asked after a connection was made visible: slot_seat_show, shelf_give. */
bool slot_is_wanted(struct upstream_live *l);

/* For a connection to t that is not needed: takes the first waiter that wants t out of the
 * queue. NULL: there is none, or one who wants another target was passed over several times and
 * comes first now (a busy target must not starve the others). t NULL: the first of all, who is
 * to get a slot alone. */
struct slot_waiter *slot_next(struct upstream_live *l, const struct target *t);

/* Sends what slot_next's waiter gets. */
void slot_grant(struct slot_waiter *w, struct outbound *connection);

void slot_seat_add(struct upstream_live *l, struct slot_seat *s);

/* The seat has n idle connections. `more`: than before, so that the caller has to look for who
 * waits. */
static inline void slot_seat_show(struct slot_seat *s, uint32_t n, bool more)
{
    atomic_store_explicit(&s->nidle, n, more ? memory_order_seq_cst : memory_order_relaxed);
}

/* True: a nudge is on the way, and s must stay until it has come. */
bool slot_seat_remove(struct upstream_live *l, struct slot_seat *s);
void slot_seat_answered(struct upstream_live *l, struct slot_seat *s);

/* Idle connections of the upstream: in all seats and on all shelves. */
uint32_t slot_count_idle(struct upstream_live *l);

#endif
