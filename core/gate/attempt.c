/* SPDX-License-Identifier: Apache-2.0 */

/* One try against one target. Its failures stay inside until the attempt hooks have seen them: only the verdict decides
 * whether the exchange hears a response, an error, or nothing because another attempt begins.
 *
 * The stale connection: a kept-alive connection that the upstream closed before a byte of the response came is replaced
 * by a fresh one within the same attempt, once: for idempotent methods, and for others only when nothing was written
 * (contract, "Connections upstream"). Hooks do not hear of it. */

#include "gate/attempt.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "gate/exchange_steps.h"
#include "gate/flow.h"
#include "gate/forward.h"
#include "gate/gateway.h"
#include "gate/health.h"
#include "gate/hedge.h"
#include "gate/selector.h"
#include "gate/stats.h"

#define ATTEMPTS_MAX 16

static void attempt_connect(struct attempt *a);
static void attempt_failed(struct attempt *a, int err);

static void attempt_to(struct attempt *a, enum attempt_state state)
{
    a->state = state;
}

const char *attempt_error_word(const struct attempt *a)
{
    bool was_sent = a->connected_us != 0; /* head_sent is over when the wire is */

    switch (a->err) {
    case 0: return NULL;
    case ERR_TIMEOUT: return was_sent ? "timeout" : "connect";
    case ERR_TLS: return was_sent ? "protocol" : "connect";
    case ERR_CLOSED:
    case ERR_RESET: return "reset";
    case ERR_PROTOCOL: return "protocol";
    case ERR_CANCELLED: return "cancelled";
    default: return "connect";
    }
}

/* --- begin ------------------------------------------------------------------------------------------------------- */

static void attempt_address(struct attempt *a, struct upstream *u)
{
    a->upstream = u;
    a->connect_timeout_ms = u->connect_timeout_ms;
    a->timeout_ms = u->timeout_ms;
}

static struct attempt *attempt_new(struct exchange *x)
{
    struct attempt *a = arena_zero(x->arena, sizeof(*a));

    a->exchange = x;
    a->previous = x->attempt;
    a->number = ++x->attempts;
    attempt_address(a, x->upstream);
    a->start_us = clock_us();
    x->attempt = a;
    if (!x->upstream_us)
        x->upstream_us = a->start_us;
    return a;
}

static uint64_t attempt_hash(struct exchange *x)
{
    const struct selector *on = x->upstream->balance == BALANCE_HASH ? x->upstream->hash_on : NULL;

    return on ? hash_stable(selector_value(on, x), 0) : 0;
}

int attempt_pick_but(struct attempt *a, const struct endpoint *const *but, size_t n)
{
    struct exchange *x = a->exchange;
    const struct endpoint *tried[2 * ATTEMPTS_MAX];
    size_t ntried = 0;

    for (; ntried < MIN(n, ATTEMPTS_MAX); ntried++)
        tried[ntried] = but[ntried];
    for (struct attempt *p = a->previous; p && ntried < COUNT_OF(tried); p = p->previous) {
        if (p->endpoint && p->upstream == a->upstream)
            tried[ntried++] = p->endpoint;
    }
    return upstream_pick(a->upstream, x->plan->balancers[a->upstream->index], attempt_hash(x),
                         tried, ntried, &a->endpoint);
}

void attempt_start(struct exchange *x)
{
    int blocked = x->flows[SIDE_REQUEST].state == FLOW_CUT ? x->flows[SIDE_REQUEST].err : 0;

    if (!x->upstream || blocked) {
        exchange_fail(x, blocked ? blocked : ERR_NO_TARGET);
        return;
    }
    if (x->state != EXCHANGE_UPSTREAM)
        exchange_to(x, EXCHANGE_UPSTREAM);
    struct attempt *a = attempt_new(x);
    int err = attempt_pick_but(a, NULL, 0);
    if (err < 0) {
        attempt_failed(a, err);
        return;
    }
    exchange_step(x, PHASE_BALANCE);
}

