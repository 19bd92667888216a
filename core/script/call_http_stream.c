/* SPDX-License-Identifier: Apache-2.0 */

/* demilune.http's calls whose bodies go by piece by piece, both ways at once if need be. A stream is a userdata; one
 * coroutine may read and another write at the same time.
 *
 * Back-pressure: of the response no more than a window is here that nobody has asked for, and the upstream waits; what is
 * sent waits until the connection has room. A stream ends with its response, when it is closed, when Lua forgets it, and at
 * the latest with the exchange whose hook has opened it, or with the VM. */

#include <lauxlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "gate/exchange.h"
#include "gate/snapshot.h"
#include "script/call_http.h"
#include "script/call_net.h"
#include "script/calls.h"
#include "script/hooks.h"

#define STREAM "demilune.http_stream"
#define WINDOW ((size_t)64 * KIB)

enum wish { WISH_OPEN, WISH_HEAD, WISH_CHUNK };

struct http_stream {
    struct http_call call;
    /* owned */
    struct buf in; /* of the response's body, not asked for yet */
    struct net_wait reader, writer;
    struct vm_part part;
    int args; /* reference to the argument table, which keeps its texts alive */
    /* borrowed */
    struct vm *vm;
    /* state */
    enum wish wish;       /* what the reader waits for */
    uint64_t deadline_ms; /* of the response's head */
    uint64_t left;        /* of a request body whose length was told */
    uint64_t max_body, came;
    int err; /* why it broke off */
    bool is_open, is_sent, has_head, gave_head, has_ended;
};

static struct http_stream *stream_of(struct http_call *call)
{
    return container_of(call, struct http_stream, call);
}

static struct http_stream *check_stream(lua_State *L)
{
    return luaL_checkudata(L, 1, STREAM);
}

/* --- what the reader gets ------------------------------------------------------------------------------------------ */

static void give_back(struct http_stream *s)
{
    http_call_end(&s->call, s->err == ERR_TIMEOUT);
    luaL_unref(s->vm->L, LUA_REGISTRYINDEX, s->args);
    s->args = LUA_NOREF;
    list_remove(&s->part.link);
    list_remove(&s->part.of_exchange);
}

static int push_chunk(lua_State *L, struct http_stream *s)
{
    struct slice in = buf_slice(&s->in);

    lua_pushlstring(L, in.ptr, in.len);
    http_call_grant(&s->call, in.len);
    buf_clear(&s->in);
    return 1;
}

static int push_head(lua_State *L, struct http_stream *s)
{
    int n = http_push_head(L, s->call.response);

    s->gave_head = true;
    if (s->has_ended)
        give_back(s);
    return n;
}

/* Pushes it, if it is there; -1: it has to be waited for. The stream that has been opened lies on top already. */
static int answer(lua_State *L, struct http_stream *s, enum wish wish)
{
    if (wish == WISH_CHUNK && buf_len(&s->in) > 0)
        return push_chunk(L, s);
    if (s->err)
        return co_push_error(L, s->err);
    switch (wish) {
    case WISH_OPEN: return s->is_open ? 1 : -1;
    case WISH_HEAD: return s->has_head && !s->gave_head ? push_head(L, s) : -1;
    case WISH_CHUNK: break;
    }
    if (s->has_ended)
        lua_pushnil(L);
    return s->has_ended ? 1 : -1;
}

static void serve_reader(struct http_stream *s)
{
    struct co *co = s->reader.co;

    if (!co)
        return;
    lua_checkstack(co->thread, 8);
    if (s->wish == WISH_OPEN && s->is_open)
        lua_rawgeti(co->thread, LUA_REGISTRYINDEX, s->reader.ref);
    int n = answer(co->thread, s, s->wish);
    if (n < 0)
        return;
    net_wait_end(&s->reader);
    co_wake(co, n); /* s may be garbage now */
}

static void serve_writer(struct http_stream *s, int err)
{
    struct co *co = s->writer.co;
    int n = 1;

    if (!co)
        return;
    if (err)
        n = co_push_error(co->thread, err);
    else
        lua_pushboolean(co->thread, 1);
    net_wait_end(&s->writer);
    co_wake_later(co, n);
}

/* --- events -------------------------------------------------------------------------------------------------------- */

/* What waits hears of it; there may be nobody, when it is not open yet. */
static void fail(struct http_stream *s, int err)
{
    s->err = err;
    give_back(s);
    serve_writer(s, err);
    serve_reader(s);
}

static void on_open(struct http_call *call)
{
    struct http_stream *s = stream_of(call);

    s->is_open = true;
    s->is_sent = call->body == BODY_NONE;
    serve_reader(s);
}

