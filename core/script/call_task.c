/* SPDX-License-Identifier: Apache-2.0 */

/* Tasks: coroutines that run beside the one that made them. A task is a userdata; its results lie in its environment
 * table, so they live as long as somebody holds the task. lua/demilune/task.lua makes join, all and any of what is here.
 *
 * A task belongs to the scope of its maker and is cancelled with it: the exchange of a hook, the task that spawned it,
 * or, for the start hook, the plugins' time in this VM. A detached task belongs to nobody. */

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "script/calls.h"
#include "script/hooks.h"

#define TASK "demilune.task"
#define WAIT_MAX 1000 /* tasks that one wait is for */
#define ARGUMENTS_MAX 1000

enum task_state { TASK_RUNS, TASK_RETURNED, TASK_RAISED };

struct task {
    /* owned */
    struct list waiters; /* struct waiter */
    int ref;             /* keeps the userdata while it runs */
    /* borrowed */
    struct co *co; /* NULL when it has ended */
    /* state */
    enum task_state state;
    bool is_cancelled;
    int nresults;
};

/* One wait of a coroutine for any of several tasks. */
struct task_wait {
    struct co *co;
    int n;
    struct waiter {
        struct list link; /* in task.waiters */
        struct task_wait *wait;
    } waiters[];
};

static struct task *check_task(lua_State *L, int arg)
{
    return luaL_checkudata(L, arg, TASK);
}

static void free_wait(struct task_wait *wait)
{
    for (int i = 0; i < wait->n; i++)
        list_remove(&wait->waiters[i].link);
    free(wait);
}

static void cancel_wait(struct co *co UNUSED, void *wait)
{
    free_wait(wait);
}

static void wake_waiters(struct task *t)
{
    struct list *link;

    while ((link = list_first(&t->waiters))) {
        struct waiter *waiter = container_of(link, struct waiter, link);
        struct task_wait *wait = waiter->wait;
        struct co *co = wait->co;
        lua_pushinteger(co->thread, waiter - wait->waiters + 1);
        free_wait(wait);
        co_wake_later(co, 1);
    }
}

/* Moves the n values on top of L into the task's environment. */
static void keep_results(struct task *t, lua_State *L, int n)
{
    int first = lua_gettop(L) - n + 1;

    lua_checkstack(L, 3);
    lua_createtable(L, n, 0);
    lua_insert(L, first);
    for (int i = n; i > 0; i--)
        lua_rawseti(L, first, i);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->ref);
    lua_insert(L, first);
    lua_setfenv(L, first);
    lua_pop(L, 1);
    t->nresults = n;
}

static void task_ended(struct co *co, lua_State *L, enum co_end end, int nresults)
{
    struct task *t = co->owner;
    lua_State *M = co->vm->L;

    t->state = end == CO_RETURNED ? TASK_RETURNED : TASK_RAISED;
    t->co = NULL;
    if (end != CO_RETURNED && !t->is_cancelled && list_is_empty(&t->waiters))
        hooks_report(co, slice_from(lua_tostring(L, -1)));
    if (end == CO_RETURNED) {
        keep_results(t, L, nresults);
    } else {
        bool is_object = nresults == 2 && lua_istable(L, -2);
        lua_pushvalue(L, is_object ? -2 : -1); /* the caller pops its own */
        keep_results(t, L, 1);
    }
    wake_waiters(t);
    luaL_unref(M, LUA_REGISTRYINDEX, t->ref);
    t->ref = LUA_NOREF;
}

/* --- making -------------------------------------------------------------------------------------------------------- */

/* Makes the task of the function and arguments on L; the userdata is left there instead. */
static struct task *make_task(lua_State *L)
{
    struct vm *vm = vm_of(L);
    int n = lua_gettop(L);

    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_argcheck(L, n <= ARGUMENTS_MAX, ARGUMENTS_MAX, "too many arguments");
    if (!vm->gateway)
        luaL_error(L, "there are no tasks before the worker has started: use the start hook");
    struct task *t = lua_newuserdata(L, sizeof(*t));
    luaL_getmetatable(L, TASK);
    lua_setmetatable(L, -2);
    list_init(&t->waiters);
    t->state = TASK_RUNS;
    t->is_cancelled = false;
    lua_pushvalue(L, -1);
    t->ref = luaL_ref(L, LUA_REGISTRYINDEX);

    t->co = co_new(vm, NULL, task_ended, t);
    t->co->use = vm->cell.use;
    t->co->phase = vm->cell.phase;
    lua_insert(L, 1);
    vm->is_exempt = true;
    luaL_checkstack(t->co->thread, n, "too many arguments");
    vm->is_exempt = false;
    lua_xmove(L, t->co->thread, n);
    co_run_later(t->co, n - 1);
    return t;
}

static struct list *scope_of(struct vm *vm)
{
    struct co *maker = vm->current;

