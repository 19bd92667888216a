/* SPDX-License-Identifier: Apache-2.0 */

/* Coroutines. A co whose function has returned is put on the idle list with its Lua thread and taken again; one that
 * ended in an error is dropped, since LuaJIT can't use such a thread again.
 *
 * A wait yields one value, the address of co_wait_mark. It is how a yield of ours is told from a plugin's own: the wrappers
 * of coroutine.resume and wrap (coroutine.lua) pass it on outwards until it arrives here. */

#include "script/co.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "gate/gateway.h"
#include "script/hooks.h"

#define IDLE_MAX 1024 /* coroutines kept for later */
#define TRACEBACK_MAX (8 * KIB)

const char co_wait_mark[] = "waits";

static void on_deadline(struct timer *timer);

static struct co *co_make(struct vm *vm)
{
    struct co *co = calloc(1, sizeof(*co));

    REQUIRE(co != NULL);
    co->vm = vm;
    vm->is_exempt = true; /* an error would leave co behind; the cap counts it all the same */
    co->thread = lua_newthread(vm->L);
    co->ref = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    vm->is_exempt = false;
    timer_init(&co->deadline, vm->gateway->loop, on_deadline);
    list_init(&co->link);
    list_init(&co->sibling);
    list_init(&co->children);
    return co;
}

struct co *co_new(struct vm *vm, struct exchange *x, co_end_fn on_end, void *owner)
{
    struct list *link = list_pop(&vm->idle);
    struct co *co;

    if (LIKELY(link != NULL)) {
        co = container_of(link, struct co, link);
        vm->nidle--;
    } else {
        co = co_make(vm);
    }
    co->exchange = x;
    co->on_end = on_end;
    co->owner = owner;
    co->use = co->phase = -1;
    co->nready = -1;
    co->step = 0;
    co->is_cancelled = false;
    co->deadline_ms = 0;
    return co;
}

static void co_release(void *co)
{
    free(co);
}

void co_drop(struct co *co)
{
    struct vm *vm = co->vm;

    if (co->cancel) {
        co_cancel_fn cancel = co->cancel;
        co->cancel = NULL;
        vm->nwaiting--;
        cancel(co, co->wait);
    }
    list_remove(&co->link);
    list_remove(&co->sibling);
    co_cancel_scope(&co->children);
    timer_deinit(&co->deadline);
    luaL_unref(vm->L, LUA_REGISTRYINDEX, co->ref);
    loop_free_later(vm->gateway->loop, co, co_release); /* its timer may be on the stack */
}

static void drop_list(struct list *head)
{
    struct list *link;

    while ((link = list_first(head)))
        co_drop(container_of(link, struct co, link));
}

void co_drop_all(struct vm *vm)
{
    drop_list(&vm->waiting);
    drop_list(&vm->ready);
    drop_list(&vm->idle);
    vm->nidle = 0;
}

static void co_recycle(struct co *co)
{
    struct vm *vm = co->vm;

    if (vm->nidle >= IDLE_MAX) {
        co_drop(co);
        return;
    }
    lua_settop(co->thread, 0);
    list_push(&vm->idle, &co->link);
    vm->nidle++;
}

/* The text of the error value at the top. Calls no metamethod, since that would run Lua again. */
static const char *error_text(lua_State *L)
{
    if (lua_isstring(L, -1))
        return lua_tostring(L, -1);
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "message");
        lua_rawget(L, -2);
        if (lua_isstring(L, -1))
            return lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    lua_pushfstring(L, "(the error is a %s)", luaL_typename(L, -1));
    return lua_tostring(L, -1);
}

/* Leaves the message on the VM's own stack: what ended it from outside, or the error that it has raised and where, above
 * the error's own value. Returns how many these are. */
static int push_message(struct co *co, bool is_ended)
{
    lua_State *L = co->vm->L;
    int top = lua_gettop(L);
    struct buf traceback;

    if (is_ended) {
        lua_pushlstring(L, buf_slice(&co->vm->ended_by).ptr, buf_len(&co->vm->ended_by));
        return 1;
    }
    lua_xmove(co->thread, L, 1);
    lua_pushvalue(L, -1);
    lua_pushstring(L, error_text(L));
    buf_init(&traceback, TRACEBACK_MAX);
    vm_add_traceback(&traceback, co->thread);
    lua_pushlstring(L, buf_slice(&traceback).ptr, buf_len(&traceback));
    buf_deinit(&traceback);
    lua_concat(L, 2);
    lua_replace(L, top + 2);
    lua_settop(L, top + 2);
    return 2;
}

/* A task that is still to begin never does. */
static void end_unbegun(struct co *co)
{
    lua_State *L = co->vm->L;

    list_remove(&co->sibling);
    list_remove(&co->link);
    co->nready = -1;
    co->is_cancelled = true;
    lua_pushliteral(L, "cancelled");
    co->on_end(co, L, CO_RAISED, 1);
    lua_pop(L, 1);
    co_recycle(co);
}

