/* SPDX-License-Identifier: Apache-2.0 */

/* demilune.http's calls whose response is gathered, up to a cap; and how any call is read from Lua's table. One that is over,
 * or whose coroutine does not wait for it any more, gives everything back. */

#include "script/call_http.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "gate/exchange.h"
#include "gate/snapshot.h"
#include "script/calls.h"

#define HEADERS_MAX 256
#define GRANT (64 * KIB)
#define SEND_MAX (64 * KIB)

struct gathering {
    struct http_call call;
    /* owned */
    struct buf held; /* the response's body */
    /* borrowed */
    struct co *co;
    int args;          /* reference to the argument table, which keeps its texts alive */
    struct slice body; /* the request's */
    /* state */
    uint64_t deadline_ms;
    size_t sent;
    int err;
    bool waits, has_ended;
};

static struct gathering *gathering_of(struct http_call *call)
{
    return container_of(call, struct gathering, call);
}

/* --- arguments ----------------------------------------------------------------------------------------------------- */

static struct slice rawget_text(lua_State *L, int table, int i)
{
    struct slice s = SLICE_NONE;

    lua_rawgeti(L, table, i);
    if (lua_type(L, -1) == LUA_TSTRING)
        s.ptr = lua_tolstring(L, -1, &s.len);
    lua_pop(L, 1); /* the table keeps it */
    return s;
}

struct slice http_field_text(lua_State *L, const char *name)
{
    struct slice s = SLICE_NONE;

    lua_getfield(L, 1, name);
    if (lua_type(L, -1) == LUA_TSTRING)
        s.ptr = lua_tolstring(L, -1, &s.len);
    lua_pop(L, 1); /* the table keeps it */
    return s;
}

double http_field_number(lua_State *L, const char *name, double otherwise)
{
    lua_getfield(L, 1, name);
    double n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : otherwise;
    lua_pop(L, 1);
    return n;
}

static bool is_fine(struct slice name, struct slice value)
{
    return name.ptr && value.ptr && text_is_token(name) && text_is_field_value(value) &&
           !(header_flags(header_id(name)) & (HEADER_HOP | HEADER_FRAMING));
}

static int read_headers(lua_State *L, struct headers *headers)
{
    lua_getfield(L, 1, "headers");
    int table = lua_gettop(L), n = (int)lua_objlen(L, table);
    int rc = n <= 2 * HEADERS_MAX ? 0 : ERR_ARG;

    for (int i = 1; rc == 0 && i + 1 <= n; i += 2) {
        struct slice name = rawget_text(L, table, i), value = rawget_text(L, table, i + 1);
        if (is_fine(name, value))
            headers_add(headers, name, value);
        else
            rc = ERR_ARG;
    }
    lua_pop(L, 1);
    return rc;
}

/* Nothing that would end the line, or give it a second reading. */
static bool is_on_one_line(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f || s.ptr[i] == '#')
            return false;
    return true;
}

static bool is_target(const struct http_call *c)
{
    return (slice_starts(c->path, SLICE("/")) || slice_eq(c->path, SLICE("*"))) &&
           is_on_one_line(c->path) && is_on_one_line(c->query_text) && is_on_one_line(c->authority);
}

int http_read(lua_State *L, struct http_call *c)
{
    struct slice name = http_field_text(L, "upstream");

    c->method = method_parse(http_field_text(L, "method"));
    c->host = http_field_text(L, "host");
    c->port = (uint16_t)http_field_number(L, "port", 80);
    c->path = http_field_text(L, "path");
    c->query_text = http_field_text(L, "query");
    c->authority = http_field_text(L, "authority");
    c->connect_timeout_ms = (uint64_t)ceil(http_field_number(L, "connect_timeout", 0) * 1e3);
    if (name.ptr && !(c->upstream = snapshot_upstream(c->plan->snapshot, name)))
        return ERR_NOT_FOUND;
    if (c->method == METHOD_UNKNOWN || c->method == METHOD_CONNECT)
        return ERR_ARG;
    if (!is_target(c))
        return ERR_SYNTAX;
    return read_headers(L, &c->headers);
}

struct plan *http_plan(lua_State *L, const struct co *co)
{
    struct plan *plan = co->exchange ? co->exchange->plan : co->vm->gateway->plan;

    if (!plan)
        luaL_error(L, "there is no configuration yet to go out by");
    return plan;
}

uint64_t http_check(lua_State *L, struct tls_wish *tls)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    double seconds = http_field_number(L, "timeout", 0);

    luaL_argcheck(L, seconds > 0 && seconds <= 86400, 1,
                  "the timeout is above 0 seconds, up to a day");
    lua_getfield(L, 1, "headers");
    luaL_checktype(L, -1, LUA_TTABLE);
    *tls = (struct tls_wish){.client = NULL};
    lua_getfield(L, 1, "tls");
    if (lua_toboolean(L, -1))
        tls_wish_read(L, lua_gettop(L), tls);
    lua_pop(L, 2);
    return (uint64_t)ceil(seconds * 1e3);
}

void http_use_tls(struct http_call *c, const struct tls_wish *tls)
{
    c->tls = tls->client;
    c->server_name = tls->server_name;
}

