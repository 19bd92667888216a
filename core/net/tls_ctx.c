/* SPDX-License-Identifier: Apache-2.0 */

/* Every context of a server is made alike but for its certificates, so that choosing another one by
 * the name changes nothing else. Versions, ciphers and groups are set here whatever the system's
 * openssl.cnf says: a gateway's door must not depend on it. */

#include "net/tls_ctx.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/map.h"
#include "base/vec.h"
#include "net/tls_stream.h"
#include "net/tls_tickets.h"

/* What is left when everything is taken away that a scanner or a cryptographer warns of: forward
 * secrecy and authenticated encryption only. ECDSA first: it costs a third of RSA. */
#define CIPHERS \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:" \
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define VERIFY_DEPTH 10

#define ALPN_HTTP1 "\x08http/1.1\x08http/1.0"
#define ALPN_HTTP2 "\x02h2" ALPN_HTTP1

struct tls_set {
    SSL_CTX *ctx;
    struct tls_cert *certs[TLS_KEY_EDDSA + 1]; /* by kind, or NULL */
};

struct tls_server {
    struct tls_shared shared;
    /* owned */
    struct tls_cert **certs;
    size_t ncerts;
    VEC(struct tls_set *) sets; /* the first one is the default */
    struct map by_name;         /* "*.x" stands under ".x" */
    X509_STORE *authorities;    /* or NULL */
    /* state */
    struct tls_server_spec spec; /* but for what it borrowed */
    unsigned char place[32];     /* session id context */
};

/* --- tickets ---------------------------------------------------------------------------------- */

static EVP_CIPHER *ticket_cipher;
static pthread_once_t ticket_cipher_once = PTHREAD_ONCE_INIT;

static void fetch_ticket_cipher(void)
{
    ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    REQUIRE(ticket_cipher != NULL);
}

static bool use_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* As OpenSSL wants it: -1 failed, 0 no such key, 1 fine, 2 fine and renew. */
static int on_ticket(SSL *ssl UNUSED, unsigned char name[16], unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypts)
{
    struct tls_ticket_key key;
    int result = 1;

    if (encrypts) {
        tls_tickets_current(&key);
        memcpy(name, key.name, sizeof(key.name));
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(ticket_cipher)) != 1 ||
            EVP_EncryptInit_ex2(cipher, ticket_cipher, key.cipher, iv, NULL) != 1)
            result = -1;
    } else {
        enum tls_ticket_found found = tls_tickets_find(name, &key);
        if (found == TLS_TICKET_NONE)
            return 0;
        result = found == TLS_TICKET_OLD ? 2 : 1;
        if (EVP_DecryptInit_ex2(cipher, ticket_cipher, key.cipher, iv, NULL) != 1)
            result = -1;
    }
    if (result > 0 && !use_mac(mac, &key))
        result = -1;
    OPENSSL_cleanse(&key, sizeof(key));
    return result;
}

/* A session must not outlive the certificate that the client has shown in it. */
static SSL_TICKET_RETURN on_ticket_read(SSL *ssl UNUSED, SSL_SESSION *session,
                                        const unsigned char *name UNUSED, size_t len UNUSED,
                                        SSL_TICKET_STATUS status, void *arg UNUSED)
{
    X509 *peer = session ? SSL_SESSION_get0_peer(session) : NULL;

    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (peer && X509_cmp_current_time(X509_get0_notAfter(peer)) < 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

static void set_resumption(const struct tls_server *s, SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets need none */
    if (!s->spec.resumes) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        REQUIRE(SSL_CTX_set_num_tickets(ctx, 0) == 1);
        return;
    }
    pthread_once(&ticket_cipher_once, fetch_ticket_cipher);
    SSL_CTX_set_timeout(ctx, TLS_TICKET_LIFETIME_S);
    REQUIRE(SSL_CTX_set_num_tickets(ctx, 1) == 1);
    REQUIRE(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1);
    REQUIRE(SSL_CTX_set_session_ticket_cb(ctx, NULL, on_ticket_read, NULL) == 1);
}

/* --- contexts --------------------------------------------------------------------------------- */

static int on_alpn(SSL *ssl UNUSED, const unsigned char **out, unsigned char *outlen,
                   const unsigned char *in, unsigned int inlen, void *arg)
{
    const struct tls_server *s = arg;
    struct slice ours = s->spec.http2 ? SLICE(ALPN_HTTP2) : SLICE(ALPN_HTTP1);

    if (SSL_select_next_proto((unsigned char **)out, outlen, (const unsigned char *)ours.ptr,
                              (unsigned int)ours.len, in, inlen) == OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_OK;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_client_auth(const struct tls_server *s, SSL_CTX *ctx)
{
    int mode = SSL_VERIFY_PEER;

    if (s->spec.client_auth == TLS_CLIENT_NONE)
        return;
    if (s->spec.client_auth == TLS_CLIENT_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, mode, NULL);
    SSL_CTX_set_verify_depth(ctx, VERIFY_DEPTH);
    SSL_CTX_set1_cert_store(ctx, s->authorities);

    STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(s->authorities);
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++)
        REQUIRE(SSL_CTX_add_client_CA(ctx, X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i))));
}

