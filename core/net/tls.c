/* SPDX-License-Identifier: Apache-2.0 */

/* Handshakes, of both roles. OpenSSL is called from the loop alone; when the ClientHello is there and
 * somebody wants to choose the certificate, it is told to wait, and the question is asked after it
 * has returned. */

#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "net/addr.h"
#include "net/tls_client.h"
#include "net/tls_ctx.h"
#include "net/tls_hello.h"
#include "net/tls_stream.h"

#define READS 8 /* of the socket in one turn */
#define SUBJECT_MAX (4 * KIB)
#define PRINT_ROOM 48 /* a SHA-256 in base64 */

enum asking {
    ASKING_NOBODY,
    ASKING_LATER, /* the ClientHello has not come */
    ASKING_NOW,   /* to be asked */
    ASKING,       /* tls_go_on or tls_refuse is awaited */
    ASKING_DONE,
};

struct tls_handshake {
    /* owned */
    struct tls *tls; /* NULL: given away */
    struct timer deadline;
    struct tls_server *server; /* server: a reference, else NULL */
    struct tls_cert *chosen;   /* by tls_go_on, or NULL */
    /* borrowed */
    tls_done_fn on_done;
    tls_hello_fn on_hello;
    void *arg;
    void (*on_over)(void *arg); /* of who is asked */
    void *over_arg;
    /* state */
    struct tls_hello hello;
    char name[TLS_NAME_MAX + 1];
    enum asking asking;
    bool is_refused;
    bool is_heard; /* hello is filled in */
    bool is_begun;
    bool is_stepping;
    bool is_over;
};

/* --- the end ---------------------------------------------------------------------------------- */

static void free_handshake(void *ptr)
{
    struct tls_handshake *h = ptr;

    tls_server_unref(h->server);
    tls_cert_unref(h->chosen);
    free(h);
}

static void dismantle(struct tls_handshake *h)
{
    struct tls *t = h->tls;

    h->is_over = true;
    h->tls = NULL;
    t->handshake = NULL;
    timer_deinit(&h->deadline);
    tls_stream_watch(t, false, false);
    loop_free_later(t->stream.loop, h, free_handshake);
    if (h->asking == ASKING && h->on_over)
        h->on_over(h->over_arg);
}

/* What is known of the other end's certificate. */
struct peer_facts {
    struct slice subject;
    char thumbprint[PRINT_ROOM];
    size_t print_len; /* 0: there is none */
};

/* Server name, subject and thumbprint in one piece of memory. */
static void keep_texts(struct tls *t, struct slice name, const struct peer_facts *peer)
{
    char *p;

    if (name.len + peer->subject.len + peer->print_len == 0)
        return;
    t->texts = p = malloc(name.len + peer->subject.len + peer->print_len);
    REQUIRE(p != NULL);
    p = slice_put(slice_put(p, name), peer->subject);
    slice_put(p, slice_of(peer->thumbprint, peer->print_len));
    t->name_len = (uint16_t)name.len;
    t->subject_len = (uint16_t)peer->subject.len;
    t->print_len = (uint8_t)peer->print_len;
}

/* "CN=ann,O=Example" (RFC 4514), UTF-8 as it is. False when it is too long to be kept. */
static bool read_peer(SSL *ssl, BIO *out, struct peer_facts *facts)
{
    X509 *peer = SSL_get0_peer_certificate(ssl);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_len;
    char *text;

    if (!peer)
        return true;
    X509_NAME_print_ex(out, X509_get_subject_name(peer), 0,
                       XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
    long len = BIO_get_mem_data(out, &text);
    facts->subject = slice_of(text, (size_t)MAX(len, 0));
    if (X509_digest(peer, EVP_sha256(), digest, &digest_len) == 1)
        facts->print_len =
            text_base64(digest, digest_len, TEXT_URL | TEXT_NO_PAD, facts->thumbprint);
    return facts->subject.len <= SUBJECT_MAX;
}

/* What would be gone after the handshake. */
static bool keep_facts(struct tls_handshake *h)
{
    struct tls *t = h->tls;
    struct peer_facts peer = {.subject = SLICE("")};
    BIO *text = BIO_new(BIO_s_mem());
    bool fine;

    REQUIRE(text != NULL);
    fine = !h->server || !tls_server_asks(h->server) || read_peer(t->ssl, text, &peer);
    if (fine)
        keep_texts(t, h->hello.server_name, &peer);
    BIO_free(text);
    t->more = SSL_has_pending(t->ssl); /* what came with the end of the handshake */
    return fine;
}

static void finish(struct tls_handshake *h)
{
    struct tls *t = h->tls;
    struct tls_end end = {.stream = &t->stream, .reason = "ok", .why = ""};

    if (!keep_facts(h)) {
        t->failed = true;
        end = (struct tls_end){
            .err = ERR_TLS, .reason = "certificate", .why = "the subject is too long"};
        stream_close(&t->stream);
    }
    dismantle(h);
    h->on_done(h->arg, &end);
}

/* Failures by what an operator would do about them. */
static const char *reason_of(unsigned long code)
{
    int reason = ERR_GET_REASON(code);

    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return "protocol";
    if (reason >= SSL_AD_REASON_OFFSET)
        return "alert";
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_BAD_RECORD_TYPE: return "garbage";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM: return "incompatible";
    case SSL_R_NO_APPLICATION_PROTOCOL: return "alpn";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return "certificate";
    case SSL_R_CALLBACK_FAILED: return "refused";
    default: return "protocol";
    }
}

