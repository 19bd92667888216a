/* SPDX-License-Identifier: Apache-2.0 */

/* Datagram sockets for Lua; lua/demilune/socket.lua is the face. One coroutine may receive and another send at the same
 * time. A socket that Lua forgets is closed by the collector, and all are when their VM leaves the thread. */

#include <lauxlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/gateway.h"
#include "net/udp.h"
#include "script/call_net.h"
#include "script/calls.h"

#define SOCKET "demilune.udp"

struct datagrams {
    /* owned */
    struct udp *udp; /* NULL: closed */
    struct net_wait reader, writer;
    int text_ref; /* keeps what the writer sends */
    struct vm_part part;
    /* borrowed */
    struct vm *vm;
    struct slice text; /* what waits for room */
    /* state */
    struct addr to;
    bool is_bound;
};

static struct datagrams *check_datagrams(lua_State *L)
{
    return luaL_checkudata(L, 1, SOCKET);
}

static void watch(struct datagrams *d)
{
    if (d->udp)
        udp_watch(d->udp, (d->reader.co ? UDP_READ : 0) | (d->writer.co ? UDP_WRITE : 0));
}

/* --- receiving ----------------------------------------------------------------------------------------------------- */

/* The text, and who has sent it where that could be anybody; -1: there is none yet. */
static int receive(lua_State *L, struct datagrams *d)
{
    char *room = d->vm->gateway->wire.scratch, from[ADDR_TEXT];
    struct addr peer;
    ssize_t len = udp_recv(d->udp, room, WIRE_SCRATCH, &peer);

    if (len == ERR_AGAIN)
        return -1;
    if (len < 0)
        return co_push_error(L, (int)len);
    lua_pushlstring(L, room, (size_t)len);
    if (!d->is_bound)
        return 1;
    lua_pushlstring(L, from, addr_print_ip(&peer, from, sizeof(from)));
    lua_pushinteger(L, addr_port(&peer));
    return 3;
}

static void cancel_reader(struct co *co UNUSED, void *wait)
{
    struct datagrams *d = container_of(wait, struct datagrams, reader);

    net_wait_end(wait); /* d may be garbage when Lua runs again */
    watch(d);
}

/* udp_receive(socket, timeout): the text; of a bound one the sender's address and port too. */
static int udp_receive(lua_State *L)
{
    struct datagrams *d = check_datagrams(L);
    uint64_t timeout_ms = net_timeout(L, 2);
    struct co *co = co_current(L);

    if (d->reader.co)
        return luaL_error(L, "another coroutine receives from this socket already");
    if (!d->udp)
        return co_push_error(L, ERR_CLOSED);
    int n = receive(L, d);
    if (n >= 0)
        return n;
    udp_watch(d->udp, UDP_READ | (d->writer.co ? UDP_WRITE : 0));
    return net_wait(L, &d->reader, co, timeout_ms, cancel_reader);
}

/* --- sending ------------------------------------------------------------------------------------------------------- */

static int send_now(const struct datagrams *d)
{
    return udp_send(d->udp, d->text, d->is_bound ? &d->to : NULL);
}

static void forget_text(struct datagrams *d)
{
    luaL_unref(d->vm->L, LUA_REGISTRYINDEX, d->text_ref);
    d->text_ref = LUA_NOREF;
}

static void cancel_writer(struct co *co UNUSED, void *wait)
{
    struct datagrams *d = container_of(wait, struct datagrams, writer);

    forget_text(d);
    net_wait_end(wait);
    watch(d);
}

static int push_sent(lua_State *L, int rc)
{
    if (rc < 0)
        return co_push_error(L, rc);
    lua_pushboolean(L, 1);
    return 1;
}

/* udp_send(socket, text, timeout, address): true once the system has taken it. address: of a bound one, "ip:port". */
static int udp_send_call(lua_State *L)
{
    struct datagrams *d = check_datagrams(L);
    uint64_t timeout_ms = net_timeout(L, 3);
    struct co *co = co_current(L);
    int rc = 0;

    d->text.ptr = luaL_checklstring(L, 2, &d->text.len);
    if (d->writer.co)
        return luaL_error(L, "another coroutine sends by this socket already");
    if (!d->udp)
        return co_push_error(L, ERR_CLOSED);
    if (d->is_bound)
        rc = addr_parse(slice_from(luaL_checkstring(L, 4)), &d->to);
    if (rc == 0 && d->is_bound && net_is_denied(co, &d->to))
        rc = ERR_DENIED;
    if (rc == 0)
        rc = send_now(d);
    if (rc != ERR_AGAIN)
        return push_sent(L, rc);
    lua_pushvalue(L, 2);
    d->text_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    udp_watch(d->udp, UDP_WRITE | (d->reader.co ? UDP_READ : 0));
    return net_wait(L, &d->writer, co, timeout_ms, cancel_writer);
}

