/* SPDX-License-Identifier: Apache-2.0 */

/* Signatures, by the names that JOSE has for them. A key keeps a context for each signing that it has been used for,
 * with digest and padding set: setting them costs as much as a third of an RSA verification. Ed25519 has no digest that
 * could be set, so it starts anew each time.
 *
 * OpenSSL wants ECDSA's r and s in DER, JOSE has them side by side. They are put into DER here in the one form that it
 * allows, so there is nothing in a signature's coding to play with. */

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/check.h"
#include "base/err.h"
#include "script/crypto_key.h"
#include "script/crypto_thread.h"

struct signing {
    const char *name;
    int kind, digest;
    int bits; /* the least of a secret; the field of a curve */
    bool is_pss;
};

static const struct signing signings[DML_SIGNINGS] = {
    [DML_HS256] = {"HS256", DML_KEY_SECRET, DML_SHA256, 256, false},
    [DML_HS384] = {"HS384", DML_KEY_SECRET, DML_SHA384, 384, false},
    [DML_HS512] = {"HS512", DML_KEY_SECRET, DML_SHA512, 512, false},
    [DML_RS256] = {"RS256", DML_KEY_RSA, DML_SHA256, 0, false},
    [DML_RS384] = {"RS384", DML_KEY_RSA, DML_SHA384, 0, false},
    [DML_RS512] = {"RS512", DML_KEY_RSA, DML_SHA512, 0, false},
    [DML_PS256] = {"PS256", DML_KEY_RSA, DML_SHA256, 0, true},
    [DML_PS384] = {"PS384", DML_KEY_RSA, DML_SHA384, 0, true},
    [DML_PS512] = {"PS512", DML_KEY_RSA, DML_SHA512, 0, true},
    [DML_ES256] = {"ES256", DML_KEY_EC, DML_SHA256, 256, false},
    [DML_ES384] = {"ES384", DML_KEY_EC, DML_SHA384, 384, false},
    [DML_ES512] = {"ES512", DML_KEY_EC, DML_SHA512, 521, false},
    [DML_EDDSA] = {"EdDSA", DML_KEY_ED25519, -1, 0, false},
    [DML_ED25519] = {"Ed25519", DML_KEY_ED25519, -1, 0, false},
};

enum { COORDINATE_MAX = 66, DER_MAX = 2 * COORDINATE_MAX + 16 };

int signing_find(struct slice name)
{
    for (int i = 0; i < DML_SIGNINGS; i++)
        if (slice_eq(name, slice_from(signings[i].name)))
            return i;
    return ERR_NOT_FOUND;
}

const char *signing_name(int signing)
{
    return signings[signing].name;
}

bool key_fits(const struct dml_key *k, int signing)
{
    const struct signing *s = &signings[signing];

    if (signing < 0 || signing >= DML_SIGNINGS || k->kind != s->kind)
        return false;
    switch (k->kind) {
    case DML_KEY_SECRET: return k->may_be_short || k->bits >= s->bits;
    case DML_KEY_EC: return k->bits == s->bits;
    default: return true;
    }
}

void key_forget_contexts(struct dml_key *k)
{
    for (int i = 0; i < DML_SIGNINGS; i++) {
        if (k->kind == DML_KEY_SECRET) {
            EVP_MAC_CTX_free(k->verifying[i]);
        } else {
            EVP_PKEY_CTX_free(k->verifying[i]);
            EVP_PKEY_CTX_free(k->making[i]);
        }
    }
}

/* --- secrets ---------------------------------------------------------------------------------------------------------- */

/* Signing and verifying are the same; one context does for both. */
static int mac_of(struct dml_key *k, int signing, struct slice text, unsigned char *out)
{
    EVP_MAC_CTX *mac = k->verifying[signing];
    size_t len = 0;

    if (!mac) {
        mac = crypto_new_hmac(signings[signing].digest);
        if (!mac || EVP_MAC_init(mac, (unsigned char *)k->secret, k->secret_len, NULL) != 1) {
            EVP_MAC_CTX_free(mac);
            crypto_forget_errors();
            return ERR_SYSTEM;
        }
        k->verifying[signing] = mac;
    } else if (EVP_MAC_init(mac, NULL, 0, NULL) != 1) { /* the key stays */
        crypto_forget_errors();
        return ERR_SYSTEM;
    }
    if (EVP_MAC_update(mac, (const unsigned char *)text.ptr, text.len) != 1 ||
        EVP_MAC_final(mac, out, &len, EVP_MAX_MD_SIZE) != 1) {
        crypto_forget_errors();
        return ERR_SYSTEM;
    }
    return (int)len;
}

static int verify_mac(struct dml_key *k, int signing, struct slice text, struct slice signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    int len = mac_of(k, signing, text, mac);

    return len > 0 && signature.len == (size_t)len &&
           CRYPTO_memcmp(mac, signature.ptr, (size_t)len) == 0;
}

/* --- RSA and ECDSA ---------------------------------------------------------------------------------------------------- */

static bool set_up(EVP_PKEY_CTX *ctx, const struct signing *s)
{
    if (EVP_PKEY_CTX_set_signature_md(ctx, crypto_digest(s->digest)) != 1)
        return false;
    if (s->kind != DML_KEY_RSA)
        return true;
    if (!s->is_pss)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, crypto_digest(s->digest)) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

