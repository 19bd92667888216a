/* SPDX-License-Identifier: Apache-2.0 */

/* Loading keys. OpenSSL's decoders find out what a text holds; what comes of it is then looked at here, however it came:
 * PEM, DER and JWK end in key_from_pkey. Encrypted keys are refused: there is nobody to ask for the password. */

#include "script/crypto_key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "script/crypto_thread.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, SECRET_MAX = 64 * 1024 };

static struct dml_key *new_key(int kind, int bits)
{
    struct dml_key *k = calloc(1, sizeof(*k));

    REQUIRE(k != NULL);
    k->refs = 1;
    k->kind = kind;
    k->bits = bits;
    return k;
}

struct dml_key *key_ref(struct dml_key *k)
{
    k->refs++;
    return k;
}

void key_unref(struct dml_key *k)
{
    if (--k->refs > 0)
        return;
    key_forget_contexts(k);
    EVP_PKEY_free(k->pkey);
    if (k->secret)
        OPENSSL_clear_free(k->secret, k->secret_len);
    free(k);
}

/* --- what a key has to be ------------------------------------------------------------------------------------------- */

static bool is_odd_and_large(EVP_PKEY *pkey, const char *name, int least_bits)
{
    BIGNUM *n = NULL;

    bool fits =
        EVP_PKEY_get_bn_param(pkey, name, &n) == 1 && BN_is_odd(n) && BN_num_bits(n) >= least_bits;
    BN_free(n);
    return fits;
}

/* Keys of a faulty generator (CVE-2017-15361, "ROCA") can be factored. Their moduli are powers of 65537 modulo each of
 * many small primes; of other moduli one in 2^27 is modulo all of these. */
static bool is_of_faulty_generator(EVP_PKEY *pkey)
{
    static const uint8_t primes[] = {11, 13, 17,  19,  37,  53,  61,  71, 73,
                                     79, 97, 103, 107, 109, 127, 151, 157};
    BIGNUM *n = NULL;
    bool is_power = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1;

    for (size_t i = 0; i < COUNT_OF(primes) && is_power; i++) {
        unsigned rest = (unsigned)BN_mod_word(n, primes[i]), power = 1;
        do
            power = power * 65537 % primes[i];
        while (power != rest && power != 1);
        is_power = power == rest;
    }
    BN_free(n);
    return is_power;
}

static bool rsa_fits(EVP_PKEY *pkey, const char **why)
{
    int bits = EVP_PKEY_get_bits(pkey);

    if (bits < RSA_BITS_MIN)
        *why = "an RSA key has 2048 bits at least";
    else if (bits > RSA_BITS_MAX)
        *why = "an RSA key has 8192 bits at most";
    else if (!is_odd_and_large(pkey, OSSL_PKEY_PARAM_RSA_N, RSA_BITS_MIN) ||
             !is_odd_and_large(pkey, OSSL_PKEY_PARAM_RSA_E, 2))
        *why = "modulus or exponent of the RSA key can't be right";
    else if (is_of_faulty_generator(pkey))
        *why = "the RSA key comes from a generator whose keys can be factored (ROCA)";
    else
        return true;
    return false;
}

/* Whether the point is on the curve and, of a private key, whether both parts are one pair. */
static bool pair_fits(EVP_PKEY *pkey, bool is_private)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool fits = ctx && EVP_PKEY_public_check(ctx) == 1 &&
                (!is_private || EVP_PKEY_pairwise_check(ctx) == 1);

    EVP_PKEY_CTX_free(ctx);
    return fits;
}

static bool ec_fits(EVP_PKEY *pkey, bool is_private, const char **why)
{
    static const char *const curves[] = {"prime256v1", "P-256",     "secp384r1",
                                         "P-384",      "secp521r1", "P-521"};
    char curve[32] = "";
    bool is_known = false;

    EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve), NULL);
    for (size_t i = 0; i < COUNT_OF(curves); i++)
        is_known |= strcmp(curve, curves[i]) == 0;
    if (!is_known)
        *why = "the key's curve is none of P-256, P-384 and P-521";
    else if (!pair_fits(pkey, is_private))
        *why = "the key's point is not on its curve, or its parts are no pair";
    else
        return true;
    return false;
}

struct dml_key *key_from_pkey(EVP_PKEY *pkey, bool is_private, const char **why)
{
    int kind = -1;

    if (EVP_PKEY_is_a(pkey, "RSA"))
        kind = rsa_fits(pkey, why) ? DML_KEY_RSA : -1;
    else if (EVP_PKEY_is_a(pkey, "EC"))
        kind = ec_fits(pkey, is_private, why) ? DML_KEY_EC : -1;
    else if (EVP_PKEY_is_a(pkey, "ED25519"))
        kind = DML_KEY_ED25519;
    else
        *why = "the key is none of RSA, EC and Ed25519";
    crypto_forget_errors();
    if (kind < 0) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    struct dml_key *k = new_key(kind, EVP_PKEY_get_bits(pkey));
    k->pkey = pkey;
    k->is_private = is_private;
    return k;
}

/* --- forms ---------------------------------------------------------------------------------------------------------- */

static EVP_PKEY *decode(const char *form, int selection, struct slice bytes)
{
    EVP_PKEY *pkey = NULL;
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    size_t left = bytes.len;

    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&pkey, form, NULL, NULL, selection, NULL, NULL);
    if (ctx && OSSL_DECODER_from_data(ctx, &at, &left) != 1) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    OSSL_DECODER_CTX_free(ctx);
    crypto_forget_errors();
    return pkey;
}

