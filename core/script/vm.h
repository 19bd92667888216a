/* SPDX-License-Identifier: Apache-2.0 */

/* One Lua state per worker and configuration: libraries, paths, memory cap, traceback, time budget. Made on the building
 * thread, then owned by its worker. Every entry from C into Lua goes through vm_enter / vm_leave (co.c does it), which
 * is where the watchdog sees how long Lua has been running.
 *
 * An entry has a number, and that is all that is written at it: the watchdog itself notes when it first saw the number
 * and how much CPU time the thread had used by then. So a budget is kept to 10-20 ms and costs two stores. */

#ifndef DML_SCRIPT_VM_H
#define DML_SCRIPT_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include <lua.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "net/loop.h"
#include "script/api.h"

struct co;
struct gateway;
struct snapshot;
struct vm;

/* What the watchdog thread sees of a worker. Lives as long as the process. `entry` is odd while Lua runs; a new entry
 * is a new number. stop is the entry that is to be stopped. */
struct vm_watch {
    atomic_ullong entry;
    atomic_ullong stop;
    pthread_mutex_t telling; /* held while the watchdog reads vm, and by who takes one away */
    _Atomic(struct vm *) vm; /* which one was entered last; NULL when that one has gone */
    atomic_uint budget_us;   /* CPU time of one entry; set by control, or by test.gateway */
    pthread_t thread;
    clockid_t cpu_clock;
};

/* Something on the thread's loop that Lua owns (a socket, a listener, an HTTP stream). leave is called when the VM leaves
 * the thread, after its coroutines were dropped; and when the exchange ends that it belongs to. */
struct vm_part {
    struct list link;        /* vm->parts */
    struct list of_exchange; /* hooks_parts, of those that belong to one */
    void (*leave)(struct vm_part *part);
};

struct vm {
    /* owned */
    lua_State *L;
    lua_State *memory_of; /* whose allocator gives this one its memory */
    struct list parts;    /* struct vm_part */
    struct list idle;     /* coroutines ready for use (struct co.link) */
    struct list waiting;  /* coroutines that wait */
    struct list ready;    /* coroutines that are to be resumed at the end of the turn */
    struct list tasks;    /* tasks that belong to no exchange (struct co.sibling) */
    struct later run_ready;
    struct timer next_turn;
    struct later at_end; /* of the gateway */
    struct buf
        ended_by; /* why and where the code of an entry was ended; a message with traceback */
    /* borrowed */
    struct gateway *gateway;      /* NULL while it is being built */
    struct vm_watch *watch;       /* NULL on threads without a watchdog */
    struct vm_watch *guest_watch; /* of gateways that specs start, whose own code has no budget */
    struct co *current;           /* running now */
    lua_Alloc alloc;              /* with alloc_arg: memory_of's */
    void *alloc_arg;
    const struct snapshot *snapshot; /* whose plugins live here (plugin.c, hooks.c), or NULL */
    /* state */
    struct dml_cell cell;      /* shared with Lua: which plugin's hook runs */
    size_t memory, memory_cap; /* bytes of the allocator; cap 0 = none. Kept only while Lua runs */
    size_t allowed; /* bytes until the next collection: the cap, or a little beyond what is held */
    size_t collect_at; /* above so many bytes all garbage is collected when Lua has returned */
    size_t swept;      /* memory after the last step in a quiet moment */
    int quiet_steps;   /* that are left of the collector's work in quiet moments */
    size_t nwaiting, nidle;
    int depth;        /* entries from C */
    int worker;       /* 1..n; 0 = control, tools */
    bool is_ending;   /* the code of this entry is being ended: ended_by says why */
    bool was_stopped; /* the code of the last entry was */
    bool hit_cap;
    bool is_building;
    bool is_closing;
    bool is_exempt; /* C makes something of its own while Lua runs: the cap waits */
};

