/* SPDX-License-Identifier: Apache-2.0 */

/* OpenSSL's algorithms, fetched once in the process, and its contexts, made once in a thread: fetching costs more than
 * hashing a short text, and takes locks. For the crypto files alone. */

#ifndef DML_SCRIPT_CRYPTO_THREAD_H
#define DML_SCRIPT_CRYPTO_THREAD_H

#include <openssl/evp.h>

#include "script/api_crypto.h"

enum { CRYPTO_DIGESTS = DML_SHA512 + 1, CRYPTO_AEADS = DML_CHACHA20_POLY1305 + 1 };

struct crypto_thread {
    EVP_MD_CTX *digest;
    EVP_MAC_CTX
    *mac[CRYPTO_DIGESTS]; /* HMAC with that digest, without a key; NULL: not needed yet */
    EVP_CIPHER_CTX *cipher[CRYPTO_AEADS];
};

/* The calling thread's. Never NULL. */
struct crypto_thread *crypto_thread(void);

/* NULL: there is none of that number, or this system's OpenSSL refuses it. */
const EVP_MD *crypto_digest(int digest);
const EVP_CIPHER *crypto_cipher(int aead);

/* A new HMAC context of a digest, or NULL. */
EVP_MAC_CTX *crypto_new_hmac(int digest);

/* After anything of OpenSSL has failed: what it left in the thread's list of errors would be taken for TLS's. */
void crypto_forget_errors(void);

#endif
