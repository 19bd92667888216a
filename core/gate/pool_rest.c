/* SPDX-License-Identifier: Apache-2.0 */

/* The usual case is the end of pool_rest: one step between two lists and two looks at cells that
 * nobody writes. What is shown to other workers is shown before it is asked whether one of them
 * waits (see slot_queue.h). */

#include "gate/pool_rest.h"

#include "gate/shelf.h"

/* The connection and its slot, or the slot alone if it has died. */
static void hand_over(struct pool_lane *lane, struct outbound *o, struct slot_waiter *w)
{
    conn_to(o, NULL);
    if (!outbound_detach(o)) {
        conn_count_closed(lane->target);
        o = NULL;
    }
    slot_grant(w, o);
}

/* Gives idle connections to those who wait for their targets, as long as there are both. */
static void serve_fitting(struct pool_group *g)
{
    struct slot_waiter *w;

    LIST_EACH (it, &g->lanes) {
        struct pool_lane *lane = lane_of(it);
        while (lane->idle.n > 0 && (w = slot_next(g->live, lane->target)))
            hand_over(lane, conn_of(list_first(&lane->idle.conns)), w);
    }
}

void pool_serve(struct pool_group *g)
{
    struct slot_waiter *w;

    serve_fitting(g);
    LIST_EACH (it, &g->lanes) {
        struct pool_lane *lane = lane_of(it);
        while (lane->idle.n > 0 && (w = slot_next(g->live, NULL))) {
            conn_close_for_slot(lane, conn_of(list_last(&lane->idle.conns)));
            slot_grant(w, NULL);
        }
    }
}

struct outbound *pool_unshelve(struct pool_lane *lane)
{
    struct upstream_live *live = lane->group->live;
    struct outbound *o;

    while ((o = shelf_take(lane->target->shelf, live))) {
        if (outbound_attach(o, lane->group->pool->env.wire))
            return o;
        conn_count_closed(lane->target);
        slot_release(live);
    }
    return NULL;
}

/* Where another worker finds it. One may have begun to wait after it had looked at an empty
 * shelf: so this one looks again, and takes the connection back for it. */
static void shelve(struct pool_lane *lane, struct outbound *o)
{
    struct pool_group *g = lane->group;

    if (slot_count_idle(g->live) > g->max_idle) {
        conn_close(lane, o);
        return;
    }
    conn_to(o, NULL);
    if (!shelf_give(lane->target->shelf, o, g->live, g->max_idle)) {
        conn_count_closed(lane->target);
        slot_release(g->live);
    } else if (slot_is_wanted(g->live) && (o = pool_unshelve(lane))) {
        conn_to(o, &lane->idle);
        pool_serve(g);
    }
}

/* More idle ones than this worker should keep to itself. */
static bool is_above_share(const struct pool_group *g)
{
    uint32_t nworkers = (uint32_t)g->pool->env.nworkers;

    if (g->nidle > MAX(g->max_idle / nworkers, 1u))
        return true;
    return UNLIKELY(g->max_idle < nworkers) && g->nidle > 0 &&
           slot_count_idle(g->live) > g->max_idle;
}

void pool_settle(struct later *settle)
{
    struct pool_group *g = container_of(settle, struct pool_group, settle);

    LIST_EACH (it, &g->lanes) {
        struct place *leaving = &lane_of(it)->leaving;
        while (leaving->n > 0)
            conn_close(leaving->lane, conn_of(list_first(&leaving->conns)));
    }
    if (slot_is_wanted(g->live))
        pool_serve(g);
    LIST_EACH (it, &g->lanes) {
        struct place *idle = &lane_of(it)->idle;
        while (idle->n > 0 && is_above_share(g))
            shelve(idle->lane, conn_of(list_last(&idle->conns)));
    }
}

void pool_rest(struct pool_lane *lane, struct outbound *o)
{
    struct pool_group *g = lane->group;
    bool is_worn = g->max_requests > 0 && o->requests >= g->max_requests;

    conn_to(o, is_worn || lane->is_left ? &lane->leaving : &lane->idle);
    if (UNLIKELY(lane->leaving.n > 0 || slot_is_wanted(g->live) || is_above_share(g)))
        loop_later(g->pool->env.wire->loop, &g->settle);
}
