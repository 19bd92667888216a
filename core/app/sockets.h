/* SPDX-License-Identifier: Apache-2.0 */

/* The gateway's listening sockets, by address: one per worker for TCP (SO_REUSEPORT), so that the kernel spreads
 * connections; of a unix socket, copies of one. They outlive configurations: an address that a new configuration listens on too keeps its sockets, and
 * nobody who is in a backlog is turned away. Control thread. */

#ifndef DML_APP_SOCKETS_H
#define DML_APP_SOCKETS_H

#include "base/base.h"
#include "net/addr.h"

struct sockets;

struct sockets *sockets_new(int nworkers);

/* Closes what is open. Files of unix sockets go, unless another process listens there by now. */
void sockets_free(struct sockets *s);

/* The sockets of this address, which are opened when they are not there yet: fds[0..nworkers) are descriptors that the
 * caller owns (copies). *at: the address as bound (port 0: the port that the system chose; asked for again, it is the
 * same). ERR_SYSTEM with errno set: then nothing has changed. */
MUST_CHECK int sockets_open(struct sockets *s, const struct addr *a, int *fds, struct addr *at);

/* Nobody is to listen on this address any more; with NULL on none. Before the workers are told so: who closes the last
 * copy must have accepted what was in the backlog. */
void sockets_close(struct sockets *s, const struct addr *a);

#endif
