/* SPDX-License-Identifier: Apache-2.0 */

/* The third part of api.h, under the same rules: cryptography. None of it knows a gateway or an exchange.
 *
 * A key belongs to the thread of the VM that made it: it keeps OpenSSL's contexts, ready for the next signature, and
 * these are nobody else's. Lua frees keys, key sets and policies by its collector. */

#ifndef DML_SCRIPT_API_CRYPTO_H
#define DML_SCRIPT_API_CRYPTO_H

#include "script/api.h"

struct dml_key;
struct dml_keys;
struct dml_policy;

/* --- api_crypto.c: digests, MACs, random bytes --------------------------------------------------------------------- */

enum dml_digest { DML_MD5, DML_SHA1, DML_SHA256, DML_SHA384, DML_SHA512 };

/* out has 64 bytes; the length of the digest. */
DML_API int dml_digest(int digest, const char *ptr, size_t len, char *out);
DML_API int dml_hmac(int digest, const char *key, size_t keylen, const char *ptr, size_t len,
                     char *out);
DML_API void dml_random(char *out, size_t len);

/* In a time that does not tell where they differ. 1 or 0. */
DML_API int dml_equal(const char *a, size_t alen, const char *b, size_t blen);

/* HKDF (RFC 5869) with HMAC. ERR_LIMIT: more than 255 digests. */
struct dml_hkdf {
    const char *secret, *salt, *info;
    size_t secret_len, salt_len, info_len;
};
DML_API int dml_hkdf(int digest, const struct dml_hkdf *in, char *out, size_t len);

/* A password's hash as a configuration has it: 0 = its form is known, its cost within bounds; else ERR_NOT_IMPLEMENTED,
 * ERR_SYNTAX, ERR_LIMIT. */
DML_API int dml_password_form(const char *hash, size_t len);

/* --- api_crypto_aead.c: encryption that notices every change -------------------------------------------------------- */

enum dml_aead { DML_AES_128_GCM, DML_AES_256_GCM, DML_CHACHA20_POLY1305 };
enum { DML_AEAD_NONCE = 12, DML_AEAD_TAG = 16 };

struct dml_aead_input {
    const char *key, *nonce, *text, *aad;
    size_t key_len, nonce_len, text_len, aad_len;
};

/* Bytes of a key. */
DML_API int dml_aead_key(int aead);

/* out has text_len + 16 bytes: the tag stands behind the text. ERR_ARG: key or nonce have another length. */
DML_API int dml_aead_seal(int aead, const struct dml_aead_input *in, char *out);

/* out has text_len bytes; ERR_DENIED: it was not sealed so. Returns 0, or the code, with nothing in out. */
DML_API int dml_aead_open(int aead, const struct dml_aead_input *in, char *out);

/* --- api_key.c: keys and signatures --------------------------------------------------------------------------------- */

/* What signs, by the names of RFC 7518, 8037 and 9864. */
enum dml_signing {
    DML_HS256,
    DML_HS384,
    DML_HS512,
    DML_RS256,
    DML_RS384,
    DML_RS512,
    DML_PS256,
    DML_PS384,
    DML_PS512,
    DML_ES256,
    DML_ES384,
    DML_ES512,
    DML_EDDSA,
    DML_ED25519, /* the same under its newer name */
    DML_SIGNINGS,
};

/* By name: its number or ERR_NOT_FOUND; and back. */
DML_API int dml_signing(const char *name, size_t len);
DML_API const char *dml_signing_name(int signing);

enum dml_key_kind { DML_KEY_SECRET, DML_KEY_RSA, DML_KEY_EC, DML_KEY_ED25519 };
enum dml_key_flag {
    DML_KEY_SHORT = 1, /* a secret may be shorter than the digest that it is used with */
};

/* PEM (a private or public key, or a certificate's public key), DER, a JWK or a secret's bytes. NULL: *why is a
 * sentence without a full stop, that says nothing of the key. */
enum dml_key_form { DML_KEY_PEM, DML_KEY_DER, DML_KEY_JWK, DML_KEY_BYTES };
DML_API struct dml_key *dml_key_new(int form, const char *ptr, size_t len, int flags,
                                    const char **why);

/* A new one, of those that fit a signing; RSA: 2048 bits. */
DML_API struct dml_key *dml_key_make(int signing);
DML_API void dml_key_free(struct dml_key *k);

struct dml_key_facts {
    int32_t kind, bits, is_private;
};
DML_API void dml_key_facts(const struct dml_key *k, struct dml_key_facts *out);

/* A public part by its name in a JWK: n, e, x, y. Its bytes; room for 2048. ERR_NOT_FOUND: the key has none such. */
DML_API int dml_key_part(const struct dml_key *k, char part, char *out);

/* 1: the key may be used for it. */
DML_API int dml_key_fits(const struct dml_key *k, int signing);

