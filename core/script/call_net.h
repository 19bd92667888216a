/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of sockets for Lua (call_net.c, call_listen.c) have in common. */

#ifndef DML_SCRIPT_CALL_NET_H
#define DML_SCRIPT_CALL_NET_H

#include "net/listener.h"
#include "net/stream.h"
#include "script/co.h"

/* A coroutine that waits for the userdata in which this lies; that is kept alive meanwhile. */
struct net_wait {
    struct co *co; /* NULL: nobody waits */
    int ref;
};

/* As co_wait, for the userdata that is the first argument of the function. cancel is called with w, and calls
 * net_wait_end. */
int net_wait(lua_State *L, struct net_wait *w, struct co *co, uint64_t timeout_ms,
             co_cancel_fn cancel);

/* The wait is over; gives who has waited. The userdata may be garbage from now on, but nothing collects it before Lua
 * runs again. */
struct co *net_wait_end(struct net_wait *w);

/* An argument in seconds. */
uint64_t net_timeout(lua_State *L, int arg);

/* The vm, which must be on its worker's thread. */
struct vm *net_vm(lua_State *L);

/* Does outbound.deny forbid this coroutine to go there? */
bool net_is_denied(const struct co *co, const struct addr *to);

struct socket;

/* Pushes a new one, still closed. net_give gives it its stream, which it then owns; listener: hears of its end, or
 * NULL. */
struct socket *net_push_socket(lua_State *L);
void net_give(struct socket *s, struct vm *vm, struct stream *stream, struct listener *listener);

/* The argument, which must be one. */
struct socket *net_check_socket(lua_State *L, int arg);

/* Takes its plain stream back; NULL when it is closed, waited for, not plain, or when bytes lie in it. A listener hears of
 * its end now. */
struct stream *net_take(struct socket *s);

#endif
