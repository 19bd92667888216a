/* SPDX-License-Identifier: Apache-2.0 */

/* Listening sockets. One SO_REUSEPORT socket per worker and TCP address; opened on the control
 * thread before the workers start, given to a worker, accepted from on its loop. */

#ifndef DML_NET_LISTENER_H
#define DML_NET_LISTENER_H

#include <stdatomic.h>

#include "base/base.h"
#include "net/addr.h"

struct loop;
struct listener;

/* Opens, binds and listens (backlog: the system's maximum). *fd is non-blocking, close-on-exec;
 * TCP connections that it accepts have TCP_NODELAY. An IPv6 socket takes IPv6 only. A unix socket
 * that nobody serves any more is replaced, and its file has mode 0666; it can't be bound twice:
 * workers share one by dup(2). On failure ERR_SYSTEM with errno set: EADDRINUSE, EACCES,
 * EADDRNOTAVAIL, EEXIST (a file that is no socket has the name) ... Port 0 lets the system choose:
 * read it back with listener_address. With `shared`, further sockets may bind the same address
 * (SO_REUSEPORT). */
MUST_CHECK int listener_open(const struct addr *a, bool shared, int *fd);

/* The same, not shared; a unix socket's file has mode 0600 and is this user's alone. */
MUST_CHECK int listener_open_private(const struct addr *a, int *fd);

/* Gives the file of a unix address the one mode or the other, unless it has it. ERR_SYSTEM. */
MUST_CHECK int listener_set_private(const struct addr *a, bool is_private);

MUST_CHECK int listener_address(int fd, struct addr *out);

/* Of the sockets that share the address of this one, in the order in which they were opened, only
 * the first n get new connections; 0: all again. Where the system can't, all do. */
void listener_steer(int fd, unsigned n);

/* Of a unix address: removes the file, unless somebody, a successor maybe, still listens there. */
void listener_remove_file(const struct addr *a);

/* Connections in all workers against the cap; at the cap accepting pauses until one closes (in
 * another worker: looked at every 10 ms). */
struct listener_quota {
    atomic_int open;
    atomic_int max; /* a reload may change it */
};

/* fd is a new connected non-blocking socket that the callee owns. When it is closed,
 * listener_released(ln). */
typedef void (*listener_accept_fn)(void *owner, struct listener *ln, int fd,
                                   const struct addr *peer, const struct addr *local);

/* Starts accepting on this loop. Takes fd over. Out of descriptors (EMFILE, ENFILE): pauses for
 * 100 ms and logs once, rather than spinning. Accepts at most 16 connections per turn. */
struct listener *listener_start(struct loop *l, int fd, struct listener_quota *quota,
                                listener_accept_fn on_accept, void *owner);

/* Accepts nothing until it is resumed: who comes waits in the backlog. */
void listener_hold(struct listener *ln);
void listener_resume(struct listener *ln);

/* One connection of this listener's quota has closed. */
void listener_released(struct listener *ln);

/* A connection that was accepted elsewhere becomes one of this listener. */
void listener_take(struct listener *ln, int fd, const struct addr *peer);

/* Accepts what is already in the backlog, then stops watching; the descriptor is closed by
 * listener_free. */
void listener_drain(struct listener *ln);

/* Closes it. Its connections live on, and listener_released is still called for each. */
void listener_free(struct listener *ln);

#endif
