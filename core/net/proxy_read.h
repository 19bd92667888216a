/* SPDX-License-Identifier: Apache-2.0 */

/* Takes the PROXY header from the beginning of a new connection, and not a byte more: what follows,
 * a request or a TLS handshake, is left to who reads the connection next. */

#ifndef DML_NET_PROXY_READ_H
#define DML_NET_PROXY_READ_H

#include "base/base.h"
#include "net/proxy_proto.h"

struct loop;
struct proxy_read;

struct proxy_read_end {
    const struct proxy_proto *header; /* NULL: there is none, for err */
    const char *why;                  /* a sentence for the log, or NULL */
    int fd;                           /* the callee's, header or not */
    int err;                          /* ERR_PROTOCOL, ERR_TIMEOUT, ERR_CLOSED or ERR_RESET */
    bool is_begun;                    /* a byte had come */
};

/* Comes from the loop, once; the reader is gone then. */
typedef void (*proxy_read_fn)(void *arg, const struct proxy_read_end *end);

/* Takes fd over until on_done. */
struct proxy_read *proxy_read_start(struct loop *l, int fd, uint64_t timeout_ms,
                                    proxy_read_fn on_done, void *arg);

/* Not a byte has come. One system call. */
bool proxy_read_is_idle(const struct proxy_read *r);

/* Closes the connection; on_done does not come any more. */
void proxy_read_cancel(struct proxy_read *r);

#endif
