/* SPDX-License-Identifier: Apache-2.0 */

/* A WebSocket lives through any number of reloads, and must not hold on to the snapshot and the VM of the first. What an
 * exchange says of its configuration (its log hooks ask: the route's name, the parameters, the consumer's groups) is
 * found again in the new snapshot, by name. For what is not there any more it has records of its own: of a route that
 * has gone only the global plugins are left. */

#include "gate/exchange_move.h"

#include "base/err.h"
#include "gate/exchange_steps.h"
#include "gate/gateway.h"

static struct slice *dup_all(struct arena *a, const struct slice *from, uint32_t n)
{
    struct slice *to = arena_alloc(a, n * sizeof(*to));

    for (uint32_t i = 0; i < n; i++)
        to[i] = arena_dup(a, from[i]);
    return to;
}

/* Of a route that has gone: what log hooks and counters ask. */
static struct route *keep_route(struct arena *a, const struct route *r)
{
    struct route *own = arena_zero(a, sizeof(*own));

    own->name = arena_dup(a, r->name);
    own->key = arena_dup(a, r->key);
    own->index = ROUTE_GONE;
    own->action = r->action;
    own->timeout_ms = r->timeout_ms;
    own->log_timeout_ms = r->log_timeout_ms;
    return own;
}

static void move_route(struct exchange *x, const struct snapshot *now)
{
    const struct route *there = snapshot_route(now, x->route->key);

    if (!there) {
        struct route *own = x->route->index == ROUTE_GONE ? (struct route *)(uintptr_t)x->route
                                                          : keep_route(x->arena, x->route);
        own->chain = now->global;
        there = own;
    }
    x->route = x->match.route = there;
}

/* The names of the parameters, whatever path the route has now. */
static void keep_path(struct exchange *x)
{
    const struct route_path *p = x->match.path;
    struct route_path *own = p ? arena_zero(x->arena, sizeof(*own)) : NULL;

    if (own) {
        own->text = arena_dup(x->arena, p->text);
        own->kind = p->kind;
        own->params = dup_all(x->arena, p->params, p->nparams);
        own->nparams = p->nparams;
    }
    x->match.path = own;
}

/* An upstream that has gone has no live part. */
static struct upstream *keep_upstream(struct arena *a, const struct upstream *u)
{
    struct upstream *own = arena_zero(a, sizeof(*own));

    own->name = arena_dup(a, u->name);
    own->idle_timeout_ms = u->idle_timeout_ms;
    own->passive = u->passive;
    return own;
}

static struct upstream *moved_upstream(struct exchange *x, struct upstream *u,
                                       const struct snapshot *now)
{
    struct upstream *there = u ? snapshot_upstream(now, u->name) : NULL;

    if (there || !u)
        return there;
    return u->live ? keep_upstream(x->arena, u) : u;
}

static void unref_live(void *live)
{
    endpoint_live_unref(live);
}

/* It may be in no snapshot any more. The live part holds the target. */
static const struct endpoint *keep_endpoint(struct arena *a, const struct endpoint *e)
{
    struct endpoint *own = arena_alloc(a, sizeof(*own));

    *own = *e;
    own->address = arena_dup(a, e->address);
    arena_on_free(a, unref_live, endpoint_live_hold(e->live));
    return own;
}

static void move_attempts(struct exchange *x, const struct snapshot *now)
{
    for (struct attempt *a = x->attempt; a; a = a->previous) {
        a->upstream = moved_upstream(x, a->upstream, now);
        if (!x->has_moved && a->endpoint)
            a->endpoint = keep_endpoint(x->arena, a->endpoint);
    }
}

static const struct consumer *keep_consumer(struct arena *a, const struct consumer *c)
{
    struct consumer *own = arena_zero(a, sizeof(*own));

    own->name = arena_dup(a, c->name);
    own->index = CONSUMER_GONE;
    own->groups = dup_all(a, c->groups, c->ngroups);
    own->ngroups = c->ngroups;
    return own;
}

static void move_consumer(struct exchange *x, const struct snapshot *now)
{
    const struct consumer *c = x->consumer, *there = c ? snapshot_consumer(now, c->name) : NULL;

    if (c && !there)
        there = c->index == CONSUMER_GONE ? c : keep_consumer(x->arena, c);
    exchange_set_consumer(x, there);
}

/* What was made of the route's own texts: a template without selectors gives its text as it lies in the snapshot. */
static void keep_texts(struct exchange *x)
{
    if (x->upstream_path.ptr)
        x->upstream_path = arena_dup(x->arena, x->upstream_path);
    if (!x->replied || !x->response)
        return;
    x->reply_body = arena_dup(x->arena, x->reply_body);
    HEADERS_EACH(f, &x->response->headers)
    {
        f->name = arena_dup(x->arena, f->name);
        f->value = arena_dup(x->arena, f->value);
    }
}

static void leave_host(struct exchange *x)
{
    struct phase_host *host = x->plan->host;

    if (x->ran_hooks && host)
        host->ops->forget(host, x);
    x->ran_hooks = false;
    x->keeps_context = false;
    x->script = NULL;
}

void exchange_move(struct exchange *x)
{
    struct plan *old = x->plan, *now = x->gateway->plan;

    leave_host(x);
    if (x->route)
        move_route(x, now->snapshot);
    x->upstream = moved_upstream(x, x->upstream, now->snapshot);
    move_attempts(x, now->snapshot);
    move_consumer(x, now->snapshot);
    if (!x->has_moved) {
        keep_path(x);
        keep_texts(x);
    }
    x->has_moved = true;
    x->is_past_body_hooks = x->is_past_body_hooks || x->head_is_down;
    x->plan = now;
    plan_enter(now);
    plan_leave(old);
}

static bool is_being_sent(const struct exchange *x)
{
    return x->state == EXCHANGE_RELAY || x->state == EXCHANGE_TUNNEL;
}

/* A tunnel's bytes are no body. */
static bool needs_old_hooks(const struct exchange *x)
{
    return x->state == EXCHANGE_RELAY && x->plan->host && !x->is_past_body_hooks &&
           (exchange_hooks(x) & PHASE_BIT(PHASE_BODY));
}

void exchange_leave_plan(struct exchange *x)
{
    if (x->hook_waits || needs_old_hooks(x))
        exchange_end_early(x);
    else if (is_being_sent(x))
        exchange_move(x);
    else
        leave_host(x);
}
