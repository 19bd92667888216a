/* SPDX-License-Identifier: Apache-2.0 */

/* Plain streams: an accepted descriptor, or a connect with a deadline. TCP and unix. */

#ifndef DML_NET_TCP_H
#define DML_NET_TCP_H

#include "net/addr.h"
#include "net/stream.h"

/* Takes over fd (non-blocking, connected). Watches for reading at once. events and owner must be
 * set. */
struct stream *tcp_new(struct loop *l, int fd, const struct stream_events *events, void *owner);

/* The descriptor of an idle plain stream that is not needed any more, for who reads it in another
 * way; s is gone. */
int tcp_release(struct stream *s);

/* Connects. on_done is called once, from the loop (never from inside tcp_connect): with a stream
 * and 0, or NULL and ERR_REFUSED, ERR_TIMEOUT, ERR_UNREACHABLE, ERR_LIMIT (out of descriptors)...
 * The stream has no owner and does not read yet: set events and owner, then stream_resume.
 * TCP_NODELAY is set. */
struct tcp_connect;
typedef void (*tcp_connect_fn)(void *arg, struct stream *s, int err);

struct tcp_connect *tcp_connect(struct loop *l, const struct addr *to, uint64_t timeout_ms,
                                tcp_connect_fn on_done, void *arg);

/* Before on_done only; on_done is not called. */
void tcp_connect_cancel(struct tcp_connect *c);

#endif
