/* SPDX-License-Identifier: Apache-2.0 */

#include "support/tls_peer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

/* --- certificates ----------------------------------------------------------------------------- */

static EVP_PKEY *key_of(const char *kind)
{
    if (!kind || strcmp(kind, "ec") == 0)
        return EVP_EC_gen("P-256");
    if (strcmp(kind, "ed") == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return EVP_RSA_gen(strcmp(kind, "rsa1024") == 0 ? 1024 : 2048);
}

static void extend(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

static void pem_of(BIO *bio, char *out, size_t size)
{
    int n = BIO_read(bio, out, (int)size - 1);

    assert_true(n > 0);
    out[n] = '\0';
    BIO_free(bio);
}

static void name_it(X509_NAME *name, const char *cn)
{
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Test", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
}

void test_cert_make(struct test_cert *out, const struct test_cert_ask *ask)
{
    static long serial;
    X509 *x = X509_new();
    EVP_PKEY *key = key_of(ask->kind), *by = ask->by ? ask->by->pkey : key;
    bool given = ask->begins_s || ask->ends_s;

    assert_non_null(key);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), given ? ask->begins_s : -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), given ? ask->ends_s : 3600);
    X509_set_pubkey(x, key);
    name_it(X509_get_subject_name(x), ask->name);
    X509_set_issuer_name(x,
                         ask->by ? X509_get_subject_name(ask->by->x509) : X509_get_subject_name(x));
    extend(x, NID_basic_constraints, ask->by ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (ask->alt)
        extend(x, NID_subject_alt_name, ask->alt);
    bool is_ed = EVP_PKEY_get_base_id(by) == EVP_PKEY_ED25519;
    assert_true(X509_sign(x, by, is_ed ? NULL : EVP_sha256()) > 0);

    BIO *cert = BIO_new(BIO_s_mem()), *pem = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(cert, x);
    PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL);
    pem_of(cert, out->cert, sizeof(out->cert));
    pem_of(pem, out->key, sizeof(out->key));
    out->x509 = x;
    out->pkey = key;
}

void test_cert_free(struct test_cert *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->pkey);
    *c = (struct test_cert){.x509 = NULL};
}

/* --- the other end ---------------------------------------------------------------------------- */

struct tls_peer *tls_peer_new(int fd, bool is_server)
{
    struct tls_peer *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    p->ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    p->ssl = SSL_new(p->ctx);
    p->fd = fd;
    SSL_set_fd(p->ssl, fd);
    if (is_server)
        SSL_set_accept_state(p->ssl);
    else
        SSL_set_connect_state(p->ssl);
    return p;
}

void tls_peer_free(struct tls_peer *p)
{
    SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN); /* or its session could not be used again */
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    close(p->fd);
    free(p);
}

void tls_peer_use(struct tls_peer *p, const struct test_cert *c)
{
    assert_int_equal(SSL_use_cert_and_key(p->ssl, c->x509, c->pkey, NULL, 1), 1);
}

void tls_peer_trust(struct tls_peer *p, const struct test_cert *authority)
{
    X509_STORE_add_cert(SSL_CTX_get_cert_store(p->ctx), authority->x509);
    SSL_set_verify(p->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

/* True when it only has to wait. */
static bool note(struct tls_peer *p, int result)
{
    int err = SSL_get_error(p->ssl, result);

    if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
        return true;
    if (err == SSL_ERROR_ZERO_RETURN) {
        p->ended = true;
        return true;
    }
    p->failed = true;
    if (!p->why[0])
        ERR_error_string_n(ERR_get_error(), p->why, sizeof(p->why));
    ERR_clear_error();
    return false;
}

void tls_peer_step(struct tls_peer *p)
{
    size_t n = 0, taken = 0;
    int result;

    ERR_clear_error();
    if (p->failed || p->ended)
        return;
    if (!p->done) {
        result = SSL_do_handshake(p->ssl);
        p->done = result == 1;
        if (!p->done) {
            note(p, result);
            return;
        }
    }
    do {
        size_t most = sizeof(p->text) - 1 - p->len;
        if (p->read_max)
            most = MIN(most, p->read_max - taken);
        if (most == 0)
            return;
        result = SSL_read_ex(p->ssl, p->text + p->len, most, &n);
        if (result == 1) {
            p->len += n;
            taken += n;
        } else {
            note(p, result);
        }
    } while (result == 1);
}

void tls_peer_say(struct tls_peer *p, const char *text, size_t len)
{
    size_t n;

    assert_int_equal(SSL_write_ex(p->ssl, text, len, &n), 1);
    assert_int_equal(n, len);
}

const char *tls_peer_shown(struct tls_peer *p)
{
    static char name[128];
    X509 *x = SSL_get0_peer_certificate(p->ssl);

    assert_non_null(x);
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof(name));
    return name;
}
