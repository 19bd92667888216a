/* SPDX-License-Identifier: Apache-2.0 */

/* The HTTP client of plugins, on the worker's own pool. A call goes to a URL (its host is resolved first, its addresses
 * are held against outbound.deny, and the connection is pooled by address) or to an upstream of the configuration, with
 * its balancing, limits and health. The whole response is gathered, up to a cap.
 *
 *   http_request -> [resolve] -> pool_take -> [connect] -> head, body -> head, body -> co_wake
 *
 * A call is one struct. It ends in call_finish, when it is over, or in call_cancel, when its coroutine does not wait
 * for it any more; both let go of everything. */

#include <lauxlib.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "gate/exchange.h"
#include "gate/gateway.h"
#include "gate/health.h"
#include "net/dns.h"
#include "net/tls_client.h"
#include "script/call_tls.h"
#include "script/calls.h"

#define HEADERS_MAX 256
#define GRANT (64 * KIB)
#define SEND_MAX (64 * KIB)
#define POOLED_FOR_MS 60000

struct http_call {
    /* owned */
    struct arena *arena; /* of one try: its heads */
    struct pool_claim claim;
    struct dns_query *query;
    struct target *target; /* a reference, unless it is an upstream's */
    struct tls_wish tls;   /* no client: plain */
    struct buf held;       /* the response's body */
    /* borrowed */
    struct co *co;
    struct gateway *gateway;
    struct plan *plan; /* counted */
    struct upstream *upstream;
    const struct endpoint *endpoint; /* of a named upstream, once chosen and until it is left */
    struct wire *wire;
    struct message *response;
    int args; /* reference to the argument table, which keeps its texts alive */
    /* state */
    enum method method;
    struct slice host, path, query_text, authority, body;
    uint16_t port;
    uint64_t connect_timeout_ms, deadline_ms;
    uint64_t from_us, head_us; /* the endpoint's time begins; its response head came */
    size_t sent;
    int err;
    bool is_named, is_claimed, is_fresh, waits, has_ended;
};

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

    if (!c->endpoint)
        return;
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

static void call_free(struct http_call *c)
{
    if (c->target && !c->is_named)
        target_unref(c->target);
    luaL_unref(c->co->vm->L, LUA_REGISTRYINDEX, c->args);
    buf_deinit(&c->held);
    tls_client_unref(c->tls.client);
    if (c->arena)
        arena_free(c->arena);
    plan_leave(c->plan);
    free(c);
}

static void call_cancel(struct co *co UNUSED, void *wait)
{
    struct http_call *c = wait;

    if (clock_ms() >= c->deadline_ms)
        report(c, OUTCOME_ERROR);
    let_go(c);
    call_free(c);
}

/* status, { name, value, name, value ... }, body */
static int push_response(lua_State *L, const struct http_call *c)
{
    struct slice body = buf_slice(&c->held);
    int n = 0;

    lua_pushinteger(L, c->response->status);
    lua_newtable(L);
    HEADERS_EACH(f, &c->response->headers)
    {
        lua_pushlstring(L, f->name.ptr, f->name.len);
        lua_rawseti(L, -2, ++n);
        lua_pushlstring(L, f->value.ptr, f->value.len);
        lua_rawseti(L, -2, ++n);
    }
    lua_pushlstring(L, body.ptr, body.len);
    return 3;
}

/* From inside http_request it only notes the end: the coroutine does not wait yet. */
static void call_finish(struct http_call *c, int err)
{
    struct co *co = c->co;

    c->err = err;
    c->has_ended = true;
    let_go(c);
    if (!c->waits)
        return;
    lua_checkstack(co->thread, 8);
    int n = err == 0 ? push_response(co->thread, c) : co_push_error(co->thread, err);
    call_free(c);
    co_wake(co, n);
}

static void call_failed(struct http_call *c, int err)
{
    if (health_is_fault(err))
        report(c, OUTCOME_ERROR);
    call_finish(c, err);
}

