/* SPDX-License-Identifier: Apache-2.0 */

/* Upstream connections: address + policy -> connected stream -> wires. An outbound carries one
 * exchange at a time (HTTP/1) or many (HTTP/2). The pool owns it. */

#ifndef DML_HTTP_OUTBOUND_H
#define DML_HTTP_OUTBOUND_H

#include "base/base.h"
#include "base/list.h"
#include "http/wire.h"
#include "net/addr.h"

struct outbound;
struct tls_client;
struct tls_session;

struct outbound_events {
    /* Connecting ended: err 0 = outbound_open may be called. Else the outbound is gone after the
     * call returns. */
    void (*on_connected)(void *owner, struct outbound *o, int err);
    /* Its wire was released and it can carry another exchange. */
    void (*on_idle)(void *owner, struct outbound *o);
    /* It can't be used any more (closed by the peer while idle, Connection: close, a broken
     * message): it is gone after the call returns. Called from release and abort too, where they
     * end the connection. */
    void (*on_closed)(void *owner, struct outbound *o);
};

struct outbound {
    /* for the pool: which list it is in, its target, its slot */
    struct list link;
    void *owner;
    const struct outbound_events *events;
    void *target;
    /* state */
    uint32_t requests; /* carried so far */
    uint64_t idle_since_ms;
};

/* Where to. Borrowed until the connection is made. */
struct outbound_to {
    const struct addr *addr;
    uint64_t timeout_ms;         /* for all of it, the handshake too */
    struct tls_client *tls;      /* NULL = plain */
    struct tls_session *session; /* tls: what is resumed and remembered, or NULL */
    struct slice server_name;    /* tls: the name or address that is asked for and verified */
};

/* Begins to connect (HTTP/1.1). Events come from the loop, never from inside this call. */
struct outbound *outbound_connect(struct wire_env *env, const struct outbound_to *to,
                                  const struct outbound_events *events, void *owner);

/* A wire for one exchange; heads are put into `arena` (rule 6 of wire.h). The connection must be
 * idle. */
struct wire *outbound_open(struct outbound *o, struct arena *arena,
                           const struct wire_events *events, void *owner);

/* Closes an idle or connecting one; no event follows. */
void outbound_close(struct outbound *o);

/* Idle connections that change workers: out of this thread's loop; false when it is no longer
 * quiet (then it is closed, and no event follows). After detach it may be handed to another
 * thread, which attaches it to its env. */
bool outbound_detach(struct outbound *o);
bool outbound_attach(struct outbound *o, struct wire_env *env);

#endif
