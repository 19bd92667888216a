/* SPDX-License-Identifier: Apache-2.0 */

/* The life of an exchange: its states, its phases, its end. What a body does on its way is in flow.c, answers that the
 * gateway makes are in reply.c, what goes upstream is in forward.c and attempt.c.
 *
 * A function that may end the exchange is called last: nothing after it touches x. */

#include "gate/exchange_steps.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/text.h"
#include "gate/cache.h"
#include "gate/exchange_move.h"
#include "gate/flow.h"
#include "gate/forward.h"
#include "gate/gateway.h"
#include "gate/hedge.h"
#include "gate/hold.h"
#include "gate/reply.h"
#include "gate/stats.h"

const char *exchange_state_name(enum exchange_state s)
{
    static const char *const names[] = {"head",  "rewrite", "access", "upstream", "response",
                                        "relay", "tunnel",  "log",    "done"};
    return (unsigned)s < COUNT_OF(names) ? names[s] : "?";
}

#define TO(s) (1u << EXCHANGE_##s)

/* What may follow what. RESPONSE follows everything before it (replies and errors), and itself never: an error in a
 * response hook changes the response in place. */
static const unsigned may_follow[] = {
    [EXCHANGE_HEAD] = TO(REWRITE) | TO(ACCESS) | TO(UPSTREAM) | TO(RESPONSE) | TO(LOG),
    [EXCHANGE_REWRITE] = TO(ACCESS) | TO(UPSTREAM) | TO(RESPONSE) | TO(LOG),
    [EXCHANGE_ACCESS] = TO(UPSTREAM) | TO(RESPONSE) | TO(LOG),
    [EXCHANGE_UPSTREAM] = TO(RESPONSE) | TO(LOG),
    [EXCHANGE_RESPONSE] = TO(RELAY) | TO(TUNNEL) | TO(LOG),
    [EXCHANGE_RELAY] =
        TO(RESPONSE) | TO(LOG), /* an answer whose head is held back can be taken back */
    [EXCHANGE_TUNNEL] = TO(LOG),
    [EXCHANGE_LOG] = TO(DONE),
    [EXCHANGE_DONE] = 0,
};

void exchange_to(struct exchange *x, enum exchange_state state)
{
    (void)CHECK(may_follow[x->state] & (1u << state));
    x->state = state;
    switch (state) {
    case EXCHANGE_ACCESS:
        if (x->route && x->route->timeout_ms)
            timer_set(&x->slot->timer, x->route->timeout_ms);
        break;
    case EXCHANGE_RELAY:
    case EXCHANGE_TUNNEL: timer_stop(&x->slot->timer); break;
    case EXCHANGE_LOG:
        if (exchange_hooks(x) & PHASE_BIT(PHASE_LOG))
            timer_set(&x->slot->timer,
                      x->route ? x->route->log_timeout_ms : x->plan->snapshot->log_timeout_ms);
        else
            timer_stop(&x->slot->timer);
        break;
    default: break;
    }
}

uint32_t exchange_hooks(const struct exchange *x)
{
    uint32_t hooks = x->route ? x->route->chain.hooks : x->plan->snapshot->global.hooks;
    if (UNLIKELY(x->is_own))
        return 0;
    return hooks | x->consumer_hooks;
}

/* Each phase asks for its hooks, and among many consumers they would have to be waited for each time. */
void exchange_set_consumer(struct exchange *x, const struct consumer *c)
{
    x->consumer = c;
    x->consumer_hooks = c ? c->chain.hooks : 0;
}

/* --- birth and death --------------------------------------------------------------------------------------------- */

struct exchange *exchange_new(struct gateway *g, struct arena *arena, struct message *request)
{
    struct exchange *x = arena_alloc(arena, sizeof(*x));

    memset(x, 0, offsetof(struct exchange, match.params));
    x->arena = arena;
    x->slot = exchange_table_take(&g->table, x);
    if (!x->slot)
        return NULL;
    x->handle = exchange_slot_handle(x->slot);
    x->gateway = g;
    x->plan = g->plan;
    plan_enter(x->plan);
    x->request = request;
    x->phase = PHASE_NONE;
    x->start_us = clock_us();
    x->start_wall_ms = clock_wall_ms();
    flow_init(x);
    return x;
}

void exchange_free(struct exchange *x)
{
    struct arena *arena = x->arena;
    struct gateway *g = x->gateway;
    struct plan *plan = x->plan;

    if (x->ran_hooks && plan->host)
        plan->host->ops->forget(plan->host, x);
    flow_deinit(x);
    exchange_table_give(&g->table, x->slot);
    arena_free(arena);
    plan_leave(plan);
}

static void exchange_end(struct exchange *x)
{
    exchange_to(x, EXCHANGE_DONE);
    exchange_free(x);
}

