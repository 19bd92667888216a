/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_PEER_H
#define TLS_PEER_H

/* For tests of TLS: certificates made on the spot, and OpenSSL itself at the other end of a socket,
 * moved on by the thread that turns the loop. */

#include "base/base.h"
#include "base/clock.h"
#include "base/slice.h"
#include "net/loop.h"
#include "support/test.h"

struct test_cert {
    char cert[8192], key[4096]; /* PEM */
    void *x509, *pkey;
};

struct test_cert_ask {
    const char *name;           /* CN; the organisation is "Test" */
    const char *alt;            /* "DNS:a.example,IP:127.0.0.1", or NULL */
    const char *kind;           /* "ec" (NULL), "rsa", "rsa1024", "ed" */
    long begins_s, ends_s;      /* from now; 0, 0 = an hour each way */
    const struct test_cert *by; /* the authority; NULL = by itself, and it is one */
};

void test_cert_make(struct test_cert *out, const struct test_cert_ask *ask);
void test_cert_free(struct test_cert *c);

static inline struct slice cert_text(const struct test_cert *c)
{
    return slice_from(c->cert);
}

static inline struct slice key_text(const struct test_cert *c)
{
    return slice_from(c->key);
}

/* The other end. Set ssl up (SNI, versions...) before the first step. */
struct tls_peer {
    void *ctx, *ssl; /* SSL_CTX, SSL */
    int fd;
    bool done;     /* the handshake */
    bool failed;   /* anything */
    bool ended;    /* close_notify has come */
    char why[256]; /* OpenSSL's word on it */
    char text[512 * KIB];
    size_t len;
    size_t read_max; /* per step; 0 = all */
};

/* fd is the peer's and non-blocking. The context verifies nobody. */
struct tls_peer *tls_peer_new(int fd, bool is_server);
void tls_peer_free(struct tls_peer *p);
void tls_peer_use(struct tls_peer *p, const struct test_cert *c);
void tls_peer_trust(struct tls_peer *p, const struct test_cert *authority);

/* Does what can be done without waiting. */
void tls_peer_step(struct tls_peer *p);
void tls_peer_say(struct tls_peer *p, const char *text, size_t len);

/* CN of the certificate that the other side has shown. */
const char *tls_peer_shown(struct tls_peer *p);

/* Moves both ends until cond holds. */
#define PEER_UNTIL(loop, p, cond) \
    do { \
        uint64_t give_up_ = clock_us_now() + 10000000; \
        while (!(cond)) { \
            if (clock_us_now() > give_up_) \
                fail_msg("never came true: %s (peer: %s)", #cond, (p)->why); \
            tls_peer_step(p); \
            loop_turn(loop, 1); \
        } \
    } while (0)

#endif