static void set_policy(const struct tls_server *s, SSL_CTX *ctx)
{
    SSL_CTX_set_security_level(ctx, TLS_SECURITY_LEVEL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    REQUIRE(SSL_CTX_set_min_proto_version(ctx, s->spec.only_tls13 ? TLS1_3_VERSION
                                                                  : TLS1_2_VERSION) == 1);
    REQUIRE(SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1);
    REQUIRE(SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1);
    REQUIRE(SSL_CTX_set_ciphersuites(ctx, CIPHERS_13) == 1);
    REQUIRE(SSL_CTX_set1_groups_list(ctx, GROUPS) == 1);
    REQUIRE(SSL_CTX_set_session_id_context(ctx, s->place, sizeof(s->place)) == 1);
    SSL_CTX_set_client_hello_cb(ctx, tls_on_client_hello, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, (void *)(uintptr_t)s);
}

static SSL_CTX *ctx_new(const struct tls_server *s, const struct tls_set *set)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    REQUIRE(ctx != NULL);
    set_policy(s, ctx);
    set_resumption(s, ctx);
    set_client_auth(s, ctx);
    for (size_t i = 0; i < COUNT_OF(set->certs); i++) {
        const struct tls_cert *c = set->certs[i];
        /* Whatever is wrong with it was told when it was read. */
        if (c && !CHECK(SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) == 1))
            ERR_clear_error();
    }
    return ctx;
}

/* --- names ------------------------------------------------------------------------------------ */

/* "*.example.com" is found by what follows its star. */
static struct slice key_of(struct slice name)
{
    return slice_starts(name, SLICE("*.")) ? slice_from_index(name, 1) : name;
}

static struct tls_set *set_with(struct tls_server *s, struct tls_cert *const *certs)
{
    for (size_t i = 0; i < s->sets.n; i++)
        if (memcmp(s->sets.items[i]->certs, certs, sizeof(s->sets.items[i]->certs)) == 0)
            return s->sets.items[i];

    struct tls_set *set = calloc(1, sizeof(*set));
    REQUIRE(set != NULL);
    memcpy(set->certs, certs, sizeof(set->certs));
    vec_push(&s->sets, set);
    return set;
}

/* The certificate joins those that stand under the name. */
static void add_name(struct tls_server *s, struct slice key, struct tls_cert *c)
{
    struct tls_cert *certs[COUNT_OF(((struct tls_set *)0)->certs)] = {NULL};
    const struct tls_set *before = map_find(&s->by_name, key);

    if (before)
        memcpy(certs, before->certs, sizeof(certs));
    if (!certs[c->kind])
        certs[c->kind] = c;
    map_set(&s->by_name, key, set_with(s, certs));
}

/* The default: the first certificate, and those of other kinds that have all of its names' first. */
static struct tls_set *default_set(struct tls_server *s)
{
    struct tls_cert *certs[COUNT_OF(((struct tls_set *)0)->certs)] = {NULL};
    struct tls_cert *first = s->ncerts > 0 ? s->certs[0] : NULL;

    if (first && first->nnames > 0)
        return map_find(&s->by_name, key_of(first->names[0]));
    if (first)
        certs[first->kind] = first;
    return set_with(s, certs);
}

static void build_sets(struct tls_server *s)
{
    for (size_t i = 0; i < s->ncerts; i++)
        for (uint32_t k = 0; k < s->certs[i]->nnames; k++)
            add_name(s, key_of(s->certs[i]->names[k]), s->certs[i]);

    struct tls_set *first = default_set(s);
    size_t at = 0;
    while (s->sets.items[at] != first)
        at++;
    s->sets.items[at] = s->sets.items[0];
    s->sets.items[0] = first;
}

bool tls_certs_clash(struct tls_cert *const *certs, size_t n, struct tls_clash *out)
{
    struct map seen[TLS_KEY_EDDSA + 1];
    bool clash = false;

    for (size_t i = 0; i < COUNT_OF(seen); i++)
        map_init(&seen[i]);
    for (size_t i = 0; i < n && !clash; i++) {
        for (uint32_t k = 0; k < certs[i]->nnames && !clash; k++) {
            struct slice name = certs[i]->names[k];
            struct tls_cert *const *other =
                map_set(&seen[certs[i]->kind], name, (void *)(uintptr_t)&certs[i]);
            clash = other && other != &certs[i];
            if (clash)
                *out =
                    (struct tls_clash){.first = (size_t)(other - certs), .second = i, .name = name};
        }
    }
    for (size_t i = 0; i < COUNT_OF(seen); i++)
        map_deinit(&seen[i]);
    return clash;
}

