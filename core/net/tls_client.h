/* SPDX-License-Identifier: Apache-2.0 */

/* The client's end of TLS, as one upstream wants it: who is believed, and what is shown. Made on a
 * control or builder thread, then unchanged and shared by all workers; counted, and found again by
 * what it was made from (net/tls_shared.h). */

#ifndef DML_NET_TLS_CLIENT_H
#define DML_NET_TLS_CLIENT_H

#include "base/base.h"
#include "base/slice.h"
#include "net/tls_cert.h"

struct tls_client;

struct tls_client_spec {
    bool no_verify;
    struct slice ca;       /* PEM of authorities; absent: the system's */
    struct tls_cert *cert; /* shown when the server asks; or NULL */
};

/* ERR_TLS, with *why (a static text), when ca is no list of certificates. The client takes a
 * reference of the certificate. */
MUST_CHECK int tls_client_make(const struct tls_client_spec *spec, struct tls_client **out,
                               const char **why);

/* Any thread. ref returns its argument; both take NULL. */
struct tls_client *tls_client_ref(struct tls_client *c);
void tls_client_unref(struct tls_client *c);

/* A text that is the same for equal policies, and for no others: part of a target's identity. */
struct slice tls_client_identity(const struct tls_client *c);

/* The last session with one server, over all workers: the next handshake is shorter with it.
 * Counted: its target holds it, and each connection under way. Any thread. */
struct tls_session;

struct tls_session *tls_session_new(void);
struct tls_session *tls_session_ref(struct tls_session *s);
void tls_session_unref(struct tls_session *s); /* NULL is fine */

/* For net/tls*.c: the SSL_CTX; whether names are verified. */
void *tls_client_ctx(const struct tls_client *c);
bool tls_client_verifies(const struct tls_client *c);

/* For net/tls*.c, a counted SSL_SESSION: keeps one (taking the reference over); the one kept, with
 * a reference for the caller, or NULL. */
void tls_session_keep(struct tls_session *s, void *session);
void *tls_session_get(struct tls_session *s);

#endif
