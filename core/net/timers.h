/* SPDX-License-Identifier: Apache-2.0 */

/* The set of a loop's timers (struct timer of net/loop.h), ordered by the time at which each must
 * be looked at. For loop.c only; everybody else uses timer_set and its like. */

#ifndef DML_NET_TIMERS_H
#define DML_NET_TIMERS_H

#include "base/base.h"
#include "base/vec.h"

struct loop;
struct timer;

struct timers_entry {
    uint64_t at_ms; /* never later than the timer's due time */
    struct timer *timer;
};

struct timers {
    /* owned */
    VEC(struct timers_entry) heap; /* the earliest first */
    VEC(struct timer *) due;       /* collected, not yet fired; NULL = taken out meanwhile */
};

void timers_init(struct timers *ts);

/* Timers still in the set are let go. */
void timers_deinit(struct timers *ts);

/* When the loop has to look again; 0 = never. */
uint64_t timers_next(const struct timers *ts);

/* Takes what is due at now_ms out of the heap, before the turn's other callbacks run; those may
 * still stop or move the timers concerned. timers_fire then runs the rest. Timers set in between
 * wait for the next collect. */
void timers_collect(struct timers *ts, uint64_t now_ms);
void timers_fire(struct timers *ts);

/* Defined by loop.c. */
struct timers *loop_timers(struct loop *l);

#endif
