/* SPDX-License-Identifier: Apache-2.0 */

/* One upstream address and its connections. Shared by all workers (atomics), found again by
 * identity (address, protocol, TLS policy) at a reload, so that connections survive. Counted by the
 * snapshots that name it. What is known of its health belongs to the upstreams that it is in
 * (endpoint.h). */

#ifndef DML_GATE_TARGET_H
#define DML_GATE_TARGET_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/slice.h"
#include "net/addr.h"

struct arena;
struct shelf;
struct tls_client;
struct tls_session;

struct target {
    /* owned, fixed */
    struct slice identity; /* "http1 127.0.0.1:9001", with TLS its policy behind that */
    struct slice host;     /* name or address */
    uint16_t port;
    bool is_name;                /* resolve it */
    struct addr addr;            /* when it is an address */
    struct tls_client *tls;      /* a reference; NULL = plain */
    struct slice server_name;    /* tls: asked for and verified */
    struct tls_session *session; /* tls: the last one, for the next handshake */
    struct shelf *shelf;
    /* state, shared */
    atomic_int refs;
    atomic_int connections; /* open, all workers */
    atomic_ullong opened;   /* connections, counted by the pool */
};

/* Finds the target of this identity or makes it. Control or builder thread; takes a lock. host:
 * a name, an IP address (a v6 one with or without brackets), or "unix:/path" (then port is 0).
 * tls: how it is spoken to, or NULL; the target takes a reference of its own. server_name: that is
 * asked for and verified, where it is not the host. */
struct target *target_ref_tls(struct slice protocol, struct slice host, uint16_t port,
                              struct tls_client *tls, struct slice server_name);

static inline struct target *target_ref(struct slice protocol, struct slice host, uint16_t port)
{
    return target_ref_tls(protocol, host, port, NULL, SLICE_NONE);
}

/* One more reference for who has one already. Any thread, no lock. */
struct target *target_hold(struct target *t);

/* Any thread. The last one closes what lies on the shelf. */
void target_unref(struct target *t);

/* "host", or "host:port" where the port is not the one that the scheme stands for; v6 in brackets.
 * What a Host header says of it. */
struct slice target_authority(const struct target *t, struct arena *a);

#endif