static void response_ended(struct http_stream *s)
{
    s->has_ended = true;
    if (s->gave_head)
        give_back(s);
    serve_writer(s, ERR_CLOSED); /* nobody listens any more */
    serve_reader(s);
}

static void on_head(struct http_call *call, bool end)
{
    struct http_stream *s = stream_of(call);

    s->has_head = true;
    http_call_grant(call, WINDOW);
    if (end)
        response_ended(s);
    else
        serve_reader(s);
}

static void on_body(struct http_call *call, const struct slice *pieces, int n, bool end)
{
    struct http_stream *s = stream_of(call);

    for (int i = 0; i < n; i++) {
        s->came += pieces[i].len;
        if (s->came > s->max_body || buf_add(&s->in, pieces[i]) < 0) {
            fail(s, ERR_BODY_TOO_LARGE);
            return;
        }
    }
    if (end)
        response_ended(s);
    else
        serve_reader(s);
}

static void on_room(struct http_call *call)
{
    serve_writer(stream_of(call), 0);
}

static void on_failed(struct http_call *call, int err)
{
    fail(stream_of(call), err);
}

static const struct http_call_events events = {
    .on_open = on_open,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_failed = on_failed,
};

/* --- the end ------------------------------------------------------------------------------------------------------- */

static void wake_later(struct net_wait *w, int err)
{
    struct co *co = w->co;

    if (!co)
        return;
    int n = co_push_error(co->thread, err);
    net_wait_end(w);
    co_wake_later(co, n);
}

static void close_stream(struct http_stream *s, int err)
{
    if (!s->call.plan)
        return;
    s->err = err;
    give_back(s);
    buf_release(&s->in);
}

static void leave(struct vm_part *part)
{
    struct http_stream *s = container_of(part, struct http_stream, part);

    close_stream(s, ERR_CLOSED);
    wake_later(&s->reader, ERR_CLOSED);
    wake_later(&s->writer, ERR_CLOSED);
}

/* http_close(stream) */
static int http_close(lua_State *L)
{
    leave(&check_stream(L)->part);
    return 0;
}

static int stream_gc(lua_State *L)
{
    struct http_stream *s = lua_touserdata(L, 1);

    close_stream(s, ERR_CLOSED);
    buf_deinit(&s->in);
    return 0;
}

/* --- waits --------------------------------------------------------------------------------------------------------- */

static void cancel_reader(struct co *co UNUSED, void *wait)
{
    struct http_stream *s = container_of(wait, struct http_stream, reader);

    bool is_late = clock_ms() >= s->deadline_ms;
    if (s->wish == WISH_OPEN || (s->wish == WISH_HEAD && is_late))
        close_stream(s, is_late ? ERR_TIMEOUT : ERR_CANCELLED);
    net_wait_end(wait); /* s may be garbage now */
}

static void cancel_writer(struct co *co UNUSED, void *wait)
{
    net_wait_end(wait);
}

/* How long a wait may take that ends by the head's deadline; 0: that has passed. */
static uint64_t time_for_head(const struct http_stream *s)
{
    uint64_t now = clock_ms();

    return s->deadline_ms > now ? s->deadline_ms - now : 0;
}

/* The stream is the first value on L. */
static int read_as(lua_State *L, struct http_stream *s, enum wish wish, uint64_t timeout_ms)
{
    struct co *co = co_current(L);

    if (s->reader.co)
        return luaL_error(L, "another coroutine reads this response already");
    lua_settop(L, 1);
    int n = answer(L, s, wish);
    if (n >= 0)
        return n;
    s->wish = wish;
    if (timeout_ms == 0) {
        close_stream(s, ERR_TIMEOUT);
        return co_push_error(L, ERR_TIMEOUT);
    }
    return net_wait(L, &s->reader, co, timeout_ms, cancel_reader);
}

/* --- from Lua ------------------------------------------------------------------------------------------------------ */

/* Behind the argument table; then it takes its place. */
static struct http_stream *push_stream(lua_State *L, struct co *co, struct plan *plan)
{
    struct http_stream *s = lua_newuserdata(L, sizeof(*s));

    memset(s, 0, sizeof(*s));
    s->vm = co->vm;
    s->args = LUA_NOREF;
    s->part.leave = leave;
    buf_init(&s->in, WINDOW);
    luaL_getmetatable(L, STREAM);
    lua_setmetatable(L, -2);
    http_call_init(&s->call, plan, &events);
    list_append(&co->vm->parts, &s->part.link);
    list_init(&s->part.of_exchange);
    if (co->exchange)
        list_append(hooks_parts(co->exchange), &s->part.of_exchange);
    return s;
}