/* --- events and the end -------------------------------------------------------------------------------------------- */

static void serve_writer(struct datagrams *d)
{
    int rc = send_now(d);

    if (rc == ERR_AGAIN)
        return;
    struct co *co = d->writer.co;
    int n = push_sent(co->thread, rc);
    forget_text(d);
    net_wait_end(&d->writer);
    co_wake_later(co, n);
}

static void on_ready(void *owner, int what)
{
    struct datagrams *d = owner;

    if ((what & UDP_WRITE) && d->writer.co)
        serve_writer(d);
    if ((what & UDP_READ) && d->reader.co) {
        struct co *co = d->reader.co;
        lua_checkstack(co->thread, 8);
        int n = receive(co->thread, d);
        if (n >= 0) {
            net_wait_end(&d->reader);
            co_wake_later(co, n);
        }
    }
    watch(d);
}

static void close_datagrams(struct datagrams *d)
{
    if (!d->udp)
        return;
    udp_close(d->udp);
    d->udp = NULL;
    list_remove(&d->part.link);
}

static void wake(struct net_wait *w)
{
    struct co *co = w->co;

    if (!co)
        return;
    int n = co_push_error(co->thread, ERR_CLOSED);
    net_wait_end(w);
    co_wake_later(co, n);
}

static void leave_thread(struct vm_part *part)
{
    close_datagrams(container_of(part, struct datagrams, part));
}

/* udp_close(socket) */
static int udp_close_call(lua_State *L)
{
    struct datagrams *d = check_datagrams(L);

    close_datagrams(d);
    if (d->writer.co)
        forget_text(d);
    wake(&d->reader);
    wake(&d->writer);
    return 0;
}

static int datagrams_gc(lua_State *L)
{
    close_datagrams(lua_touserdata(L, 1));
    return 0;
}

/* --- opening ------------------------------------------------------------------------------------------------------- */

static struct datagrams *push_datagrams(lua_State *L, struct vm *vm, bool is_bound)
{
    struct datagrams *d = lua_newuserdata(L, sizeof(*d));

    *d = (struct datagrams){
        .vm = vm, .is_bound = is_bound, .text_ref = LUA_NOREF, .part = {.leave = leave_thread}};
    list_init(&d->part.link);
    luaL_getmetatable(L, SOCKET);
    lua_setmetatable(L, -2);
    return d;
}

/* udp_open(address, is_bound): connected to it, or bound to it. */
static int udp_open(lua_State *L)
{
    struct vm *vm = net_vm(L);
    struct co *co = co_current(L);
    bool is_bound = lua_toboolean(L, 2);
    struct addr at;
    int rc = addr_parse(slice_from(luaL_checkstring(L, 1)), &at);

    if (rc == 0 && addr_is_unix(&at))
        rc = ERR_ARG;
    if (rc == 0 && !is_bound && net_is_denied(co, &at))
        rc = ERR_DENIED;
    if (rc < 0)
        return co_push_error(L, rc);
    struct datagrams *d = push_datagrams(L, vm, is_bound);
    rc = (is_bound ? udp_bind : udp_connect)(vm->gateway->loop, &at, on_ready, d, &d->udp);
    if (rc < 0)
        return co_push_error(L, rc);
    list_append(&vm->parts, &d->part.link);
    return 1;
}

/* udp_address(socket): its own ip and port. */
static int udp_address_call(lua_State *L)
{
    struct datagrams *d = check_datagrams(L);
    char text[ADDR_TEXT];
    struct addr a;
    int rc = d->udp ? udp_address(d->udp, &a) : ERR_CLOSED;

    if (rc < 0)
        return co_push_error(L, rc);
    lua_pushlstring(L, text, addr_print_ip(&a, text, sizeof(text)));
    lua_pushinteger(L, addr_port(&a));
    return 2;
}

/* udp_metatable(): the table that socket.lua fills. */
static int udp_metatable(lua_State *L)
{
    luaL_newmetatable(L, SOCKET);
    lua_pushcfunction(L, datagrams_gc);
    lua_setfield(L, -2, "__gc");
    return 1;
}

const struct call call_udp[] = {
    {"udp_open", udp_open},
    {"udp_send", udp_send_call},
    {"udp_receive", udp_receive},
    {"udp_close", udp_close_call},
    {"udp_address", udp_address_call},
    {"udp_metatable", udp_metatable},
    {NULL, NULL},
};
