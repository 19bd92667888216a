/* SPDX-License-Identifier: Apache-2.0 */

/* Waiting for a response that another request fetches, or that Redis may have; and which Redis a place has. */

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/cache.h"
#include "gate/cache_tier.h"
#include "gate/gateway.h"
#include "script/call_redis.h"
#include "script/calls.h"
#include "side/redis_server.h"

struct cache_wait {
    struct co *co;
    double handle;
};

static struct exchange *find(struct vm *vm, double handle)
{
    return vm->gateway ? exchange_table_find(&vm->gateway->table, handle) : NULL;
}

/* From the loop. */
static void on_news(void *arg)
{
    struct cache_wait *wait = arg;
    struct co *co = wait->co;
    struct exchange *x = find(co->vm, wait->handle);

    if (!x)
        return; /* it leaves its waits before it ends */
    enum cache_found found = cache_go_on(x);
    if (found == CACHE_WAITS)
        return;
    lua_pushinteger(co->thread, found);
    free(wait);
    co_wake(co, 1);
}

static void cancel_wait(struct co *co, void *arg)
{
    struct cache_wait *wait = arg;
    struct exchange *x = find(co->vm, wait->handle);

    if (x)
        cache_give_up(x);
    free(wait);
}

/* cache_wait(handle, seconds): how it ended (enum cache_found), or nil and a word: it fetches by itself. */
static int cache_wait_call(lua_State *L)
{
    struct co *co = co_current(L);
    double handle = luaL_checknumber(L, 1);
    double seconds = luaL_checknumber(L, 2);
    struct exchange *x = find(co->vm, handle);

    if (!x)
        return luaL_error(L, "exchange is gone");
    struct cache_wait *wait = malloc(sizeof(*wait));
    REQUIRE(wait != NULL);
    *wait = (struct cache_wait){co, handle};
    cache_await(x, on_news, wait);
    return co_wait(L, co, cancel_wait, wait, (uint64_t)(seconds * 1e3));
}

/* cache_tier(conf, client, name, seconds, prefix): the client's server, whose name in the configuration that is, is behind
 * the place's memory from now on. conf: its address. */
static int cache_tier_call(lua_State *L)
{
    struct cache_conf *conf = (struct cache_conf *)(uintptr_t)luaL_checknumber(L, 1);
    struct redis_server *server = redis_check_server(L, 2);
    struct slice name, prefix;

    name.ptr = luaL_checklstring(L, 3, &name.len);
    double seconds = luaL_checknumber(L, 4);
    prefix.ptr = luaL_checklstring(L, 5, &prefix.len);
    cache_tier_set(conf, server, (uint32_t)(seconds * 1e3), name, prefix);
    return 0;
}

const struct call call_cache[] = {
    {"cache_tier", cache_tier_call},
    {"cache_wait", cache_wait_call},
    {NULL, NULL},
};
