/* SPDX-License-Identifier: Apache-2.0 */

/* Timers of a loop: a heap with four children per node, so that a node's children share a cache
 * line. The heap is lazy: an entry says when to look at a timer, the timer itself says when it is
 * due, and the former is never later than the latter. Moving a timer away from now, or stopping
 * it, leaves its entry alone; the entry is corrected when its time comes. Nearly all timers of a
 * gateway are moved or stopped, few fire. */

#include "net/timers.h"

#include "base/clock.h"
#include "net/loop.h"

#define FANOUT 4
#define IN_DUE 0x80000000u /* slot: index in `due`; else index in the heap + 1 */

static void put(struct timers *ts, size_t i, struct timers_entry e)
{
    ts->heap.items[i] = e;
    e.timer->slot = (uint32_t)i + 1;
}

static void sift_up(struct timers *ts, size_t i)
{
    struct timers_entry e = ts->heap.items[i];

    while (i > 0) {
        size_t parent = (i - 1) / FANOUT;
        if (ts->heap.items[parent].at_ms <= e.at_ms)
            break;
        put(ts, i, ts->heap.items[parent]);
        i = parent;
    }
    put(ts, i, e);
}

static void sift_down(struct timers *ts, size_t i)
{
    struct timers_entry e = ts->heap.items[i];

    for (;;) {
        size_t first = i * FANOUT + 1, end = MIN(first + FANOUT, ts->heap.n), least = first;
        if (first >= ts->heap.n)
            break;
        for (size_t c = first + 1; c < end; c++)
            if (ts->heap.items[c].at_ms < ts->heap.items[least].at_ms)
                least = c;
        if (ts->heap.items[least].at_ms >= e.at_ms)
            break;
        put(ts, i, ts->heap.items[least]);
        i = least;
    }
    put(ts, i, e);
}

static void insert(struct timers *ts, struct timer *t)
{
    vec_push(&ts->heap, (struct timers_entry){t->due_ms, t});
    sift_up(ts, ts->heap.n - 1);
}

static void remove_at(struct timers *ts, size_t i)
{
    struct timers_entry last = vec_pop(&ts->heap);

    if (i == ts->heap.n)
        return;
    put(ts, i, last);
    sift_down(ts, i);
    sift_up(ts, last.timer->slot - 1);
}

/* Forgets t, wherever it is. */
static void take_out(struct timers *ts, struct timer *t)
{
    if (t->slot & IN_DUE)
        ts->due.items[t->slot & ~IN_DUE] = NULL;
    else if (t->slot)
        remove_at(ts, t->slot - 1);
    t->slot = 0;
}

void timers_init(struct timers *ts)
{
    *ts = (struct timers){0};
}

void timers_deinit(struct timers *ts)
{
    for (size_t i = 0; i < ts->heap.n; i++)
        ts->heap.items[i].timer->slot = 0;
    for (size_t i = 0; i < ts->due.n; i++)
        if (ts->due.items[i])
            ts->due.items[i]->slot = 0;
    vec_free(&ts->heap);
    vec_free(&ts->due);
}

uint64_t timers_next(const struct timers *ts)
{
    return ts->heap.n ? ts->heap.items[0].at_ms : 0;
}

void timers_collect(struct timers *ts, uint64_t now_ms)
{
    while (ts->heap.n && ts->heap.items[0].at_ms <= now_ms) {
        struct timer *t = ts->heap.items[0].timer;
        if (t->due_ms > now_ms) {
            ts->heap.items[0].at_ms = t->due_ms;
            sift_down(ts, 0);
            continue;
        }
        remove_at(ts, 0);
        t->slot = 0;
        if (timer_is_set(t)) {
            t->slot = IN_DUE | (uint32_t)ts->due.n;
            vec_push(&ts->due, t);
        }
    }
}

void timers_fire(struct timers *ts)
{
    uint64_t now_ms = clock_ms();

    for (size_t i = 0; i < ts->due.n; i++) {
        struct timer *t = ts->due.items[i];
        if (!t)
            continue;
        t->slot = 0;
        if (t->due_ms > now_ms) {
            insert(ts, t); /* moved by a callback of this turn */
        } else if (timer_is_set(t)) {
            t->due_ms = 0;
            t->fn(t); /* may free t */
        }
    }
    ts->due.n = 0;
}

void timer_init(struct timer *t, struct loop *l, timer_fn fn)
{
    *t = (struct timer){.loop = l, .fn = fn};
}

void timer_deinit(struct timer *t)
{
    if (t->slot)
        take_out(loop_timers(t->loop), t);
    t->due_ms = 0;
}

void timer_set(struct timer *t, uint64_t delay_ms)
{
    struct timers *ts = loop_timers(t->loop);

    t->due_ms = clock_ms() + delay_ms;
    if (t->slot & IN_DUE)
        return;
    if (!t->slot) {
        insert(ts, t);
    } else if (t->due_ms < ts->heap.items[t->slot - 1].at_ms) {
        ts->heap.items[t->slot - 1].at_ms = t->due_ms;
        sift_up(ts, t->slot - 1);
    }
}

void timer_stop(struct timer *t)
{
    t->due_ms = 0;
}

void timer_move(struct timer *t, struct loop *l)
{
    timer_deinit(t);
    t->loop = l;
}
