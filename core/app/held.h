/* SPDX-License-Identifier: Apache-2.0 */

/* Listening sockets by name: what a supervisor holds for its gateway, and what a gateway has been given at its start. A
 * name stands for one listener; its sockets have an order, for the workers take one each. */

#ifndef DML_APP_HELD_H
#define DML_APP_HELD_H

#include <sys/types.h>

#include "app/note.h"
#include "base/base.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/vec.h"

struct held_socket {
    int fd;
    pid_t from; /* the gateway that opened it and has yet to get ready; 0: nobody's */
};

struct held_group {
    struct list link;
    char *name;
    VEC(struct held_socket) sockets;
};

struct held {
    struct list groups;
};

void held_init(struct held *h);
void held_deinit(struct held *h); /* closes what is held */

/* Takes the descriptor over, as the last of its name. */
void held_add(struct held *h, struct slice name, int fd, pid_t from);

/* NULL: there is none. */
struct held_group *held_find(struct held *h, struct slice name);

/* Closes the sockets of a name, or of all with an empty one. */
void held_drop(struct held *h, struct slice name);

/* That gateway will not get ready: closes what it has opened. Or it has: keeps it. */
void held_drop_from(struct held *h, pid_t from);
void held_settle(struct held *h);

/* Takes the group out; the caller closes or keeps its sockets, then held_group_free. */
struct held_group *held_take(struct held *h, struct slice name);
void held_group_free(struct held_group *g); /* not the sockets */

/* A SOCKET note's descriptors, which are taken over. ERR_PROTOCOL: it is not what it should be; they are closed. */
MUST_CHECK int held_receive(struct held *h, struct note *note, pid_t from);

/* Sends all as SOCKET notes. The error of note_send. */
MUST_CHECK int held_send(const struct held *h, int fd, int timeout_ms);

/* Sends n sockets of one name. The same. */
MUST_CHECK int held_send_fds(int fd, struct slice name, const int *fds, size_t n, int timeout_ms);

#endif
