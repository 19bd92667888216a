/* SPDX-License-Identifier: Apache-2.0 */

/* The time budget of plugins' code on a thread that builds: what runs when a module is loaded and in `new`. It may take
 * its time, since nobody's request waits for it, but not for ever: ten times script.time_budget, and two seconds of CPU
 * at least. What is stopped is a fault of the place; a hang in C is not ended, as the thread carries no traffic. */

#ifndef DML_APP_BUILD_GUARD_H
#define DML_APP_BUILD_GUARD_H

struct snapshot;
struct vm_watch;
struct watchdog;

struct build_guard {
    struct watchdog *watchdog; /* NULL: not started */
    struct vm_watch *watch;    /* of the thread that has started it: for vm_guard */
};

/* On the thread that builds. snapshot: as far as it is built, or NULL for the default budget. */
void build_guard_start(struct build_guard *g, const struct snapshot *snapshot);

/* On the same thread, when no VM is under its watch any more. Nothing happens when it was not started. */
void build_guard_stop(struct build_guard *g);

#endif
