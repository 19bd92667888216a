/* SPDX-License-Identifier: Apache-2.0 */

/* A TLS connection as tls.c (its handshake) and tls_stream.c (its life as a stream) see it; nobody
 * else includes this. It owns its descriptor and its watch itself: bytes go from the socket to OpenSSL
 * without a queue in between. */

#ifndef DML_NET_TLS_STREAM_H
#define DML_NET_TLS_STREAM_H

#include "base/base.h"
#include "net/loop.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/watch.h"

struct tls_handshake;
struct tls_session;
struct ssl_st;

struct tls {
    struct stream stream;
    /* owned */
    struct watch watch;
    struct timer again; /* decrypted bytes wait, of which no descriptor will tell */
    void *ssl;          /* SSL */
    char *texts;        /* the server's name, the client's subject and thumbprint, or NULL */
    struct tls_session *session; /* client: a reference, or NULL */
    /* borrowed */
    struct tls_handshake *handshake; /* NULL when it has ended */
    /* state */
    uint64_t sent;        /* bytes that the kernel has taken */
    uint16_t name_len;    /* of texts: the server's name, */
    uint16_t subject_len; /* the subject behind it, */
    uint8_t print_len;    /* and the thumbprint */
    int in_err;           /* what ended reading, to be told after the bytes before it */
    uint8_t budget;       /* reads that the call under way may still make */
    bool eof;             /* the socket has ended */
    bool more;            /* decrypted bytes were left by the last recv */
    bool stuck;           /* reading waits for the socket to be writable */
    bool failed;          /* nothing can be said to the peer any more */
    bool is_renewed;      /* the peer has begun another handshake, which nobody may */
};

/* Takes ssl (an SSL) and fd over. Not watched for anything yet. */
struct tls *tls_stream_new(struct loop *l, int fd, void *ssl);

/* Watches for what the handshake waits for. */
void tls_stream_watch(struct tls *t, bool reads, bool writes);

/* What OpenSSL's result of an operation means: ERR_AGAIN (t->stuck: when it is writable) ... */
int tls_stream_failure(struct tls *t, int result);

/* Defined by tls.c: the handshake's descriptor is ready; OpenSSL's callback of a server. */
void tls_handshake_go(struct tls_handshake *h);
int tls_on_client_hello(struct ssl_st *ssl, int *alert, void *arg);

#endif