static struct dml_key *decode_any(const char *form, struct slice bytes, const char **why)
{
    EVP_PKEY *pkey = decode(form, EVP_PKEY_KEYPAIR, bytes);

    if (pkey)
        return key_from_pkey(pkey, true, why);
    pkey = decode(form, EVP_PKEY_PUBLIC_KEY, bytes);
    if (pkey)
        return key_from_pkey(pkey, false, why);
    *why = "there is no key in it that can be read; an encrypted one can't";
    return NULL;
}

static struct dml_key *from_certificate(struct slice text, const char **why)
{
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    EVP_PKEY *pkey = cert ? X509_get_pubkey(cert) : NULL;

    X509_free(cert);
    BIO_free(bio);
    crypto_forget_errors();
    if (pkey)
        return key_from_pkey(pkey, false, why);
    *why = "the certificate can't be read";
    return NULL;
}

static bool size_fits(struct slice text, const char **why)
{
    if (text.len > 0 && text.len <= KEY_TEXT_MAX)
        return true;
    *why = text.len == 0 ? "it is empty" : "it is longer than 64 KiB";
    return false;
}

/* From the first block on that may hold a key: `openssl ecparam -genkey` writes the curve's name in one before it. */
static struct slice first_block(struct slice text)
{
    ssize_t begin = slice_find(text, SLICE("-----BEGIN "));

    while (begin >= 0) {
        text = slice_from_index(text, (size_t)begin);
        if (!slice_starts(text, SLICE("-----BEGIN EC PARAMETERS-----")))
            return text;
        text = slice_from_index(text, 1);
        begin = slice_find(text, SLICE("-----BEGIN "));
    }
    return SLICE_NONE;
}

struct dml_key *key_from_pem(struct slice text, const char **why)
{
    if (!size_fits(text, why))
        return NULL;
    text = first_block(text);
    if (!text.ptr) {
        *why = "there is no -----BEGIN ...----- in it";
        return NULL;
    }
    if (slice_starts(text, SLICE("-----BEGIN CERTIFICATE-----")))
        return from_certificate(text, why);
    return decode_any("PEM", text, why);
}

struct dml_key *key_from_der(struct slice bytes, const char **why)
{
    return size_fits(bytes, why) ? decode_any("DER", bytes, why) : NULL;
}

struct dml_key *key_from_secret(struct slice bytes, bool may_be_short, const char **why)
{
    if (bytes.len == 0 || bytes.len > SECRET_MAX) {
        *why = bytes.len == 0 ? "the secret is empty" : "the secret is longer than 64 KiB";
        return NULL;
    }
    struct dml_key *k = new_key(DML_KEY_SECRET, (int)bytes.len * 8);
    k->secret = OPENSSL_memdup(bytes.ptr, bytes.len);
    REQUIRE(k->secret != NULL);
    k->secret_len = bytes.len;
    k->is_private = true;
    k->may_be_short = may_be_short;
    return k;
}

/* --- new keys, and parts of keys -------------------------------------------------------------------------------------- */

static struct dml_key *make_secret(int bytes)
{
    char secret[64];
    const char *why;

    dml_random(secret, (size_t)bytes);
    struct dml_key *k = key_from_secret(slice_of(secret, (size_t)bytes), false, &why);
    OPENSSL_cleanse(secret, sizeof(secret));
    return k;
}

struct dml_key *key_make(int signing)
{
    const char *why;
    EVP_PKEY *pkey = NULL;

    switch (signing) {
    case DML_HS256:
    case DML_HS384:
    case DML_HS512: return make_secret(32 + 16 * (signing - DML_HS256));
    case DML_ES256: pkey = EVP_EC_gen("P-256"); break;
    case DML_ES384: pkey = EVP_EC_gen("P-384"); break;
    case DML_ES512: pkey = EVP_EC_gen("P-521"); break;
    case DML_EDDSA:
    case DML_ED25519: pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"); break;
    default: pkey = EVP_RSA_gen(RSA_BITS_MIN);
    }
    return pkey ? key_from_pkey(pkey, true, &why) : NULL;
}

static int ed25519_part(const struct dml_key *k, char *out)
{
    size_t len = KEY_SIGNATURE_MAX;

    return EVP_PKEY_get_raw_public_key(k->pkey, (unsigned char *)out, &len) == 1 ? (int)len
                                                                                 : ERR_SYSTEM;
}

int key_part(const struct dml_key *k, char part, char *out)
{
    static const struct {
        char part;
        int kind;
        const char *name;
    } parts[] = {
        {'n', DML_KEY_RSA, OSSL_PKEY_PARAM_RSA_N},
        {'e', DML_KEY_RSA, OSSL_PKEY_PARAM_RSA_E},
        {'x', DML_KEY_EC, OSSL_PKEY_PARAM_EC_PUB_X},
        {'y', DML_KEY_EC, OSSL_PKEY_PARAM_EC_PUB_Y},
    };
    BIGNUM *n = NULL;
    int len = ERR_NOT_FOUND;

    if (k->kind == DML_KEY_ED25519)
        return part == 'x' ? ed25519_part(k, out) : ERR_NOT_FOUND;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (parts[i].part != part || parts[i].kind != k->kind ||
            EVP_PKEY_get_bn_param(k->pkey, parts[i].name, &n) != 1)
            continue;
        /* Of a curve's coordinates the leading zeros belong to the text (RFC 7518, 6.2.1.2). */
        len = k->kind == DML_KEY_EC ? (k->bits + 7) / 8 : BN_num_bytes(n);
        BN_bn2binpad(n, (unsigned char *)out, len);
    }
    BN_free(n);
    return len;
}
