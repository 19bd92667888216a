/* SPDX-License-Identifier: Apache-2.0 */

/* The system's authorities are hundreds of kilobytes when read: one store of them serves all. It is
 * read when the first upstream needs it, and stays. */

#include "net/tls_client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "net/tls_stream.h"

#define VERIFY_DEPTH 10
#define ALPN_HTTP1 "\x08http/1.1"

struct tls_client {
    struct tls_shared shared;
    /* owned */
    SSL_CTX *ctx;
    struct tls_cert *cert; /* or NULL */
    /* state */
    bool verifies;
};

struct tls_session {
    pthread_mutex_t lock;
    SSL_SESSION *last; /* or NULL */
    atomic_int refs;
};

/* --- sessions --------------------------------------------------------------------------------- */

struct tls_session *tls_session_new(void)
{
    struct tls_session *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    pthread_mutex_init(&s->lock, NULL);
    atomic_init(&s->refs, 1);
    return s;
}

struct tls_session *tls_session_ref(struct tls_session *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void tls_session_unref(struct tls_session *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_SESSION_free(s->last);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void tls_session_keep(struct tls_session *s, void *session)
{
    pthread_mutex_lock(&s->lock);
    SSL_SESSION *before = s->last;
    s->last = session;
    pthread_mutex_unlock(&s->lock);
    SSL_SESSION_free(before);
}

void *tls_session_get(struct tls_session *s)
{
    pthread_mutex_lock(&s->lock);
    SSL_SESSION *session = s->last;
    if (session)
        SSL_SESSION_up_ref(session);
    pthread_mutex_unlock(&s->lock);
    return session;
}

/* --- contexts --------------------------------------------------------------------------------- */

static X509_STORE *system_store;
static pthread_once_t system_store_once = PTHREAD_ONCE_INIT;

static void read_system_store(void)
{
    system_store = X509_STORE_new();
    REQUIRE(system_store != NULL);
    X509_STORE_set_default_paths(system_store);
    ERR_clear_error(); /* without any every server is a stranger, and verifying says so */
}

static X509_STORE *store_for(struct slice ca)
{
    if (ca.ptr)
        return tls_store_new(ca);
    pthread_once(&system_store_once, read_system_store);
    X509_STORE_up_ref(system_store);
    return system_store;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);

    if (!t->session)
        return 0;
    tls_session_keep(t->session, session);
    return 1;
}

static void set_policy(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_verify_depth(ctx, VERIFY_DEPTH);
    REQUIRE(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
    REQUIRE(SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1);
    REQUIRE(SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)ALPN_HTTP1,
                                    sizeof(ALPN_HTTP1) - 1) == 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
}

static SSL_CTX *ctx_new(const struct tls_client_spec *spec, X509_STORE *store)
{
    const struct tls_cert *c = spec->cert;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    REQUIRE(ctx != NULL);
    set_policy(ctx);
    SSL_CTX_set_verify(ctx, spec->no_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (store)
        SSL_CTX_set_cert_store(ctx, store); /* takes it over */
    if (c && !CHECK(SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) == 1))
        ERR_clear_error();
    return ctx;
}

/* --- life ------------------------------------------------------------------------------------- */

static void client_free(struct tls_shared *s)
{
    struct tls_client *c = container_of(s, struct tls_client, shared);

    SSL_CTX_free(c->ctx);
    tls_cert_unref(c->cert);
    free(c);
}

static struct tls_client *make(const struct tls_client_spec *spec, const char **why)
{
    X509_STORE *store = spec->no_verify ? NULL : store_for(spec->ca);
    struct tls_client *c;

    if (!store && !spec->no_verify) {
        *why = "holds no certificate that can be read (PEM, -----BEGIN CERTIFICATE-----)";
        return NULL;
    }
    c = calloc(1, sizeof(*c));
    REQUIRE(c != NULL);
    c->shared.free_fn = client_free;
    c->ctx = ctx_new(spec, store);
    c->cert = spec->cert ? tls_cert_ref(spec->cert) : NULL;
    c->verifies = !spec->no_verify;
    return c;
}

int tls_client_make(const struct tls_client_spec *spec, struct tls_client **out, const char **why)
{
    const struct slice parts[] = {spec->no_verify ? SLICE("any") : SLICE("verified"), spec->ca,
                                  spec->cert ? slice_from(spec->cert->shared.identity)
                                             : SLICE_NONE};
    char identity[TLS_IDENTITY];

    tls_digest("client", parts, COUNT_OF(parts), identity);
    struct tls_shared *known = tls_shared_find(identity);
    if (!known) {
        struct tls_client *c = make(spec, why);
        if (!c)
            return ERR_TLS;
        memcpy(c->shared.identity, identity, sizeof(identity));
        known = tls_shared_keep(&c->shared);
    }
    *out = container_of(known, struct tls_client, shared);
    return 0;
}

struct tls_client *tls_client_ref(struct tls_client *c)
{
    if (c)
        tls_shared_ref(&c->shared);
    return c;
}

void tls_client_unref(struct tls_client *c)
{
    if (c)
        tls_shared_unref(&c->shared);
}

struct slice tls_client_identity(const struct tls_client *c)
{
    return slice_of(c->shared.identity, 32);
}

void *tls_client_ctx(const struct tls_client *c)
{
    return c->ctx;
}

bool tls_client_verifies(const struct tls_client *c)
{
    return c->verifies;
}
