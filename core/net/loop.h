/* SPDX-License-Identifier: Apache-2.0 */

/* One loop per thread: readiness (net/watch.h), timers owned by their struct, work for the end of the
 * turn, deferred free. All functions only on the loop's own thread; other threads send it mail (net/mailbox.h).
 *
 * A turn: wait for events, refresh the clock, run their callbacks, then the timers that were due
 * when the wait ended, then the end-of-turn queue (until it is empty), then the deferred frees.
 * Nothing is freed while its callback may still be on the stack. */

#ifndef DML_NET_LOOP_H
#define DML_NET_LOOP_H

#include "base/base.h"
#include "base/list.h"

struct loop;

/* Never NULL. The loop belongs to the thread that runs it. */
struct loop *loop_new(void);

/* Runs what is left of the end-of-turn queue and the deferred frees; timers that are still set
 * will not fire. */
void loop_free(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop */
void loop_stop(struct loop *l);

/* One turn; waits at most max_wait_ms (-1: as long as it takes). Tests drive loops with it. */
void loop_turn(struct loop *l, int max_wait_ms);

/* Timer: a field of its owner. Lazy: moving the due time of a running timer later costs two
 * stores, and stopping it one: the loop looks at a timer again only when the time that it knew has
 * come. So it suits "N seconds after the last byte". Millisecond resolution; follows clock_ms, so
 * tests may move time by hand. */
struct timer;
typedef void (*timer_fn)(struct timer *t);

struct timer {
    /* borrowed */
    struct loop *loop;
    timer_fn fn;
    /* state */
    uint64_t due_ms; /* 0 = stopped */
    uint32_t slot;   /* where the loop remembers it; 0 = nowhere */
};

void timer_init(struct timer *t, struct loop *l, timer_fn fn);
void timer_deinit(struct timer *t); /* really stops; the memory may be freed */

/* (Re)starts; one shot; 0 fires at the next turn. */
void timer_set(struct timer *t, uint64_t delay_ms);
void timer_stop(struct timer *t);

static inline bool timer_is_set(const struct timer *t)
{
    return t->due_ms != 0;
}

/* Moves a stopped timer to another loop (connections that change workers): with NULL on the old
 * loop's thread, then with the new loop on its thread. */
void timer_move(struct timer *t, struct loop *l);

/* End of turn: fn runs once, after the events of this turn. Queueing twice is harmless. A later
 * queued while the queue runs, runs in the same turn. */
struct later;
typedef void (*later_fn)(struct later *l);

struct later {
    struct list link;
    later_fn fn;
};

void later_init(struct later *d, later_fn fn);
void loop_later(struct loop *l, struct later *d);
void later_cancel(struct later *d);

/* fn runs in loop_free, unless cancelled before: for what has no owner but the loop. */
void loop_at_end(struct loop *l, struct later *d);
bool loop_has_at_end(const struct loop *l); /* is there any? */

/* fn(ptr) after this turn's end-of-turn queue. ptr stays readable until then. */
void loop_free_later(struct loop *l, void *ptr, void (*fn)(void *ptr));

/* Runs fn(arg) when the loop has been without events for a moment (Lua's collector): once in each
 * quiet spell, and as long as it returns true again each millisecond without events. So what takes
 * long is done in small pieces that no event has to wait for. One per loop; NULL ends it. */
typedef bool (*idle_fn)(void *arg);
void loop_on_idle(struct loop *l, idle_fn fn, void *arg);

#endif