struct vm_options {
    const char *lua_dir;     /* folder of demilune/... */
    const char *plugin_dirs; /* ';'-joined folders of plugin_path, in order; "" = none */
    const char *
        shipped_dir; /* folder of the shipped plugins: searched last, after the LuaRocks trees; or NULL */
    const char *luajit_dir; /* folder of LuaJIT's own jit/..., or NULL */
    struct gateway *
        gateway; /* of the worker it is for. Only its address is used before vm_use_on_this_thread */
    size_t memory_cap;
    int worker;
    bool
        explains; /* run --dev: lua/demilune/explain.lua looks for misuse of the plugin interface */
    bool
        is_trial; /* no request will be served: plugins are asked for what they would do, and do nothing */
};

/* Loads the library (but no plugin). NULL and a message (malloc'ed) on failure. */
struct vm *vm_new(const struct vm_options *o, char **error);

/* All that lives here from its beginning is made: the garbage goes, and the collector works as usual from now on. Building
 * thread. (vm_use_on_this_thread does it where it was not done.) */
void vm_built(struct vm *vm);

/* Any thread that owns it; when that is the worker's own, vm_leave_this_thread may be left out. */
void vm_free(struct vm *vm);

/* Calls the function below nargs arguments on vm->L outside any coroutine, with traceback and budget; it may not wait.
 * 0, or ERR_HOOK / ERR_BUDGET with the message on the stack. */
MUST_CHECK int vm_call(struct vm *vm, int nargs, int nresults);

/* Pushes require(module)[function]. The module must be there: a bug otherwise. */
void vm_push_function(struct vm *vm, const char *module, const char *function);

/* Adds where `of` stands, or stood when it ended in an error, to a message. Asks nothing of Lua's memory or stack. */
void vm_add_traceback(struct buf *out, lua_State *of);

/* The vm of a state (any coroutine of it). */
struct vm *vm_of(lua_State *L);

/* The stop signal's handler is process-wide; the watchdog (app) sends it with pthread_kill. */
#define VM_STOP_SIGNAL SIGURG
void vm_install_stop_handler(void);

/* From now on the calling thread owns the VM: `gateway` is this thread's (its loop runs the waits). watch: this
 * thread's, or NULL; the signal handler stops what runs under it. Several VMs of a thread share one watch. */
void vm_use_on_this_thread(struct vm *vm, struct gateway *gateway, struct vm_watch *watch);

/* On a thread that builds, before it is any worker's: its code runs under this watch of the thread from now on, or, with
 * NULL and before the watch goes, under none. */
void vm_guard(struct vm *vm, struct vm_watch *watch);

/* On the worker's thread, before another one may free it: drops the coroutines and parts that are left. gateway_deinit
 * does it to those that are still there. */
void vm_leave_this_thread(struct vm *vm);

/* Slow parts of vm_leave. */
void vm_was_stopped(struct vm *vm);
void vm_collect(struct vm *vm);

/* Before and after each call into Lua. */
static inline void vm_enter(struct vm *vm)
{
    struct vm_watch *w = vm->watch;

    if (vm->depth++ > 0 || !w)
        return;
    atomic_store_explicit(&w->vm, vm, memory_order_relaxed);
    atomic_store_explicit(&w->entry, atomic_load_explicit(&w->entry, memory_order_relaxed) + 1,
                          memory_order_release);
}

static inline void vm_leave(struct vm *vm)
{
    struct vm_watch *w = vm->watch;

    if (--vm->depth > 0)
        return;
    if (w) {
        unsigned long long entry = atomic_load_explicit(&w->entry, memory_order_relaxed);
        atomic_store_explicit(&w->entry, entry + 1, memory_order_release);
        atomic_signal_fence(memory_order_seq_cst); /* from here on the handler does nothing */
        if (UNLIKELY(atomic_load_explicit(&w->stop, memory_order_relaxed) == entry))
            vm_was_stopped(vm);
    }
    if (UNLIKELY(vm->memory > vm->collect_at))
        vm_collect(vm);
}

#endif
