/* SPDX-License-Identifier: Apache-2.0 */

/* Raw TCP for Lua: connecting, listening, reading, writing, each of which may wait. A socket is a userdata over a stream
 * of the core; it is read by one coroutine at a time, and written by one. Watched for reading only while somebody reads,
 * so that bytes nobody wants stay in the kernel. */

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/gateway.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "script/calls.h"

#define SOCKET "demilune.net_socket"
#define LISTENER "demilune.net_listener"
#define READ_MAX (256 * KIB)
#define BACKLOG 1024 /* accepted and not yet asked for */
#define TIMEOUT_DEFAULT 30.0

struct net_socket {
    /* owned */
    struct stream *stream; /* NULL once closed */
    /* borrowed */
    struct co *reader, *writer; /* who waits, or NULL */
    /* state */
    size_t wanted; /* most bytes of the read under way */
    int lost;      /* why writing failed */
};

struct net_listener {
    /* owned */
    struct listener *listener; /* NULL once closed */
    int accepted[BACKLOG];     /* a ring */
    /* borrowed */
    struct co *waiter;
    struct loop *loop;
    /* state */
    struct addr address;
    struct listener_quota quota;
    unsigned first, n;
};

static uint64_t timeout_arg(lua_State *L, int arg)
{
    double seconds = luaL_optnumber(L, arg, TIMEOUT_DEFAULT);

    luaL_argcheck(L, seconds > 0 && seconds <= 86400, arg, "seconds, up to a day");
    return (uint64_t)ceil(seconds * 1e3);
}

/* --- sockets ------------------------------------------------------------------------------------------------------- */

static struct net_socket *check_socket(lua_State *L)
{
    return luaL_checkudata(L, 1, SOCKET);
}

/* Bytes, or nil and a word, on L. False: nothing yet. */
static bool push_bytes(lua_State *L, struct net_socket *s, int *nresults)
{
    static _Thread_local char bytes[READ_MAX];
    ssize_t n = stream_recv(s->stream, bytes, MIN(s->wanted, sizeof(bytes)));

    if (n == ERR_AGAIN)
        return false;
    if (n >= 0)
        lua_pushlstring(L, bytes, (size_t)n);
    *nresults = n >= 0 ? 1 : co_push_error(L, (int)n);
    return true;
}

static void on_readable(struct stream *stream)
{
    struct net_socket *s = stream->owner;
    struct co *co = s->reader;
    int n;

    if (!co) {
        stream_pause(stream);
        return;
    }
    if (!push_bytes(co->thread, s, &n))
        return;
    s->reader = NULL;
    stream_pause(stream);
    co_wake(co, n);
}

static void wake_writer(struct net_socket *s, int err)
{
    struct co *co = s->writer;

    if (!co)
        return;
    s->writer = NULL;
    if (err == 0)
        lua_pushboolean(co->thread, 1);
    co_wake(co, err == 0 ? 1 : co_push_error(co->thread, err));
}

static void on_room(struct stream *stream)
{
    wake_writer(stream->owner, 0);
}

static void on_lost(struct stream *stream, int err)
{
    struct net_socket *s = stream->owner;

    s->lost = err;
    wake_writer(s, err);
}

static const struct stream_events events = {
    .on_readable = on_readable,
    .on_room = on_room,
    .on_lost = on_lost,
};

static void push_socket(lua_State *L, struct stream *stream)
{
    struct net_socket *s = lua_newuserdata(L, sizeof(*s));

    *s = (struct net_socket){.stream = stream};
    luaL_getmetatable(L, SOCKET);
    lua_setmetatable(L, -2);
    stream->events = &events;
    stream->owner = s;
}

static void cancel_read(struct co *co UNUSED, void *wait)
{
    struct net_socket *s = wait;

    s->reader = NULL;
    if (s->stream)
        stream_pause(s->stream);
}

static void cancel_write(struct co *co UNUSED, void *wait)
{
    ((struct net_socket *)wait)->writer = NULL;
}

