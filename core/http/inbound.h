/* SPDX-License-Identifier: Apache-2.0 */

/* Accepted connections: PROXY header -> TLS -> the wire that the protocol wants.
 * Keeps the list of a thread's open connections, so that draining can close the idle ones. */

#ifndef DML_HTTP_INBOUND_H
#define DML_HTTP_INBOUND_H

#include "base/base.h"
#include "base/list.h"
#include "http/wire.h"
#include "net/listener.h"

struct inbound_set;
struct tls_server;

/* acceptor and owner receive the first on_head of each wire (wire.h, "server wire"). */
struct inbound_set *inbound_set_new(struct wire_env *env, const struct wire_events *acceptor,
                                    void *owner);

/* All connections must be gone or are closed now. */
void inbound_set_free(struct inbound_set *set);

/* A new connection. It goes through stages before its wire: a PROXY header, whose addresses then stand
 * for the connection's own (env->is_trusted is asked anew, env->on_bad_proxy told of bad ones, which
 * are closed); TLS, where tls is not NULL. */
struct inbound_from {
    struct listener *listener;
    int listener_index;
    int fd; /* taken over */
    const struct addr *peer, *local;
    struct tls_server *tls; /* the connection takes a reference */
    bool is_trusted;        /* the peer is in trusted_proxies */
    bool has_proxy_header;  /* bytes begin with one, which is believed */
};

void inbound_accept(struct inbound_set *set, const struct inbound_from *from);

/* Idle connections are closed at once, others after the answer under way (env->draining must be
 * set before). */
void inbound_drain(struct inbound_set *set);

/* A reload has moved a listener: to another place of the configuration; or out of it (-1), and its
 * connections are drained. */
void inbound_renumber(struct inbound_set *set, const struct listener *ln, int index);

/* trusted_proxies are others now: env->is_trusted is asked again of each connection's peer (but for
 * those on unix sockets). */
void inbound_judge(struct inbound_set *set);

/* Cuts off all that is left. */
void inbound_abort_all(struct inbound_set *set);

/* Breaks off the connection that was accepted first. */
void inbound_abort_oldest(struct inbound_set *set);

size_t inbound_count(const struct inbound_set *set);
size_t inbound_idle_count(const struct inbound_set *set);

#endif
