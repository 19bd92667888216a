/* SPDX-License-Identifier: Apache-2.0 */

/* Where a call goes and how it gets there. */

#include "script/http_call.h"

#include <pthread.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "gate/exchange.h"
#include "gate/health.h"
#include "gate/opening.h"
#include "net/dns.h"
#include "net/tls_client.h"

#define POOLED_FOR_MS 60000

/* --- what calls to URLs share -------------------------------------------------------------------------------------- */

static struct upstream by_url = {
    .name = {"(http client)", 13},
    .connect_timeout_ms = 1000,
    .keepalive = {.max_idle = 64, .idle_timeout_ms = POOLED_FOR_MS, .max_requests = 10000},
    .max_connections = 4096,
    .max_pending = 4096,
};
static pthread_once_t by_url_made = PTHREAD_ONCE_INIT;

static void make_by_url(void)
{
    by_url.live = upstream_live_ref(by_url.name);
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

static void report(struct http_call *c, enum attempt_outcome outcome)
{
    uint64_t to = c->head_us ? c->head_us : clock_us();

    if (c->endpoint)
        upstream_report(c->upstream, c->endpoint, outcome, to - c->from_us);
}

static void leave(struct http_call *c)
{
    if (c->endpoint)
        endpoint_leave(c->endpoint->live);
    c->endpoint = NULL;
}

/* Breaks off what is under way. */
static void let_go(struct http_call *c)
{
    struct wire *w = c->wire;

    if (c->query)
        dns_cancel(c->query);
    if (c->is_claimed)
        pool_cancel(&c->claim);
    c->query = NULL;
    c->is_claimed = false;
    c->wire = NULL;
    leave(c);
    if (w)
        wire_abort(w, ERR_CANCELLED);
}

void http_call_end(struct http_call *c, bool is_late)
{
    if (!c->plan)
        return;
    if (is_late)
        report(c, OUTCOME_ERROR);
    let_go(c);
    if (c->target && !c->is_named)
        target_unref(c->target);
    if (c->arena)
        arena_free(c->arena);
    arena_free(c->own);
    tls_client_unref(c->tls);
    plan_leave(c->plan);
    c->target = NULL;
    c->arena = c->own = NULL;
    c->tls = NULL;
    c->response = NULL;
    c->plan = NULL;
}

static void failed(struct http_call *c, int err)
{
    if (health_is_fault(err))
        report(c, OUTCOME_ERROR);
    let_go(c);
    c->events->on_failed(c, err);
}

/* --- the exchange of messages -------------------------------------------------------------------------------------- */

static void connect_to(struct http_call *c);

static void response_ended(struct http_call *c)
{
    struct wire *w = c->wire;
    int status = c->response->status;

    c->wire = NULL;
    wire_release(w);
    report(c, status == 502 || status == 503 || status == 504 ? OUTCOME_ERROR : OUTCOME_OK);
    leave(c);
}

static void on_head(void *owner, struct wire *w UNUSED, struct message *m, bool end)
{
    struct http_call *c = owner;

    if (m->status < 200)
        return;
    c->response = m;
    c->head_us = clock_us();
    if (end)
        response_ended(c);
    c->events->on_head(c, end);
}

static void on_body(void *owner, struct wire *w UNUSED, const struct slice *pieces, int n, bool end)
{
    struct http_call *c = owner;

    if (end)
        response_ended(c);
    c->events->on_body(c, pieces, n, end);
}

static void on_room(void *owner, struct wire *w UNUSED)
{
    struct http_call *c = owner;

    c->events->on_room(c);
}

/* As for the gateway's own attempts: a kept-alive connection that had been closed is no failure. */
static bool was_stale(const struct http_call *c)
{
    const struct wire *w = c->wire;

    return w->reused && w->untouched && !c->is_fresh && !c->response &&
           (w->unsent || method_is_idempotent(c->method));
}

static void on_gone(void *owner, struct wire *w, int err)
{
    struct http_call *c = owner;
    bool is_stale = (err == ERR_CLOSED || err == ERR_RESET) && was_stale(c);

    c->wire = NULL;
    wire_release(w);
    if (!is_stale) {
        failed(c, err);
        return;
    }
    c->is_fresh = true;
    connect_to(c);
}

static const struct wire_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_gone = on_gone,
};

void http_call_grant(struct http_call *c, size_t n)
{
    if (c->wire)
        wire_grant(c->wire, n);
}

/* --- sending ------------------------------------------------------------------------------------------------------- */

static struct message *request_of(struct http_call *c)
{
    struct message *m = arena_zero(c->arena, sizeof(*m));