/* Cuts the exchange loose from both wires; the client is served (or gone). */
static void exchange_log(struct exchange *x)
{
    struct wire *down = x->down;

    if (x->cache)
        cache_end(x);
    /* What did not go upstream may have come and gone in one turn, and a hook may have held one up. */
    x->end_us = x->ran_hooks || !x->upstream_us ? clock_us_now() : clock_us();
    exchange_to(x, EXCHANGE_LOG);
    if (UNLIKELY(x->rival))
        attempts_abort(x, ERR_CANCELLED);
    if (x->attempt)
        attempt_release(x->attempt);
    x->down = NULL;
    if (LIKELY(!x->is_own))
        stats_exchange(x);
    if (down)
        wire_release(down);
    if (UNLIKELY(x->plan->is_left))
        exchange_move(x);
    if (exchange_run_phase(x, PHASE_LOG))
        exchange_end(x);
}

void exchange_finish(struct exchange *x)
{
    if (UNLIKELY(x->cache) && exchange_stays(x))
        return;
    if (x->down && x->flows[SIDE_REQUEST].state != FLOW_NONE &&
        x->flows[SIDE_REQUEST].state != FLOW_ENDED)
        x->flows[SIDE_REQUEST].state = FLOW_CUT;
    exchange_log(x);
}

/* --- phases ------------------------------------------------------------------------------------------------------ */

static void exchange_route(struct exchange *x);
static void exchange_act(struct exchange *x);

static bool exchange_run(struct exchange *x, enum phase p, bool goes_on)
{
    struct phase_host *host = x->plan->host;

    if (!host || !(exchange_hooks(x) & PHASE_BIT(p)))
        return true;
    if (UNLIKELY(
            x->plan->is_left)) { /* a body must not go on without the hooks that would change it */
        x->hook_failed = p == PHASE_BODY && !goes_on;
        return true;
    }
    x->phase = p;
    x->ran_hooks = true;
    x->hook_failed = false;
    enum phase_result result =
        UNLIKELY(goes_on) ? host->ops->go_on(host, x, p) : host->ops->run(host, x, p);
    if (result == PHASE_WAITS) {
        x->hook_waits = true;
        return false;
    }
    x->phase = PHASE_NONE;
    x->hook_failed = result == PHASE_FAILED;
    return true;
}

bool exchange_run_phase(struct exchange *x, enum phase p)
{
    return exchange_run(x, p, false);
}

bool exchange_run_rest(struct exchange *x, enum phase p)
{
    return exchange_run(x, p, true);
}

/* All hooks of p have run: what now? */
static void exchange_after(struct exchange *x, enum phase p)
{
    if (p == PHASE_LOG) {
        exchange_end(x);
        return;
    }
    if (x->pending_err || (x->hook_failed && p != PHASE_BODY)) {
        int err = x->pending_err              ? x->pending_err
                  : x->is_cancelled && x->err ? x->err /* no fault of the hook's */
                                              : ERR_HOOK;
        x->pending_err = 0;
        x->goes_on = x->hook_failed && p == PHASE_RESPONSE;
        x->hook_failed = false;
        exchange_fail(x, err);
        return;
    }
    if (x->reply_fresh && p != PHASE_RESPONSE && p != PHASE_BODY) {
        if (p == PHASE_BALANCE && x->rival) { /* a hedge is refused: the other one goes on */
            reply_take_back(x);
            attempt_abort(x->attempt, ERR_CANCELLED);
            hedge_leave_to_rival(x);
        } else {
            reply_send(x);
        }
        return;
    }
    switch (p) {
    case PHASE_REWRITE: exchange_route(x); break;
    case PHASE_ACCESS: exchange_act(x); break;
    case PHASE_BALANCE: attempt_picked(x->attempt); break;
    case PHASE_ATTEMPT: attempt_judged(x->attempt); break;
    case PHASE_RESPONSE: flow_send_head(x); break;
    case PHASE_BODY: flow_chunk_done(x); break;
    default: (void)CHECK(p < PHASE_COUNT);
    }
}

void exchange_step(struct exchange *x, enum phase p)
{
    if (exchange_run_phase(x, p))
        exchange_after(x, p);
}

void exchange_phase_done(struct exchange *x, enum phase_result result)
{
    enum phase p = x->phase;

    if (!CHECK(x->hook_waits))
        return;
    x->hook_waits = false;
    x->phase = PHASE_NONE;
    x->hook_failed = result == PHASE_FAILED;
    exchange_after(x, p);
}

/* --- the way of a request ---------------------------------------------------------------------------------------- */

/* RFC 9110, 7.4: with client certificates a connection speaks for the name that its handshake has asked for, and for
 * no other. */
static bool is_misdirected(const struct exchange *x)
{
    const struct wire_peer *peer = x->down ? x->down->peer : NULL;

    return peer && peer->is_asked && peer->server_name.len > 0 &&
           !slice_eq(peer->server_name, x->request->host);
}

