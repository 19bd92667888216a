/* SPDX-License-Identifier: Apache-2.0 */

/* The coroutine scheduler: everything in Lua that may wait runs in a co. Coroutines are recycled: a hook that does not
 * wait costs none.
 *
 *   loop ---> co_run / co_wake ---> lua_resume ---> hook ---> demilune.x.y() ---> C function in call_*.c
 *                                                                                  |  co_wait: notes the wait, yields
 *   loop <-----------------------------------------------------------------------+
 *   ... the thing happens ... call_*.c's callback pushes results on co->thread and calls co_wake
 *
 * Rules: only classic C functions (call_*.c) wait; co_wake is called from the loop, never from inside Lua or an FFI
 * call (co_wake_later may be); each wait has a cancel function and a deadline. After co_cancel every wait, the present
 * one and later ones, ends at once with nil, "cancelled". All on the worker's thread.
 *
 * A scope is a list of coroutines that are cancelled together: the tasks of an exchange, the children of a task, the
 * background tasks of a VM. */

#ifndef DML_SCRIPT_CO_H
#define DML_SCRIPT_CO_H

#include <lua.h>

#include "base/base.h"
#include "base/list.h"
#include "gate/hook_time.h"
#include "net/loop.h"
#include "script/vm.h"

struct co;
struct exchange;

enum co_end { CO_RETURNED, CO_RAISED, CO_STOPPED /* budget or memory */ };

/* The coroutine has ended. Results (CO_RETURNED: nresults on top of `L`) or the message with traceback are on L,
 * which the value that was raised lies below when nresults is 2. Called from co_run, co_wake or co_cancel, outside of
 * Lua. */
typedef void (*co_end_fn)(struct co *co, lua_State *L, enum co_end end, int nresults);

typedef void (*co_cancel_fn)(struct co *co, void *wait);

struct co {
    /* owned */
    lua_State *thread;
    int ref;               /* keeps the thread from the collector */
    struct timer deadline; /* of the present wait */
    struct list children;  /* its scope: what it has spawned, when it is a task */
    /* borrowed */
    struct vm *vm;
    struct exchange
        *exchange; /* whose hook or task this is, or NULL; NULL again when the exchange has ended */
    co_end_fn on_end;
    void *owner;
    co_cancel_fn cancel; /* of the present wait; NULL = not waiting */
    void *wait;
    /* state */
    struct list sibling; /* in the scope that it belongs to */
    struct list link;    /* vm->idle, vm->waiting or vm->ready */
    int32_t use, phase;  /* whose code it runs: kept here while it waits (struct dml_cell) */
    int nready;          /* values pushed for co_wake_later, -1 = it is not ready */
    int step;            /* the owner's own */
    struct hook_lap lap; /* of the hooks that it runs, when they are timed */
    bool is_cancelled;
    bool is_running;
    bool sleeps;          /* the end of the present wait's time is no timeout */
    uint64_t deadline_ms; /* of the whole coroutine (log_timeout, task deadlines); 0 = none */
};

/* Takes a recycled coroutine or makes one. Push the function and its arguments on co->thread, then co_run. */
struct co *co_new(struct vm *vm, struct exchange *x, co_end_fn on_end, void *owner);

/* Runs it until it ends (on_end was called; co is recycled: do not touch it) or waits. True: it waits. */
bool co_run(struct co *co, int nargs);

/* The same at the end of the turn; may be called from inside Lua. */
void co_run_later(struct co *co, int nargs);

/* For call_*.c, as their first statement: the coroutine that runs L; raises a clear Lua error when L can't wait (module
 * top level, a callback of string.gsub...): "can't wait here: ...". */
struct co *co_current(lua_State *L);

/* Last statement of a waiting C function: return co_wait(L, co, cancel, wait, timeout_ms). Yields. cancel(co, wait) must
 * undo what was begun and is called at most once; then results nil, "cancelled" or nil, "timeout" are given by the
 * scheduler. timeout_ms 0: none beyond the coroutine's own. When co is already cancelled it calls cancel at once and
 * returns nil, "cancelled". */
int co_wait(lua_State *L, struct co *co, co_cancel_fn cancel, void *wait, uint64_t timeout_ms);

/* As co_wait, for the passing of time alone: the result is true. */
int co_sleep(lua_State *L, struct co *co, uint64_t ms);

/* The wait is over: its results are the nresults values pushed on co->thread. Resumes. */
void co_wake(struct co *co, int nresults);

/* The same at the end of the turn; may be called from inside Lua. */
void co_wake_later(struct co *co, int nresults);

/* Pushes nil and the word of an error code; returns 2. */
int co_push_error(lua_State *L, int err);

/* Cancels its present wait and all later ones, and its children. It may end inside this call (not when Lua is running:
 * then at the end of the turn). */
void co_cancel(struct co *co);

/* Cancels all of a scope; they go on at the end of the turn. The scope is empty afterwards and may be freed. */
void co_cancel_scope(struct list *scope);

/* Cancels all that wait. */
void co_cancel_all(struct vm *vm);

/* Ends it without running it any more (the VM is being closed). */
void co_drop(struct co *co);

/* Drops all that are left. */
void co_drop_all(struct vm *vm);

/* Its address is what a wait yields: coroutine.lua lets it pass. */
extern const char co_wait_mark[];

/* For vm.c: resumes what is ready. */
void co_run_ready(struct vm *vm);

#endif