    headers_init(&m->headers, c->arena, c->headers.n + 1);
    if (c->authority.len)
        headers_add_id(&m->headers, HEADER_HOST, c->authority);
    HEADERS_EACH(f, &c->headers)
    headers_add(&m->headers, f->name, f->value);
    m->version = HTTP_11;
    m->scheme = c->target->tls ? SLICE("https") : SLICE("http");
    m->method = c->method;
    m->authority = c->authority;
    m->path = c->path;
    m->query = c->query_text;
    m->body = c->body;
    m->content_length = c->length;
    m->has_length = c->says_empty;
    return m;
}

static void send_head(struct http_call *c, struct outbound *o)
{
    if (c->arena)
        arena_free(c->arena);
    c->arena = arena_new(c->gateway->wire.arena_blocks);
    c->wire = outbound_open(o, c->arena, &events, c);
    c->wire->idle_ms = c->upstream->idle_timeout_ms;
    c->from_us = clock_us();
    /* A broken connection is told by on_gone. */
    (void)!wire_head(c->wire, request_of(c),
                     c->body == BODY_NONE || (c->body == BODY_LENGTH && c->length == 0));
    c->events->on_open(c);
}

static bool go_on(struct http_call *c, int err);

static void on_connection(struct pool_claim *claim, struct outbound *o, int err)
{
    struct http_call *c = container_of(claim, struct http_call, claim);

    c->is_claimed = false;
    if (err == 0)
        send_head(c, o);
    else if (!go_on(c, err))
        failed(c, c->err);
}

static void connect_to(struct http_call *c)
{
    struct outbound *o = NULL;

    c->claim.upstream = c->upstream;
    c->claim.target = c->target;
    c->claim.connect_timeout_ms =
        c->connect_timeout_ms ? c->connect_timeout_ms : c->upstream->connect_timeout_ms;
    c->claim.wants_fresh = c->is_fresh;
    c->claim.on_done = on_connection;
    int rc = pool_take(c->gateway->pool, &c->claim, &o);
    if (rc == ERR_AGAIN)
        c->is_claimed = true;
    else if (rc < 0)
        failed(c, rc);
    else
        send_head(c, o);
}

/* --- where to ------------------------------------------------------------------------------------------------------ */

static bool is_denied(const struct http_call *c, const struct addr *a)
{
    const struct snapshot *s = c->plan->snapshot;

    return cidr_list_has(s->outbound_deny, s->noutbound_deny, a);
}

static void connect_next(struct http_call *c)
{
    char ip[ADDR_TEXT];
    size_t len = addr_print_ip(&c->addrs[c->next++], ip, sizeof(ip));

    c->target = target_ref_tls(SLICE("http1"), slice_of(ip, len), c->port, c->tls,
                               c->server_name.ptr ? c->server_name : c->host);
    connect_to(c);
}

/* Nobody was reached: is there another address? Else call->err says why not. */
static bool go_on(struct http_call *c, int err)
{
    c->err = opening_worst(c->err, err);
    if (c->next == c->naddrs)
        return false;
    target_unref(c->target);
    c->target = NULL;
    connect_next(c);
    return true;
}

/* To one after another of those that may be gone to; the name may stand for others on purpose. */
static void on_resolved(void *arg, int err, const struct dns_answer *answer)
{
    struct http_call *c = arg;

    c->query = NULL;
    for (size_t i = 0; err == 0 && i < answer->naddrs && c->naddrs < HTTP_CALL_ADDRESSES; i++)
        if (!is_denied(c, &answer->addrs[i]))
            c->addrs[c->naddrs++] = answer->addrs[i];
    if (c->naddrs > 0)
        connect_next(c);
    else
        failed(c, err < 0 ? err : ERR_DENIED);
}

static void go_to_upstream(struct http_call *c)
{
    int rc = upstream_pick(c->upstream, c->plan->balancers[c->upstream->index], 0, NULL, 0,
                           &c->endpoint);

    if (rc < 0) {
        failed(c, rc);
        return;
    }
    endpoint_enter(c->endpoint->live);
    c->target = c->endpoint->target;
    c->from_us = clock_us();
    if (!c->authority.len)
        c->authority = c->upstream->host_mode == HOST_NAME ? c->upstream->host
                                                           : target_authority(c->target, c->own);
    connect_to(c);
}

static void go_to_host(struct http_call *c)
{
    struct dns_query *query = dns_resolve(c->gateway->dns, c->host, on_resolved, c);

    if (query)
        c->query = query;
}

/* --- the beginning ------------------------------------------------------------------------------------------------- */

void http_call_init(struct http_call *c, struct plan *plan, const struct http_call_events *on)
{
    *c = (struct http_call){.events = on, .gateway = plan->gateway, .plan = plan};
    c->own = arena_new(c->gateway->wire.arena_blocks);
    headers_init(&c->headers, c->own, 8);
    plan_enter(plan);
}

void http_call_start(struct http_call *c)
{
    c->is_named = c->upstream != NULL;
    if (c->is_named) {
        go_to_upstream(c);
        return;
    }
    pthread_once(&by_url_made, make_by_url);
    c->upstream = &by_url;
    go_to_host(c);
}