static const char *why_of(const struct tls_handshake *h, unsigned long code)
{
    long verified = SSL_get_verify_result(h->tls->ssl);
    const char *text = ERR_reason_error_string(code);

    if (verified != X509_V_OK && SSL_get_verify_mode(h->tls->ssl) != SSL_VERIFY_NONE)
        return X509_verify_cert_error_string(verified);
    return text ? text : "";
}

static void fail(struct tls_handshake *h, int err)
{
    unsigned long code = ERR_peek_error();
    struct tls_end end = {.err = err, .reason = err_word(err), .why = ""};
    struct tls *t = h->tls;

    if (err == ERR_TLS && code) {
        end.reason = reason_of(code);
        end.why = why_of(h, code);
    }
    ERR_clear_error();
    t->failed = true;
    dismantle(h);
    stream_close(&t->stream);
    h->on_done(h->arg, &end);
}

/* --- steps ------------------------------------------------------------------------------------ */

/* In place of all that the context has. */
static bool use_chosen(struct tls_handshake *h)
{
    const struct tls_cert *c = h->chosen;

    SSL_certs_clear(h->tls->ssl);
    return SSL_use_cert_and_key(h->tls->ssl, c->leaf, c->key, c->chain, 1) == 1;
}

static void hear(struct tls_handshake *h, SSL *ssl)
{
    const unsigned char *bytes;
    size_t len;

    h->is_heard = true;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &len)) {
        len = tls_hello_name(slice_of((const char *)bytes, len), h->name);
        h->hello.server_name = slice_of(h->name, len);
    }
    if (h->asking == ASKING_LATER)
        h->asking = ASKING_NOW;
}

/* It may come twice, for a client whose first key share did not fit. */
int tls_on_client_hello(SSL *ssl, int *alert, void *arg UNUSED)
{
    struct tls_handshake *h = ((struct tls *)SSL_get_app_data(ssl))->handshake;
    const unsigned char *bytes;
    size_t len;

    if (!h->is_heard)
        hear(h, ssl);
    if (h->asking == ASKING_NOW) {
        if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                      &bytes, &len))
            h->hello.protocols = tls_hello_protocols(slice_of((const char *)bytes, len));
        return SSL_CLIENT_HELLO_RETRY;
    }
    *alert = SSL_AD_ACCESS_DENIED;
    if (h->is_refused)
        return SSL_CLIENT_HELLO_ERROR;
    *alert = SSL_AD_INTERNAL_ERROR;
    if (!SSL_set_SSL_CTX(ssl, tls_server_choose(h->server, h->hello.server_name)))
        return SSL_CLIENT_HELLO_ERROR;
    return !h->chosen || use_chosen(h) ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

/* One step of OpenSSL's; false when the handshake has ended. */
static bool step(struct tls_handshake *h)
{
    struct tls *t = h->tls;

    t->budget = READS;
    ERR_clear_error();
    int result = SSL_do_handshake(t->ssl);
    if (result == 1) {
        finish(h);
        return false;
    }
    if (SSL_get_error(t->ssl, result) == SSL_ERROR_WANT_CLIENT_HELLO_CB) {
        tls_stream_watch(t, false, false);
        return true;
    }
    int rc = tls_stream_failure(t, result);
    if (rc == ERR_AGAIN) {
        tls_stream_watch(t, !t->stuck, t->stuck);
        return true;
    }
    fail(h, rc);
    return false;
}