/* One that was stopped may have filled the memory with what it has spawned. All that ends, and is collected, before
 * anybody goes on: the hooks of an error answer need memory, too. What has not begun has the cap's worth of time
 * budgets still before it, so it does not begin; the others hear that they are cancelled. */
static void end_spawned(struct co *co)
{
    struct list *scope = co->exchange ? hooks_scope(co->exchange) : &co->children, *link;

    luaL_unref(co->vm->L, LUA_REGISTRYINDEX, co->ref);
    co->ref = LUA_NOREF;
    LIST_EACH (it, scope) {
        struct co *task = container_of(it, struct co, sibling);
        if (lua_status(task->thread) != LUA_YIELD)
            end_unbegun(task);
    }
    vm_collect(co->vm);
    if (list_is_empty(scope))
        return;
    while ((link = list_pop(scope)))
        co_cancel(container_of(link, struct co, sibling));
    vm_collect(co->vm);
}

static void co_failed(struct co *co, enum co_end end, bool is_ended)
{
    struct vm *vm = co->vm;
    int top = lua_gettop(vm->L);

    int n = push_message(co, is_ended);
    if (end == CO_STOPPED)
        end_spawned(co);
    co->on_end(co, vm->L, end, n);
    lua_settop(vm->L, top);
    co_drop(co);
}

static bool co_is_waiting(const struct co *co)
{
    return co->cancel || co->nready >= 0;
}

/* lua_resume of one whose hooks are timed. */
static int resume_timed(struct co *co, int nargs)
{
    struct gateway *g = co->vm->gateway;
    struct hook_lap *outer = g->lap;

    g->lap = &co->lap;
    hook_lap_resume(&co->lap);
    int rc = lua_resume(co->thread, nargs);
    hook_lap_pause(&co->lap);
    g->lap = outer;
    if (rc == LUA_YIELD)
        return rc;
    if (rc != 0)
        hook_lap_end(&co->lap, co->vm->cell.use);
    co->lap.uses = NULL;
    return rc;
}

/* It is no longer waiting. */
static void end_wait(struct co *co)
{
    co->cancel = NULL;
    co->wait = NULL;
    timer_stop(&co->deadline);
    list_remove(&co->link);
    co->vm->nwaiting--;
}

static void undo_wait(struct co *co)
{
    co_cancel_fn cancel = co->cancel;
    void *wait = co->wait;

    end_wait(co);
    cancel(co, wait);
}

/* A wait of one that runs has not come to be: its yield was caught on the way, as an error, by a pcall around a callback
 * (of table.sort, or a finalizer) in which a coroutine of the plugin's own has waited. */
static void undo_stale_wait(struct co *co)
{
    if (UNLIKELY(co->cancel))
        undo_wait(co);
}

/* Runs it and sees what came out. */
static bool co_resume(struct co *co, int nargs)
{
    struct vm *vm = co->vm;
    lua_State *T = co->thread;

    vm->current = co;
    /* The watchdog may look (hooks_where). */
    __atomic_store_n(&vm->cell.use, co->use, __ATOMIC_RELAXED);
    __atomic_store_n(&vm->cell.phase, co->phase, __ATOMIC_RELAXED);
    co->is_running = true;
    vm_enter(vm);
    int rc = LIKELY(!co->lap.uses) ? lua_resume(T, nargs) : resume_timed(co, nargs);
    vm_leave(vm);
    co->is_running = false;
    co->use = vm->cell.use;
    vm->current = NULL;

    bool is_ended = vm->was_stopped;
    vm->was_stopped = false;
    if (LIKELY(rc == 0)) {
        undo_stale_wait(co);
        co->on_end(co, T, CO_RETURNED, lua_gettop(T));
        if (!list_is_empty(&co->children))
            co_cancel_scope(&co->children);
        list_remove(&co->sibling);
        co_recycle(co);
        return false;
    }
    if (rc == LUA_YIELD) {
        if (LIKELY(lua_touserdata(T, -1) == co_wait_mark && co_is_waiting(co))) {
            lua_settop(T, 0);
            return true;
        }
        lua_pushliteral(T, "coroutine.yield was called outside of a coroutine of your own");
    }
    co_failed(co, is_ended || rc == LUA_ERRMEM ? CO_STOPPED : CO_RAISED, is_ended);
    return false;
}

bool co_run(struct co *co, int nargs)
{
    return co_resume(co, nargs);
}

static void make_ready(struct co *co, int n)
{
    struct vm *vm = co->vm;

    co->nready = n;
    list_remove(&co->link);
    list_append(&vm->ready, &co->link);
    loop_later(vm->gateway->loop, &vm->run_ready);
}

void co_run_later(struct co *co, int nargs)
{
    make_ready(co, nargs);
}

