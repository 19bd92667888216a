/* SPDX-License-Identifier: Apache-2.0 */

/* A gateway's process as its supervisor sees it: started by fork and exec of this program with the same arguments, told
 * things and read from through a pair of sockets, watched by its deadline. */

#ifndef DML_APP_CHILD_H
#define DML_APP_CHILD_H

#include <sys/types.h>

#include "app/held.h"
#include "app/note.h"
#include "base/base.h"
#include "base/list.h"

enum child_state {
    CHILD_STARTING,
    CHILD_READY,
    CHILD_RETIRING, /* another gateway has taken over */
    CHILD_ENDING,   /* told to end */
};

struct child {
    struct list link;
    /* owned */
    int fd; /* -1: it has closed its end */
    /* state */
    pid_t pid;
    enum child_state state;
    bool is_welcome;   /* it has said hello, and been told what there is: orders reach it */
    uint64_t since_us; /* in this state (monotonic) */
    uint64_t until_us; /* then it is killed; 0: never */
};

/* program NULL: this very program, even if its file has been replaced. Else that file. NULL when no process can be
 * started (errno); that the program can't be executed is logged by the new process, which ends with CHILD_NO_PROGRAM. */
struct child *child_start(const char *program, char **argv);
#define CHILD_NO_PROGRAM 127

void child_free(struct child *c);

void child_to(struct child *c, enum child_state state);
void child_kill_after(struct child *c, uint64_t ms);

/* A note without descriptors, unless it has yet to be welcomed. A gateway that can't be told is logged, and killed. */
void child_tell(struct child *c, enum note_kind kind, uint32_t number);

/* All that a gateway is told at its start. False: as above. */
bool child_welcome(struct child *c, const struct note_welcome *welcome, const struct held *held,
                   struct slice tickets);

/* "SIGSEGV" or "exit status 1", for the log; valid until the next call. */
const char *child_reason(int wait_status);

/* The exit status of a shell for it: 128 + the signal. */
int child_exit_status(int wait_status);

#endif