int exchange_read_head(struct exchange *x)
{
    struct message *m = x->request;
    int err = forward_client(x);

    x->path = m->path; /* for hooks and logs, where it can't be normalised */
    if (is_misdirected(x))
        return ERR_MISDIRECTED;
    if (err < 0 || slice_eq(m->path, SLICE("*")))
        return err;
    return uri_normalise_path(m->path, x->arena, &x->path) < 0 ? ERR_BAD_REQUEST : 0;
}

static void exchange_begin(struct exchange *x)
{
    struct flow *body = &x->flows[SIDE_REQUEST];

    body->limit = x->plan->snapshot->request_body;
    int err = exchange_read_head(x);
    if (x->plan->snapshot->global.hooks & PHASE_BIT(PHASE_REWRITE)) {
        x->pending_err = err; /* the hooks run for every head that could be parsed */
        exchange_to(x, EXCHANGE_REWRITE);
        exchange_step(x, PHASE_REWRITE);
    } else if (err < 0) {
        exchange_fail(x, err);
    } else {
        exchange_route(x);
    }
}

static int exchange_apply_limits(struct exchange *x)
{
    const struct route *r = x->route;
    struct flow *body = &x->flows[SIDE_REQUEST];

    body->limit = r->request_body;
    body->held.cap = x->flows[SIDE_RESPONSE].held.cap = r->buffered_body;
    if (x->down && r->body_timeout_ms)
        x->down->body_ms = r->body_timeout_ms;
    if (body->state == FLOW_NONE)
        return 0;
    if (body->limit && x->request->body == BODY_LENGTH && x->request->content_length > body->limit)
        return ERR_BODY_TOO_LARGE;
    return 0;
}

static void exchange_route(struct exchange *x)
{
    router_match(x->plan->snapshot->router, x->request->host, x->path, x->request, &x->match);
    x->route = x->match.route;
    if (!x->route) {
        exchange_fail(x, x->match.allowed ? ERR_METHOD : ERR_NO_ROUTE);
        return;
    }
    if (!x->upstream)
        x->upstream = x->route->upstream;
    exchange_to(x, EXCHANGE_ACCESS);
    int err = exchange_apply_limits(x);
    if (err < 0)
        exchange_fail(x, err);
    else
        exchange_step(x, PHASE_ACCESS);
}

static void exchange_proxy(struct exchange *x)
{
    int err = forward_path(x);

    if (err < 0)
        exchange_fail(x, err);
    else
        attempt_start(x);
}

static void exchange_act(struct exchange *x)
{
    if (UNLIKELY(
            x->match.is_preflight)) { /* nobody has answered, and the route does not take OPTIONS */
        x->match.allowed = x->route->methods;
        exchange_fail(x, ERR_METHOD);
        return;
    }
    switch (x->route->action) {
    case ROUTE_PROXY: exchange_proxy(x); break;
    case ROUTE_RESPOND: reply_respond(x); break;
    case ROUTE_REDIRECT: reply_redirect(x); break;
    case ROUTE_PLUGIN:
        exchange_fail(x, ERR_NOT_FOUND);
        break; /* none of them wanted to answer this one */
    }
}

void exchange_respond(struct exchange *x, struct message *response, bool end)
{
    struct flow *body = &x->flows[SIDE_RESPONSE];

    x->head_us = clock_us();
    body->state = end ? FLOW_NONE : FLOW_HELD;
    enum cache_verdict verdict =
        UNLIKELY(x->cache) ? cache_on_response(x, response, end) : CACHE_THEIRS;
    if (verdict == CACHE_OURS)
        attempt_release(x->attempt);
    if (UNLIKELY(x->is_own)) {
        exchange_fetched(x);
        return;
    }
    if (verdict == CACHE_THEIRS) {
        x->response = response;
        forward_response(x);
    }
    exchange_answer(x);
}

void exchange_answer(struct exchange *x)
{
    bool goes_on = x->goes_on && !x->plan->is_left;

    if (UNLIKELY(x->plan->is_left))
        exchange_move(x);
    if (x->state != EXCHANGE_RESPONSE)
        exchange_to(x, EXCHANGE_RESPONSE);
    reply_lay_over(x);
    x->reply_fresh = false;
    x->goes_on = false;
    if (exchange_run(x, PHASE_RESPONSE, goes_on))
        exchange_after(x, PHASE_RESPONSE);
}

/* --- failure ----------------------------------------------------------------------------------------------------- */

static void exchange_cancel_hook(struct exchange *x, int err)
{
    struct phase_host *host = x->plan->host;

    if (!x->pending_err || err == ERR_CLIENT_GONE)
        x->pending_err = err;
    if (!x->is_cancelled) {
        x->is_cancelled = true;
        host->ops->cancel(host, x); /* exchange_phase_done may come from inside and end x */
    }
}