/* net_read(socket, max, timeout): bytes as they come; nil, "closed" at the end. */
static int net_read(lua_State *L)
{
    struct co *co = co_current(L);
    struct net_socket *s = check_socket(L);
    uint64_t timeout = timeout_arg(L, 3);
    int n;

    s->wanted = (size_t)luaL_optnumber(L, 2, READ_MAX);
    luaL_argcheck(L, s->wanted > 0, 2, "a number of bytes");
    if (!s->stream)
        return co_push_error(L, ERR_GONE);
    if (s->reader)
        return luaL_error(L, "another coroutine reads from this socket");
    if (push_bytes(L, s, &n))
        return n;
    s->reader = co;
    stream_resume(s->stream);
    return co_wait(L, co, cancel_read, s, timeout);
}

/* net_write(socket, text, timeout): true when it is on its way. */
static int net_write(lua_State *L)
{
    struct co *co = co_current(L);
    struct net_socket *s = check_socket(L);
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    uint64_t timeout = timeout_arg(L, 3);

    if (!s->stream || s->lost)
        return co_push_error(L, s->lost ? s->lost : ERR_GONE);
    if (s->writer)
        return luaL_error(L, "another coroutine writes to this socket");
    struct iovec piece = {.iov_base = (char *)text, .iov_len = len};
    int rc = stream_write(s->stream, &piece, 1);
    if (rc < 0)
        return co_push_error(L, rc);
    if (rc == STREAM_FULL) {
        s->writer = co;
        return co_wait(L, co, cancel_write, s, timeout);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* net_shutdown(socket): no more will be written. */
static int net_shutdown(lua_State *L)
{
    struct net_socket *s = check_socket(L);

    if (s->stream)
        stream_shutdown(s->stream);
    return 0;
}

static struct stream *take_stream(struct net_socket *s)
{
    struct stream *stream = s->stream;

    s->stream = NULL;
    return stream;
}

static void leave_waiting(struct net_socket *s)
{
    struct co *reader = s->reader, *writer = s->writer;

    s->reader = s->writer = NULL;
    if (reader)
        co_wake_later(reader, co_push_error(reader->thread, ERR_CLOSED));
    if (writer)
        co_wake_later(writer, co_push_error(writer->thread, ERR_CLOSED));
}

/* net_close(socket, reset): what was written is sent first; reset: broken off at once, so that the peer sees it. */
static int net_close(lua_State *L)
{
    struct net_socket *s = check_socket(L);
    struct stream *stream = take_stream(s);

    if (!stream)
        return 0;
    leave_waiting(s);
    if (lua_toboolean(L, 2)) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        stream_close(stream);
    } else if (stream_queued(stream) > 0) {
        stream_close_gently(stream);
    } else {
        stream_close(stream);
    }
    return 0;
}

static int socket_gc(lua_State *L)
{
    struct net_socket *s = lua_touserdata(L, 1);
    struct stream *stream = take_stream(s);

    if (stream)
        stream_close(stream);
    return 0;
}

/* --- connecting ---------------------------------------------------------------------------------------------------- */

struct connecting {
    struct co *co;
    struct tcp_connect *attempt;
};

static void on_connected(void *arg, struct stream *stream, int err)
{
    struct connecting *c = arg;
    struct co *co = c->co;

    free(c);
    if (stream)
        push_socket(co->thread, stream);
    co_wake(co, stream ? 1 : co_push_error(co->thread, err));
}

static void cancel_connect(struct co *co UNUSED, void *wait)
{
    struct connecting *c = wait;

    tcp_connect_cancel(c->attempt);
    free(c);
}

/* net_connect("127.0.0.1:80", timeout): a socket. */
static int net_connect(lua_State *L)
{
    struct co *co = co_current(L);
    struct slice text;
    struct addr to;
    uint64_t timeout = timeout_arg(L, 2);

    text.ptr = luaL_checklstring(L, 1, &text.len);
    int rc = addr_parse(text, &to);
    if (rc < 0)
        return co_push_error(L, rc);
    struct connecting *c = calloc(1, sizeof(*c));
    REQUIRE(c != NULL);
    c->co = co;
    c->attempt = tcp_connect(co->vm->gateway->loop, &to, timeout, on_connected, c);
    return co_wait(L, co, cancel_connect, c, 0);
}

/* --- listening ----------------------------------------------------------------------------------------------------- */

static struct net_listener *check_listener(lua_State *L)
{
    return luaL_checkudata(L, 1, LISTENER);
}

static void push_accepted(lua_State *L, struct loop *loop, int fd)
{
    struct stream *stream = tcp_new(loop, fd, &events, NULL);

    stream_pause(stream);
    push_socket(L, stream);
}

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer UNUSED,
                      const struct addr *local UNUSED)
{
    struct net_listener *l = owner;
    struct co *co = l->waiter;

    listener_released(ln); /* it is counted by nobody */
    if (co) {
        l->waiter = NULL;
        push_accepted(co->thread, l->loop, fd);
        co_wake(co, 1);
    } else if (l->n < BACKLOG) {
        l->accepted[(l->first + l->n++) % BACKLOG] = fd;
    } else {
        close(fd);
    }
}