/* 1: it is the signature; 0: it is not; ERR_ARG: the key does not fit. ES: r and s side by side, as in a JWS. */
DML_API int dml_key_verify(struct dml_key *k, int signing, const struct dml_slice *text,
                           const struct dml_slice *signature);

/* out has 2048 bytes; the length, or ERR_ARG: the key does not fit or is none to sign with. */
DML_API int dml_key_sign(struct dml_key *k, int signing, const struct dml_slice *text, char *out);

/* --- api_jwt.c: key sets and tokens --------------------------------------------------------------------------------- */

DML_API struct dml_keys *dml_keys_new(void);
DML_API void dml_keys_free(struct dml_keys *ks);

/* One key. kid, signing: what it is for; NULL and -1: any. The set shares the key. ERR_FULL: more than 128. */
DML_API int dml_keys_add(struct dml_keys *ks, struct dml_key *k, const char *kid, size_t kidlen,
                         int signing);

/* All keys of a JWK or JWK set that can verify signatures. 0 or more; or a negative code and *why. Keys that
 * are not for signatures, not known here or faulty are passed over: *why tells of the latest, else it is NULL. */
DML_API int dml_keys_add_jwks(struct dml_keys *ks, const char *ptr, size_t len, const char **why);
DML_API int dml_keys_count(const struct dml_keys *ks);

/* The index-th key (from 0), its key id. */
DML_API int dml_keys_kid(const struct dml_keys *ks, int index, struct dml_slice *out);

/* What a token has to be. */
enum dml_policy_number {
    DML_POLICY_SIGNING,  /* one that is allowed; any of several calls */
    DML_POLICY_SKEW,     /* seconds */
    DML_POLICY_MAX_AGE,  /* seconds since iat */
    DML_POLICY_MAX_SIZE, /* bytes of a token */
    DML_POLICY_ANY_AUD,  /* 1: whoever it is for */
    DML_POLICY_RAW,      /* 1: the payload is any bytes, and has no claims */
    DML_POLICY_UNTYPED,  /* 1: typ may be left out, whatever types there are */
};
enum dml_policy_text {
    DML_POLICY_ISSUER,
    DML_POLICY_AUDIENCE,
    DML_POLICY_TYPE,
    DML_POLICY_REQUIRED, /* a claim that must be there */
    DML_POLICY_CRITICAL, /* a header parameter that the caller understands */
    DML_POLICY_NOTED,    /* a claim; whether there is any of them is told */
};
DML_API struct dml_policy *dml_policy_new(void);
DML_API void dml_policy_free(struct dml_policy *p);
DML_API int dml_policy_number(struct dml_policy *p, int which, double n);
DML_API int dml_policy_text(struct dml_policy *p, int which, const char *ptr, size_t len);

enum dml_jwt_fault {
    DML_JWT_FINE,
    DML_JWT_MALFORMED,
    DML_JWT_TOO_LARGE,
    DML_JWT_ALGORITHM,
    DML_JWT_CRITICAL,
    DML_JWT_TYPE,
    DML_JWT_UNKNOWN_KEY,
    DML_JWT_SIGNATURE,
    DML_JWT_MISSING_CLAIM,
    DML_JWT_BAD_CLAIM,
    DML_JWT_EXPIRED,
    DML_JWT_NOT_YET_VALID,
    DML_JWT_TOO_OLD,
    DML_JWT_ISSUER,
    DML_JWT_AUDIENCE,
    DML_JWT_FAULTS,
};

enum { DML_JWT_SIZE_MAX = 65536 };

struct dml_jwt {
    char *
        room; /* the caller's, as long as the longest token; header, payload and signature lie in it */
    struct dml_slice header, payload, signature;
    struct dml_slice kid;   /* len -1: it has none */
    const char *detail;     /* of a fault: a sentence's part, constant */
    struct dml_slice claim; /* of DML_JWT_MISSING_CLAIM and DML_JWT_BAD_CLAIM */
    double expires;         /* exp; 0 = it has none */
    int32_t signing, key;   /* which, and the index of the key */
    int32_t has_noted;      /* one of DML_POLICY_NOTED */
};

/* The word of a fault; NULL behind the last. */
DML_API const char *dml_jwt_word(int fault);

/* Form alone: nothing of it is to be believed. An enum dml_jwt_fault. */
DML_API int dml_jwt_decode(const char *ptr, size_t len, struct dml_jwt *out);
DML_API int dml_jwt_verify(const struct dml_keys *ks, const struct dml_policy *p, const char *ptr,
                           size_t len, struct dml_jwt *out);

/* out has room for 4/3 of header and payload and 3000 bytes more; the length, or as dml_key_sign. */
DML_API int dml_jwt_sign(struct dml_key *k, int signing, const struct dml_slice *header,
                         const struct dml_slice *payload, char *out);

#endif