int attempt_turn_to(struct attempt *a, struct upstream *u)
{
    struct attempt before = *a;

    attempt_address(a, u);
    int err = attempt_pick_but(a, NULL, 0);
    if (err < 0)
        *a = before;
    else
        a->exchange->upstream = u;
    return err;
}

void attempt_picked(struct attempt *a)
{
    struct exchange *x = a->exchange;

    if (UNLIKELY(x->rival &&
                 x->rival->is_ready)) { /* while its hooks waited the other one has got there */
        attempt_abort(a, ERR_CANCELLED);
        hedge_leave_to_rival(x);
        return;
    }
    a->is_active = true;
    endpoint_enter(a->endpoint->live);
    attempt_connect(a);
}

/* The endpoint has nothing more to do for it. */
static void attempt_leave(struct attempt *a)
{
    if (a->is_active)
        endpoint_leave(a->endpoint->live);
    a->is_active = false;
}

void attempt_watch(struct attempt *a, struct attempt_watch *w)
{
    w->next = a->watches;
    a->watches = w;
}

static void attempt_tell(struct attempt *a, bool is_judged)
{
    struct attempt_watch *w = a->watches;

    a->watches = NULL;
    while (w) {
        struct attempt_watch *next = w->next;
        w->on_end(w, a, is_judged);
        w = next;
    }
}

uint64_t attempt_us(const struct attempt *a)
{
    return (a->head_us ? a->head_us : clock_us()) - a->start_us;
}

/* What is left of the time for all of it, at most `ms` (0 = no end). */
static uint32_t attempt_time(const struct attempt *a, uint32_t ms)
{
    uint64_t gone = (clock_us() - a->start_us) / 1000;

    if (LIKELY(!a->try_ms))
        return ms;
    uint32_t left = gone < a->try_ms ? a->try_ms - (uint32_t)gone : 1;
    return ms ? MIN(ms, left) : left;
}

/* Tells what came of it; the time in the queue for a connection is none of the endpoint's. */
static void attempt_report(const struct attempt *a, enum attempt_outcome outcome)
{
    uint64_t from = a->connected_us ? a->connected_us : a->start_us;
    uint64_t to = a->head_us ? a->head_us : clock_us();

    upstream_report(a->upstream, a->endpoint, outcome, to - from);
}

/* --- connect and send -------------------------------------------------------------------------------------------- */

static void attempt_on_interim(struct attempt *a, struct message *m)
{
    struct exchange *x = a->exchange;

    if (!x->down || x->request->version < HTTP_11 || x->head_is_down ||
        (m->status == 100 && !x->request->expects_continue))
        return;
    (void)!wire_head(x->down, m, false);
}

/* Its head or failure is known. */
static void attempt_verdict(struct attempt *a)
{
    attempt_to(a, ATTEMPT_VERDICT);
    attempt_tell(a, true);
    if (hedge_takes_turn(a))
        exchange_step(a->exchange, PHASE_ATTEMPT);
}

void attempt_ready(struct attempt *a)
{
    exchange_step(a->exchange, PHASE_ATTEMPT);
}

static void up_on_head(void *owner, struct wire *w UNUSED, struct message *m, bool end)
{
    struct attempt *a = owner;

    if (m->status < 200 && m->status != 101) {
        attempt_on_interim(a, m);
        return;
    }
    a->response = m;
    a->ends_on_head = end;
    a->head_us = clock_us();
    attempt_verdict(a);
}

static void up_on_body(void *owner, struct wire *w, const struct slice *pieces, int n, bool end)
{
    struct attempt *a = owner;

    if (a->state == ATTEMPT_VERDICT) {
        a->ends_on_head = end; /* nobody has asked for bytes yet, so it is empty */
        return;
    }
    exchange_on_response_body(a->exchange, pieces, n, end, w->trailers);
}

static void up_on_room(void *owner, struct wire *w UNUSED)
{
    struct attempt *a = owner;

    exchange_on_upstream_room(a->exchange);
}

static void attempt_drop_wire(struct attempt *a)
{
    struct wire *w = a->wire;

    a->wire = NULL;
    a->head_sent = false;
    if (w)
        wire_release(w);
}

