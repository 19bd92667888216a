/* SPDX-License-Identifier: Apache-2.0 */

/* A name, a port and perhaps TLS -> a connected stream: resolves, tries the addresses in turn, shakes hands, all within
 * one deadline. For clients that keep few connections and need nothing of the steps between. One loop, its thread. */

#ifndef DML_NET_DIAL_H
#define DML_NET_DIAL_H

#include "base/base.h"
#include "base/slice.h"

struct addr;
struct dial;
struct dns;
struct loop;
struct stream;
struct tls_client;
struct tls_session;

/* Borrowed until the end of it. */
struct dial_to {
    struct slice host; /* a name, an address without brackets, or "unix:/path" */
    uint16_t port;
    struct tls_client *tls;      /* NULL = plain */
    struct tls_session *session; /* tls: what is resumed and remembered, or NULL */
    struct slice server_name;    /* tls: the name or address that is asked for and verified */
    uint64_t timeout_ms;         /* for all of it */
    bool (*is_denied)(void *arg, const struct addr *to); /* or NULL: nowhere is forbidden */
    void *denied_arg;
};

/* Once, from the loop; the dial is gone. s: has no owner and does not read yet: set events and owner, then
 * stream_resume. Or NULL and why not, with `why` what OpenSSL says of ERR_TLS, else NULL. */
typedef void (*dial_fn)(void *arg, struct stream *s, int err, const char *why);

struct dial *dial_start(struct loop *l, struct dns *dns, const struct dial_to *to, dial_fn on_done,
                        void *arg);

/* Before on_done only; on_done is not called. */
void dial_cancel(struct dial *d);

#endif
