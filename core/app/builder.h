/* SPDX-License-Identifier: Apache-2.0 */

/* A configuration built while another one carries traffic: on a thread of its own, from the file to each worker's VM and
 * plan. Nothing that runs is touched. */

#ifndef DML_APP_BUILDER_H
#define DML_APP_BUILDER_H

#include <pthread.h>
#include <stdatomic.h>

#include "app/load.h"
#include "app/worker_plan.h"
#include "base/base.h"
#include "net/mailbox.h"

struct closer;
struct worker;

struct building {
    /* owned */
    struct load load;          /* its faults, and the snapshot when there are none */
    struct snapshot *before;   /* one reference */
    struct worker_plan *parts; /* one per worker; a plan that was taken is NULL here */
    pthread_t thread;
    /* borrowed */
    const char *file;
    struct worker *const *workers;
    struct closer *closer; /* where its plans and hosts end */
    struct mailbox *home;
    mail_fn on_end;
    void *arg;
    /* state */
    struct mail mail; /* on_end's: at its end, whatever came of it */
    int nworkers;
    int asked_workers; /* the command line's, or 0 */
    int status;        /* CLI_FINE: there is a snapshot and all parts */
    bool is_joined;
    atomic_bool is_given_up;
};

/* The borrowed part, nworkers, asked_workers and before are set. False: there is no thread to be had (errno says why). */
bool building_start(struct building *b);

/* CPU time that it has taken so far. While it was not joined. */
uint64_t building_cpu_ms(const struct building *b);

/* Waits for the thread, at most so long. False: it still runs, and everything of it must stay. */
bool building_join(struct building *b, uint32_t wait_ms);

/* After that: with all that was not taken. Any thread. */
void building_free(struct building *b);

#endif