/* --- the exchange of messages -------------------------------------------------------------------------------------- */

static void call_connect(struct http_call *c);

static void send_more(struct http_call *c)
{
    while (c->wire && c->sent < c->body.len) {
        struct slice piece = slice_sub(c->body, c->sent, SEND_MAX);
        c->sent += piece.len;
        int rc = wire_body(c->wire, &piece, 1, c->sent == c->body.len);
        if (rc != 0)
            return; /* full: on_room goes on; broken: on_gone follows */
    }
}

static void response_ended(struct http_call *c)
{
    struct wire *w = c->wire;
    int status = c->response->status;

    c->wire = NULL;
    wire_release(w);
    report(c, status == 502 || status == 503 || status == 504 ? OUTCOME_ERROR : OUTCOME_OK);
    call_finish(c, 0);
}

static void on_head(void *owner, struct wire *w, struct message *m, bool end)
{
    struct http_call *c = owner;

    if (m->status < 200)
        return;
    c->response = m;
    c->head_us = clock_us();
    if (end)
        response_ended(c);
    else
        wire_grant(w, GRANT);
}

static void on_body(void *owner, struct wire *w, const struct slice *pieces, int n, bool end)
{
    struct http_call *c = owner;
    size_t came = 0;

    for (int i = 0; i < n; i++) {
        if (buf_add(&c->held, pieces[i]) < 0) {
            call_finish(c, ERR_BODY_TOO_LARGE);
            return;
        }
        came += pieces[i].len;
    }
    if (end)
        response_ended(c);
    else
        wire_grant(w, came);
}

static void on_room(void *owner, struct wire *w UNUSED)
{
    send_more(owner);
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

    if ((err == ERR_CLOSED || err == ERR_RESET) && was_stale(c)) {
        c->is_fresh = true;
        c->wire = NULL;
        wire_release(w);
        call_connect(c);
        return;
    }
    c->wire = NULL;
    wire_release(w);
    call_failed(c, err);
}

static const struct wire_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_gone = on_gone,
};

/* --- sending ------------------------------------------------------------------------------------------------------- */

static struct slice rawget_text(lua_State *L, int table, int i)
{
    struct slice s = SLICE_NONE;

    lua_rawgeti(L, table, i);
    if (lua_type(L, -1) == LUA_TSTRING)
        s.ptr = lua_tolstring(L, -1, &s.len);
    lua_pop(L, 1); /* the table keeps it */
    return s;
}

/* The texts were checked by http_request and are kept alive by the argument table. */
static void add_headers(struct http_call *c, struct headers *h)
{
    lua_State *L = c->co->vm->L;

    lua_checkstack(L, 4);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->args);
    lua_getfield(L, -1, "headers");
    int table = lua_gettop(L), n = (int)lua_objlen(L, table);
    for (int i = 1; i + 1 <= n; i += 2)
        headers_add(h, rawget_text(L, table, i), rawget_text(L, table, i + 1));
    lua_pop(L, 2);
}

static struct message *request_of(struct http_call *c)
{
    struct message *m = arena_zero(c->arena, sizeof(*m));

    headers_init(&m->headers, c->arena, 16);
    if (c->authority.len)
        headers_add_id(&m->headers, HEADER_HOST, c->authority);
    add_headers(c, &m->headers);
    m->version = HTTP_11;
    m->scheme = SLICE("http");
    m->method = c->method;
    m->authority = c->authority;
    m->path = c->path;
    m->query = c->query_text;
    m->body = c->body.len > 0 ? BODY_LENGTH : BODY_NONE;
    m->content_length = c->body.len;
    if (c->body.ptr && c->body.len == 0 && (c->method == METHOD_POST || c->method == METHOD_PUT)) {
        m->body = BODY_LENGTH; /* RFC 9110, 8.6: an empty body is said to be one */
        m->has_length = true;
    }
    return m;
}

