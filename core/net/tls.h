/* SPDX-License-Identifier: Apache-2.0 */

/* TLS connections: a handshake over a connected socket, and then a stream like any other
 * (net/stream.h). One loop, its thread. */

#ifndef DML_NET_TLS_H
#define DML_NET_TLS_H

#include "base/base.h"
#include "base/slice.h"

struct loop;
struct stream;
struct tls_cert;
struct tls_client;
struct tls_handshake;
struct tls_server;
struct tls_session;

/* What was agreed upon. */
struct tls_facts {
    struct slice server_name; /* that the client asked for: lower case; empty = none */
    struct slice subject;     /* of the client's verified certificate (RFC 4514); empty = none */
    struct slice thumbprint;  /* its SHA-256, base64url (RFC 8705, 3.1); empty = none */
    struct slice protocol;    /* by ALPN; empty = none */
    const char *version;      /* "1.2", "1.3" */
    bool is_resumed;
};

/* Of a stream that a handshake has made, whose texts live as long. */
struct tls_facts tls_facts(const struct stream *s);

struct tls_end {
    struct stream *stream; /* NULL: failed, and the descriptor is closed */
    int err;               /* ERR_TIMEOUT, ERR_CLOSED, ERR_RESET, ERR_TLS */
    const char *reason;    /* a stable word for metrics, "ok" too */
    const char *why;       /* what OpenSSL says; never NULL */
};

/* From the loop, once; the handshake is gone. The stream has no owner and does not read yet: set
 * events and owner, then stream_resume. */
typedef void (*tls_done_fn)(void *arg, const struct tls_end *end);

/* Both take fd over and hold references on what they are given. */
struct tls_handshake *tls_accept(struct loop *l, int fd, struct tls_server *server,
                                 uint64_t timeout_ms, tls_done_fn on_done, void *arg);

struct tls_to {
    struct tls_client *client;
    struct tls_session *session; /* or NULL: nothing is resumed */
    struct slice server_name;    /* a name or an address, asked for and verified */
};

struct tls_handshake *tls_connect(struct loop *l, int fd, const struct tls_to *to,
                                  uint64_t timeout_ms, tls_done_fn on_done, void *arg);

/* Before on_done only; on_done is not called. */
void tls_cancel(struct tls_handshake *h);

/* Server: not a byte of the handshake has come yet. */
bool tls_is_silent(const struct tls_handshake *h);

/* --- who wants to choose the certificate ------------------------------------------------------- */

/* What the client asks for; lives as long as the handshake. */
struct tls_hello {
    struct slice server_name; /* as in tls_facts */
    struct slice protocols;   /* a list for tls_hello_protocol (net/tls_hello.h) */
};

/* Called from the loop, once, when the ClientHello has come; the handshake then waits for tls_go_on
 * or tls_refuse, which may come from inside. To be set before the first byte can come. */
typedef void (*tls_hello_fn)(void *arg, struct tls_handshake *h, const struct tls_hello *hello);
void tls_ask(struct tls_handshake *h, tls_hello_fn on_hello);

/* cert: takes the place of those that the name has in the configuration; or NULL. The handshake
 * takes a reference of its own. */
void tls_go_on(struct tls_handshake *h, struct tls_cert *cert);
void tls_refuse(struct tls_handshake *h);

/* For who does not answer from inside: on_over tells that the handshake has ended before. Neither tls_go_on nor
 * tls_refuse may be called then. */
void tls_answer_later(struct tls_handshake *h, void (*on_over)(void *arg), void *arg);

#endif
