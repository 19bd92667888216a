/* SPDX-License-Identifier: Apache-2.0 */

/* One libev loop per thread: timers owned by their struct, work for the end of the turn, deferred free.
 * All functions only on the loop's own thread, but loop_stop_from_anywhere.
 *
 * A turn: wait for events, refresh the clock, run their callbacks, then the end-of-turn queue (until it is
 * empty), then the deferred frees. Nothing is freed while its callback may still be on the stack. */

#ifndef DML_NET_LOOP_H
#define DML_NET_LOOP_H

#include <ev.h>

#include "base/base.h"
#include "base/list.h"

struct loop;

/* Never NULL. The loop belongs to the thread that runs it. */
struct loop *loop_new(void);
void loop_free(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop */
void loop_stop(struct loop *l);
struct ev_loop *loop_ev(struct loop *l); /* for the files that may know libev */

/* One turn; waits at most max_wait_ms (-1: as long as it takes). Tests drive loops with it. */
void loop_turn(struct loop *l, int max_wait_ms);

/* Timer: a field of its owner. Lazy: moving the due time of a running timer later costs two stores, and stopping
 * it one: the kernel-side timer is looked at again only when it fires. So it suits "N seconds after the last
 * byte". Millisecond resolution. */
struct timer;
typedef void (*timer_fn)(struct timer *t);

struct timer {
    ev_timer ev;
    struct loop *loop;
    uint64_t due_ms; /* 0 = stopped */
    timer_fn fn;
};

void timer_init(struct timer *t, struct loop *l, timer_fn fn);
void timer_deinit(struct timer *t); /* really stops; the memory may be freed */
void timer_set(struct timer *t, uint64_t delay_ms); /* (re)starts; one shot; 0 fires at the next turn */
void timer_stop(struct timer *t);

static inline bool timer_is_set(const struct timer *t)
{
    return t->due_ms != 0;
}

/* Moves a stopped timer to another loop (connections that change workers). */
void timer_move(struct timer *t, struct loop *l);

/* End of turn: fn runs once, after the events of this turn. Queueing twice is harmless. A later queued while the
 * queue runs, runs in the same turn. */
struct later;
typedef void (*later_fn)(struct later *l);

struct later {
    struct list link;
    later_fn fn;
};

void later_init(struct later *d, later_fn fn);
void loop_later(struct loop *l, struct later *d);
void later_cancel(struct later *d);

/* fn(ptr) after this turn's end-of-turn queue. ptr stays readable until then. */
void loop_free_later(struct loop *l, void *ptr, void (*fn)(void *ptr));

/* Runs fn(arg) when the loop has been without events for a moment (Lua's collector). One per loop. */
void loop_on_idle(struct loop *l, void (*fn)(void *arg), void *arg);

#endif
