/* SPDX-License-Identifier: Apache-2.0 */

/* One struct for each thread, freed when the thread ends. What a thread has not used yet it does not have. */

#include "script/crypto_thread.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"

static const char *const digest_names[CRYPTO_DIGESTS] = {
    [DML_MD5] = "MD5",       [DML_SHA1] = "SHA1",     [DML_SHA256] = "SHA256",
    [DML_SHA384] = "SHA384", [DML_SHA512] = "SHA512",
};
static const char *const cipher_names[CRYPTO_AEADS] = {
    [DML_AES_128_GCM] = "AES-128-GCM",
    [DML_AES_256_GCM] = "AES-256-GCM",
    [DML_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

static EVP_MD *digests[CRYPTO_DIGESTS];
static EVP_CIPHER *ciphers[CRYPTO_AEADS];
static EVP_MAC *hmac;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;

static void free_thread(void *ptr)
{
    struct crypto_thread *t = ptr;

    EVP_MD_CTX_free(t->digest);
    for (int i = 0; i < CRYPTO_DIGESTS; i++)
        EVP_MAC_CTX_free(t->mac[i]);
    for (int i = 0; i < CRYPTO_AEADS; i++)
        EVP_CIPHER_CTX_free(t->cipher[i]);
    free(t);
}

/* What a system in FIPS mode lacks stays NULL. */
static void fetch(void)
{
    for (int i = 0; i < CRYPTO_DIGESTS; i++)
        digests[i] = EVP_MD_fetch(NULL, digest_names[i], NULL);
    for (int i = 0; i < CRYPTO_AEADS; i++)
        ciphers[i] = EVP_CIPHER_fetch(NULL, cipher_names[i], NULL);
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    REQUIRE(hmac != NULL && pthread_key_create(&thread_key, free_thread) == 0);
    crypto_forget_errors();
}

/* When the process exits, a thread of the pool may be at a password still: OpenSSL must not take its tables away before
 * that has ended with the process. It can only be told so before all else. */
__attribute__((constructor)) static void keep_openssl_to_the_end(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

struct crypto_thread *crypto_thread(void)
{
    pthread_once(&fetched, fetch);
    struct crypto_thread *t = pthread_getspecific(thread_key);
    if (LIKELY(t != NULL))
        return t;
    t = calloc(1, sizeof(*t));
    REQUIRE(t != NULL);
    t->digest = EVP_MD_CTX_new();
    REQUIRE(t->digest && pthread_setspecific(thread_key, t) == 0);
    return t;
}

const EVP_MD *crypto_digest(int digest)
{
    pthread_once(&fetched, fetch);
    return digest >= 0 && digest < CRYPTO_DIGESTS ? digests[digest] : NULL;
}

const EVP_CIPHER *crypto_cipher(int aead)
{
    pthread_once(&fetched, fetch);
    return aead >= 0 && aead < CRYPTO_AEADS ? ciphers[aead] : NULL;
}

EVP_MAC_CTX *crypto_new_hmac(int digest)
{
    if (!crypto_digest(digest))
        return NULL;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest_names[digest], 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    REQUIRE(mac != NULL);
    if (EVP_MAC_CTX_set_params(mac, params) != 1) {
        EVP_MAC_CTX_free(mac);
        crypto_forget_errors();
        return NULL;
    }
    return mac;
}

void crypto_forget_errors(void)
{
    ERR_clear_error();
}
