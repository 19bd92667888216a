/* SPDX-License-Identifier: Apache-2.0 */

/* A thread that looks every 10 ms at how long each worker has been in Lua. An entry that has used more CPU time than the
 * budget is stopped (script/vm.h says how). One that goes on all the same sits in a C function that no hook can stop:
 * then the process ends, and its supervisor starts it again. So it does when a worker's loop no longer turns. */

#ifndef DML_APP_WATCHDOG_H
#define DML_APP_WATCHDOG_H

#include "base/base.h"

struct vm_watch;
struct watchdog;

/* Starts the thread. script.time_budget and script.hang_timeout; hang_ms 0: hangs are not ended. */
struct watchdog *watchdog_new(uint32_t budget_ms, uint32_t hang_ms);

/* A reload has changed them. */
void watchdog_set(struct watchdog *w, uint32_t budget_ms, uint32_t hang_ms);

/* Watches the calling thread, which is that worker's (0: of one that builds, its stops are not logged). The place that
 * its VMs are seen through is to be given to vm_use_on_this_thread. It belongs to the watchdog, and may be read by the
 * VMs until watchdog_free; after watchdog_unwatch, which the worker's thread calls before it ends, nobody looks at it. */
struct vm_watch *watchdog_watch(struct watchdog *w, int worker);
void watchdog_unwatch(struct watchdog *w, struct vm_watch *watch);

/* The thread's loop turns: to be said at least every WATCHDOG_BEAT_MS. */
#define WATCHDOG_BEAT_MS 1000
void watchdog_beat(struct vm_watch *watch);

/* Ends the thread. No VM may use a watch of it any more. */
void watchdog_free(struct watchdog *w);

#endif