static void call_send(struct http_call *c, struct outbound *o)
{
    if (c->arena)
        arena_free(c->arena);
    c->arena = arena_new(c->gateway->wire.arena_blocks);
    c->wire = outbound_open(o, c->arena, &events, c);
    c->wire->idle_ms = c->upstream->idle_timeout_ms;
    c->sent = 0;
    c->from_us = clock_us();
    /* A broken connection is told by on_gone. */
    (void)!wire_head(c->wire, request_of(c), c->body.len == 0);
    send_more(c);
}

static void on_connection(struct pool_claim *claim, struct outbound *o, int err)
{
    struct http_call *c = container_of(claim, struct http_call, claim);

    c->is_claimed = false;
    if (err < 0)
        call_failed(c, err);
    else
        call_send(c, o);
}

static void call_connect(struct http_call *c)
{
    struct outbound *o = NULL;

    c->claim.upstream = c->upstream;
    c->claim.target = c->target;
    c->claim.connect_timeout_ms = c->connect_timeout_ms;
    c->claim.wants_fresh = c->is_fresh;
    c->claim.on_done = on_connection;
    int rc = pool_take(c->gateway->pool, &c->claim, &o);
    if (rc == ERR_AGAIN)
        c->is_claimed = true;
    else if (rc < 0)
        call_failed(c, rc);
    else
        call_send(c, o);
}

/* --- where to ------------------------------------------------------------------------------------------------------ */

static bool is_denied(const struct http_call *c, const struct addr *a)
{
    const struct snapshot *s = c->plan->snapshot;

    return cidr_list_has(s->outbound_deny, s->noutbound_deny, a);
}

/* The first address that may be gone to; the name may stand for others on purpose. */
static void on_resolved(void *arg, int err, const struct dns_answer *answer)
{
    struct http_call *c = arg;
    char ip[ADDR_TEXT];
    size_t i = 0;

    c->query = NULL;
    if (err < 0) {
        call_finish(c, err);
        return;
    }
    while (i < answer->naddrs && is_denied(c, &answer->addrs[i]))
        i++;
    if (i == answer->naddrs) {
        call_finish(c, ERR_DENIED);
        return;
    }
    size_t len = addr_print_ip(&answer->addrs[i], ip, sizeof(ip));
    c->target = target_ref_tls(SLICE("http1"), slice_of(ip, len), c->port, c->tls.client,
                               c->tls.server_name.ptr ? c->tls.server_name : c->host);
    call_connect(c);
}

static void go_to_upstream(struct http_call *c)
{
    int rc = upstream_pick(c->upstream, c->plan->balancers[c->upstream->index], 0, NULL, 0,
                           &c->endpoint);

    if (rc < 0) {
        call_finish(c, rc);
        return;
    }
    endpoint_enter(c->endpoint->live);
    c->target = c->endpoint->target;
    c->from_us = clock_us();
    if (!c->authority.len)
        c->authority = c->upstream->host_mode == HOST_NAME ? c->upstream->host : c->target->host;
    call_connect(c);
}

static void go_to_host(struct http_call *c)
{
    struct dns_query *query = dns_resolve(c->gateway->dns, c->host, on_resolved, c);

    if (query)
        c->query = query;
}

/* --- from Lua ------------------------------------------------------------------------------------------------------ */

static struct slice field_text(lua_State *L, const char *name)
{
    struct slice s = SLICE_NONE;

    lua_getfield(L, 1, name);
    if (lua_type(L, -1) == LUA_TSTRING)
        s.ptr = lua_tolstring(L, -1, &s.len);
    lua_pop(L, 1); /* the table keeps it */
    return s;
}

static double field_number(lua_State *L, const char *name, double otherwise)
{
    lua_getfield(L, 1, name);
    double n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : otherwise;
    lua_pop(L, 1);
    return n;
}