/* --- life ------------------------------------------------------------------------------------- */

static void server_free(struct tls_shared *shared)
{
    struct tls_server *s = container_of(shared, struct tls_server, shared);

    for (size_t i = 0; i < s->sets.n; i++) {
        SSL_CTX_free(s->sets.items[i]->ctx);
        free(s->sets.items[i]);
    }
    vec_free(&s->sets);
    map_deinit(&s->by_name);
    for (size_t i = 0; i < s->ncerts; i++)
        tls_cert_unref(s->certs[i]);
    free(s->certs);
    X509_STORE_free(s->authorities);
    free(s);
}

static int read_authorities(struct tls_server *s, struct slice pem, const char **why)
{
    if (s->spec.client_auth == TLS_CLIENT_NONE)
        return 0;
    s->authorities = tls_store_new(pem);
    if (s->authorities)
        return 0;
    *why = "holds no certificate that can be read (PEM, -----BEGIN CERTIFICATE-----)";
    return ERR_TLS;
}

/* Where a session may be resumed: at this address, and as long as clients are held against the same
 * authorities in the same way. */
static void set_place(struct tls_server *s, const struct tls_server_spec *spec)
{
    char auth = (char)('0' + spec->client_auth);
    const struct slice parts[] = {spec->listener, spec->client_ca, slice_of(&auth, 1)};
    char digest[TLS_IDENTITY];

    tls_digest("place", parts, COUNT_OF(parts), digest);
    memcpy(s->place, digest, sizeof(s->place));
}

static struct tls_server *make(const struct tls_server_spec *spec, const char **why)
{
    struct tls_server *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    s->shared.free_fn = server_free;
    s->spec = *spec;
    map_init(&s->by_name);
    s->certs = calloc(spec->ncerts + 1, sizeof(s->certs[0]));
    REQUIRE(s->certs != NULL);
    for (size_t i = 0; i < spec->ncerts; i++)
        s->certs[s->ncerts++] = tls_cert_ref(spec->certs[i]);
    set_place(s, spec);
    if (read_authorities(s, spec->client_ca, why) < 0) {
        server_free(&s->shared);
        return NULL;
    }
    build_sets(s);
    for (size_t i = 0; i < s->sets.n; i++)
        s->sets.items[i]->ctx = ctx_new(s, s->sets.items[i]);
    s->spec.certs = NULL;
    s->spec.listener = s->spec.client_ca = SLICE_NONE;
    return s;
}

static void identify(const struct tls_server_spec *spec, char out[TLS_IDENTITY])
{
    struct slice *parts = calloc(spec->ncerts + 3, sizeof(parts[0]));
    char flags[] = {(char)('0' + spec->client_auth), (char)('0' + spec->only_tls13),
                    (char)('0' + spec->resumes), (char)('0' + spec->http2)};

    REQUIRE(parts != NULL);
    parts[0] = spec->listener;
    parts[1] = spec->client_ca;
    parts[2] = slice_of(flags, sizeof(flags));
    for (size_t i = 0; i < spec->ncerts; i++)
        parts[3 + i] = slice_from(spec->certs[i]->shared.identity);
    tls_digest("server", parts, spec->ncerts + 3, out);
    free(parts);
}

int tls_server_make(const struct tls_server_spec *spec, struct tls_server **out, const char **why)
{
    char identity[TLS_IDENTITY];

    identify(spec, identity);
    struct tls_shared *known = tls_shared_find(identity);
    if (!known) {
        struct tls_server *s = make(spec, why);
        if (!s)
            return ERR_TLS;
        memcpy(s->shared.identity, identity, sizeof(identity));
        known = tls_shared_keep(&s->shared);
    }
    *out = container_of(known, struct tls_server, shared);
    return 0;
}

struct tls_server *tls_server_ref(struct tls_server *s)
{
    if (s)
        tls_shared_ref(&s->shared);
    return s;
}

void tls_server_unref(struct tls_server *s)
{
    if (s)
        tls_shared_unref(&s->shared);
}

bool tls_server_asks(const struct tls_server *s)
{
    return s->spec.client_auth != TLS_CLIENT_NONE;
}

void *tls_server_first(const struct tls_server *s)
{
    return s->sets.items[0]->ctx;
}

void *tls_server_choose(const struct tls_server *s, struct slice name)
{
    const struct tls_set *set = name.len > 0 ? map_find(&s->by_name, name) : NULL;
    ssize_t dot = slice_find_char(name, '.');

    if (!set && dot > 0)
        set = map_find(&s->by_name, slice_from_index(name, (size_t)dot));
    return set ? set->ctx : tls_server_first(s);
}
