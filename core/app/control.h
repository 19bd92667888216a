/* SPDX-License-Identifier: Apache-2.0 */

/* The control thread: signals, workers, drain, admin endpoint, sweeps. It carries no traffic, and nothing here is touched
 * by a worker but through the mailbox. */

#ifndef DML_APP_CONTROL_H
#define DML_APP_CONTROL_H

#include <stdatomic.h>

#include "base/base.h"
#include "gate/snapshot.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/mailbox.h"

struct admin;
struct watchdog;
struct worker;

enum control_state { CONTROL_STARTING, CONTROL_READY, CONTROL_DRAINING, CONTROL_STOPPING };

struct control {
    /* owned */
    struct loop *loop;
    struct mailbox *mailbox;
    struct snapshot *snapshot; /* the current one */
    struct worker **workers;
    struct listener_quota quota;
    struct admin *admin;       /* NULL: off */
    struct watchdog *watchdog;
    struct timer drain_timer;  /* drain.delay, then drain.timeout */
    struct timer sweep_timer;
    pthread_t signal_thread;
    /* state */
    int nworkers;
    int nready, ndrained;
    enum control_state state;
    uint64_t started_ms; /* wall clock */
};

/* Runs the gateway of this snapshot (taken over) until it is told to stop. Returns the exit status of the program. All
 * faults have been printed or logged. Signals must be blocked in this thread (control_block_signals) before any thread
 * is started. */
int control_run(struct snapshot *snapshot);
void control_block_signals(void);

/* By mail from a worker; on the control thread. */
void control_on_worker_ready(struct control *c);
void control_on_worker_drained(struct control *c);

#endif
