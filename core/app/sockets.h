/* SPDX-License-Identifier: Apache-2.0 */

/* The gateway's listening sockets, by address: one per worker for TCP (SO_REUSEPORT), so that the kernel spreads
 * connections; one for all of them for a unix address, and for the admin endpoint. They outlive configurations: an
 * address that a new configuration listens on too keeps its sockets, and nobody who is in a backlog is turned away. They
 * outlive the process as well: the supervisor holds copies, and a gateway that is started after a crash finds them by
 * address instead of binding. Control thread.
 *
 * A configuration takes its sockets in a round: sockets_begin, then sockets_open for each of its listeners in their order
 * (several may ask for port 0, each gets its own), then either sockets_keep when it is in use, or sockets_undo. */

#ifndef DML_APP_SOCKETS_H
#define DML_APP_SOCKETS_H

#include "base/base.h"
#include "net/addr.h"

struct lifeline;
struct sockets;

/* With what the supervisor held. NULL: there is none. */
struct sockets *sockets_new(int nworkers, struct lifeline *lifeline);

/* Closes this process's, but leaves the supervisor's alone. Files of unix sockets go when nobody listens there any more. */
void sockets_free(struct sockets *s);

void sockets_begin(struct sockets *s);

/* The sockets of this address, which are opened when they are not there yet: fds[0..nworkers) are descriptors that the
 * caller owns (copies). *at: the address as bound (port 0: the port that the system chose; asked for again, it is the
 * same). ERR_SYSTEM with errno set: then nothing has changed. */
MUST_CHECK int sockets_open(struct sockets *s, const struct addr *a, int *fds, struct addr *at);

/* The same for one socket that no worker accepts from. */
MUST_CHECK int sockets_open_one(struct sockets *s, const struct addr *a, int *fd, struct addr *at);

/* An earlier gateway may have had more workers: calls fn with a copy of each socket that no worker has, of the addresses
 * of this round; someone must accept from them, too. nth: which sockets_open of this round it belongs to, from 0. */
typedef void (*sockets_surplus_fn)(void *arg, int nth, int fd);
void sockets_surplus(struct sockets *s, sockets_surplus_fn fn, void *arg);

/* The configuration of this round is in use: closes what it did not ask for, here and at the supervisor; before the
 * workers are told so, for who closes the last copy must have accepted what was in the backlog. */
void sockets_keep(struct sockets *s);

/* It is not: closes what was opened for it. */
void sockets_undo(struct sockets *s);

/* Nobody is to listen on this address any more; with NULL on none. As sockets_keep does. */
void sockets_close(struct sockets *s, const struct addr *a);

#endif
