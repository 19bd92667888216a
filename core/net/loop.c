/* SPDX-License-Identifier: Apache-2.0 */

/* A loop: libev waits for descriptors, everything else of a turn is done here, after libev's
 * callbacks. libev's own timers are not used but for one that bounds the wait: the timers of
 * net/timers.c are lazier, smaller and follow the clock of base/clock.h, which is read once per
 * turn, right after the wait. */

#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/vec.h"
#include "net/timers.h"

#define LONGEST_WAIT_MS 60000u
#define QUIET_MS 5u /* without events for so long is "idle" */

struct doomed {
    void *ptr;
    void (*fn)(void *ptr);
};

struct loop {
    /* owned */
    struct ev_loop *ev;
    struct timers timers;
    ev_timer alarm; /* ends the wait */
    VEC(struct doomed) doomed;
    /* borrowed */
    idle_fn idle_fn;
    void *idle_arg;
    /* state */
    struct list later;
    struct list at_end;
    uint64_t wait_ms; /* of this turn */
    int epoll_fd;     /* libev's own */
    bool stopped;
    bool restless; /* something has happened since idle_fn ran */
    bool goes_on;  /* idle_fn wants to be called again, soon */
    bool quiet;    /* nothing happened in this turn's wait, and it was not short */
};

/* libev calls it when epoll_wait has returned, before any callback. */
static void on_wake(struct ev_loop *ev)
{
    struct loop *l = ev_userdata(ev);

    clock_refresh();
    timers_collect(&l->timers, clock_ms());
}

/* Its priority is the highest, so what else has happened in this turn is still pending. */
static void on_alarm(struct ev_loop *ev, ev_timer *alarm, int revents UNUSED)
{
    struct loop *l = container_of(alarm, struct loop, alarm);

    l->quiet = ev_pending_count(ev) == 0 && (l->goes_on || l->wait_ms >= QUIET_MS);
}

/* libev does not tell its epoll descriptor. A probe that libev watches is known to that one only:
 * of all numbers only the right one can modify it. */
static int find_epoll_fd(struct ev_loop *ev)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct rlimit limit = {.rlim_cur = 1024};
    int probe = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), found = -1;
    ev_io watcher;

    REQUIRE(probe >= 0);
    ev_io_init(&watcher, NULL, probe, EV_READ);
    ev_io_start(ev, &watcher);
    ev_run(ev, EVRUN_NOWAIT);
    ev_io_stop(ev, &watcher);

    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = 0; found < 0 && (rlim_t)fd < limit.rlim_cur; fd++)
        if (fd != probe && epoll_ctl(fd, EPOLL_CTL_MOD, probe, &event) == 0)
            found = fd;
    REQUIRE(found >= 0);
    epoll_ctl(found, EPOLL_CTL_DEL, probe, &event);
    close(probe);
    return found;
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof(*l));

    REQUIRE(l != NULL);
    list_init(&l->later);
    list_init(&l->at_end);
    timers_init(&l->timers);
    l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    REQUIRE(l->ev != NULL);
    l->epoll_fd = find_epoll_fd(l->ev);
    ev_set_userdata(l->ev, l);
    ev_set_loop_release_cb(l->ev, NULL, on_wake);
    ev_init(&l->alarm, on_alarm);
    ev_set_priority(&l->alarm, EV_MAXPRI);
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
    ev_timer_stop(l->ev, &l->alarm);
    ev_loop_destroy(l->ev);
    timers_deinit(&l->timers);
    vec_free(&l->doomed);
    free(l);
}

struct ev_loop *loop_ev(struct loop *l)
{
    return l->ev;
}

struct timers *loop_timers(struct loop *l)
{
    return &l->timers;
}

void loop_forget_fd(struct loop *l, int fd)
{
    struct epoll_event unused = {0};

    /* ENOENT: it was watched for less than a turn, or libev has found it unwanted before. libev
     * needs no word of it: ev_io_set marks the number as new, and a new one is always added. */
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, &unused) != 0)
        (void)CHECK(errno == ENOENT);
}

/* How long this turn may wait for events. */
static uint64_t wait_time(const struct loop *l, int max_wait_ms)
{
    uint64_t wait = LONGEST_WAIT_MS, next = timers_next(&l->timers), now = clock_ms();

    if (!list_is_empty(&l->later) || l->doomed.n > 0)
        return 0;
    if (max_wait_ms >= 0)
        wait = MIN(wait, (uint64_t)max_wait_ms);
    if (l->idle_fn && l->restless)
        wait = MIN(wait, QUIET_MS);
    if (l->goes_on)
        wait = MIN(wait, 1);
    if (next)
        wait = next > now ? MIN(wait, next - now) : 0;
    return wait;
}

static void wait_for_events(struct loop *l)
{
    l->quiet = false;
    if (l->wait_ms == 0) {
        ev_run(l->ev, EVRUN_NOWAIT);
        return;
    }
    ev_timer_set(&l->alarm, (double)l->wait_ms / 1000, 0.);
    ev_timer_start(l->ev, &l->alarm);
    ev_run(l->ev, EVRUN_ONCE);
    ev_timer_stop(l->ev, &l->alarm);
}

static void note_idleness(struct loop *l)
{
    if (!l->quiet || l->timers.due.n > 0) {
        l->restless = true;
        l->goes_on = false;
    } else if ((l->restless || l->goes_on) && l->idle_fn) {
        l->restless = false;
        l->goes_on = l->idle_fn(l->idle_arg);
    }
}

static void turn(struct loop *l, int max_wait_ms)
{
    l->wait_ms = wait_time(l, max_wait_ms);
    wait_for_events(l);
    note_idleness(l);
    timers_fire(&l->timers);
    run_laters(&l->later);
    free_doomed(l);
}

/* What ran outside of the loop took time that neither clock has seen. */
static void refresh_clocks(struct loop *l)
{
    clock_refresh();
    ev_now_update(l->ev);
}

void loop_turn(struct loop *l, int max_wait_ms)
{
    refresh_clocks(l);
    turn(l, max_wait_ms);
}

void loop_run(struct loop *l)
{
    refresh_clocks(l);
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
    l->restless = true;
}