/* net_listen("127.0.0.1:0"): a listener and the address that it has. */
static int net_listen(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct slice text;
    struct addr at;
    char address[ADDR_TEXT];
    int fd;

    text.ptr = luaL_checklstring(L, 1, &text.len);
    if (!vm->gateway)
        return luaL_error(L, "there is no loop to listen on");
    int rc = addr_parse(text, &at);
    if (rc == 0)
        rc = listener_open(&at, false, &fd);
    if (rc < 0)
        return co_push_error(L, rc);
    struct net_listener *l = lua_newuserdata(L, sizeof(*l));
    memset(l, 0, sizeof(*l));
    luaL_getmetatable(L, LISTENER);
    lua_setmetatable(L, -2);
    rc = listener_address(fd, &l->address);
    l->loop = vm->gateway->loop;
    l->quota.max = 1 << 20;
    l->listener = listener_start(l->loop, fd, &l->quota, on_accept, l);
    if (rc < 0)
        return co_push_error(L, rc);
    lua_pushlstring(L, address, addr_print(&l->address, address, sizeof(address)));
    return 2;
}

static void cancel_accept(struct co *co UNUSED, void *wait)
{
    ((struct net_listener *)wait)->waiter = NULL;
}

/* net_accept(listener, timeout): the next connection; timeout 0 = none. */
static int net_accept(lua_State *L)
{
    struct co *co = co_current(L);
    struct net_listener *l = check_listener(L);
    double seconds = luaL_optnumber(L, 2, 0);

    if (!l->listener)
        return co_push_error(L, ERR_CLOSED);
    if (l->waiter)
        return luaL_error(L, "another coroutine accepts from this listener");
    if (l->n > 0) {
        int fd = l->accepted[l->first];
        l->first = (l->first + 1) % BACKLOG;
        l->n--;
        push_accepted(L, l->loop, fd);
        return 1;
    }
    l->waiter = co;
    return co_wait(L, co, cancel_accept, l, (uint64_t)ceil(seconds * 1e3));
}

static void close_listener(struct net_listener *l)
{
    struct listener *listener = l->listener;

    l->listener = NULL;
    if (listener)
        listener_free(listener);
    for (; l->n > 0; l->n--, l->first = (l->first + 1) % BACKLOG)
        close(l->accepted[l->first]);
}

/* net_unlisten(listener): who waits in net_accept gets nil, "closed". */
static int net_unlisten(lua_State *L)
{
    struct net_listener *l = check_listener(L);
    struct co *co = l->waiter;

    close_listener(l);
    l->waiter = NULL;
    if (co)
        co_wake_later(co, co_push_error(co->thread, ERR_CLOSED));
    return 0;
}

static int listener_gc(lua_State *L)
{
    close_listener(lua_touserdata(L, 1));
    return 0;
}

/* net_start(): once, when a module that uses these functions is loaded. */
static int net_start(lua_State *L)
{
    if (luaL_newmetatable(L, SOCKET)) {
        lua_pushcfunction(L, socket_gc);
        lua_setfield(L, -2, "__gc");
    }
    if (luaL_newmetatable(L, LISTENER)) {
        lua_pushcfunction(L, listener_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_settop(L, 0);
    return 0;
}

const struct call call_net[] = {
    {"net_start", net_start},       {"net_connect", net_connect},   {"net_read", net_read},
    {"net_write", net_write},       {"net_shutdown", net_shutdown}, {"net_close", net_close},
    {"net_listen", net_listen},     {"net_accept", net_accept},     {"net_unlisten", net_unlisten},
    {NULL, NULL},
};
