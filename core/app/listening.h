/* SPDX-License-Identifier: Apache-2.0 */

/* The descriptors that workers listen on for one configuration: its share of a round of sockets.h. Control thread. */

#ifndef DML_APP_LISTENING_H
#define DML_APP_LISTENING_H

#include "base/base.h"

struct faults;
struct snapshot;
struct sockets;

struct listening {
    /* owned */
    int *
        fds; /* of worker n (0...) for listener i: fds[n * nlisteners + i]; -1: none, or given away */
    int *
        old; /* by listener: its place in the configuration before, whose descriptors stay; or -1 */
    char *text; /* the addresses that were bound, for people */
    /* state */
    uint32_t nlisteners;
    int nworkers;
};

/* Within a round. before: the configuration in use, or NULL. False, and a fault for each, when some can't be had. To be
 * ended in any case. */
bool listening_open(struct listening *l, struct sockets *s, int nworkers,
                    const struct snapshot *now, const struct snapshot *before,
                    struct faults *faults);

/* The descriptors of a worker, to be taken over (each is set to -1 then). */
int *listening_fds(struct listening *l, int worker);

char *listening_take_text(struct listening *l);

void listening_deinit(struct listening *l);

#endif