/* An answer that comes from inside the question is noticed when that returns. */
void tls_handshake_go(struct tls_handshake *h)
{
    if (h->is_stepping)
        return;
    h->is_begun = h->is_stepping = true;
    while (step(h) && h->asking == ASKING_NOW) {
        h->asking = ASKING;
        h->on_hello(h->arg, h, &h->hello);
        if (h->is_over || h->asking == ASKING)
            break;
    }
    h->is_stepping = false;
}

static void on_deadline(struct timer *t)
{
    ERR_clear_error();
    fail(container_of(t, struct tls_handshake, deadline), ERR_TIMEOUT);
}

/* --- begin ------------------------------------------------------------------------------------ */

static struct tls_handshake *begin(struct loop *l, int fd, SSL_CTX *ctx, uint64_t timeout_ms,
                                   tls_done_fn on_done, void *arg)
{
    struct tls_handshake *h = calloc(1, sizeof(*h));

    REQUIRE(h != NULL);
    h->tls = tls_stream_new(l, fd, SSL_new(ctx));
    h->tls->handshake = h;
    h->hello = (struct tls_hello){SLICE(""), SLICE("")};
    h->on_done = on_done;
    h->arg = arg;
    timer_init(&h->deadline, l, on_deadline);
    timer_set(&h->deadline, timeout_ms);
    return h;
}

/* Renegotiation is refused by OpenSSL, but a peer that tries is up to no good. */
static void on_info(const SSL *ssl, int where, int result UNUSED)
{
    struct tls *t = SSL_get_app_data(ssl);

    if (where & SSL_CB_HANDSHAKE_START && !t->handshake && SSL_version(ssl) < TLS1_3_VERSION)
        t->is_renewed = true;
}

struct tls_handshake *tls_accept(struct loop *l, int fd, struct tls_server *server,
                                 uint64_t timeout_ms, tls_done_fn on_done, void *arg)
{
    struct tls_handshake *h = begin(l, fd, tls_server_first(server), timeout_ms, on_done, arg);

    h->server = tls_server_ref(server);
    SSL_set_info_callback(h->tls->ssl, on_info);
    SSL_set_accept_state(h->tls->ssl);
    tls_stream_watch(h->tls, true, false);
    return h;
}

/* RFC 6066, 3: an address is no server name; a certificate has it as such. */
static void expect_name(SSL *ssl, struct slice name)
{
    char *text = slice_dup(name);
    struct addr addr;

    if (addr_parse_ip(name, 0, &addr) == 0) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), text);
    } else {
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        SSL_set1_host(ssl, text);
        SSL_set_tlsext_host_name(ssl, text);
    }
    free(text);
}

struct tls_handshake *tls_connect(struct loop *l, int fd, const struct tls_to *to,
                                  uint64_t timeout_ms, tls_done_fn on_done, void *arg)
{
    struct tls_handshake *h = begin(l, fd, tls_client_ctx(to->client), timeout_ms, on_done, arg);
    struct tls *t = h->tls;

    expect_name(t->ssl, to->server_name);
    if (to->session) {
        t->session = tls_session_ref(to->session);
        SSL_SESSION *last = tls_session_get(t->session);
        if (last)
            SSL_set_session(t->ssl, last);
        SSL_SESSION_free(last);
    }
    SSL_set_connect_state(t->ssl);
    tls_stream_watch(t, false, true); /* at once, but from the loop */
    return h;
}

void tls_cancel(struct tls_handshake *h)
{
    struct tls *t = h->tls;

    t->failed = true;
    dismantle(h);
    stream_close(&t->stream);
}

bool tls_is_silent(const struct tls_handshake *h)
{
    return !h->is_begun;
}

/* --- the choice of the certificate ------------------------------------------------------------ */

void tls_ask(struct tls_handshake *h, tls_hello_fn on_hello)
{
    h->on_hello = on_hello;
    h->asking = ASKING_LATER;
}

void tls_go_on(struct tls_handshake *h, struct tls_cert *cert)
{
    if (!CHECK(h->asking == ASKING))
        return;
    h->chosen = cert ? tls_cert_ref(cert) : NULL;
    h->asking = ASKING_DONE;
    tls_handshake_go(h);
}

void tls_refuse(struct tls_handshake *h)
{
    if (!CHECK(h->asking == ASKING))
        return;
    h->is_refused = true;
    h->asking = ASKING_DONE;
    tls_handshake_go(h);
}

void tls_answer_later(struct tls_handshake *h, void (*on_over)(void *arg), void *arg)
{
    h->on_over = on_over;
    h->over_arg = arg;
}
