/* SPDX-License-Identifier: Apache-2.0 */

/* Waiting for time to pass. */

#include <lauxlib.h>
#include <math.h>

#include "script/calls.h"

#define LONGEST_S (100.0 * 365 * 24 * 3600)

/* sleep(seconds): true, or nil and a word. */
static int time_sleep(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    struct co *co = co_current(L);

    luaL_argcheck(L, seconds >= 0 && seconds <= LONGEST_S, 1, "seconds, 0 or more");
    return co_sleep(L, co, (uint64_t)ceil(seconds * 1000));
}

const struct call call_time[] = {
    {"sleep", time_sleep},
    {NULL, NULL},
};
