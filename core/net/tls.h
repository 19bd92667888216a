/* SPDX-License-Identifier: Apache-2.0 */

/* TLS: what a listener shows (tls_server) and what an upstream is asked for (tls_client). Both are
 * made from a configuration, never change, are shared by all threads, and are counted: a snapshot
 * holds one reference, each connection under way another. */

#ifndef DML_NET_TLS_H
#define DML_NET_TLS_H

#include "base/base.h"
#include "base/slice.h"

/* Certificates, client authorities, versions of one listener. */
struct tls_server;

/* Verification, authorities, name and client certificate toward one upstream. */
struct tls_client;

/* Any thread. ref returns its argument; both take NULL. */
struct tls_server *tls_server_ref(struct tls_server *s);
void tls_server_unref(struct tls_server *s);
struct tls_client *tls_client_ref(struct tls_client *c);
void tls_client_unref(struct tls_client *c);

/* A text that is the same for equal policies, and for no others: part of a target's identity. */
struct slice tls_client_identity(const struct tls_client *c);

#endif
