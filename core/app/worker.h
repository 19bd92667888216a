/* SPDX-License-Identifier: Apache-2.0 */

/* A worker thread: the struct that owns all per-thread parts. Made on the control thread, then it speaks with it by mail
 * alone. Start: loop, mailbox, gateway, plan (snapshot and VM), thread, start hooks, accepting. Stop: no more accepting,
 * exchanges end, stop hooks, then everything in reverse. */

#ifndef DML_APP_WORKER_H
#define DML_APP_WORKER_H

#include <pthread.h>

#include "base/base.h"
#include "gate/gateway.h"
#include "net/listener.h"
#include "net/mailbox.h"

struct control;
struct loop;
struct vm_watch;

struct worker {
    /* owned */
    struct loop *loop;
    struct mailbox *mailbox;
    struct gateway gateway;
    struct listener **listeners; /* one per listener of the snapshot */
    struct vm_watch *watch;      /* what the watchdog sees of it */
    pthread_t thread;
    struct timer look;           /* while draining: have all exchanges ended? */
    /* borrowed */
    struct control *control;
    /* state */
    int number; /* 1... */
    uint32_t nlisteners;
    bool is_draining;
};

/* Takes over fds, one listening descriptor per listener. NULL when its VM can't be made (the reason is logged). */
struct worker *worker_new(struct control *c, int number, int nworkers, struct snapshot *snapshot, const int *fds,
                          struct listener_quota *quota);

/* Starts the thread; control_on_worker_ready follows by mail. */
void worker_start(struct worker *w);

/* By mail. drain: accepts no more and lets exchanges end; control_on_worker_drained follows when none is left. stop: cuts
 * off what is left and ends the thread. */
void worker_drain(struct worker *w);
void worker_stop(struct worker *w);

/* Joins the thread if it was started, then frees everything. */
void worker_free(struct worker *w);

#endif
