/* SPDX-License-Identifier: Apache-2.0 */

/* Datagrams. A socket is either connected to one peer, from whom alone it hears, or bound to an address of its own, where
 * anybody may send to. Nothing waits here: who could not read or write asks to be told. On the loop's thread. */

#ifndef DML_NET_UDP_H
#define DML_NET_UDP_H

#include "base/base.h"
#include "base/slice.h"
#include "net/addr.h"

struct loop;
struct udp;

#define UDP_MAX 65535 /* bytes of a datagram */

enum { UDP_READ = 1, UDP_WRITE = 2 };

/* Something can be read or written that udp_watch asked for; it is asked for no more. Called from the loop; may close it. */
typedef void (*udp_fn)(void *owner, int what);

/* ERR_SYSTEM, ERR_UNREACHABLE ... */
MUST_CHECK int udp_connect(struct loop *l, const struct addr *to, udp_fn on_ready, void *owner,
                           struct udp **out);
MUST_CHECK int udp_bind(struct loop *l, const struct addr *at, udp_fn on_ready, void *owner,
                        struct udp **out);
void udp_close(struct udp *u);

/* One datagram. to: NULL when connected. 0; ERR_AGAIN; ERR_LIMIT: it is too long; ERR_REFUSED: nobody has heard an
 * earlier one. */
MUST_CHECK int udp_send(struct udp *u, struct slice text, const struct addr *to);

/* One datagram into out: its length (what is longer than size is cut off), or ERR_AGAIN, ERR_REFUSED... from may be NULL. */
MUST_CHECK ssize_t udp_recv(struct udp *u, char *out, size_t size, struct addr *from);

/* UDP_READ, UDP_WRITE, both, or 0. */
void udp_watch(struct udp *u, int what);

/* Its own address. ERR_SYSTEM. */
MUST_CHECK int udp_address(const struct udp *u, struct addr *out);

#endif