void exchange_fail(struct exchange *x, int err)
{
    if (x->state >= EXCHANGE_LOG)
        return;
    if (x->hook_waits) {
        exchange_cancel_hook(x, err);
        return;
    }
    if (UNLIKELY(x->cache) && !x->is_own && cache_on_failure(x, err)) {
        attempts_abort(x, err);
        exchange_answer(x);
        return;
    }
    if (!x->err)
        x->err = err;
    if (err == ERR_CLIENT_GONE)
        x->client_is_gone = true;
    if (UNLIKELY(x->cache) && x->client_is_gone && exchange_stays(x))
        return;
    attempts_abort(x, err);
    x->flows[SIDE_RESPONSE].state = FLOW_CUT;
    if (x->head_is_held || (x->head_is_down && x->down && x->down->head_held))
        flow_take_head_back(x);
    if (!x->head_is_down && !x->client_is_gone && x->down) {
        reply_error(x, err);
        return;
    }
    struct wire *down = x->down;
    if (down && !x->client_is_gone) {
        x->down = NULL;
        wire_abort(down, err);
    }
    exchange_log(x);
}

static void exchange_cancel_log(struct exchange *x)
{
    if (x->hook_waits && !x->is_cancelled) {
        x->is_cancelled = true;
        x->plan->host->ops->cancel(x->plan->host, x);
    }
}

void exchange_end_early(struct exchange *x)
{
    if (x->state == EXCHANGE_LOG)
        exchange_cancel_log(x);
    else
        exchange_fail(x, ERR_STOPPING);
}

void exchange_on_timer(struct timer *t)
{
    struct exchange_slot *slot = container_of(t, struct exchange_slot, timer);
    struct exchange *x = slot->exchange;

    if (!x)
        return;
    if (x->state == EXCHANGE_LOG) {
        exchange_cancel_log(x);
        return;
    }
    if (x->head_is_held) {
        flow_on_timer(x);
        return;
    }
    if (hedge_on_timer(x))
        return;
    if (x->attempt && x->attempt->state == ATTEMPT_BACKOFF && !attempt_backoff_over(x->attempt))
        return;
    if (x->attempt && x->attempt->state == ATTEMPT_BACKOFF)
        attempt_start(x);
    else
        exchange_fail(x, ERR_TIMEOUT);
}

uint64_t exchange_time_left_ms(const struct exchange *x)
{
    if (!x->route || !x->route->timeout_ms)
        return UINT64_MAX;
    uint64_t gone = (clock_us() - x->start_us) / 1000;
    return gone >= x->route->timeout_ms ? 0 : x->route->timeout_ms - gone;
}

/* --- events of the client's wire --------------------------------------------------------------------------------- */

static void down_on_head(void *owner UNUSED, struct wire *w, struct message *m UNUSED,
                         bool end UNUSED)
{
    /* A server wire says its head once, to the acceptor. */
    (void)CHECK(w->owner == NULL);
}

static void down_on_gone(void *owner, struct wire *w UNUSED, int err)
{
    struct exchange *x = owner;

    if (err == ERR_CLOSED || err == ERR_RESET || x->head_is_down) {
        exchange_fail(x, ERR_CLIENT_GONE);
        return;
    }
    exchange_fail(x, err);
}

static const struct wire_events down_events = {
    .on_head = down_on_head,
    .on_body = flow_on_request_body,
    .on_room = flow_on_client_room,
    .on_gone = down_on_gone,
};

void exchange_accept(struct gateway *g, struct wire *w, struct message *m, bool end)
{
    struct exchange *x = exchange_new(g, w->arena, m);

    if (!x) {
        LOG_ERROR("exchange.table", "too many exchanges under way");
        wire_abort(w, ERR_OVERLOAD);
        return;
    }
    w->owner = x;
    w->events = &down_events;
    x->down = w;
    x->flows[SIDE_REQUEST].state = end ? FLOW_NONE : FLOW_HELD;
    exchange_begin(x);
}

static void accept_head(void *owner, struct wire *w, struct message *m, bool end)
{
    struct gateway *g = owner;

    if (UNLIKELY(g->hold))
        hold_take(g->hold, w, m, end);
    else
        exchange_accept(g, w, m, end);
}

static void accept_body(void *owner UNUSED, struct wire *w UNUSED,
                        const struct slice *pieces UNUSED, int n UNUSED, bool end UNUSED)
{
}

static void accept_room(void *owner UNUSED, struct wire *w UNUSED)
{
}

static void accept_gone(void *owner UNUSED, struct wire *w, int err UNUSED)
{
    wire_release(w);
}

const struct wire_events exchange_acceptor = {
    .on_head = accept_head,
    .on_body = accept_body,
    .on_room = accept_room,
    .on_gone = accept_gone,
};
