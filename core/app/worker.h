/* SPDX-License-Identifier: Apache-2.0 */

/* A worker thread: the struct that owns all per-thread parts. Made on the control thread, then it speaks with it by mail
 * alone.
 *
 *   new     loop, mailbox, gateway, VM, plan            (control thread)
 *   start   thread, start hooks
 *   open    accepting, once all workers have started
 *   swap    a reload: another plan, VM, listeners
 *   drain   no more accepting, exchanges end; or retire: connections that are idle may have one more
 *   stop    what is left is cut off, stop hooks, the thread ends
 *   free    everything in reverse                       (control thread) */

#ifndef DML_APP_WORKER_H
#define DML_APP_WORKER_H

#include <pthread.h>

#include "base/base.h"
#include "gate/gateway.h"
#include "net/listener.h"
#include "net/mailbox.h"

struct closer;
struct control;
struct faults;
struct loop;
struct metric_series;
struct vm;
struct vm_watch;
struct watchdog;

enum worker_state { WORKER_RUNS, WORKER_DRAINS, WORKER_ENDS, WORKER_STOPS };

struct worker {
    /* owned */
    struct loop *loop;
    struct mailbox *mailbox;
    struct gateway gateway;
    struct listener **listeners; /* one per listener of the snapshot; NULL once draining */
    struct vm *vm; /* the plan's host frees it, where there is one; NULL: nothing needs Lua */
    pthread_t thread;
    struct timer look; /* while it ends: is it time for the next step? */
    struct timer
        beat; /* tells the watchdog that the loop turns, the metrics how much Lua there is */
    /* borrowed */
    struct control *control;
    struct watchdog *watchdog; /* or NULL */
    struct vm_watch *watch;    /* what it sees of this thread, while the thread runs */
    struct listener_quota *quota;
    struct metric_series *lua_memory, *lua_waiting;
    /* state */
    enum worker_state state;
    int number; /* 1... */
    uint32_t nlisteners;
    uint32_t looks; /* since the order to drain or to end */
    double told_memory, told_waiting;
    bool is_started;
};

struct worker_setup {
    struct worker *room;       /* taken over; NULL: it makes its own */
    struct control *control;   /* NULL: it will not be started */
    struct closer *closer;     /* frees its plans and VMs; NULL: itself */
    struct watchdog *watchdog; /* or NULL */
    struct vm_watch *guard;    /* of the thread that builds (build_guard.h), or NULL */
    struct snapshot *snapshot;
    int *fds; /* one listening descriptor per listener, taken over (-1 then); NULL: none */
    struct listener_quota *quota;
    int number;    /* 0 is taken as 1 */
    bool needs_vm; /* even without plugins */
};

/* Where a worker is to be. Its gateway's address is known already, so that a VM can be made for it and put into it before
 * the configuration is known. worker_free takes it, too. */
struct worker *worker_room(void);

/* NULL when its VM or a plugin's instance can't be made: a fault for what the configuration causes, else it is logged.
 * The descriptors are then the caller's, the room has gone. */
struct worker *worker_new(const struct worker_setup *setup, struct faults *faults);

/* Starts the thread; control_on_worker_ready follows by mail. */
void worker_start(struct worker *w);

/* In place of worker_start: the calling thread is the worker's, and runs its loop as it likes. */
void worker_adopt(struct worker *w);

/* What a reload brings to a worker; the worker takes it over and frees it. The listener at place i of the new
 * configuration is that of place old[i], or a new one on the descriptor fds[i] where that is not -1. */
struct worker_swap {
    struct mail mail;
    struct plan *plan;
    struct vm *vm; /* of the plan's host, or NULL */
    uint32_t nlisteners;
    int *fds, *old; /* one block of memory */
};

struct worker_swap *worker_swap_new(uint32_t nlisteners);

/* By mail; control_on_worker_swapped follows. */
void worker_swap(struct worker *w, struct worker_swap *s);

/* By mail. open: accepts from now on. drain: accepts no more and lets exchanges end; control_on_worker_drained follows when none is left. retire: the
 * same, but an idle connection is not closed, since its client may be sending a request: the answer to it is the last.
 * stop: cuts
 * off what is left and ends the thread. */
void worker_open(struct worker *w);
void worker_drain(struct worker *w);
void worker_retire(struct worker *w);
void worker_stop(struct worker *w);

/* By mail: a connection that was accepted for it, on that listener of the snapshot. */
void worker_take(struct worker *w, int listener, int fd, const struct addr *peer);

/* Joins the thread if it was started (and told to stop), then frees everything. */
void worker_free(struct worker *w);

#endif