int http_push_head(lua_State *L, const struct message *m)
{
    int n = 0;

    lua_pushinteger(L, m->status);
    lua_newtable(L);
    HEADERS_EACH(f, &m->headers)
    {
        lua_pushlstring(L, f->name.ptr, f->name.len);
        lua_rawseti(L, -2, ++n);
        lua_pushlstring(L, f->value.ptr, f->value.len);
        lua_rawseti(L, -2, ++n);
    }
    return 2;
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

static void gathering_free(struct gathering *g)
{
    luaL_unref(g->co->vm->L, LUA_REGISTRYINDEX, g->args);
    buf_deinit(&g->held);
    free(g);
}

static void cancel(struct co *co UNUSED, void *wait)
{
    struct gathering *g = wait;

    http_call_end(&g->call, clock_ms() >= g->deadline_ms);
    gathering_free(g);
}

/* status, { name, value, name, value ... }, body */
static int push_response(lua_State *L, const struct gathering *g)
{
    struct slice body = buf_slice(&g->held);
    int n = http_push_head(L, g->call.response);

    lua_pushlstring(L, body.ptr, body.len);
    return n + 1;
}

/* From inside http_request it only notes the end: the coroutine does not wait yet. */
static void finish(struct gathering *g, int err)
{
    struct co *co = g->co;

    g->err = err;
    g->has_ended = true;
    if (!g->waits)
        return;
    lua_checkstack(co->thread, 8);
    int n = err == 0 ? push_response(co->thread, g) : co_push_error(co->thread, err);
    http_call_end(&g->call, false);
    gathering_free(g);
    co_wake(co, n);
}

/* --- the exchange of messages -------------------------------------------------------------------------------------- */

static void send_more(struct gathering *g)
{
    while (g->call.wire && g->sent < g->body.len) {
        struct slice piece = slice_sub(g->body, g->sent, SEND_MAX);
        g->sent += piece.len;
        int rc = wire_body(g->call.wire, &piece, 1, g->sent == g->body.len);
        if (rc != 0)
            return; /* full: on_room goes on; broken: on_failed follows */
    }
}

static void on_open(struct http_call *call)
{
    struct gathering *g = gathering_of(call);

    g->sent = 0;
    send_more(g);
}

static void on_head(struct http_call *call, bool end)
{
    if (end)
        finish(gathering_of(call), 0);
    else
        http_call_grant(call, GRANT);
}

static void on_body(struct http_call *call, const struct slice *pieces, int n, bool end)
{
    struct gathering *g = gathering_of(call);
    size_t came = 0;

    for (int i = 0; i < n; i++) {
        if (buf_add(&g->held, pieces[i]) < 0) {
            finish(g, ERR_BODY_TOO_LARGE);
            return;
        }
        came += pieces[i].len;
    }
    if (end)
        finish(g, 0);
    else
        http_call_grant(call, came);
}

static void on_room(struct http_call *call)
{
    send_more(gathering_of(call));
}

static void on_failed(struct http_call *call, int err)
{
    finish(gathering_of(call), err);
}

static const struct http_call_events events = {
    .on_open = on_open,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_failed = on_failed,
};

/* --- from Lua ------------------------------------------------------------------------------------------------------ */

/* POST and PUT say that a body is empty (RFC 9110, 8.6). */
static void describe_body(struct http_call *call, struct slice body)
{
    call->length = body.len;
    call->says_empty =
        body.ptr && !body.len && (call->method == METHOD_POST || call->method == METHOD_PUT);
    call->body = body.len || call->says_empty ? BODY_LENGTH : BODY_NONE;
}

static struct gathering *gathering_new(struct co *co, struct plan *plan)
{
    struct gathering *g = calloc(1, sizeof(*g));

    REQUIRE(g != NULL);
    g->co = co;
    g->args = LUA_NOREF;
    http_call_init(&g->call, plan, &events);
    return g;
}

/* http_request{ method, path, query, authority, headers = { name, value ... }, body, max_body, timeout, connect_timeout,
 * host, port and tls (call_tls.h), or upstream }: status, headers, body; or nil and a word. */
static int http_request(lua_State *L)
{
    struct co *co = co_current(L);

    struct plan *plan = http_plan(L, co);
    struct tls_wish tls;
    uint64_t timeout_ms = http_check(L, &tls);
    struct gathering *g = gathering_new(co, plan);
    http_use_tls(&g->call, &tls);
    double max_body = (double)g->call.plan->snapshot->buffered_body;
    buf_init(&g->held, (size_t)http_field_number(L, "max_body", max_body));
    g->body = http_field_text(L, "body");
    int rc = http_read(L, &g->call);
    describe_body(&g->call, g->body);
    lua_settop(L, 1);
    g->args = luaL_ref(L, LUA_REGISTRYINDEX);
    g->deadline_ms = clock_ms() + timeout_ms;
    if (rc == 0)
        http_call_start(&g->call);
    if (rc < 0 || g->has_ended) {
        rc = rc < 0 ? rc : g->err;
        http_call_end(&g->call, false);
        gathering_free(g);
        return co_push_error(L, rc);
    }
    g->waits = true;
    return co_wait(L, co, cancel, g, timeout_ms);
}

const struct call call_http[] = {
    {"http_request", http_request},
    {NULL, NULL},
};