/* May this attempt be sent once more on a fresh connection? */
static bool attempt_was_stale(const struct attempt *a)
{
    const struct wire *w = a->wire;

    return w && w->reused && w->untouched && !a->is_fresh && !a->response &&
           flow_can_replay(a->exchange) &&
           (w->unsent || method_is_idempotent(a->exchange->request->method));
}

static void up_on_gone(void *owner, struct wire *w UNUSED, int err)
{
    struct attempt *a = owner;
    struct exchange *x = a->exchange;

    if (a->state == ATTEMPT_WAIT && (err == ERR_CLOSED || err == ERR_RESET) &&
        attempt_was_stale(a)) {
        a->is_fresh = true;
        attempt_drop_wire(a);
        attempt_connect(a);
        return;
    }
    if (a->is_ready) { /* nobody has heard of its head yet */
        a->err = a->err ? a->err : ERR_RESET;
        attempt_drop_wire(a);
        return;
    }
    if (a->state == ATTEMPT_RELAY || a->state == ATTEMPT_VERDICT) {
        attempt_drop_wire(a);
        if (a->state == ATTEMPT_RELAY)
            attempt_report(a, OUTCOME_ERROR);
        exchange_on_upstream_gone(x, err);
        return;
    }
    attempt_failed(a, err);
}

static const struct wire_events up_events = {
    .on_head = up_on_head,
    .on_body = up_on_body,
    .on_room = up_on_room,
    .on_gone = up_on_gone,
};

static void attempt_send(struct attempt *a, struct outbound *o)
{
    struct forward_scratch scratch;
    struct exchange *x = a->exchange;
    bool end = (x->flows[SIDE_REQUEST].state == FLOW_NONE && !x->flows[SIDE_REQUEST].is_replaced) ||
               flow_is_empty(x);

    a->connected_us = clock_us();
    attempt_to(a, ATTEMPT_SEND);
    a->wire = outbound_open(o, x->arena, &up_events, a);
    a->wire->head_ms = attempt_time(a, a->timeout_ms);
    a->wire->idle_ms = a->upstream->idle_timeout_ms;
    /* Both lie in the exchange's arena, mostly side by side. */
    size_t ahead = (uintptr_t)a - (uintptr_t)x;
    a->wire->ahead = (uint16_t)(ahead <= UINT16_MAX ? ahead : 0);
    struct message *m = forward_request(x, a, &scratch);
    /* A broken connection is told by on_gone, as any later break; a head that can't be written, here only. */
    if (wire_head(a->wire, m, end) == ERR_ARG) {
        attempt_failed(a, ERR_ARG);
        return;
    }
    a->head_sent = true;
    attempt_to(a, ATTEMPT_WAIT);
    hedge_arm(a);
    if (!end)
        exchange_send_request_body(x, a);
}

static void attempt_on_connection(struct pool_claim *c, struct outbound *o, int err)
{
    struct attempt *a = container_of(c, struct attempt, claim);

    a->claimed = false;
    if (err < 0)
        attempt_failed(a, err);
    else
        attempt_send(a, o);
}

static void attempt_connect(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct outbound *o = NULL;

    attempt_to(a, ATTEMPT_CONNECT);
    a->connected_us = 0;
    a->claim.upstream = a->upstream;
    a->claim.target = a->endpoint->target;
    a->claim.connect_timeout_ms = attempt_time(a, a->connect_timeout_ms);
    a->claim.wants_fresh = a->is_fresh;
    a->claim.on_done = attempt_on_connection;
    int rc = pool_take(x->gateway->pool, &a->claim, &o);
    if (rc == ERR_AGAIN)
        a->claimed = true;
    else if (rc < 0)
        attempt_failed(a, rc);
    else
        attempt_send(a, o);
}

/* --- verdict ----------------------------------------------------------------------------------------------------- */

static void attempt_failed(struct attempt *a, int err)
{
    a->err = err;
    attempt_drop_wire(a);
    attempt_leave(a);
    if (a->endpoint && health_is_fault(err))
        attempt_report(a, OUTCOME_ERROR);
    attempt_verdict(a);
}

