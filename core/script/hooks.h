/* SPDX-License-Identifier: Apache-2.0 */

/* The gate's hook table filled in with Lua: a phase's chain is one Lua function (lua/demilune/chain.lua makes it), run
 * in a recycled coroutine.
 *
 *   builder:  vm_new -> hooks_new (loads the plugins, calls their new)        -> handed to the worker
 *   worker:   vm_use_on_this_thread -> plan_new(.., host) -> hooks_start -> ... exchanges ... -> hooks_stop
 *   the plan's end: host->ops->free -> when the last detached task has ended: on_retired -> hooks_free, on any thread */

#ifndef DML_SCRIPT_HOOKS_H
#define DML_SCRIPT_HOOKS_H

#include "gate/phase.h"
#include "script/co.h"
#include "script/vm.h"

struct faults;
struct snapshot;

/* The host is of no use any more and the thread it was used on has let go of its VM: the callee frees it. On that
 * thread. */
typedef void (*hooks_retired_fn)(void *arg, struct phase_host *host);

/* Makes an instance of every plugin use of the snapshot in this VM. Faults are added (a plugin's `new` that raises);
 * then NULL, and the VM is still the caller's. Else the host takes the VM over, and a reference of the snapshot. Building
 * thread. on_retired: NULL: it is freed at once. */
struct phase_host *hooks_new(struct vm *vm, struct snapshot *snapshot, struct faults *faults,
                             hooks_retired_fn on_retired, void *arg);

/* One that has retired, with its VM. Any thread. */
void hooks_free(struct phase_host *host);

/* Hosts, each with a VM, that there are now. Any thread. */
int hooks_count(void);

/* Runs the start hooks. Worker's thread, after vm_use_on_this_thread. */
void hooks_start(struct phase_host *host);

/* Runs the stop hooks and cancels the background tasks. */
void hooks_stop(struct phase_host *host);

/* --- inside the script floor --------------------------------------------------------------------------------------- */

/* The tasks that are cancelled when the exchange ends. */
struct list *hooks_scope(struct exchange *x);

/* The parts that are left when the exchange ends (struct vm_part.of_exchange). */
struct list *hooks_parts(struct exchange *x);

/* A hook or task of the plugin co->use has failed: logs and counts. */
void hooks_report(const struct co *co, struct slice message);

/* The same from inside: a hook whose place says on_error: continue, a task that goes on. */
void hooks_report_use(struct vm *vm, int use, struct slice message);

/* Whose code runs now: for the watchdog's last words. Any thread, while Lua of this VM runs. */
void hooks_where(struct vm *vm, struct slice *plugin, const char **phase);

#endif
