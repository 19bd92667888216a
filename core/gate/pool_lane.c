/* SPDX-License-Identifier: Apache-2.0 */

/* Lanes are found by the pair (upstream, target) in a map; they come with the first claim and go
 * when nothing is left in them, also on the target's shelf: as long as a connection lies there,
 * some worker has a lane whose sweep ends it. / */

#include "gate/pool_lane.h"

#include <stdlib.h>

#include "base/check.h"
#include "gate/pool_rest.h"
#include "gate/shelf.h"

static void count_idle(struct pool_group *g, int by)
{
    g->nidle += (uint32_t)by;
    g->pool->nidle += (size_t)by;
    slot_seat_show(&g->seat, g->nidle, by > 0);
}

void conn_to(struct outbound *o, struct place *to)
{
    struct place *from = o->owner;

    if (from) {
        list_remove(&o->link);
        from->n--;
        if (from == &from->lane->idle)
            count_idle(from->lane->group, -1);
    }
    o->owner = to;
    if (to) {
        list_push(&to->conns, &o->link);
        to->n++;
        if (to == &to->lane->idle)
            count_idle(to->lane->group, 1);
    }
}

void conn_close_for_slot(struct pool_lane *lane, struct outbound *o)
{
    conn_to(o, NULL);
    outbound_close(o);
    conn_count_closed(lane->target);
}

void conn_close(struct pool_lane *lane, struct outbound *o)
{
    conn_close_for_slot(lane, o);
    slot_release(lane->group->live);
}

static struct slice key_slice(const struct pool_lane *lane)
{
    return slice_of((const char *)lane->key, sizeof(lane->key));
}

static void group_free(struct pool_group *g)
{
    upstream_live_unref(g->live);
    free(g);
}

static void on_nudge(struct mail *m, void *reader UNUSED)
{
    struct pool_group *g = container_of(m, struct pool_group, seat.nudge);

    if (!g->pool) {
        group_free(g);
        return;
    }
    slot_seat_answered(g->live, &g->seat);
    pool_serve(g);
}

static struct pool_group *group_get(struct pool *p, struct upstream_live *live)
{
    LIST_EACH (it, &p->groups)
        if (group_of(it)->live == live)
            return group_of(it);

    struct pool_group *g = calloc(1, sizeof(*g));
    REQUIRE(g != NULL);
    g->pool = p;
    g->live = upstream_live_hold(live);
    later_init(&g->settle, pool_settle);
    g->seat.nudge.fn = on_nudge;
    g->seat.mailbox = p->env.mailbox;
    list_init(&g->lanes);
    list_append(&p->groups, &g->link);
    slot_seat_add(live, &g->seat);
    return g;
}

static void place_init(struct place *pl, struct pool_lane *lane)
{
    list_init(&pl->conns);
    pl->lane = lane;
}

static struct pool_lane *lane_new(struct pool *p, struct upstream_live *live, struct target *t)
{
    struct pool_lane *lane = calloc(1, sizeof(*lane));

    REQUIRE(lane != NULL);
    lane->group = group_get(p, live);
    lane->target = target_hold(t);
    lane->key[0] = live;
    lane->key[1] = t;
    place_init(&lane->idle, lane);
    place_init(&lane->busy, lane);
    place_init(&lane->leaving, lane);
    list_append(&lane->group->lanes, &lane->link);
    map_set(&p->lanes, key_slice(lane), lane);
    timer_set(&p->sweeper, 0); /* it may have to come more often now */
    return lane;
}

static struct pool_lane **recent_of(struct pool *p, const void *live, const void *target)
{
    uintptr_t both = (uintptr_t)live ^ (uintptr_t)target;

    return &p->recent[(both >> 4 ^ both >> 9) % POOL_RECENT];
}

struct pool_lane *lane_find(struct pool *p, const struct upstream_live *live,
                            const struct target *target)
{
    const void *key[2] = {live, target};
    struct pool_lane **recent = recent_of(p, live, target);

    if (LIKELY(*recent && (*recent)->key[0] == live && (*recent)->key[1] == target))
        return *recent;
    struct pool_lane *lane = map_find(&p->lanes, slice_of((const char *)key, sizeof(key)));
    if (lane)
        *recent = lane;
    return lane;
}

struct pool_lane *lane_get(struct pool *p, const struct upstream *u, struct target *t)
{
    struct pool_lane *lane = lane_find(p, u->live, t);

    if (UNLIKELY(!lane))
        lane = lane_new(p, u->live, t);
    struct pool_group *g = lane->group;
    lane->is_left = false;
    g->max_idle = u->keepalive.max_idle;
    g->idle_timeout_ms = u->keepalive.idle_timeout_ms;
    g->max_requests = u->keepalive.max_requests;
    return lane;
}

static bool is_unused(const struct pool_lane *lane)
{
    return lane->idle.n + lane->busy.n + lane->leaving.n + lane->nclaims == 0 &&
           shelf_count(lane->target->shelf, lane->group->live) == 0;
}

static void lane_free(struct pool_lane *lane)
{
    struct pool *p = lane->group->pool;
    struct pool_lane **recent = recent_of(p, lane->key[0], lane->key[1]);

    if (*recent == lane)
        *recent = NULL;
    map_remove(&p->lanes, key_slice(lane));
    list_remove(&lane->link);
    target_unref(lane->target);
    free(lane);
}

/* Its lanes are gone. */
static void group_end(struct pool_group *g)
{
    list_remove(&g->link);
    later_cancel(&g->settle);
    g->pool = NULL;
    if (!slot_seat_remove(g->live, &g->seat))
        group_free(g);
}

void lanes_tidy(struct pool *p)
{
    LIST_EACH (at, &p->groups) {
        struct pool_group *g = group_of(at);
        LIST_EACH (it, &g->lanes)
            if (is_unused(lane_of(it)))
                lane_free(lane_of(it));
        if (list_is_empty(&g->lanes))
            group_end(g);
    }
}

static void close_all(struct place *pl)
{
    while (pl->n > 0)
        conn_close(pl->lane, conn_of(list_first(&pl->conns)));
}

void lanes_free(struct pool *p)
{
    LIST_EACH (at, &p->groups) {
        struct pool_group *g = group_of(at);
        LIST_EACH (it, &g->lanes) {
            struct pool_lane *lane = lane_of(it);
            REQUIRE(lane->busy.n == 0 && lane->nclaims == 0);
            close_all(&lane->idle);
            close_all(&lane->leaving);
            lane_free(lane);
        }
        group_end(g);
    }
    map_deinit(&p->lanes);
}
