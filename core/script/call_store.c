/* SPDX-License-Identifier: Apache-2.0 */

/* The flights of store:once: over all workers one runs a function, the others wait for what it gives. An owner's seat is
 * a userdata: when it is forgotten (the hook has raised, the VM is closed) the collector gives it up, and the next in
 * line becomes the owner. */

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/gateway.h"
#include "gate/snapshot.h"
#include "script/calls.h"
#include "side/flight.h"

#define SEAT "demilune.flight_seat"
#define WAITERS_MAX 10000
#define GRACE_MS 5000 /* beyond the owner's lease: the control thread's sweep comes first */

struct flight_wait {
    struct co *co;
    struct flight_seat *seat;
};

static void push_seat(lua_State *L, struct flight_seat *seat)
{
    struct flight_seat **box = lua_newuserdata(L, sizeof(*box));

    *box = seat;
    luaL_getmetatable(L, SEAT);
    lua_setmetatable(L, -2);
}

/* By mail, from the loop. */
static void on_flight(void *arg, enum flight_event event, struct slice value)
{
    struct flight_wait *wait = arg;
    struct co *co = wait->co;
    lua_State *T = co->thread;
    int n = 1;

    if (event == FLIGHT_OWNER) {
        push_seat(T, wait->seat);
    } else {
        lua_pushboolean(T, 0);
        lua_pushlstring(T, value.ptr, value.len);
        n = 2;
    }
    free(wait);
    co_wake(co, n);
}

static void cancel_flight(struct co *co UNUSED, void *arg)
{
    struct flight_wait *wait = arg;

    flight_leave(wait->seat);
    free(wait);
}

/* flight_join(key, lease): a seat = run it; false, bytes = it was run; nil, word. */
static int flight_join_call(lua_State *L)
{
    struct co *co = co_current(L);
    size_t len;
    const char *key = luaL_checklstring(L, 1, &len);
    double lease = luaL_checknumber(L, 2);

    luaL_argcheck(L, lease > 0 && lease <= 86400, 2, "seconds, up to a day");
    struct flight_wait *wait = calloc(1, sizeof(*wait));
    REQUIRE(wait != NULL);
    wait->co = co;
    uint64_t lease_ms = (uint64_t)ceil(lease * 1e3);
    int rc = flight_join(flights_shared(), slice_of(key, len), lease_ms, WAITERS_MAX,
                         co->vm->gateway->mailbox, on_flight, wait, &wait->seat);
    if (rc == FLIGHT_WAITS)
        return co_wait(L, co, cancel_flight, wait, lease_ms + GRACE_MS);
    if (rc == FLIGHT_IS_OWNER)
        push_seat(L, wait->seat);
    free(wait);
    return rc < 0 ? co_push_error(L, rc) : 1;
}

static struct flight_seat *take_seat(lua_State *L)
{
    struct flight_seat **box = luaL_checkudata(L, 1, SEAT);
    struct flight_seat *seat = *box;

    *box = NULL;
    return seat;
}

/* flight_land(seat, bytes) */
static int flight_land_call(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);
    struct flight_seat *seat = take_seat(L);

    if (seat)
        flight_land(seat, slice_of(bytes, len));
    return 0;
}

/* flight_drop(seat): the next one tries. */
static int flight_drop_call(lua_State *L)
{
    struct flight_seat *seat = take_seat(L);

    if (seat)
        flight_drop(seat);
    return 0;
}

/* flight_sweep(): ends the leases that ran out, where no control thread does (demilune test). */
static int flight_sweep_call(lua_State *L UNUSED)
{
    flights_sweep(flights_shared());
    return 0;
}

/* store_is_configured(name): by the configuration that this VM is made for. One that only an older one has lives no longer
 * than that. */
static int store_is_configured(lua_State *L)
{
    const struct snapshot *s = vm_of(L)->snapshot;
    struct slice name;
    bool is_there = !s;

    name.ptr = luaL_checklstring(L, 1, &name.len);
    for (uint32_t i = 0; s && i < s->nstores; i++)
        is_there |= slice_eq(s->stores[i].name, name);
    lua_pushboolean(L, is_there);
    return 1;
}

/* flight_start(): once, when the module is loaded. */
static int flight_start_call(lua_State *L)
{
    luaL_newmetatable(L, SEAT);
    lua_pushcfunction(L, flight_drop_call);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    return 0;
}

const struct call call_store[] = {
    {"flight_start", flight_start_call},
    {"flight_join", flight_join_call},
    {"flight_land", flight_land_call},
    {"flight_drop", flight_drop_call},
    {"flight_sweep", flight_sweep_call},
    {"store_is_configured", store_is_configured},
    {NULL, NULL},
};