static bool headers_are_fine(lua_State *L)
{
    lua_getfield(L, 1, "headers");
    luaL_checktype(L, -1, LUA_TTABLE);
    int table = lua_gettop(L), n = (int)lua_objlen(L, table);
    bool fine = n <= 2 * HEADERS_MAX;

    for (int i = 1; fine && i + 1 <= n; i += 2) {
        struct slice name = rawget_text(L, table, i), value = rawget_text(L, table, i + 1);
        fine = name.ptr && value.ptr && text_is_token(name) && text_is_field_value(value) &&
               !(header_flags(header_id(name)) & (HEADER_HOP | HEADER_FRAMING));
    }
    lua_pop(L, 1);
    return fine;
}

static int read_arguments(lua_State *L, struct http_call *c)
{
    struct slice name = field_text(L, "upstream");

    c->method = method_parse(field_text(L, "method"));
    c->host = field_text(L, "host");
    c->port = (uint16_t)field_number(L, "port", 80);
    c->path = field_text(L, "path");
    c->query_text = field_text(L, "query");
    c->authority = field_text(L, "authority");
    c->body = field_text(L, "body");
    buf_init(&c->held,
             (size_t)field_number(L, "max_body", (double)c->plan->snapshot->buffered_body));
    c->is_named = name.ptr != NULL;
    c->upstream = c->is_named ? snapshot_upstream(c->plan->snapshot, name) : &by_url;
    if (!c->upstream)
        return ERR_NOT_FOUND;
    if (c->method == METHOD_UNKNOWN || c->method == METHOD_CONNECT || !c->path.len ||
        !headers_are_fine(L))
        return ERR_ARG;
    c->connect_timeout_ms = (uint64_t)ceil(
        field_number(L, "connect_timeout", c->upstream->connect_timeout_ms / 1e3) * 1e3);
    return 0;
}

static struct http_call *call_new(struct co *co)
{
    struct http_call *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL);
    c->co = co;
    c->gateway = co->vm->gateway;
    c->plan = co->exchange ? co->exchange->plan : c->gateway->plan;
    c->args = LUA_NOREF;
    plan_enter(c->plan);
    return c;
}

/* http_request{ method, path, query, authority, headers = { name, value ... }, body, max_body, timeout, connect_timeout,
 * host, port and tls (call_tls.h), or upstream }: status, headers, body; or nil and a word. */
static int http_request(lua_State *L)
{
    struct co *co = co_current(L);

    luaL_checktype(L, 1, LUA_TTABLE);
    double timeout = field_number(L, "timeout", 0);
    luaL_argcheck(L, timeout > 0 && timeout <= 86400, 1,
                  "the timeout is above 0 seconds, up to a day");
    if (!co->vm->gateway->plan)
        return luaL_error(L, "there is no configuration yet to go out by");
    pthread_once(&by_url_made, make_by_url);

    struct tls_wish tls = {.client = NULL};
    lua_getfield(L, 1, "tls");
    if (lua_toboolean(L, -1))
        tls_wish_read(L, lua_gettop(L), &tls);

    struct http_call *c = call_new(co);
    c->tls = tls;
    int rc = read_arguments(L, c);
    lua_settop(L, 1);
    c->args = luaL_ref(L, LUA_REGISTRYINDEX);
    uint64_t timeout_ms = (uint64_t)ceil(timeout * 1e3);
    c->deadline_ms = clock_ms() + timeout_ms;
    if (rc < 0)
        call_finish(c, rc);
    else if (c->is_named)
        go_to_upstream(c);
    else
        go_to_host(c);
    if (c->has_ended) {
        rc = c->err;
        call_free(c);
        return co_push_error(L, rc);
    }
    c->waits = true;
    return co_wait(L, co, call_cancel, c, timeout_ms);
}

const struct call call_http[] = {
    {"http_request", http_request},
    {NULL, NULL},
};
