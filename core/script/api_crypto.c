/* SPDX-License-Identifier: Apache-2.0 */

/* Digests, MACs and what is made of them. */

#include "script/api_crypto.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "script/crypto_password.h"
#include "script/crypto_thread.h"

enum { DIGEST_MAX = 64 };

int dml_digest(int digest, const char *ptr, size_t len, char *out)
{
    EVP_MD_CTX *ctx = crypto_thread()->digest;
    const EVP_MD *md = crypto_digest(digest);
    unsigned int n = 0;

    if (!md)
        return ERR_NOT_IMPLEMENTED;
    if (EVP_DigestInit_ex2(ctx, md, NULL) != 1 || EVP_DigestUpdate(ctx, ptr, len) != 1 ||
        EVP_DigestFinal_ex(ctx, (unsigned char *)out, &n) != 1) {
        crypto_forget_errors();
        return ERR_SYSTEM;
    }
    return (int)n;
}

/* The MAC of several texts, one behind the other. */
static int mac_of(int digest, const struct dml_slice *key, const struct dml_slice *texts,
                  int ntexts, unsigned char *out)
{
    struct crypto_thread *t = crypto_thread();
    size_t n = 0;

    if (!crypto_digest(digest))
        return ERR_NOT_IMPLEMENTED;
    if (!t->mac[digest])
        t->mac[digest] = crypto_new_hmac(digest);
    EVP_MAC_CTX *mac = t->mac[digest];
    /* A key pointer of NULL would mean "the same key as before". */
    const unsigned char *k =
        key->len > 0 ? (const unsigned char *)key->ptr : (const unsigned char *)"";
    bool fine = mac && EVP_MAC_init(mac, k, (size_t)key->len, NULL) == 1;
    for (int i = 0; fine && i < ntexts; i++)
        fine = EVP_MAC_update(mac, (const unsigned char *)texts[i].ptr, (size_t)texts[i].len) == 1;
    if (!fine || EVP_MAC_final(mac, out, &n, DIGEST_MAX) != 1) {
        crypto_forget_errors();
        return ERR_SYSTEM;
    }
    return (int)n;
}

int dml_hmac(int digest, const char *key, size_t keylen, const char *ptr, size_t len, char *out)
{
    struct dml_slice k = {key, (int32_t)keylen}, text = {ptr, (int32_t)len};

    if (keylen > INT32_MAX || len > INT32_MAX)
        return ERR_LIMIT;
    return mac_of(digest, &k, &text, 1, (unsigned char *)out);
}

/* RFC 5869: extract, then one MAC after another, each over the one before. */
int dml_hkdf(int digest, const struct dml_hkdf *in, char *out, size_t len)
{
    unsigned char first[DIGEST_MAX], block[DIGEST_MAX], number = 0;
    static const char zeros[DIGEST_MAX];

    if (!crypto_digest(digest))
        return ERR_NOT_IMPLEMENTED;
    int size = EVP_MD_get_size(crypto_digest(digest));
    if (len > 255 * (size_t)size || in->secret_len > INT32_MAX || in->info_len > INT32_MAX)
        return ERR_LIMIT;
    bool has_salt = in->salt_len > 0;
    int rc = dml_hmac(digest, has_salt ? in->salt : zeros, has_salt ? in->salt_len : (size_t)size,
                      in->secret, in->secret_len, (char *)first);
    struct dml_slice key = {(char *)first, size};
    for (size_t done = 0; rc >= 0 && done < len; done += (size_t)size) {
        number++;
        const struct dml_slice texts[] = {
            {(char *)block, done > 0 ? size : 0},
            {in->info, (int32_t)in->info_len},
            {(char *)&number, 1},
        };
        rc = mac_of(digest, &key, texts, COUNT_OF(texts), block);
        memcpy(out + done, block, MIN((size_t)size, len - done));
    }
    OPENSSL_cleanse(first, sizeof(first));
    OPENSSL_cleanse(block, sizeof(block));
    return MIN(rc, 0);
}

void dml_random(char *out, size_t len)
{
    rand_secure(out, len);
}

int dml_equal(const char *a, size_t alen, const char *b, size_t blen)
{
    return alen == blen && CRYPTO_memcmp(a, b, alen) == 0;
}

int dml_password_form(const char *hash, size_t len)
{
    return password_form(slice_of(hash, len));
}
