/* SPDX-License-Identifier: Apache-2.0 */

/* Claims: what a claim waits for (an opening, a slot), and how it ends. The usual case of
 * pool_take is a look into a map and a step between two lists. */

#include "gate/pool.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "gate/opening.h"
#include "gate/pool_lane.h"
#include "gate/pool_rest.h"
#include "gate/shelf.h"

#define SWEEP_MIN_MS 10u
#define SWEEP_MAX_MS 1000u

struct pool_waiter {
    /* owned */
    struct slot_waiter slot;
    struct timer timer;
    /* borrowed */
    struct pool *pool; /* NULL: gone; then live and target are references */
    struct pool_lane *lane;
    struct pool_claim *claim; /* NULL: has lost interest */
    struct upstream_live *live;
    struct target *target;
    /* state */
    struct list link;
};

static void on_idle(void *owner, struct outbound *o)
{
    struct place *from = owner;

    pool_rest(from->lane, o);
}

static void on_closed(void *owner, struct outbound *o)
{
    struct pool_lane *lane = ((struct place *)owner)->lane;

    conn_to(o, NULL);
    conn_count_closed(lane->target);
    slot_release(lane->group->live);
}

static const struct outbound_events conn_events = {.on_idle = on_idle, .on_closed = on_closed};

static void waiter_free(void *ptr)
{
    struct pool_waiter *w = ptr;

    timer_deinit(&w->timer);
    free(w);
}

/* The claim, if it still waits, is the caller's to end or to open for. */
static struct pool_claim *waiter_end(struct pool_waiter *w)
{
    struct pool_claim *c = w->claim;

    list_remove(&w->link);
    w->lane->nclaims--;
    if (c)
        c->waiter = NULL;
    timer_stop(&w->timer);
    loop_free_later(w->pool->env.wire->loop, w, waiter_free);
    return c;
}

static void on_opened(void *arg, struct outbound *o, int err)
{
    struct pool_claim *c = arg;
    struct pool_lane *lane = c->lane;

    c->opening = NULL;
    lane->nclaims--;
    if (o) {
        o->target = lane->target;
        o->events = &conn_events;
        o->owner = NULL;
        conn_to(o, &lane->busy);
        atomic_fetch_add_explicit(&lane->target->connections, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&lane->target->opened, 1, memory_order_relaxed);
    } else {
        slot_release(lane->group->live);
    }
    c->on_done(c, o, err);
}

/* With a slot that the caller has. */
static void open_for(struct pool_claim *c)
{
    struct pool_lane *lane = c->lane;
    const struct pool_env *env = &c->pool->env;

    lane->nclaims++;
    c->opening = opening_start(env->wire, env->dns, lane->target, lane->turn++,
                               c->connect_timeout_ms, on_opened, c);
}

/* The pool goes while the grant is on its way. */
static void orphan(struct pool_waiter *w)
{
    list_remove(&w->link);
    w->lane->nclaims--;
    w->pool = NULL;
    upstream_live_hold(w->live);
    target_hold(w->target);
    timer_deinit(&w->timer);
}

/* Then the grant goes to whoever is next. */
static void pass_on(struct pool_waiter *w)
{
    if (w->slot.connection) {
        outbound_close(w->slot.connection);
        conn_count_closed(w->target);
    }
    slot_release(w->live);
    upstream_live_unref(w->live);
    target_unref(w->target);
    waiter_free(w);
}

static void on_granted(struct mail *m, void *reader UNUSED)
{
    struct pool_waiter *w = container_of(m, struct pool_waiter, slot.mail);
    struct pool_lane *lane = w->lane;
    struct outbound *o = w->slot.connection;

    if (!w->pool) {
        pass_on(w);
        return;
    }
    if (o && !outbound_attach(o, w->pool->env.wire)) {
        conn_count_closed(lane->target);
        o = NULL;
    }
    struct pool_claim *c = waiter_end(w);
    if (c && o) {
        conn_to(o, &lane->busy);
        c->on_done(c, o, 0);
    } else if (c) {
        open_for(c);
    } else if (o) {
        pool_rest(lane, o);
    } else {
        slot_release(lane->group->live);
    }
}

static void on_wait_over(struct timer *t)
{
    struct pool_waiter *w = container_of(t, struct pool_waiter, timer);

    if (!slot_leave(w->live, &w->slot))
        return; /* just in time: the grant is on its way */
    struct pool_claim *c = waiter_end(w);
    if (c)
        c->on_done(c, NULL, ERR_OVERLOAD);
}

static struct pool_waiter *waiter_new(struct pool_claim *c)
{
    struct pool_waiter *w = calloc(1, sizeof(*w));
    struct pool *p = c->pool;

    REQUIRE(w != NULL);
    w->slot.mail.fn = on_granted;
    w->slot.mailbox = p->env.mailbox;
    w->slot.wants = c->wants_fresh ? NULL : c->target;
    list_init(&w->slot.link);
    w->pool = p;
    w->lane = c->lane;
    w->claim = c;
    w->live = c->lane->group->live;
    w->target = c->lane->target;
    timer_init(&w->timer, p->env.wire->loop, on_wait_over);
    c->waiter = w;
    c->lane->nclaims++;
    list_append(&p->waiters, &w->link);
    return w;
}

/* What lies on shelves holds slots, too. One to the target itself is offered to who waits;
 * others are closed. */
