/* SPDX-License-Identifier: Apache-2.0 */

/* The control thread: signals, workers, drain, admin endpoint, sweeps. It carries no traffic, and nothing here is touched
 * by a worker but through the mailbox. */

#ifndef DML_APP_CONTROL_H
#define DML_APP_CONTROL_H

#include "base/base.h"
#include "net/listener.h"
#include "net/loop.h"

struct admin;
struct cli;
struct closer;
struct lifeline;
struct mailbox;
struct plugin_metrics;
struct probes;
struct reload;
struct snapshot;
struct sockets;
struct spilling;
struct stragglers;
struct watchdog;
struct worker;

enum control_state { CONTROL_STARTING, CONTROL_READY, CONTROL_DRAINING, CONTROL_STOPPING };

struct control {
    /* owned */
    struct loop *loop;
    struct mailbox *mailbox;
    struct snapshot *snapshot; /* the current one */
    struct worker **workers;
    struct sockets *sockets;
    struct listener_quota quota;
    char *listening;     /* the addresses that were bound, for people */
    struct admin *admin; /* NULL: off */
    struct watchdog *watchdog;
    struct closer *closer;
    struct reload *reload;
    struct plugin_metrics *plugin_metrics;
    struct probes *probes; /* of the current snapshot's upstreams */
    struct stragglers *stragglers;
    struct spilling *spilling; /* NULL: no spill */
    struct timer drain_timer;  /* drain.delay, then drain.timeout */
    struct timer sweep_timer;
    struct timer flights_timer;
    struct timer spill_timer; /* draining: looks whether all events are delivered */
    /* borrowed */
    struct lifeline *lifeline;
    /* state */
    int nworkers;
    int nready, ndrained;
    uint64_t flush_until_ms; /* until then what was published may still reach Kafka; 0: no longer */
    uint32_t asked_connections; /* limits.connections, before the system's limit */
    bool is_closed;             /* draining: the workers accept no more */
    bool is_retired;            /* another gateway has the sockets */
    bool is_dev;                /* run --dev */
    enum control_state state;
};

/* Runs the gateway of this snapshot until it is told to stop. first: the room of worker 1 (worker_room); both are taken
 * over. cli: what it came from, for reloads. Returns the exit status of the program. All faults have been printed or
 * logged. */
int control_run(struct snapshot *snapshot, struct worker *first, struct lifeline *lifeline,
                const struct cli *cli);

struct mailbox *control_mailbox(struct control *c);

/* By mail from a worker; on the control thread. */
void control_on_worker_ready(struct control *c);
void control_on_worker_drained(struct control *c);
void control_on_worker_swapped(struct control *c);

/* limits.connections, or as many as the descriptor limit allows. */
void control_limit_connections(struct control *c, uint32_t n);

/* By mail from the lifeline: a signal that the supervisor has handed on; another gateway has the sockets now; the
 * supervisor has gone. */
void control_on_signal(struct control *c, int signal);
void control_on_retire(struct control *c);
void control_on_orphaned(struct control *c);

#endif