/* One batch a turn: a task that makes a task, and so on, does not hold the loop up. */
void co_run_ready(struct vm *vm)
{
    struct list batch, *link;

    list_init(&batch);
    list_splice(&batch, &vm->ready);
    while ((link = list_pop(&batch))) {
        struct co *co = container_of(link, struct co, link);
        int n = co->nready;
        co->nready = -1;
        co_resume(co, n);
    }
    if (!list_is_empty(&vm->ready)) {
        later_cancel(&vm->run_ready);
        timer_set(&vm->next_turn, 0);
    }
}

struct co *co_current(lua_State *L)
{
    struct co *co = vm_of(L)->current;

    if (UNLIKELY(!co))
        luaL_error(L, "can't wait here: this code is not run by a hook or a task");
    if (UNLIKELY(!lua_isyieldable(L)))
        luaL_error(
            L,
            "can't wait here: between the hook and this place stands a function that can't be left "
            "(require, a callback of string.gsub or table.sort)");
    return co;
}

int co_push_error(lua_State *L, int err)
{
    lua_pushnil(L);
    lua_pushstring(L, err_word(err));
    return 2;
}

static uint64_t time_left(const struct co *co)
{
    uint64_t now = clock_ms();

    return co->deadline_ms > now ? co->deadline_ms - now : 0;
}

/* True: it may not wait any more, *err says why. Else *ms is how long at most (0: without end), and *sleeps is false
 * when the coroutine's own deadline comes first. */
static bool may_not_wait(const struct co *co, uint64_t *ms, bool *sleeps, int *err)
{
    if (UNLIKELY(co->is_cancelled)) {
        *err = ERR_CANCELLED;
        return true;
    }
    if (co->deadline_ms) {
        uint64_t left = time_left(co);
        if (left == 0) {
            *err = ERR_TIMEOUT;
            return true;
        }
        if ((*ms == 0 && !*sleeps) || left < *ms) {
            *ms = left;
            *sleeps = false;
        }
    }
    return false;
}

static int wait_for(lua_State *L, struct co *co, co_cancel_fn cancel, void *wait, uint64_t ms,
                    bool sleeps)
{
    struct vm *vm = co->vm;
    int err;

    undo_stale_wait(co);
    if (may_not_wait(co, &ms, &sleeps, &err)) {
        cancel(co, wait);
        return co_push_error(L, err);
    }
    co->cancel = cancel;
    co->wait = wait;
    co->sleeps = sleeps;
    list_append(&vm->waiting, &co->link);
    vm->nwaiting++;
    if (ms || sleeps)
        timer_set(&co->deadline, ms);
    lua_pushlightuserdata(L, (void *)co_wait_mark);
    return lua_yield(L, 1);
}

int co_wait(lua_State *L, struct co *co, co_cancel_fn cancel, void *wait, uint64_t timeout_ms)
{
    return wait_for(L, co, cancel, wait, timeout_ms, false);
}

static void nothing_begun(struct co *co UNUSED, void *wait UNUSED)
{
}

int co_sleep(lua_State *L, struct co *co, uint64_t ms)
{
    return wait_for(L, co, nothing_begun, NULL, ms, true);
}

void co_wake(struct co *co, int nresults)
{
    REQUIRE(co->cancel && co->vm->depth == 0);
    end_wait(co);
    co_resume(co, nresults);
}

void co_wake_later(struct co *co, int nresults)
{
    REQUIRE(co->cancel);
    end_wait(co);
    make_ready(co, nresults);
}

static void on_deadline(struct timer *timer)
{
    struct co *co = container_of(timer, struct co, deadline);

    if (co->sleeps) {
        end_wait(co);
        lua_pushboolean(co->thread, 1);
        co_resume(co, 1);
        return;
    }
    undo_wait(co);
    co_resume(co, co_push_error(co->thread, ERR_TIMEOUT));
}

static void cancel_later(struct co *co)
{
    co->is_cancelled = true;
    co_cancel_scope(&co->children);
    if (co->cancel && !co->is_running) {
        undo_wait(co);
        make_ready(co, co_push_error(co->thread, ERR_CANCELLED));
    }
}

void co_cancel(struct co *co)
{
    if (co->vm->depth > 0) {
        cancel_later(co);
        return;
    }
    co->is_cancelled = true;
    co_cancel_scope(&co->children);
    if (co->cancel) {
        undo_wait(co);
        co_resume(co, co_push_error(co->thread, ERR_CANCELLED));
    }
}

void co_cancel_scope(struct list *scope)
{
    struct list *link;

    while ((link = list_pop(scope)))
        cancel_later(container_of(link, struct co, sibling));
}

void co_cancel_all(struct vm *vm)
{
    struct list *link;

    while ((link = list_first(&vm->waiting)))
        cancel_later(container_of(link, struct co, link));
}
