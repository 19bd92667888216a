/* SPDX-License-Identifier: Apache-2.0 */

/* Listening sockets for Lua: a descriptor that was accepted waits in a list until Lua asks for it. The quota bounds how
 * many do, and how many live. */

#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/vec.h"
#include "gate/gateway.h"
#include "net/tcp.h"
#include "script/call_net.h"
#include "script/calls.h"

#define SERVER "demilune.listener"
#define CONNECTIONS_MAX 4096

struct server {
    /* owned */
    struct listener *listener; /* NULL: closed */
    VEC(int) fds;              /* accepted, not asked for */
    struct net_wait acceptor;
    struct vm_part part;
    /* borrowed */
    struct vm *vm;
    /* state */
    struct addr at;
};

/* Connections may outlive the userdata of their listener, so they count here: one quota for all of the process. */
static struct listener_quota quota = {.max = CONNECTIONS_MAX};

static struct server *check_server(lua_State *L)
{
    return luaL_checkudata(L, 1, SERVER);
}

static void push_connection(lua_State *L, struct server *s, int fd)
{
    struct socket *socket = net_push_socket(L);

    net_give(socket, s->vm, tcp_new(s->vm->gateway->loop, fd, NULL, NULL), s->listener);
}

static void on_accept(void *owner, struct listener *ln UNUSED, int fd,
                      const struct addr *peer UNUSED, const struct addr *local UNUSED)
{
    struct server *s = owner;
    struct co *co = net_wait_end(&s->acceptor);

    if (!co) {
        vec_push(&s->fds, fd);
        return;
    }
    push_connection(co->thread, s, fd);
    co_wake(co, 1);
}

static void cancel_wait(struct co *co UNUSED, void *wait)
{
    net_wait_end(wait);
}

static int take_fd(struct server *s)
{
    int fd = s->fds.items[0];

    s->fds.n--;
    memmove(s->fds.items, s->fds.items + 1, s->fds.n * sizeof(fd));
    return fd;
}

/* listen_accept(listener, timeout): a socket. */
static int listen_accept(lua_State *L)
{
    struct server *s = check_server(L);
    uint64_t timeout_ms = net_timeout(L, 2);
    struct co *co = co_current(L);

    if (!s->listener)
        return co_push_error(L, ERR_CLOSED);
    if (s->acceptor.co)
        return luaL_error(L, "another coroutine accepts from this listener already");
    if (s->fds.n == 0)
        return net_wait(L, &s->acceptor, co, timeout_ms, cancel_wait);
    push_connection(L, s, take_fd(s));
    return 1;
}

static void close_server(struct server *s)
{
    if (!s->listener)
        return;
    for (size_t i = 0; i < s->fds.n; i++) {
        close(s->fds.items[i]);
        listener_released(s->listener);
    }
    vec_free(&s->fds);
    listener_free(s->listener);
    s->listener = NULL;
    list_remove(&s->part.link);
}

static void leave_thread(struct vm_part *part)
{
    close_server(container_of(part, struct server, part));
}

/* listen_open(address): a listener; or nil and a word. Port 0: the system chooses. */
static int listen_open(lua_State *L)
{
    struct vm *vm = net_vm(L);
    struct slice text;
    struct addr at;
    int fd;

    text.ptr = luaL_checklstring(L, 1, &text.len);
    int rc = addr_parse(text, &at);
    if (rc == 0)
        rc = listener_open(&at, false, &fd);
    if (rc < 0)
        return co_push_error(L, rc);
    struct server *s = lua_newuserdata(L, sizeof(*s));
    *s = (struct server){.vm = vm, .part = {.leave = leave_thread}};
    rc = listener_address(fd, &s->at);
    REQUIRE(rc == 0);
    s->listener = listener_start(vm->gateway->loop, fd, &quota, on_accept, s);
    list_append(&vm->parts, &s->part.link);
    luaL_getmetatable(L, SERVER);
    lua_setmetatable(L, -2);
    return 1;
}

/* listen_close(listener) */
static int listen_close(lua_State *L)
{
    struct server *s = check_server(L);
    struct co *co = net_wait_end(&s->acceptor);

    close_server(s);
    if (co)
        co_wake_later(co, co_push_error(co->thread, ERR_CLOSED));
    return 0;
}

static int server_gc(lua_State *L)
{
    close_server(lua_touserdata(L, 1));
    return 0;
}

/* listen_address(listener): as text, and its port. */
static int listen_address(lua_State *L)
{
    struct server *s = check_server(L);
    char text[ADDR_TEXT];

    lua_pushlstring(L, text, addr_print(&s->at, text, sizeof(text)));
    lua_pushinteger(L, addr_port(&s->at));
    return 2;
}

/* listen_metatable(): the table that socket.lua fills. */
static int listen_metatable(lua_State *L)
{
    luaL_newmetatable(L, SERVER);
    lua_pushcfunction(L, server_gc);
    lua_setfield(L, -2, "__gc");
    return 1;
}

const struct call call_listen[] = {
    {"listen_open", listen_open},           {"listen_accept", listen_accept},
    {"listen_close", listen_close},         {"listen_address", listen_address},
    {"listen_metatable", listen_metatable}, {NULL, NULL},
};
