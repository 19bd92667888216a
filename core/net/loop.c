/* SPDX-License-Identifier: Apache-2.0 */

/* A loop: it waits for descriptors, and everything else of a turn is done here, after their
 * callbacks. What bounds the wait is a timerfd and not the wait's own timeout: with few connections
 * each turn waits, and it would set and clear a timer of the kernel's each time, while the
 * earliest of our timers (net/timers.c) is seldom another than in the turn before. The clock of
 * base/clock.h is read once per turn, right after the wait. */

#include "net/loop.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/vec.h"
#include "net/timers.h"
#include "net/watch.h"

#define LONGEST_WAIT_MS 60000u
#define RETRY_MS 100u /* until the kernel may have memory again */
#define QUIET_MS 5u   /* without events for so long is "idle" */

struct doomed {
    void *ptr;
    void (*fn)(void *ptr);
};

struct loop {
    /* owned */
    struct watches watches;
    struct timers timers;
    struct watch alarm; /* ends the wait */
    VEC(struct doomed) doomed;
    /* borrowed */
    idle_fn idle_fn;
    void *idle_arg;
    /* state */
    struct list later;
    struct list at_end;
    uint64_t alarm_ms; /* when it will ring; 0: not set */
    uint64_t busy_ms;  /* when something has happened last */
    bool stopped;
    bool rang;     /* the alarm, in this turn */
    bool restless; /* something has happened since idle_fn ran */
    bool goes_on;  /* idle_fn wants to be called again, soon */
};

static void on_alarm(struct watch *w, unsigned what UNUSED)
{
    struct loop *l = container_of(w, struct loop, alarm);

    l->alarm_ms = 0;
    l->rang = true;
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof(*l));
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    REQUIRE(l != NULL && fd >= 0);
    list_init(&l->later);
    list_init(&l->at_end);
    timers_init(&l->timers);
    watches_init(&l->watches);
    watch_init(&l->alarm, l, fd, on_alarm);
    watch_for_rings(&l->alarm);
    return l;
}

static void run_laters(struct list *list)
{
    struct list *link;

    while ((link = list_pop(list))) {
        struct later *d = container_of(link, struct later, link);
        d->fn(d);
    }
}

static void free_doomed(struct loop *l)
{
    /* A free may doom more. */
    for (size_t i = 0; i < l->doomed.n; i++) {
        struct doomed d = l->doomed.items[i];
        d.fn(d.ptr);
    }
    l->doomed.n = 0;
}

void loop_free(struct loop *l)
{
    run_laters(&l->at_end);
    while (!list_is_empty(&l->later) || l->doomed.n > 0) {
        run_laters(&l->later);
        free_doomed(l);
    }
    watch_end(&l->alarm);
    close(l->alarm.fd);
    watches_deinit(&l->watches);
    timers_deinit(&l->timers);
    vec_free(&l->doomed);
    free(l);
}

struct watches *loop_watches(struct loop *l)
{
    return &l->watches;
}

struct timers *loop_timers(struct loop *l)
{
    return &l->timers;
}

/* Until when this turn may wait for events; now or before: not at all. */
static uint64_t wait_until(const struct loop *l, uint64_t now, int max_wait_ms)
{
    uint64_t until = now + LONGEST_WAIT_MS, next = timers_next(&l->timers);

    if (!list_is_empty(&l->later) || l->doomed.n > 0)
        return now;
    if (max_wait_ms >= 0)
        until = MIN(until, now + (uint64_t)max_wait_ms);
    if (l->idle_fn && l->restless)
        until = MIN(until, l->busy_ms + QUIET_MS);
    if (l->goes_on)
        until = MIN(until, now + 1);
    return next ? MIN(until, next) : until;
}

/* Is there an alarm that will do? One that rings too soon costs a turn, once. One whose time has
 * come without its having rung was set before a test moved the clock. */
static bool has_alarm(const struct loop *l, uint64_t now, uint64_t until)
{
    return l->alarm_ms > now && l->alarm_ms <= until;
}

static void set_alarm(struct loop *l, uint64_t now, uint64_t until)
{
    uint64_t wait = until - now;
    struct itimerspec spec = {
        .it_value = {.tv_sec = (time_t)(wait / 1000), .tv_nsec = (long)(wait % 1000) * 1000000},
    };

    REQUIRE(timerfd_settime(l->alarm.fd, 0, &spec, NULL) == 0);
    l->alarm_ms = until;
}

static int wait_for_events(struct loop *l, int max_wait_ms)
{
    uint64_t now = clock_ms(), until = wait_until(l, now, max_wait_ms);

    if (UNLIKELY(!watches_tell(&l->watches)))
        until = MIN(until, now + RETRY_MS);
    if (until > now && (max_wait_ms >= 0 || !has_alarm(l, now, until)))
        set_alarm(l, now, until);
    return watches_wait(&l->watches, until > now);
}

static void note_idleness(struct loop *l, bool is_busy)
{
    if (is_busy) {
        l->busy_ms = clock_ms();
        l->restless = true;
        l->goes_on = false;
    } else if (l->idle_fn && (l->goes_on || (l->restless && clock_ms() >= l->busy_ms + QUIET_MS))) {
        l->restless = false;
        l->goes_on = l->idle_fn(l->idle_arg);
    }
}

static void turn(struct loop *l, int max_wait_ms)
{
    int ready = wait_for_events(l, max_wait_ms);

    clock_refresh();
    timers_collect(&l->timers, clock_ms());
    l->rang = false;
    watches_run(&l->watches);
    note_idleness(l, ready > l->rang || l->timers.due.n > 0);
    timers_fire(&l->timers);
    run_laters(&l->later);
    free_doomed(l);
}

void loop_turn(struct loop *l, int max_wait_ms)
{
    clock_refresh(); /* what ran outside of the loop took time */
    turn(l, max_wait_ms);
}

void loop_run(struct loop *l)
{
    clock_refresh();
    while (!l->stopped)
        turn(l, -1);
    l->stopped = false;
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

void later_init(struct later *d, later_fn fn)
{
    list_init(&d->link);
    d->fn = fn;
}

void loop_later(struct loop *l, struct later *d)
{
    if (list_is_empty(&d->link))
        list_append(&l->later, &d->link);
}

void loop_at_end(struct loop *l, struct later *d)
{
    if (list_is_empty(&d->link))
        list_append(&l->at_end, &d->link);
}

bool loop_has_at_end(const struct loop *l)
{
    return !list_is_empty(&l->at_end);
}

void later_cancel(struct later *d)
{
    list_remove(&d->link);
}

void loop_free_later(struct loop *l, void *ptr, void (*fn)(void *ptr))
{
    vec_push(&l->doomed, (struct doomed){ptr, fn});
}

void loop_on_idle(struct loop *l, idle_fn fn, void *arg)
{
    l->goes_on = false;
    l->idle_fn = fn;
    l->idle_arg = arg;
    l->busy_ms = clock_ms();
    l->restless = true;
}
