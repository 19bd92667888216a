/* SPDX-License-Identifier: Apache-2.0 */

/* Digests and MACs over OpenSSL. The algorithms are fetched once in the process, the contexts once in a thread: fetching
 * costs more than hashing a short text. */

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/rand.h"
#include "script/api_lib.h"

static const char *const names[] = {
    [DML_MD5] = "MD5",       [DML_SHA1] = "SHA1",     [DML_SHA256] = "SHA256",
    [DML_SHA384] = "SHA384", [DML_SHA512] = "SHA512",
};

static EVP_MD *digests[COUNT_OF(names)];
static EVP_MAC *hmac;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static pthread_key_t contexts_key;

struct contexts {
    EVP_MD_CTX *digest;
    EVP_MAC_CTX *mac;
};

static void free_contexts(void *ptr)
{
    struct contexts *c = ptr;

    EVP_MD_CTX_free(c->digest);
    EVP_MAC_CTX_free(c->mac);
    free(c);
}

static void fetch(void)
{
    for (size_t i = 0; i < COUNT_OF(names); i++)
        digests[i] = EVP_MD_fetch(NULL, names[i], NULL); /* MD5 may be missing: a FIPS system */
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    REQUIRE(hmac != NULL && pthread_key_create(&contexts_key, free_contexts) == 0);
}

static struct contexts *contexts_of_thread(void)
{
    pthread_once(&fetched, fetch);
    struct contexts *c = pthread_getspecific(contexts_key);
    if (LIKELY(c != NULL))
        return c;
    c = malloc(sizeof(*c));
    REQUIRE(c != NULL);
    c->digest = EVP_MD_CTX_new();
    c->mac = EVP_MAC_CTX_new(hmac);
    REQUIRE(c->digest && c->mac && pthread_setspecific(contexts_key, c) == 0);
    return c;
}

int dml_digest(int digest, const char *ptr, size_t len, char *out)
{
    struct contexts *c = contexts_of_thread();
    unsigned int n = 0;

    if (digest < 0 || (size_t)digest >= COUNT_OF(names) || !digests[digest])
        return ERR_NOT_IMPLEMENTED;
    if (EVP_DigestInit_ex2(c->digest, digests[digest], NULL) != 1 ||
        EVP_DigestUpdate(c->digest, ptr, len) != 1 ||
        EVP_DigestFinal_ex(c->digest, (unsigned char *)out, &n) != 1)
        return ERR_SYSTEM;
    return (int)n;
}

int dml_hmac(int digest, const char *key, size_t keylen, const char *ptr, size_t len, char *out)
{
    struct contexts *c = contexts_of_thread();
    size_t n = 0;

    if (digest < 0 || (size_t)digest >= COUNT_OF(names) || !digests[digest])
        return ERR_NOT_IMPLEMENTED;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)names[digest], 0),
        OSSL_PARAM_construct_end(),
    };
    /* A key pointer of NULL would mean "the same key as before". */
    const unsigned char *k = keylen > 0 ? (const unsigned char *)key : (const unsigned char *)"";
    if (EVP_MAC_init(c->mac, k, keylen, params) != 1 ||
        EVP_MAC_update(c->mac, (const unsigned char *)ptr, len) != 1 ||
        EVP_MAC_final(c->mac, (unsigned char *)out, &n, 64) != 1)
        return ERR_SYSTEM;
    return (int)n;
}

void dml_random(char *out, size_t len)
{
    rand_secure(out, len);
}

int dml_equal(const char *a, size_t alen, const char *b, size_t blen)
{
    return alen == blen && CRYPTO_memcmp(a, b, alen) == 0;
}
