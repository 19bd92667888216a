/* SPDX-License-Identifier: Apache-2.0 */

/* The process that a person starts. It knows no configuration and opens nothing: it starts the gateway as a process of its
 * own, holds the listening sockets that the gateway opens, and starts another with them when it crashes. On SIGUSR2 it
 * starts a gateway of the new binary beside the old one, and when that is ready it replaces itself by the new binary, too
 * (app/legacy.h). Signals are for it; it hands them on. Single-threaded: everything happens in one loop over poll(2). */

#ifndef DML_APP_SUPERVISOR_H
#define DML_APP_SUPERVISOR_H

#include "app/child.h"
#include "app/held.h"
#include "app/note.h"
#include "base/base.h"
#include "base/list.h"

struct supervisor {
    /* owned */
    struct held held;
    char *tickets; /* the gateway's key ring, which nobody here looks into; wiped when freed */
    size_t ntickets;
    struct list children;
    char *program; /* the file that SIGUSR2 starts */
    int signals;   /* a signalfd */
    struct note *note;
    /* borrowed */
    char **argv;
    struct child *current;   /* the gateway; NULL: it has crashed, and is to be started again */
    struct child *candidate; /* of a handover; NULL: none is under way */
    /* state */
    struct note_welcome counts;
    unsigned failures;      /* crashes in a row */
    uint64_t restart_at_us; /* 0: not */
    uint64_t crashed_us;    /* the last time */
    int told;               /* SIGTERM or SIGINT, once it came */
    int status;             /* to end with */
    uint32_t log_number;    /* the gateway's settings of the log, as READY told */
    bool was_ready;         /* a gateway has been */
    bool wants_handover;    /* another one, after that which is under way */
};

/* Runs the program of argv in a gateway process until it is told to end. Returns the exit status. */
int supervisor_run(char **argv);

#endif
