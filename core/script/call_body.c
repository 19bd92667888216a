/* SPDX-License-Identifier: Apache-2.0 */

/* Reading bodies: what may have to wait for the client or the upstream. */

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/exchange.h"
#include "gate/gateway.h"
#include "script/calls.h"

struct body_wait {
    struct co *co;
    double handle;
    enum side side;
    bool by_chunks;
};

static struct exchange *find(struct vm *vm, double handle)
{
    return vm->gateway ? exchange_table_find(&vm->gateway->table, handle) : NULL;
}

/* What has come, as a whole or since the last chunk; nothing at the end. */
static int push_body(lua_State *L, struct exchange *x, const struct body_wait *wait)
{
    struct slice held = exchange_body_held(x, wait->side);

    if (wait->by_chunks) {
        struct flow *flow = &x->flows[wait->side];
        held = slice_from_index(held, flow->taken);
        flow->taken += held.len;
        if (held.len == 0) {
            lua_pushnil(L);
            return 1;
        }
    }
    lua_pushlstring(L, held.ptr ? held.ptr : "", held.len);
    return 1;
}

static void cancel_wait(struct co *co, void *arg)
{
    struct body_wait *wait = arg;
    struct exchange *x = find(co->vm, wait->handle);

    if (x)
        exchange_body_forget(x, wait->side);
    free(wait);
}

static void on_ready(void *arg, int err)
{
    struct body_wait *wait = arg;
    struct co *co = wait->co;
    struct exchange *x = find(co->vm, wait->handle);
    int n = err || !x ? co_push_error(co->thread, err ? err : ERR_GONE)
                      : push_body(co->thread, x, wait);

    free(wait);
    co_wake_later(co, n);
}

static int body_wait(lua_State *L, bool by_chunks)
{
    struct co *co = co_current(L);
    double handle = luaL_checknumber(L, 1);
    struct exchange *x = find(co->vm, handle);
    enum side side = luaL_checkint(L, 2) == SIDE_RESPONSE ? SIDE_RESPONSE : SIDE_REQUEST;

    if (!x)
        return luaL_error(L, "exchange is gone");
    if (x->flows[side].on_ready)
        return luaL_error(L, "another coroutine reads this body already");
    struct body_wait *wait = malloc(sizeof(*wait));
    REQUIRE(wait != NULL);
    *wait = (struct body_wait){co, handle, side, by_chunks};
    int rc = by_chunks ? exchange_body_more(x, side, on_ready, wait)
                       : exchange_body_collect(x, side, on_ready, wait);
    if (rc == ERR_AGAIN)
        return co_wait(L, co, cancel_wait, wait, 0);
    struct body_wait done = *wait;
    free(wait);
    return rc < 0 ? co_push_error(L, rc) : push_body(L, x, &done);
}

/* body_read(handle, side): all of it, or nil and a word. */
static int body_read(lua_State *L)
{
    return body_wait(L, false);
}

/* body_chunk(handle, side): what has come since the last call; nil at the end; or nil and a word. */
static int body_chunk(lua_State *L)
{
    return body_wait(L, true);
}

const struct call call_body[] = {
    {"body_read", body_read},
    {"body_chunk", body_chunk},
    {NULL, NULL},
};
