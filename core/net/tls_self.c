/* SPDX-License-Identifier: Apache-2.0 */

/* Made anew by each process, so that there is no key which lies about. Nothing of it can fail but for want of memory. */

#include "net/tls_self.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/slice.h"

#define HOUR_S 3600L

static char *text_of(BIO *bio)
{
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = slice_dup(slice_of(bytes, (size_t)len));

    BIO_free(bio);
    return text;
}

static void add_extension(X509 *x, int id, const char *value)
{
    X509V3_CTX around;

    X509V3_set_ctx_nodb(&around);
    X509V3_set_ctx(&around, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &around, id, value);
    REQUIRE(e != NULL && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static X509 *make(EVP_PKEY *key)
{
    X509 *x = X509_new();
    uint32_t serial;

    REQUIRE(x != NULL && RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1);
    X509_NAME *name = X509_get_subject_name(x);
    REQUIRE(X509_set_version(x, X509_VERSION_3) == 1 &&
            ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial | 1) == 1 &&
            X509_gmtime_adj(X509_getm_notBefore(x), -HOUR_S) != NULL &&
            X509_gmtime_adj(X509_getm_notAfter(x), 24 * HOUR_S) != NULL &&
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
                                       -1, -1, 0) == 1 &&
            X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1);
    add_extension(x, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
    add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    REQUIRE(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

void tls_self_signed(char **cert, char **key)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    BIO *cert_text = BIO_new(BIO_s_mem()), *key_text = BIO_new(BIO_s_mem());

    REQUIRE(pair != NULL && cert_text != NULL && key_text != NULL);
    X509 *x = make(pair);
    REQUIRE(PEM_write_bio_X509(cert_text, x) == 1 &&
            PEM_write_bio_PrivateKey(key_text, pair, NULL, NULL, 0, NULL, NULL) == 1);
    *cert = text_of(cert_text);
    *key = text_of(key_text);
    X509_free(x);
    EVP_PKEY_free(pair);
}