static void clear_shelves(struct pool_lane *lane, const struct upstream *u)
{
    struct outbound *o;

    if (slot_is_wanted(u->live) && (o = pool_unshelve(lane)))
        pool_rest(lane, o);
    for (uint32_t i = 0; i < u->nendpoints; i++) {
        struct target *t = u->endpoints[i].target;
        while (slot_is_wanted(u->live) && t != lane->target &&
               (o = shelf_take(t->shelf, u->live))) {
            outbound_close(o);
            conn_count_closed(t);
            slot_release(u->live);
        }
    }
}

static int wait_for_slot(struct pool_claim *c)
{
    const struct upstream *u = c->upstream;
    struct pool_waiter *w = waiter_new(c);

    if (u->timeout_ms > 0)
        timer_set(&w->timer, u->timeout_ms);
    if (slot_wait(u->live, &w->slot, u->max_connections, u->max_pending) < 0) {
        waiter_end(w);
        return ERR_OVERLOAD;
    }
    clear_shelves(c->lane, u);
    return ERR_AGAIN;
}

static int take_slowly(struct pool_claim *c, struct outbound **out)
{
    const struct upstream *u = c->upstream;

    if (!c->wants_fresh && (*out = pool_unshelve(c->lane))) {
        conn_to(*out, &c->lane->busy);
        return 0;
    }
    if (!slot_take(u->live, u->max_connections))
        return wait_for_slot(c);
    open_for(c);
    return ERR_AGAIN;
}

int pool_take(struct pool *p, struct pool_claim *c, struct outbound **out)
{
    struct pool_lane *lane = lane_get(p, c->upstream, c->target);

    c->pool = p;
    c->lane = lane;
    if (LIKELY(lane->idle.n > 0 && !c->wants_fresh && !slot_is_wanted(lane->group->live))) {
        *out = conn_of(list_first(&lane->idle.conns));
        conn_to(*out, &lane->busy);
        return 0;
    }
    return take_slowly(c, out);
}

void pool_cancel(struct pool_claim *c)
{
    struct pool_waiter *w = c->waiter;

    if (c->opening) {
        opening_cancel(c->opening);
        c->opening = NULL;
        c->lane->nclaims--;
        slot_release(c->lane->group->live);
    } else if (w) {
        w->claim = NULL;
        c->waiter = NULL;
        if (slot_leave(w->live, &w->slot))
            waiter_end(w);
    }
}

/* Of connections that lie idle, the oldest are at the end of their list. */
static void close_old(struct pool_lane *lane, uint64_t timeout_ms)
{
    uint64_t now = clock_ms();
    struct list *oldest;

    while ((oldest = list_last(&lane->idle.conns)) &&
           conn_of(oldest)->idle_since_ms + timeout_ms <= now)
        conn_close(lane, conn_of(oldest));
    shelf_sweep(lane->target->shelf, lane->group->live, timeout_ms);
}

/* Often enough that none lies much longer than it should. */
static uint64_t sweep_period(const struct pool *p)
{
    uint64_t period = SWEEP_MAX_MS;

    LIST_EACH (it, &p->groups)
        if (group_of(it)->idle_timeout_ms > 0)
            period = MIN(period, group_of(it)->idle_timeout_ms / 4);
    return MAX(period, SWEEP_MIN_MS);
}

/* Nobody needs a connection to an endpoint that is drained. */
static uint64_t idle_time_of(const struct pool_lane *lane)
{
    return endpoint_is_drained(lane->group->live, lane->target) ? 0 : lane->group->idle_timeout_ms;
}

static void on_sweep(struct timer *t)
{
    struct pool *p = container_of(t, struct pool, sweeper);

    LIST_EACH (at, &p->groups) {
        struct pool_group *g = group_of(at);
        if (g->idle_timeout_ms > 0)
            LIST_EACH (it, &g->lanes)
                close_old(lane_of(it), idle_time_of(lane_of(it)));
    }
    lanes_tidy(p);
    if (!list_is_empty(&p->groups))
        timer_set(t, sweep_period(p));
}

struct pool *pool_new(const struct pool_env *env)
{
    struct pool *p = calloc(1, sizeof(*p));

    REQUIRE(p != NULL);
    p->env = *env;
    map_init(&p->lanes);
    list_init(&p->groups);
    list_init(&p->waiters);
    timer_init(&p->sweeper, env->wire->loop, on_sweep);
    return p;
}

void pool_free(struct pool *p)
{
    LIST_EACH (it, &p->waiters) {
        struct pool_waiter *w = container_of(it, struct pool_waiter, link);
        REQUIRE(!w->claim);
        orphan(w);
    }
    timer_deinit(&p->sweeper);
    lanes_free(p);
    free(p);
}

void pool_close_idle(struct pool *p, struct target *t)
{
    LIST_EACH (at, &p->groups) {
        LIST_EACH (it, &group_of(at)->lanes)
            if (!t || lane_of(it)->target == t)
                close_old(lane_of(it), 0);
    }
}

void pool_leave(struct pool *p, struct upstream_live *live, struct target *t)
{
    struct pool_lane *lane = lane_find(p, live, t);

    if (lane) {
        lane->is_left = true;
        close_old(lane, 0);
    } else {
        shelf_sweep(t->shelf, live, 0);
    }
}

size_t pool_idle_count(const struct pool *p)
{
    return p->nidle;
}
