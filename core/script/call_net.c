/* SPDX-License-Identifier: Apache-2.0 */

/* TCP and unix sockets for Lua: connecting, reading, writing. lua/demilune/socket.lua is the face; listening is in
 * call_listen.c.
 *
 * Bytes that have come and were not asked for lie in a buffer; while nobody reads, the socket is paused, so the peer's
 * window fills and it waits. One coroutine may read and another write at the same time. A socket that Lua forgets is
 * closed by the collector, and all are when their VM leaves the thread. */

#include "script/call_net.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/exchange.h"
#include "gate/gateway.h"
#include "net/tcp.h"
#include "script/calls.h"

#define SOCKET "demilune.socket"
#define READ_SIZE (16 * KIB)
#define READ_MAX (64 * MIB) /* of one read */

/* --- waits --------------------------------------------------------------------------------------------------------- */

int net_wait(lua_State *L, struct net_wait *w, struct co *co, uint64_t timeout_ms,
             co_cancel_fn cancel)
{
    w->co = co;
    lua_pushvalue(L, 1);
    w->ref =
        luaL_ref(L, LUA_REGISTRYINDEX); /* the coroutine's stack does not keep it while it waits */
    return co_wait(L, co, cancel, w, timeout_ms);
}

struct co *net_wait_end(struct net_wait *w)
{
    struct co *co = w->co;

    w->co = NULL;
    if (co)
        luaL_unref(co->vm->L, LUA_REGISTRYINDEX, w->ref);
    return co;
}

static void cancel_wait(struct co *co UNUSED, void *wait)
{
    net_wait_end(wait);
}

uint64_t net_timeout(lua_State *L, int arg)
{
    double seconds = luaL_checknumber(L, arg);

    luaL_argcheck(L, seconds > 0 && seconds < 1e9, arg, "a timeout of more than 0 seconds");
    return (uint64_t)ceil(seconds * 1000);
}

struct vm *net_vm(lua_State *L)
{
    struct vm *vm = vm_of(L);

    if (!vm->gateway)
        luaL_error(L, "there are no sockets before the worker has started: use the start hook");
    return vm;
}

bool net_is_denied(const struct co *co, const struct addr *to)
{
    const struct plan *plan = co->exchange ? co->exchange->plan : co->vm->gateway->plan;
    const struct snapshot *s = plan ? plan->snapshot : NULL;

    return s && cidr_list_has(s->outbound_deny, s->noutbound_deny, to);
}

/* --- sockets ------------------------------------------------------------------------------------------------------- */

enum how { READ_SOME, READ_EXACTLY, READ_UNTIL };

struct socket {
    /* owned */
    struct stream *stream; /* NULL: closed by us */
    struct buf in;         /* come, not asked for yet */
    struct net_wait reader, writer;
    struct slice until; /* what the reader waits for; malloc'ed */
    struct vm_part part;
    /* borrowed */
    struct listener *listener; /* that has accepted it, or NULL */
    /* state */
    enum how how;
    size_t want;    /* bytes: at most (some), exactly, or the longest text up to `until` */
    size_t scanned; /* of `in`, in vain */
    int end;        /* why nothing more comes, 0 = it may */
    int lost;       /* why writing failed */
};

struct socket *net_check_socket(lua_State *L, int arg)
{
    return luaL_checkudata(L, arg, SOCKET);
}

static void close_socket(struct socket *s, bool at_once)
{
    if (!s->stream)
        return;
    if (at_once)
        stream_close_hard(s->stream);
    else if (stream_queued(s->stream))
        stream_close_gently(s->stream);
    else
        stream_close(s->stream);
    s->stream = NULL;
    s->end = s->end ? s->end : ERR_CLOSED;
    list_remove(&s->part.link);
    if (s->listener)
        listener_released(s->listener);
    s->listener = NULL;
    buf_release(&s->in);
}