/* What is known of the request's body: nothing, its length, or that there is none. */
static void read_body(lua_State *L, struct http_stream *s)
{
    double length = http_field_number(L, "length", -1);

    lua_getfield(L, 1, "has_body");
    bool has_body = lua_toboolean(L, -1);
    lua_pop(L, 1);
    s->left = length > 0 ? (uint64_t)length : 0;
    s->call.length = s->left;
    s->call.body = !has_body || length == 0 ? BODY_NONE : length > 0 ? BODY_LENGTH : BODY_UNKNOWN;
    s->call.says_empty = length == 0;
    s->call.is_fresh = s->call.body != BODY_NONE; /* what was sent can't be sent once more */
}

/* http_open{ as http_request, but for body; has_body, length, max_body }: a stream, connected; or nil and a word. */
static int http_open(lua_State *L)
{
    struct co *co = co_current(L);
    struct plan *plan = http_plan(L, co);
    struct tls_wish tls;
    uint64_t timeout_ms = http_check(L, &tls);

    lua_settop(L, 1);
    struct http_stream *s = push_stream(L, co, plan);
    http_use_tls(&s->call, &tls);
    double most = http_field_number(L, "max_body", 9007199254740992.0);
    s->max_body = most > 0 ? (uint64_t)most : 0;
    s->deadline_ms = clock_ms() + timeout_ms;
    read_body(L, s);
    int rc = http_read(L, &s->call);
    lua_pushvalue(L, 1);
    s->args = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_replace(L, 1);
    if (rc < 0)
        fail(s, rc);
    else
        http_call_start(&s->call);
    return read_as(L, s, WISH_OPEN, timeout_ms);
}

/* http_head(stream): status and { name, value ... } of the response, by the call's timeout. */
static int http_head(lua_State *L)
{
    struct http_stream *s = check_stream(L);

    luaL_argcheck(L, !s->gave_head, 1, "its head has been read");
    return read_as(L, s, WISH_HEAD, time_for_head(s));
}

/* http_chunk(stream, timeout): what has come of the response's body; nil at its end; or nil and a word. */
static int http_chunk(lua_State *L)
{
    return read_as(L, check_stream(L), WISH_CHUNK, net_timeout(L, 2));
}

static void check_writable(lua_State *L, const struct http_stream *s)
{
    if (s->writer.co)
        luaL_error(L, "another coroutine writes this request already");
    if (s->is_sent)
        luaL_error(L, "the request has been finished");
}

/* http_send(stream, text, timeout): true, when there is room for more. Before the head no longer than the call's timeout
 * allows. */
static int http_send(lua_State *L)
{
    struct http_stream *s = check_stream(L);
    uint64_t timeout_ms = net_timeout(L, 3);
    struct co *co = co_current(L);
    struct slice text;

    text.ptr = luaL_checklstring(L, 2, &text.len);
    if (s->err || !s->call.wire)
        return co_push_error(L, s->err ? s->err : ERR_CLOSED);
    check_writable(L, s);
    if (s->call.body == BODY_LENGTH && text.len > s->left)
        return luaL_error(L, "the request's body is longer than was said");
    s->left -= s->call.body == BODY_LENGTH ? text.len : 0;
    int rc = text.len ? wire_body(s->call.wire, &text, 1, false) : 0;
    if (rc == WIRE_FULL) {
        uint64_t most = s->has_head ? timeout_ms : MIN(timeout_ms, MAX(time_for_head(s), 1u));
        return net_wait(L, &s->writer, co, most, cancel_writer);
    }
    if (rc < 0) {
        close_stream(s, rc);
        return co_push_error(L, rc);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* http_finish(stream): the request's body is whole. */
static int http_finish(lua_State *L)
{
    struct http_stream *s = check_stream(L);

    if (s->err || !s->call.wire)
        return co_push_error(L, s->err ? s->err : ERR_CLOSED);
    if (!s->is_sent) {
        check_writable(L, s);
        if (s->call.body == BODY_LENGTH && s->left > 0)
            return luaL_error(L, "the request's body is shorter than was said");
        s->is_sent = true;
        (void)!wire_finish(s->call.wire, NULL); /* a broken connection is told by an event */
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* http_held(): the most that is held of a body here (limits.buffered_body). */
static int http_held(lua_State *L)
{
    lua_pushnumber(L, (double)http_plan(L, co_current(L))->snapshot->buffered_body);
    return 1;
}

/* http_metatable() */
static int http_metatable(lua_State *L)
{
    luaL_newmetatable(L, STREAM);
    lua_pushcfunction(L, stream_gc);
    lua_setfield(L, -2, "__gc");
    return 1;
}

const struct call call_http_stream[] = {
    {"http_open", http_open}, {"http_head", http_head},           {"http_chunk", http_chunk},
    {"http_send", http_send}, {"http_finish", http_finish},       {"http_close", http_close},
    {"http_held", http_held}, {"http_metatable", http_metatable}, {NULL, NULL},
};
