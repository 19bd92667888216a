/* SPDX-License-Identifier: Apache-2.0 */

/* The server's end of TLS, as one listener wants it: which certificate for which name, which
 * versions, what of the client. Made on a control or builder thread, then unchanged and shared by
 * all workers; counted, and found again by what it was made from (net/tls_shared.h). One OpenSSL
 * context for each set of certificates that stand under the same name, one of each kind of key. */

#ifndef DML_NET_TLS_CTX_H
#define DML_NET_TLS_CTX_H

#include "base/base.h"
#include "base/slice.h"
#include "net/tls_cert.h"

struct tls_server;

enum tls_client_auth { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

struct tls_server_spec {
    struct tls_cert *const *certs; /* the first one is for clients that name none, or another */
    size_t ncerts;                 /* 0: only what a hook chooses */
    struct slice listener;         /* its address: sessions resume there only */
    struct slice client_ca;        /* PEM of authorities; with client_auth */
    enum tls_client_auth client_auth;
    bool only_tls13;
    bool resumes; /* gives tickets */
    bool http2;   /* offers h2 by ALPN */
};

/* A certificate that stands where another with the same kind of key does. */
struct tls_clash {
    size_t first, second; /* indices of certs */
    struct slice name;    /* of the certificates */
};

/* True, and where, when two certificates of the same kind have a name in common. */
bool tls_certs_clash(struct tls_cert *const *certs, size_t n, struct tls_clash *out);

/* ERR_TLS, with *why (a static text), when client_ca is no list of certificates. The server takes
 * references of the certificates. */
MUST_CHECK int tls_server_make(const struct tls_server_spec *spec, struct tls_server **out,
                               const char **why);

/* Any thread. ref returns its argument; both take NULL. */
struct tls_server *tls_server_ref(struct tls_server *s);
void tls_server_unref(struct tls_server *s);

/* Does it ask clients for certificates? */
bool tls_server_asks(const struct tls_server *s);

/* For net/tls*.c: the SSL_CTX that connections begin with; the one for a name, never NULL. */
void *tls_server_first(const struct tls_server *s);
void *tls_server_choose(const struct tls_server *s, struct slice name);

#endif