static enum attempt_outcome outcome_of(int status)
{
    return status == 502 || status == 503 || status == 504 ? OUTCOME_ERROR : OUTCOME_OK;
}

/* Nothing of its response is wanted. */
static void attempt_drop(struct attempt *a)
{
    if (a->ends_on_head)
        attempt_release(a); /* its connection is as good as before */
    else
        attempt_abort(a, ERR_CANCELLED);
}

static void attempt_retry(struct attempt *a)
{
    struct exchange *x = a->exchange;
    uint32_t delay = a->retry_delay_ms;

    attempt_drop(a);
    if (delay == 0) {
        attempt_start(x);
        return;
    }
    attempt_to(a, ATTEMPT_BACKOFF);
    a->backoff_until_us = clock_us() + (uint64_t)delay * 1000;
    timer_set(&x->slot->timer, MIN((uint64_t)delay, exchange_time_left_ms(x)));
}

bool attempt_backoff_over(struct attempt *a)
{
    struct exchange *x = a->exchange;
    uint64_t now = clock_us(), left = exchange_time_left_ms(x);

    if (left == 0) {
        attempt_to(a, ATTEMPT_DONE);
        return true;
    }
    if (now + 999 < a->backoff_until_us) {
        timer_set(&x->slot->timer, MIN((a->backoff_until_us - now) / 1000 + 1, left));
        return false;
    }
    if (left != UINT64_MAX)
        timer_set(&x->slot->timer, left);
    return true;
}

void attempt_judged(struct attempt *a)
{
    struct exchange *x = a->exchange;

    stats_attempt(a);
    if (UNLIKELY(x->rival) && (a->retry || a->err)) {
        if (!a->err)
            attempt_report(a, outcome_of(a->response->status));
        attempt_drop(a);
        hedge_leave_to_rival(x);
        return;
    }
    if (a->retry && x->attempts < ATTEMPTS_MAX && flow_can_replay(x)) {
        if (!a->err)
            attempt_report(a, outcome_of(a->response->status));
        attempt_retry(a);
        return;
    }
    if (a->err) {
        exchange_fail(x, a->err);
        return;
    }
    attempt_report(a, outcome_of(a->response->status));
    if (UNLIKELY(x->rival)) {
        attempt_abort(x->rival, ERR_CANCELLED);
        x->rival = NULL;
    }
    attempt_to(a, ATTEMPT_RELAY);
    exchange_respond(x, a->response, a->ends_on_head);
}

/* --- end --------------------------------------------------------------------------------------------------------- */

/* Nobody waits any longer for the response: the route's time is over, or the client has left. */
static void attempt_given_up(struct attempt *a, int why)
{
    a->err = why == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_CANCELLED;
    stats_attempt(a);
    attempt_tell(a, a->err == ERR_TIMEOUT);
    if (health_is_fault(a->err))
        attempt_report(a, OUTCOME_ERROR);
}

void attempt_abort(struct attempt *a, int why)
{
    struct wire *w = a->wire;

    if (a->state == ATTEMPT_WAIT) {
        attempt_given_up(a, why);
    } else if (a->state == ATTEMPT_CONNECT && why == ERR_TIMEOUT) {
        a->err = why;
        attempt_tell(a, true);
    }
    attempt_tell(a, false);
    if (a->claimed) {
        a->claimed = false;
        pool_cancel(&a->claim);
    }
    attempt_leave(a);
    a->wire = NULL;
    a->head_sent = false;
    attempt_to(a, ATTEMPT_DONE);
    if (w)
        wire_abort(w, why);
}

void attempts_abort(struct exchange *x, int why)
{
    if (UNLIKELY(x->rival))
        attempt_abort(x->rival, why);
    if (x->attempt)
        attempt_abort(x->attempt, why);
    x->rival = NULL;
}

void attempt_release(struct attempt *a)
{
    attempt_tell(a, false);
    if (a->claimed) {
        a->claimed = false;
        pool_cancel(&a->claim);
    }
    attempt_leave(a);
    attempt_to(a, ATTEMPT_DONE);
    attempt_drop_wire(a);
}
