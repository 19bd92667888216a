/* SPDX-License-Identifier: Apache-2.0 */

/* How a plan ends. Whoever has ten thousand tunnels must not feel a reload: the exchanges are looked at in turns of the
 * loop, some in each, and what costs (closing a VM, freeing a snapshot of many routes) is left to another thread. */

#include "gate/plan.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "gate/balancer.h"
#include "gate/exchange.h"
#include "gate/exchange_move.h"
#include "gate/gateway.h"
#include "gate/pool.h"

#define LOOKS_PER_TURN 256 /* exchanges */
#define CLOSES_PER_TURN 32 /* endpoints */
#define LOOK_MS 10         /* between two looks at hooks that were told to end */

/* --- life ---------------------------------------------------------------------------------------------------------- */

static bool has_endpoint(const struct upstream *u, const struct target *t)
{
    for (uint32_t i = 0; u && i < u->nendpoints; i++)
        if (u->endpoints[i].target == t)
            return true;
    return false;
}

/* Of a snapshot that may end soon; what it had is held piece by piece. */
static void note_gone(struct plan *p, const struct snapshot *before)
{
    size_t n = 0;

    for (uint32_t i = 0; i < before->nupstreams; i++)
        n += before->upstreams[i]->nendpoints;
    p->gone = arena_alloc(p->arena, n * sizeof(p->gone[0]));
    for (uint32_t i = 0; i < before->nupstreams; i++) {
        const struct upstream *old = before->upstreams[i];
        const struct upstream *now = snapshot_upstream(p->snapshot, old->name);
        for (uint32_t k = 0; k < old->nendpoints; k++)
            if (!has_endpoint(now, old->endpoints[k].target))
                p->gone[p->ngone++] = (struct plan_gone){upstream_live_hold(old->live),
                                                         target_hold(old->endpoints[k].target)};
    }
}

struct plan *plan_new(struct gateway *g, struct snapshot *snapshot, struct phase_host *host,
                      const struct snapshot *before)
{
    struct arena *a = arena_new_heap(4 * KIB);
    struct plan *p = arena_zero(a, sizeof(*p));

    p->arena = a;
    p->snapshot = snapshot;
    p->host = host;
    p->gateway = g;
    list_init(&p->link);
    p->upstream_stats = arena_zero(a, snapshot->nupstreams * sizeof(p->upstream_stats[0]) + 1);
    p->route_stats = arena_zero(a, snapshot->nroutes * sizeof(p->route_stats[0]) + 1);
    p->balancers = arena_zero(a, snapshot->nupstreams * sizeof(p->balancers[0]) + 1);
    for (uint32_t i = 0; i < snapshot->nupstreams; i++)
        p->balancers[i] = balancer_new(a, snapshot->upstreams[i], (uint32_t)g->writer);
    if (before)
        note_gone(p, before);
    return p;
}

void plan_free(struct plan *p)
{
    if (p->host)
        p->host->ops->free(p->host, 0);
    for (uint32_t i = 0; i < p->ngone; i++) {
        upstream_live_unref(p->gone[i].live);
        target_unref(p->gone[i].target);
    }
    snapshot_unref(p->snapshot);
    arena_free(p->arena);
}

static void drop_host(struct plan *p)
{
    struct phase_host *host = p->host;

    p->host = NULL;
    if (host)
        host->ops->free(host, p->leave_by_ms);
}

static void plan_end(struct plan *p)
{
    struct gateway *g = p->gateway;

    list_remove(&p->link);
    drop_host(p);
    if (g->on_plan_end)
        g->on_plan_end(g->plan_end_arg, p);
    else
        plan_free(p);
}

void plan_leave(struct plan *p)
{
    if (--p->exchanges == 0 && UNLIKELY(p->is_retired))
        plan_end(p);
}

void plan_retire(struct plan *p, uint32_t leave_ms)
{
    p->is_retired = true;
    p->leave_by_ms = clock_ms() + leave_ms;
    if (p->exchanges == 0)
        plan_end(p);
    else
        list_append(&p->gateway->retired, &p->link);
}

/* --- moving -------------------------------------------------------------------------------------------------------- */

static struct plan *plan_of(struct list *link)
{
    return container_of(link, struct plan, link);
}

static void begin_pass(struct gateway *g)
{
    LIST_EACH (link, &g->retired) {
        struct plan *p = plan_of(link);
        p->nwaiting = 0;
        p->is_left = p->is_left || clock_ms() >= p->leave_by_ms;
    }
}

static void look_at(struct exchange_slot *slot)
{
    struct exchange *x = slot->exchange;
    struct plan *p = x ? x->plan : NULL;

    if (!p || !p->is_retired)
        return;
    if (p->is_left)
        exchange_leave_plan(x);
    else if (x->state == EXCHANGE_TUNNEL)
        exchange_move(x);
    else
        return;
    x = slot->exchange;
    if (x && x->plan->is_left && x->hook_waits)
        x->plan->nwaiting++;
}

/* True: all have been looked at. */
static bool look_on(struct gateway *g)
{
    for (int i = 0; i < LOOKS_PER_TURN && g->looked_at < g->table.n; i++)
        look_at(g->table.slots[g->looked_at++]);
    return g->looked_at >= g->table.n;
}

/* True: there are no more connections to close. */
static bool close_on(struct gateway *g)
{
    struct plan *p = g->plan;

    for (int i = 0; i < CLOSES_PER_TURN && p->ngone_closed < p->ngone; i++) {
        const struct plan_gone *gone = &p->gone[p->ngone_closed++];
        pool_leave(g->pool, gone->live, gone->target);
    }
    return p->ngone_closed == p->ngone;
}

static void end_pass(struct gateway *g)
{
    uint64_t now = clock_ms(), wait = UINT64_MAX;

    g->looked_at = 0;
    LIST_EACH (link, &g->retired) {
        struct plan *p = plan_of(link);
        if (!p->is_left) {
            wait = MIN(wait, p->leave_by_ms > now ? p->leave_by_ms - now : 0);
        } else if (p->nwaiting > 0) {
            wait = MIN(wait, (uint64_t)LOOK_MS);
        } else if (!p->is_over) {
            p->is_over = true;
            LOG_INFO("plan.left", "requests of an older configuration go on without it",
                     LOG_I("version", p->snapshot->version), LOG_I("requests", p->exchanges),
                     LOG_I("worker", g->writer));
            drop_host(p);
        }
    }
    if (wait != UINT64_MAX)
        timer_set(&g->mover, wait);
}

void plans_on_timer(struct timer *t)
{
    struct gateway *g = container_of(t, struct gateway, mover);

    if (g->looked_at == 0)
        begin_pass(g);
    bool has_looked = look_on(g), has_closed = close_on(g);
    if (has_looked && has_closed)
        end_pass(g);
    else
        timer_set(t, 0);
}
