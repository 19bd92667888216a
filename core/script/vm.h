/* SPDX-License-Identifier: Apache-2.0 */

/* One Lua state per worker and configuration: libraries, paths, memory cap, traceback, time budget. Made on the building
 * thread, then owned by its worker. Every entry from C into Lua goes through vm_enter / vm_leave (co.c does it), which
 * is where the watchdog sees how long Lua has been running. */

#ifndef DML_SCRIPT_VM_H
#define DML_SCRIPT_VM_H

#include <stdatomic.h>

#include <lua.h>

#include "base/base.h"
#include "base/list.h"
#include "base/slice.h"

struct co;
struct gateway;

/* What the watchdog thread sees of a worker. Lives as long as the process. `entry` is odd while Lua runs; a new entry
 * is a new number. stop is the entry that is to be stopped. */
struct vm_watch {
    atomic_ullong entry;
    atomic_ullong entered_cpu_us; /* the worker's CPU time at the entry */
    atomic_ullong stop;
    pthread_t thread;
    clockid_t cpu_clock;
    uint32_t budget_us;
};

struct vm {
    /* owned */
    lua_State *L;
    struct list idle;   /* coroutines ready for use (struct co.link) */
    struct list waiting; /* coroutines that wait */
    /* borrowed */
    struct gateway *gateway; /* NULL while it is being built */
    struct vm_watch *watch;  /* NULL on threads without a watchdog */
    struct co *current;      /* running now */
    /* state */
    size_t memory, memory_cap; /* bytes of the allocator; cap 0 = none */
    size_t nwaiting;
    int worker;              /* 1..n; 0 = control, tools */
};

struct vm_options {
    const char *lua_dir;               /* the folder that holds demilune/ */
    const char *plugin_dirs;           /* ';'-joined folders, in order: plugin_path, then shipped ones come last */
    size_t memory_cap;
    int worker;
};

/* Loads the library (but no plugin). NULL and a message (malloc'ed) on failure. */
struct vm *vm_new(const struct vm_options *o, char **error);

/* All coroutines must have ended or are dropped. Any thread that owns it. */
void vm_free(struct vm *vm);

/* Calls the function below nargs arguments on vm->L outside any coroutine, with traceback and budget; it may not wait.
 * 0, or ERR_HOOK / ERR_BUDGET with the message on the stack. */
MUST_CHECK int vm_call(struct vm *vm, int nargs, int nresults);

/* The vm of a state (any coroutine of it). */
struct vm *vm_of(lua_State *L);

/* The stop signal's handler is process-wide; the watchdog (app) sends it with pthread_kill. */
#define VM_STOP_SIGNAL SIGURG
void vm_install_stop_handler(void);
void vm_use_on_this_thread(struct vm *vm); /* what the handler stops on this thread */

#endif