static void wake(struct net_wait *w, int err)
{
    struct co *co = net_wait_end(w);

    if (co)
        co_wake_later(co, co_push_error(co->thread, err));
}

static void leave_thread(struct vm_part *part)
{
    close_socket(container_of(part, struct socket, part), false);
}

static const struct stream_events events;

struct socket *net_push_socket(lua_State *L)
{
    struct socket *s = lua_newuserdata(L, sizeof(*s));

    *s = (struct socket){.end = ERR_CLOSED, .part = {.leave = leave_thread}};
    buf_init(&s->in, READ_MAX);
    list_init(&s->part.link);
    luaL_getmetatable(L, SOCKET);
    lua_setmetatable(L, -2);
    return s;
}

void net_give(struct socket *s, struct vm *vm, struct stream *stream, struct listener *listener)
{
    s->stream = stream;
    s->listener = listener;
    s->end = 0;
    list_append(&vm->parts, &s->part.link);
    stream->events = &events;
    stream->owner = s;
    stream_resume(stream);
}

struct stream *net_take(struct socket *s)
{
    struct stream *stream = s->stream;

    if (!stream || s->lost || s->end || s->reader.co || s->writer.co || buf_len(&s->in) > 0 ||
        stream_queued(stream) > 0 || strcmp(stream->ops->name, "tcp") != 0)
        return NULL;
    s->stream = NULL;
    s->end = ERR_CLOSED;
    list_remove(&s->part.link);
    if (s->listener)
        listener_released(s->listener);
    s->listener = NULL;
    return stream;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

/* How many bytes of `in` the read gets; -1 when it has to wait for more. */
static ssize_t enough(struct socket *s)
{
    struct slice in = buf_slice(&s->in);

    switch (s->how) {
    case READ_SOME: return in.len ? (ssize_t)MIN(in.len, s->want) : -1;
    case READ_EXACTLY: return in.len >= s->want ? (ssize_t)s->want : -1;
    case READ_UNTIL: break;
    }
    const char *found =
        memmem(in.ptr + s->scanned, in.len - s->scanned, s->until.ptr, s->until.len);
    if (found)
        return found - in.ptr + (ssize_t)s->until.len;
    s->scanned = in.len >= s->until.len ? in.len - s->until.len + 1 : 0;
    return -1;
}

/* Takes from the kernel until the read has what it wants. */
static ssize_t fill(struct socket *s)
{
    ssize_t len = enough(s);

    while (len < 0 && !s->end) {
        char *room;
        if (s->how == READ_UNTIL && buf_len(&s->in) >= s->want)
            return ERR_LIMIT;
        if (buf_reserve(&s->in, READ_SIZE, &room) < 0)
            return ERR_LIMIT;
        ssize_t n = stream_recv(s->stream, room, READ_SIZE);
        if (n == ERR_AGAIN)
            return ERR_AGAIN;
        if (n < 0)
            s->end = (int)n;
        else
            buf_commit(&s->in, (size_t)n);
        len = enough(s);
    }
    return len < 0 ? s->end : len;
}

static void forget_until(struct socket *s)
{
    free((char *)s->until.ptr);
    s->until = SLICE_NONE;
    s->scanned = 0;
}

/* The text; or nil, a word and what had come before the end. */
static int push_read(lua_State *L, struct socket *s, ssize_t len)
{
    struct slice in = buf_slice(&s->in);
    int n = 1;

    forget_until(s);
    if (len >= 0) {
        lua_pushlstring(L, in.ptr, (size_t)len);
        buf_consume(&s->in, (size_t)len);
    } else {
        co_push_error(L, (int)len);
        lua_pushlstring(L, in.ptr, in.len);
        buf_consume(&s->in, in.len);
        n = 3;
    }
    if (buf_len(&s->in) == 0)
        buf_release(&s->in);
    return n;
}

static void on_readable(struct stream *stream)
{
    struct socket *s = stream->owner;

    if (!s->reader.co) {
        stream_pause(stream);
        return;
    }
    ssize_t len = fill(s);
    if (len == ERR_AGAIN)
        return;
    struct co *co = net_wait_end(&s->reader);
    co_wake(co, push_read(co->thread, s, len));
}

static void cancel_read(struct co *co UNUSED, void *wait)
{
    struct socket *s = container_of(wait, struct socket, reader);

    forget_until(s);
    net_wait_end(wait); /* s may be garbage now */
}

static int read_as(lua_State *L, struct socket *s, enum how how, size_t want, uint64_t timeout_ms)
{
    struct co *co = co_current(L);

    if (s->reader.co)
        return luaL_error(L, "another coroutine reads from this socket already");
    s->how = how;
    s->want = want;
    ssize_t len = fill(s);
    if (len != ERR_AGAIN)
        return push_read(L, s, len);
    stream_resume(s->stream);
    return net_wait(L, &s->reader, co, timeout_ms, cancel_read);
}

static size_t check_size(lua_State *L, int arg)
{
    double n = luaL_checknumber(L, arg);

    luaL_argcheck(L, n >= 1 && n <= READ_MAX, arg, "a number of bytes from 1 to 64 MiB");
    return (size_t)n;
}

/* net_read(socket, most, timeout): what has come, at least one byte. */
static int net_read(lua_State *L)
{
    return read_as(L, net_check_socket(L, 1), READ_SOME, check_size(L, 2), net_timeout(L, 3));
}

/* net_read_exactly(socket, n, timeout) */
static int net_read_exactly(lua_State *L)
{
    return read_as(L, net_check_socket(L, 1), READ_EXACTLY, check_size(L, 2), net_timeout(L, 3));
}

/* net_read_until(socket, text, most, timeout): all up to and with the text. */
static int net_read_until(lua_State *L)
{
    struct socket *s = net_check_socket(L, 1);
    struct slice text;
    size_t most = check_size(L, 3);
    uint64_t timeout_ms = net_timeout(L, 4);

    text.ptr = luaL_checklstring(L, 2, &text.len);
    luaL_argcheck(L, text.len > 0, 2, "a text that is not empty");
    if (s->reader.co)
        return luaL_error(L, "another coroutine reads from this socket already");
    s->until = slice_of(slice_dup(text), text.len);
    return read_as(L, s, READ_UNTIL, most, timeout_ms);
}

/* --- writing ------------------------------------------------------------------------------------------------------- */

static void on_room(struct stream *stream)
{
    struct socket *s = stream->owner;
    struct co *co = net_wait_end(&s->writer);

    if (!co)
        return;
    lua_pushboolean(co->thread, 1);
    co_wake(co, 1);
}

static void on_lost(struct stream *stream, int err)
{
    struct socket *s = stream->owner;

    s->lost = err;
    wake(&s->writer, err);
}

static const struct stream_events events = {
    .on_readable = on_readable, .on_room = on_room, .on_lost = on_lost};

/* net_write(socket, text, timeout): true, when the kernel has taken all but 256 KiB. */
static int net_write(lua_State *L)
{
    struct socket *s = net_check_socket(L, 1);
    struct iovec iov;
    uint64_t timeout_ms = net_timeout(L, 3);
    struct co *co = co_current(L);

    iov.iov_base = (char *)luaL_checklstring(L, 2, &iov.iov_len);
    if (s->writer.co)
        return luaL_error(L, "another coroutine writes to this socket already");
    if (!s->stream || s->lost)
        return co_push_error(L, s->lost ? s->lost : ERR_CLOSED);
    int rc = iov.iov_len ? stream_write(s->stream, &iov, 1) : 0;
    if (rc == STREAM_FULL)
        return net_wait(L, &s->writer, co, timeout_ms, cancel_wait);
    if (rc < 0) {
        s->lost = rc;
        return co_push_error(L, rc);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

/* net_shutdown(socket): the peer sees the end of what was written; reading goes on. */
static int net_shutdown(lua_State *L)
{
    struct socket *s = net_check_socket(L, 1);

    if (s->stream && !s->lost)
        stream_shutdown(s->stream);
    return 0;
}

static void end_socket(struct socket *s, bool at_once)
{
    close_socket(s, at_once);
    forget_until(s);
    wake(&s->reader, ERR_CLOSED);
    wake(&s->writer, ERR_CLOSED);
}

/* net_close(socket) */
static int net_close(lua_State *L)
{
    end_socket(net_check_socket(L, 1), false);
    return 0;
}

/* net_reset(socket): the peer's next read fails. What it has not read yet is lost. */
static int net_reset(lua_State *L)
{
    end_socket(net_check_socket(L, 1), true);
    return 0;
}

static int socket_gc(lua_State *L)
{
    struct socket *s = lua_touserdata(L, 1);

    close_socket(s, false);
    forget_until(s);
    buf_deinit(&s->in);
    return 0;
}

/* net_address(socket, whose): "peer" or "local". */
static int net_address(lua_State *L)
{
    struct socket *s = net_check_socket(L, 1);
    bool peer = strcmp(luaL_checkstring(L, 2), "peer") == 0;
    struct addr a = {.len = sizeof(a.storage)};
    char text[ADDR_TEXT];

    if (!s->stream)
        return co_push_error(L, ERR_CLOSED);
    if ((peer ? getpeername : getsockname)(s->stream->fd, &a.sa, &a.len) != 0)
        return co_push_error(L, ERR_SYSTEM);
    lua_pushlstring(L, text, addr_print(&a, text, sizeof(text)));
    return 1;
}

/* --- connecting ---------------------------------------------------------------------------------------------------- */

struct connecting {
    struct co *co;
    struct tcp_connect *connect;
};

static void on_connected(void *arg, struct stream *stream, int err)
{
    struct connecting *c = arg;
    struct co *co = c->co;
    int n = 1;

    free(c);
    if (err) {
        n = co_push_error(co->thread, err);
    } else {
        net_give(net_push_socket(co->thread), co->vm, stream, NULL);
    }
    co_wake(co, n);
}

static void cancel_connect(struct co *co UNUSED, void *wait)
{
    struct connecting *c = wait;

    tcp_connect_cancel(c->connect);
    free(c);
}

/* net_connect(address, timeout): "127.0.0.1:80", "[::1]:80", "unix:/path". */
static int net_connect(lua_State *L)
{
    struct vm *vm = net_vm(L);
    struct slice text;
    struct addr to;
    uint64_t timeout_ms = net_timeout(L, 2);
    struct co *co = co_current(L);

    text.ptr = luaL_checklstring(L, 1, &text.len);
    int rc = addr_parse(text, &to);
    if (rc == 0 && net_is_denied(co, &to))
        rc = ERR_DENIED;
    if (rc < 0)
        return co_push_error(L, rc);
    struct connecting *c = malloc(sizeof(*c));
    REQUIRE(c != NULL);
    c->co = co;
    c->connect = tcp_connect(vm->gateway->loop, &to, timeout_ms, on_connected, c);
    return co_wait(L, co, cancel_connect, c, 0);
}

/* net_metatable(): the table that socket.lua fills. */
static int net_metatable(lua_State *L)
{
    luaL_newmetatable(L, SOCKET);
    lua_pushcfunction(L, socket_gc);
    lua_setfield(L, -2, "__gc");
    return 1;
}

const struct call call_net[] = {
    {"net_connect", net_connect},
    {"net_read", net_read},
    {"net_read_exactly", net_read_exactly},
    {"net_read_until", net_read_until},
    {"net_write", net_write},
    {"net_shutdown", net_shutdown},
    {"net_close", net_close},
    {"net_reset", net_reset},
    {"net_address", net_address},
    {"net_metatable", net_metatable},
    {NULL, NULL},
};
