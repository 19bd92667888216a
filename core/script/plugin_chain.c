/* SPDX-License-Identifier: Apache-2.0 */

/* What the plugins of a chain do in a phase, asked of plugin.lua: one function, or hooks that the core runs by itself. */

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "gate/snapshot.h"
#include "script/hooks_parts.h"
#include "script/plugin.h"

/* Pushes the list of the uses that have a hook of p, in the order in which they run: all of the chain, or those behind
 * one. Returns how many. */
static int push_uses(lua_State *L, const struct chain *chain, enum phase p, int32_t behind)
{
    bool unwraps = p == PHASE_RESPONSE || p == PHASE_BODY, is_behind = behind < 0;
    int n = 0;

    lua_createtable(L, (int)chain->n, 0);
    for (uint32_t i = 0; i < chain->n; i++) {
        const struct plugin_use *use = chain->uses[unwraps ? chain->n - 1 - i : i];
        if (is_behind && (use->hooks & PHASE_BIT(p))) {
            lua_pushnumber(L, use->index);
            lua_rawseti(L, -2, ++n);
        }
        is_behind = is_behind || use->index == (uint32_t)behind;
    }
    return n;
}

int plugin_push_chain(struct vm *vm, const struct chain *chain, enum phase p, int32_t behind,
                      bool is_timed)
{
    lua_State *L = vm->L;
    int top = lua_gettop(L);

    vm_push_function(vm, "demilune.plugin", "chain");
    lua_pushstring(L, phase_name(p));
    if (push_uses(L, chain, p, behind) == 0) {
        lua_settop(L, top);
        return 0;
    }
    lua_pushboolean(L, is_timed);
    return vm_call(vm, 3, 1) == 0 ? 1 : -1;
}

/* Lua's `steps` gives what has the core's hooks, and their addresses, or nil. A reference to the former keeps them alive
 * as long as the VM. */
struct hook_step *plugin_take_steps(struct vm *vm, const struct snapshot *s,
                                    const struct chain *chain, enum phase p)
{
    lua_State *L = vm->L;
    int top = lua_gettop(L);
    struct hook_step *steps = NULL;

    vm_push_function(vm, "demilune.plugin", "steps");
    lua_pushstring(L, phase_name(p));
    int n = push_uses(L, chain, p, -1);
    lua_pushvalue(L, -1);
    lua_insert(L, top + 1);
    if (vm_call(vm, 2, 2) == 0 && lua_istable(L, -1)) {
        steps = calloc((size_t)n + 1, sizeof(steps[0]));
        REQUIRE(steps != NULL);
        for (int i = 0; i < n; i++) {
            lua_rawgeti(L, top + 1, i + 1);
            lua_rawgeti(L, top + 3, i + 1);
            steps[i].use = s->uses[lua_tointeger(L, -2)];
            steps[i].core = (const struct dml_core_hook *)(uintptr_t)lua_tonumber(L, -1);
            lua_pop(L, 2);
        }
        lua_pop(L, 1);
        luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_settop(L, top);
    return steps;
}
