/* SPDX-License-Identifier: Apache-2.0 */

/* Authenticated encryption. One nonce length and one tag length: those that all three algorithms were made for. What does
 * not open leaves nothing behind: not a byte of it was authentic. */

#include <openssl/crypto.h>
#include <string.h>

#include "base/err.h"
#include "script/api_crypto.h"
#include "script/crypto_thread.h"

int dml_aead_key(int aead)
{
    return aead == DML_AES_128_GCM ? 16 : 32;
}

/* The thread's context with key, nonce and what is authenticated only; NULL and a code. */
static EVP_CIPHER_CTX *begin(int aead, const struct dml_aead_input *in, bool seals, int *rc)
{
    struct crypto_thread *t = crypto_thread();
    const EVP_CIPHER *cipher = crypto_cipher(aead);
    int n;

    *rc = ERR_NOT_IMPLEMENTED;
    if (!cipher)
        return NULL;
    *rc = ERR_ARG;
    if (in->key_len != (size_t)dml_aead_key(aead) || in->nonce_len != DML_AEAD_NONCE)
        return NULL;
    *rc = ERR_LIMIT;
    if (in->text_len > INT32_MAX - DML_AEAD_TAG || in->aad_len > INT32_MAX)
        return NULL;
    if (!t->cipher[aead])
        t->cipher[aead] = EVP_CIPHER_CTX_new();
    EVP_CIPHER_CTX *ctx = t->cipher[aead];
    *rc = ERR_SYSTEM;
    if (EVP_CipherInit_ex2(ctx, cipher, (const unsigned char *)in->key,
                           (const unsigned char *)in->nonce, seals, NULL) != 1)
        return NULL;
    if (in->aad_len > 0 &&
        EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)in->aad, (int)in->aad_len) != 1)
        return NULL;
    *rc = 0;
    return ctx;
}

int dml_aead_seal(int aead, const struct dml_aead_input *in, char *out)
{
    unsigned char *o = (unsigned char *)out;
    int rc, n = 0, rest = 0;

    EVP_CIPHER_CTX *ctx = begin(aead, in, true, &rc);
    if (!ctx) {
        crypto_forget_errors();
        return rc;
    }
    if (EVP_CipherUpdate(ctx, o, &n, (const unsigned char *)in->text, (int)in->text_len) != 1 ||
        EVP_CipherFinal_ex(ctx, o + n, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, DML_AEAD_TAG, o + in->text_len) != 1) {
        crypto_forget_errors();
        return ERR_SYSTEM;
    }
    return 0;
}

int dml_aead_open(int aead, const struct dml_aead_input *in, char *out)
{
    unsigned char *o = (unsigned char *)out, tag[DML_AEAD_TAG];
    int rc, n = 0, rest = 0;

    if (in->text_len < sizeof(tag))
        return ERR_DENIED;
    int len = (int)(in->text_len - sizeof(tag));
    EVP_CIPHER_CTX *ctx = begin(aead, in, false, &rc);
    if (!ctx) {
        crypto_forget_errors();
        return rc;
    }
    memcpy(tag, in->text + len, sizeof(tag));
    if (EVP_CipherUpdate(ctx, o, &n, (const unsigned char *)in->text, len) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, DML_AEAD_TAG, tag) != 1 ||
        EVP_CipherFinal_ex(ctx, o + n, &rest) != 1) {
        OPENSSL_cleanse(out, (size_t)len);
        crypto_forget_errors();
        return ERR_DENIED;
    }
    return 0;
}
