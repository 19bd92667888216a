/* SPDX-License-Identifier: Apache-2.0 */

#include "support/lua_vm.h"

#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "base/check.h"
#include "base/metric.h"
#include "script/co.h"

#define TURNS_MAX 100000

struct run {
    bool ended, failed;
};

static char result[4096];

void lua_vm_init(struct lua_vm *l, size_t memory_cap)
{
    char *error = NULL;
    struct vm_options o = {
        .lua_dir = "lua",
        .plugin_dirs = "",
        .shipped_dir = "plugins",
        .gateway = &l->gateway,
        .memory_cap = memory_cap,
        .worker = 1,
    };

    metric_init(2, 1000);
    *l = (struct lua_vm){.gateway = {.loop = loop_new(), .writer = 1}};
    list_init(&l->gateway.at_end);
    l->vm = vm_new(&o, &error);
    if (!l->vm)
        fprintf(stderr, "%s\n", error);
    REQUIRE(l->vm != NULL);
    vm_use_on_this_thread(l->vm, &l->gateway, &l->watch);
}

void lua_vm_deinit(struct lua_vm *l)
{
    vm_free(l->vm);
    loop_free(l->gateway.loop);
    metric_deinit();
}

static void load(lua_State *L, const char *chunk)
{
    vm_push_function(vm_of(L), "_G", "loadstring");
    lua_pushstring(L, chunk);
    lua_call(L, 1, 2);
    if (lua_isnil(L, -2))
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
    REQUIRE(lua_isfunction(L, -2));
    lua_pop(L, 1);
}

int lua_vm_do(struct lua_vm *l, const char *chunk)
{
    lua_settop(l->vm->L, 0);
    load(l->vm->L, chunk);
    return vm_call(l->vm, 0, 1);
}

static void on_end(struct co *co, lua_State *L, enum co_end end, int nresults)
{
    struct run *run = co->owner;
    int first = lua_gettop(L) - nresults + 1;

    run->ended = true;
    run->failed = end != CO_RETURNED;
    if (nresults == 0)
        snprintf(result, sizeof(result), "(nothing)");
    else if (lua_isboolean(L, first))
        snprintf(result, sizeof(result), "%s", lua_toboolean(L, first) ? "true" : "false");
    else if (lua_isnil(L, first) && nresults > 1)
        snprintf(result, sizeof(result), "nil, %s", lua_tostring(L, first + 1));
    else
        snprintf(result, sizeof(result), "%s",
                 lua_isstring(L, first) ? lua_tostring(L, first) : luaL_typename(L, first));
}

const char *lua_vm_run(struct lua_vm *l, const char *chunk, bool *failed)
{
    struct run run = {0};
    struct co *co = co_new(l->vm, NULL, on_end, &run);

    load(l->vm->L, chunk);
    lua_xmove(l->vm->L, co->thread, 1);
    co_run(co, 0);
    for (int i = 0; !run.ended && i < TURNS_MAX; i++)
        loop_turn(l->gateway.loop, 100);
    REQUIRE(run.ended);
    if (failed)
        *failed = run.failed;
    return result;
}
