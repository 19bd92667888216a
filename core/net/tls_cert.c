/* SPDX-License-Identifier: Apache-2.0 */

/* PEM texts -> certificate, chain, key. Everything that can be wrong with them is said here, in
 * words that an operator can act on; what remains for contexts are errors of the program. */

#include "net/tls_cert.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/err.h"

#define CHAIN_MAX 32
#define DNS_NAME_MAX 253 /* of a DNS name in text */

void tls_digest(const char *kind, const struct slice *parts, size_t n, char out[TLS_IDENTITY])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char raw[EVP_MAX_MD_SIZE];

    REQUIRE(md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1);
    REQUIRE(EVP_DigestUpdate(md, kind, strlen(kind) + 1) == 1);
    for (size_t i = 0; i < n; i++) {
        uint64_t len = parts[i].ptr ? parts[i].len + 1 : 0; /* absent is not empty */
        REQUIRE(EVP_DigestUpdate(md, &len, sizeof(len)) == 1);
        REQUIRE(EVP_DigestUpdate(md, parts[i].ptr, parts[i].len) == 1);
    }
    REQUIRE(EVP_DigestFinal_ex(md, raw, NULL) == 1);
    EVP_MD_CTX_free(md);
    for (size_t i = 0; i < 32; i++)
        sprintf(out + 2 * i, "%02x", raw[i]);
}

const char *tls_why(void)
{
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return reason ? reason : "unknown";
}

/* --- reading ---------------------------------------------------------------------------------- */

static BIO *bio_of(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)MIN(pem.len, (size_t)INT32_MAX));

    REQUIRE(bio != NULL);
    return bio;
}

/* The end of the PEM text is an error of OpenSSL's too. */
static bool is_at_end(void)
{
    unsigned long code = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;

    ERR_clear_error();
    return at_end;
}

void *tls_certs_read(struct slice pem)
{
    BIO *bio = bio_of(pem);
    STACK_OF(X509) *list = sk_X509_new_null();
    X509 *one;

    REQUIRE(list != NULL);
    while ((one = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)))
        REQUIRE(sk_X509_push(list, one) > 0);
    BIO_free(bio);
    if (is_at_end() && sk_X509_num(list) > 0)
        return list;
    sk_X509_pop_free(list, X509_free);
    return NULL;
}

/* Nobody is there to type a passphrase. */
static int no_passphrase(char *buf UNUSED, int size UNUSED, int writing UNUSED, void *asked)
{
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *read_key(struct slice pem, bool *is_encrypted)
{
    BIO *bio = bio_of(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, is_encrypted);

    BIO_free(bio);
    ERR_clear_error();
    return key;
}

void *tls_store_new(struct slice pem)
{
    STACK_OF(X509) *list = tls_certs_read(pem);
    X509_STORE *store = list ? X509_STORE_new() : NULL;

    for (int i = 0; store && i < sk_X509_num(list); i++)
        REQUIRE(X509_STORE_add_cert(store, sk_X509_value(list, i)) == 1);
    if (store)
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    sk_X509_pop_free(list, X509_free);
    return store;
}

/* --- checking --------------------------------------------------------------------------------- */

static int refuse(struct tls_fault *fault, bool of_key, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int refuse(struct tls_fault *fault, bool of_key, const char *fmt, ...)
{
    va_list args;

    fault->of_key = of_key;
    va_start(args, fmt);
    vsnprintf(fault->text, sizeof(fault->text), fmt, args);
    va_end(args);
    return ERR_TLS;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm = {0};

    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int check_dates(const struct tls_cert *c, int64_t now_s, struct tls_fault *fault)
{
    bool is_early = now_s < c->not_before;
    time_t when = is_early ? c->not_before : c->not_after;
    char text[32];
    struct tm tm;

    if (now_s == TLS_ANY_TIME || (!is_early && now_s <= c->not_after))
        return 0;
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &tm));
    return refuse(fault, false, is_early ? "is not valid before %s" : "has expired on %s", text);
}

/* What no client should be shown any more. */
static int check_strength(struct tls_cert *c, struct tls_fault *fault)
{
    EVP_PKEY *key = c->key;
    int bits = EVP_PKEY_get_bits(key), mdnid = NID_undef;

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS: c->kind = TLS_KEY_RSA; break;
    case EVP_PKEY_EC: c->kind = TLS_KEY_ECDSA; break;
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448: c->kind = TLS_KEY_EDDSA; break;
    default:
        return refuse(fault, false,
                      "has a key of a kind that TLS does not use: RSA, ECDSA or "
                      "Ed25519 is wanted");
    }
    if (c->kind == TLS_KEY_RSA ? bits < 2048 : bits < 250)
        return refuse(fault, false,
                      "has a weak key of %d bits: RSA of 2048 or ECDSA of 256 bits is "
                      "the least",
                      bits);
    if (X509_get_signature_info(c->leaf, &mdnid, NULL, NULL, NULL) == 1 &&
        (mdnid == NID_sha1 || mdnid == NID_md5 || mdnid == NID_md5_sha1))
        return refuse(fault, false, "is signed by %s, which clients refuse", OBJ_nid2sn(mdnid));
    return 0;
}