    if (maker && maker->on_end == task_ended)
        return &maker->children;
    if (maker && maker->exchange)
        return hooks_scope(maker->exchange);
    return &vm->tasks;
}

/* task_spawn(f, ...): task */
static int task_spawn(lua_State *L)
{
    struct task *t = make_task(L);
    struct co *maker = vm_of(L)->current;

    list_append(scope_of(vm_of(L)), &t->co->sibling);
    if (maker) {
        t->co->is_cancelled = maker->is_cancelled;
        t->co->deadline_ms = maker->deadline_ms;
    }
    return 1;
}

/* task_detach(f, ...): task */
static int task_detach(lua_State *L)
{
    make_task(L);
    return 1;
}

/* --- looking and waiting ------------------------------------------------------------------------------------------- */

/* task_wait(task, ...): the index of one that has ended. */
static int task_wait_any(lua_State *L)
{
    struct co *co = co_current(L);
    int n = lua_gettop(L);

    luaL_argcheck(L, n > 0 && n <= WAIT_MAX, 1, "one to a thousand tasks");
    for (int i = 1; i <= n; i++) {
        if (check_task(L, i)->state != TASK_RUNS) {
            lua_pushinteger(L, i);
            return 1;
        }
        if (check_task(L, i)->co == co)
            return luaL_error(L, "a task can't wait for itself");
    }
    struct task_wait *wait = malloc(sizeof(*wait) + (size_t)n * sizeof(wait->waiters[0]));
    REQUIRE(wait != NULL);
    wait->co = co;
    wait->n = n;
    for (int i = 0; i < n; i++) {
        wait->waiters[i].wait = wait;
        list_append(&check_task(L, i + 1)->waiters, &wait->waiters[i].link);
    }
    return co_wait(L, co, cancel_wait, wait, 0);
}

/* task_result(task): nil while it runs; "returned" and its results; "raised" and the message, or the table that was raised; "cancelled" when it was
 * cancelled from outside before its end, whatever came of it. */
static int task_result(lua_State *L)
{
    struct task *t = check_task(L, 1);

    if (t->is_cancelled) {
        lua_pushliteral(L, "cancelled");
        return 1;
    }
    if (t->state == TASK_RUNS)
        return 0;
    luaL_checkstack(L, t->nresults + 3, "too many results");
    lua_pushstring(L, t->state == TASK_RETURNED ? "returned" : "raised");
    lua_getfenv(L, 1);
    int results = lua_gettop(L);
    for (int i = 1; i <= t->nresults; i++)
        lua_rawgeti(L, results, i);
    lua_remove(L, results);
    return 1 + t->nresults;
}

/* task_cancel(task) */
static int task_cancel(lua_State *L)
{
    struct task *t = check_task(L, 1);

    if (t->co && !t->is_cancelled) {
        t->is_cancelled = true;
        co_cancel(t->co);
    }
    return 0;
}

/* task_deadline(): seconds that the running coroutine still has, or nil.
 * task_deadline(seconds): at most so many from now on; returns what task_deadline_set takes to undo it. */
static int task_deadline(lua_State *L)
{
    struct co *co = co_current(L);
    uint64_t now = clock_ms();

    if (lua_isnoneornil(L, 1)) {
        if (co->deadline_ms == 0)
            lua_pushnil(L);
        else
            lua_pushnumber(L, co->deadline_ms > now ? (double)(co->deadline_ms - now) / 1000 : 0);
        return 1;
    }
    double seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1, "seconds, 0 or more");
    uint64_t deadline = now + (uint64_t)ceil(seconds * 1000);
    lua_pushnumber(L, (double)co->deadline_ms);
    if (co->deadline_ms == 0 || deadline < co->deadline_ms)
        co->deadline_ms = deadline;
    return 1;
}

static int task_deadline_set(lua_State *L)
{
    struct vm *vm = vm_of(L);

    if (vm->current)
        vm->current->deadline_ms = (uint64_t)luaL_checknumber(L, 1);
    return 0;
}

/* task_failed(message): of a task that goes on. */
static int task_failed(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct slice message;

    message.ptr = luaL_checklstring(L, 1, &message.len);
    hooks_report_use(vm, vm->cell.use, message);
    return 0;
}

/* task_metatable(): the table that task.lua fills. */
static int task_metatable(lua_State *L)
{
    luaL_newmetatable(L, TASK);
    return 1;
}

const struct call call_task[] = {
    {"task_spawn", task_spawn},
    {"task_detach", task_detach},
    {"task_wait", task_wait_any},
    {"task_result", task_result},
    {"task_cancel", task_cancel},
    {"task_deadline", task_deadline},
    {"task_deadline_set", task_deadline_set},
    {"task_failed", task_failed},
    {"task_metatable", task_metatable},
    {NULL, NULL},
};