/* The key's context for one direction, or NULL. */
static EVP_PKEY_CTX *context(struct dml_key *k, int signing, bool verifies)
{
    void **kept = verifies ? &k->verifying[signing] : &k->making[signing];

    if (LIKELY(*kept != NULL))
        return *kept;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
    if (!ctx || (verifies ? EVP_PKEY_verify_init(ctx) : EVP_PKEY_sign_init(ctx)) != 1 ||
        !set_up(ctx, &signings[signing])) {
        EVP_PKEY_CTX_free(ctx);
        crypto_forget_errors();
        return NULL;
    }
    *kept = ctx;
    return ctx;
}

/* A whole number, shortest form, not negative. */
static unsigned char *put_integer(unsigned char *out, const unsigned char *at, size_t len)
{
    while (len > 1 && *at == 0) {
        at++;
        len--;
    }
    bool has_zero = *at & 0x80;
    *out++ = 0x02;
    *out++ = (unsigned char)(len + has_zero);
    if (has_zero)
        *out++ = 0;
    memcpy(out, at, len);
    return out + len;
}

/* r and s side by side -> DER; the length. */
static size_t der_of(struct slice raw, unsigned char *out)
{
    unsigned char body[DER_MAX];
    const unsigned char *r = (const unsigned char *)raw.ptr;
    size_t half = raw.len / 2;

    unsigned char *end = put_integer(put_integer(body, r, half), r + half, half);
    size_t len = (size_t)(end - body), head = len < 0x80 ? 2 : 3;
    out[0] = 0x30;
    out[1] = head == 2 ? (unsigned char)len : 0x81;
    out[head - 1] = (unsigned char)len;
    memcpy(out + head, body, len);
    return head + len;
}

static size_t coordinate(const struct dml_key *k)
{
    return (size_t)(k->bits + 7) / 8;
}

static int verify_digest(struct dml_key *k, int signing, struct slice text, struct slice signature)
{
    EVP_PKEY_CTX *ctx = context(k, signing, true);
    unsigned char digest[EVP_MAX_MD_SIZE], der[DER_MAX];
    const unsigned char *sig = (const unsigned char *)signature.ptr;
    size_t len = signature.len;

    if (!ctx)
        return ERR_SYSTEM;
    if (k->kind == DML_KEY_EC) {
        if (len != 2 * coordinate(k))
            return 0;
        len = der_of(signature, der);
        sig = der;
    } else if (len != (size_t)EVP_PKEY_get_size(k->pkey)) {
        return 0;
    }
    int n = dml_digest(signings[signing].digest, text.ptr, text.len, (char *)digest);
    if (n < 0)
        return n;
    int rc = EVP_PKEY_verify(ctx, sig, len, digest, (size_t)n);
    if (rc != 1)
        crypto_forget_errors();
    return rc == 1;
}

/* DER -> r and s side by side. */
static int raw_of(const struct dml_key *k, const unsigned char *der, size_t len, char *out)
{
    int half = (int)coordinate(k);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);

    bool fine = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), (unsigned char *)out, half) == half &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), (unsigned char *)out + half, half) == half;
    ECDSA_SIG_free(sig);
    return fine ? 2 * half : ERR_SYSTEM;
}

static int sign_digest(struct dml_key *k, int signing, struct slice text, char *out)
{
    EVP_PKEY_CTX *ctx = context(k, signing, false);
    unsigned char digest[EVP_MAX_MD_SIZE], sig[KEY_SIGNATURE_MAX];
    size_t len = sizeof(sig);

    if (!ctx)
        return ERR_SYSTEM;
    int n = dml_digest(signings[signing].digest, text.ptr, text.len, (char *)digest);
    if (n < 0)
        return n;
    if (EVP_PKEY_sign(ctx, sig, &len, digest, (size_t)n) != 1) {
        crypto_forget_errors();
        return ERR_SYSTEM;
    }
    if (k->kind == DML_KEY_EC)
        return raw_of(k, sig, len, out);
    memcpy(out, sig, len);
    return (int)len;
}

/* --- Ed25519 ---------------------------------------------------------------------------------------------------------- */

static int verify_whole(struct dml_key *k, struct slice text, struct slice signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    int rc = ctx && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, k->pkey, NULL) == 1 &&
             EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
                              (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!rc)
        crypto_forget_errors();
    return rc;
}

static int sign_whole(struct dml_key *k, struct slice text, char *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = KEY_SIGNATURE_MAX;

    bool fine = ctx && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, k->pkey, NULL) == 1 &&
                EVP_DigestSign(ctx, (unsigned char *)out, &len, (const unsigned char *)text.ptr,
                               text.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!fine)
        crypto_forget_errors();
    return fine ? (int)len : ERR_SYSTEM;
}

/* ---------------------------------------------------------------------------------------------------------------------- */

int key_verify(struct dml_key *k, int signing, struct slice text, struct slice signature)
{
    if (!key_fits(k, signing))
        return ERR_ARG;
    switch (k->kind) {
    case DML_KEY_SECRET: return verify_mac(k, signing, text, signature);
    case DML_KEY_ED25519: return verify_whole(k, text, signature);
    default: return verify_digest(k, signing, text, signature) == 1;
    }
}

int key_sign(struct dml_key *k, int signing, struct slice text, char *out)
{
    if (!key_fits(k, signing) || !k->is_private)
        return ERR_ARG;
    switch (k->kind) {
    case DML_KEY_SECRET: return mac_of(k, signing, text, (unsigned char *)out);
    case DML_KEY_ED25519: return sign_whole(k, text, out);
    default: return sign_digest(k, signing, text, out);
    }
}
