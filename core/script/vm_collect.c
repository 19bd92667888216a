/* SPDX-License-Identifier: Apache-2.0 */

/* When Lua's garbage is collected: all at once when the cap was hit or is near, seldom while a VM is built, and a piece
 * at a time in quiet moments. Between them the collector goes by its own measure. */

#include "script/vm_collect.h"

#include "base/clock.h"
#include "base/log.h"
#include "gate/gateway.h"

#define BUILDING_ROOM ((size_t)32 * MIB) /* for garbage, while a VM is built */
#define WIDER 1024               /* more than a string takes: the table of strings has grown */
#define QUIET_GROWTH (256 * KIB) /* so much was made: quiet moments are used for the collector */
#define QUIET_STEPS 512          /* of it then, at most */
#define QUIET_PIECE_US 200       /* without a look at what the loop has */

static int collect_protected(lua_State *L)
{
    lua_gc(L, LUA_GCCOLLECT, 0);
    return 0;
}

static size_t building_room(const struct vm *vm)
{
    return vm->memory_cap ? MIN(BUILDING_ROOM, vm->memory_cap / 4) : BUILDING_ROOM;
}

/* What was stopped may be held until its exchange ends (exchange.ctx) and fill the heap to the last byte: the hooks that come
 * then get a little of the reserve. */
static size_t allowed_after(const struct vm *vm, bool hit_cap)
{
    size_t most = hit_cap ? vm->memory_cap + vm->memory_cap / 4 : vm->allowed;

    return MAX(vm->memory_cap, MIN(vm->memory + SMALL_ALLOC, most));
}

/* Near the cap each collection halves the way to it, so a heap that really is that full isn't collected all the time.
 * The collector's own next cycle would begin at twice what is left, which may lie beyond the cap: then it begins soon. */
void vm_collect(struct vm *vm)
{
    bool hit_cap = vm->hit_cap;

    if (hit_cap)
        vm_was_stopped(vm);
    if (lua_cpcall(vm->L, collect_protected, NULL) != 0)
        lua_pop(vm->L, 1);
    if (hit_cap)
        LOG_WARN("lua.memory", "a worker's Lua has reached script.memory",
                 LOG_I("worker", vm->worker), LOG_I("bytes", vm->memory));
    vm->hit_cap = false;
    vm->collect_at = SIZE_MAX;
    if (vm->memory_cap) {
        vm->allowed = allowed_after(vm, hit_cap);
        size_t left = vm->memory < vm->allowed ? (vm->allowed - vm->memory) / 2 : 0;
        vm->collect_at = MAX(vm->memory_cap / 4 * 3, vm->memory + left);
        lua_gc(vm->L, LUA_GCSETPAUSE, vm->memory > vm->memory_cap / 2 ? 110 : 200);
    }
    if (vm->is_building)
        vm->collect_at = MIN(vm->collect_at, 2 * vm->memory + building_room(vm));
}

void vm_collect_while_building(struct vm *vm)
{
    vm->is_building = true;
    vm->collect_at = 2 * vm->memory + building_room(vm);
}

void vm_put_off_collection(struct vm *vm)
{
    size_t percent = building_room(vm) / (vm->memory / 100 + 1);

    lua_gc(vm->L, LUA_GCSETPAUSE, 100 + (int)MIN(percent, 100000u));
    lua_gc(vm->L, LUA_GCRESTART, -1); /* as if a cycle had just ended */
}

/* LuaJIT's table of strings has places for so many and doubles in one go, which with 10,000 routes takes 3 to 7 ms. A
 * worker would do it while requests wait, once those before have left enough strings behind. So it doubles here, by strings
 * that are garbage at once. */
static int widen_strings(lua_State *L)
{
    struct vm *vm = vm_of(L);
    size_t before;
    int i = 0;

    do {
        before = vm->memory;
        lua_pushfstring(L, "\1%d", i++);
        lua_pop(L, 1);
    } while (vm->memory < before + WIDER);
    return 0;
}

static void make_room(struct vm *vm)
{
    lua_gc(vm->L, LUA_GCSTOP, 0);
    if (lua_cpcall(vm->L, widen_strings, NULL) != 0)
        lua_pop(vm->L, 1);
    lua_gc(vm->L, LUA_GCRESTART, -1);
}

void vm_built(struct vm *vm)
{
    if (!vm->is_building)
        return;
    vm->is_building = false;
    lua_gc(vm->L, LUA_GCSETPAUSE, 200);
    vm_collect(vm);
    make_room(vm);
    vm->swept = vm->memory;
}

/* A step is the collector's own measure, some 10 to 100 us of work on a large heap. */
static int steps_protected(lua_State *L)
{
    struct vm *vm = lua_touserdata(L, 1);
    uint64_t end = clock_us_now() + QUIET_PIECE_US;

    do {
        vm->quiet_steps--;
        if (lua_gc(L, LUA_GCSTEP, 0))
            vm->quiet_steps = 0; /* all is collected */
    } while (vm->quiet_steps > 0 && clock_us_now() < end);
    return 0;
}

bool vm_collect_in_quiet(void *arg)
{
    struct gateway *g = arg;
    struct vm *vm = g->script;

    if (!vm || (vm->quiet_steps == 0 && vm->memory < vm->swept + QUIET_GROWTH))
        return false;
    if (vm->quiet_steps == 0)
        vm->quiet_steps = QUIET_STEPS;
    if (lua_cpcall(vm->L, steps_protected, vm) != 0)
        lua_pop(vm->L, 1);
    vm->swept = vm->memory;
    return vm->quiet_steps > 0;
}