/* The rest is what OpenSSL would refuse: in a certificate of the chain, say. */
static int check_use(const struct tls_cert *c, struct tls_fault *fault)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    REQUIRE(ctx != NULL);
    SSL_CTX_set_security_level(ctx, TLS_SECURITY_LEVEL);
    int ok = SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1);
    SSL_CTX_free(ctx);
    return ok == 1 ? 0 : refuse(fault, false, "can't be used: %s", tls_why());
}

/* --- names ------------------------------------------------------------------------------------ */

/* Letters, digits, '-', '_' and dots, in lower case; one "*." may stand in front. */
static bool name_of(const ASN1_IA5STRING *from, struct slice *out)
{
    struct slice s = {(const char *)ASN1_STRING_get0_data(from), (size_t)ASN1_STRING_length(from)};
    char *text;

    if (s.len > 0 && s.ptr[s.len - 1] == '.')
        s.len--;
    if (s.len == 0 || s.len > DNS_NAME_MAX || s.ptr[0] == '.')
        return false;
    text = slice_dup(s);
    for (size_t i = 0; i < s.len; i++) {
        text[i] = (char)tolower((unsigned char)text[i]);
        bool is_star = text[i] == '*' && i == 0 && s.len > 2 && text[1] == '.';
        if (!is_star && !isalnum((unsigned char)text[i]) && !strchr("-_.", text[i])) {
            free(text);
            return false;
        }
    }
    *out = slice_of(text, s.len);
    return true;
}

static void read_names(struct tls_cert *c)
{
    GENERAL_NAMES *list = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
    int n = list ? sk_GENERAL_NAME_num(list) : 0;

    c->names = calloc((size_t)n + 1, sizeof(c->names[0]));
    REQUIRE(c->names != NULL);
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
        if (name->type == GEN_DNS && name_of(name->d.dNSName, &c->names[c->nnames]))
            c->nnames++;
    }
    GENERAL_NAMES_free(list);
    ERR_clear_error();
}

/* --- life ------------------------------------------------------------------------------------- */

static void cert_free(struct tls_shared *s)
{
    struct tls_cert *c = container_of(s, struct tls_cert, shared);

    X509_free(c->leaf);
    EVP_PKEY_free(c->key);
    sk_X509_pop_free((STACK_OF(X509) *)c->chain, X509_free);
    for (uint32_t i = 0; i < c->nnames; i++)
        free((char *)c->names[i].ptr);
    free(c->names);
    free(c);
}

void tls_cert_unref(struct tls_cert *c)
{
    if (c)
        tls_shared_unref(&c->shared);
}

/* The texts into c, as far as they can be read. */
static int read_texts(struct tls_cert *c, struct slice cert_pem, struct slice key_pem,
                      struct tls_fault *fault)
{
    STACK_OF(X509) *all = tls_certs_read(cert_pem);
    bool is_encrypted = false;

    if (!all)
        return refuse(fault, false,
                      "holds no certificate that can be read (PEM, -----BEGIN "
                      "CERTIFICATE-----)");
    c->leaf = sk_X509_shift(all);
    c->chain = all;
    if (sk_X509_num(all) > CHAIN_MAX)
        return refuse(fault, false, "holds a chain of more than %d certificates", CHAIN_MAX);
    c->key = read_key(key_pem, &is_encrypted);
    if (is_encrypted)
        return refuse(fault, true, "is encrypted, and a passphrase can't be given");
    if (!c->key)
        return refuse(fault, true,
                      "holds no private key that can be read (PEM, -----BEGIN PRIVATE "
                      "KEY-----)");
    if (X509_check_private_key(c->leaf, c->key) == 1)
        return 0;
    ERR_clear_error();
    return refuse(fault, true, "is not the key of the first certificate");
}

static struct tls_cert *make(struct slice cert_pem, struct slice key_pem, struct tls_fault *fault)
{
    struct tls_cert *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL);
    c->shared.free_fn = cert_free;
    if (read_texts(c, cert_pem, key_pem, fault) < 0 || check_strength(c, fault) < 0 ||
        check_use(c, fault) < 0) {
        cert_free(&c->shared);
        return NULL;
    }
    c->not_before = seconds_of(X509_get0_notBefore(c->leaf));
    c->not_after = seconds_of(X509_get0_notAfter(c->leaf));
    read_names(c);
    return c;
}

int tls_cert_make(struct slice cert_pem, struct slice key_pem, int64_t now_s, struct tls_cert **out,
                  struct tls_fault *fault)
{
    const struct slice parts[] = {cert_pem, key_pem};
    char identity[TLS_IDENTITY];
    struct tls_cert *c;

    tls_digest("certificate", parts, COUNT_OF(parts), identity);
    struct tls_shared *known = tls_shared_find(identity);
    if (known) {
        c = container_of(known, struct tls_cert, shared);
    } else {
        c = make(cert_pem, key_pem, fault);
        if (!c)
            return ERR_TLS;
        memcpy(c->shared.identity, identity, sizeof(identity));
        c = container_of(tls_shared_keep(&c->shared), struct tls_cert, shared);
    }
    int rc = check_dates(c, now_s, fault);
    if (rc < 0) {
        tls_cert_unref(c);
        return rc;
    }
    *out = c;
    return 0;
}
