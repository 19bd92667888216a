/* SPDX-License-Identifier: Apache-2.0 */

/* Keys for signatures: how they are loaded, what they are good for, and signing and verifying with them. What is too weak
 * or is no key at all is refused when it is loaded (RSA below 2048 bits, a point that is not on its curve, a private
 * part that does not belong to the public one), so that nobody has to ask later. */

#ifndef DML_SCRIPT_CRYPTO_KEY_H
#define DML_SCRIPT_CRYPTO_KEY_H

#include "base/slice.h"
#include "script/api_crypto.h"

struct arena;
struct evp_pkey_st;

struct dml_key {
    /* owned */
    struct evp_pkey_st *pkey; /* NULL: a secret */
    char *secret;
    void *verifying[DML_SIGNINGS]; /* contexts that are ready, by signing; NULL: not needed yet */
    void *making[DML_SIGNINGS];
    /* state */
    int refs; /* Lua's object, and the sets that it is in; all of one thread */
    size_t secret_len;
    int kind, bits; /* of an EC key those of its field, of a secret all */
    bool is_private;
    bool may_be_short;
};

enum { KEY_TEXT_MAX = 64 * 1024, KEY_SIGNATURE_MAX = 2048 };

/* --- crypto_key.c: loading ------------------------------------------------------------------------------------------ */

/* These give NULL and *why, as dml_key_new. */
struct dml_key *key_from_pem(struct slice text, const char **why);
struct dml_key *key_from_der(struct slice bytes, const char **why);
struct dml_key *key_from_secret(struct slice bytes, bool may_be_short, const char **why);

/* Takes pkey over, also where it refuses. */
struct dml_key *key_from_pkey(struct evp_pkey_st *pkey, bool is_private, const char **why);
struct dml_key *key_make(int signing);
struct dml_key *key_ref(struct dml_key *k);
void key_unref(struct dml_key *k);

/* n, e, x, y: bytes of the public part, or ERR_NOT_FOUND; out has KEY_SIGNATURE_MAX. */
int key_part(const struct dml_key *k, char part, char *out);

/* --- crypto_jwk.c: JWKs (RFC 7517, 7518, 8037) ------------------------------------------------------------------------ */

struct jwk {
    struct dml_key *key; /* the caller's */
    struct slice kid;    /* in the arena; ptr NULL = none */
    int signing;         /* its "alg"; -1 = none is named */
    bool may_verify;     /* by "use" and "key_ops" */
};

/* One JWK. False and *why. What is no key for signatures: key NULL and may_verify false, with *why. */
bool key_from_jwk(struct slice json, struct arena *a, bool may_be_short, struct jwk *out,
                  const char **why);

/* --- crypto_sign.c: signatures ---------------------------------------------------------------------------------------- */

/* The number of a name of RFC 7518, 3.1; ERR_NOT_FOUND. */
int signing_find(struct slice name);
const char *signing_name(int signing);

/* Kind, curve and length are those that the signing asks for. */
bool key_fits(const struct dml_key *k, int signing);

/* 1, 0 or ERR_ARG as dml_key_verify. */
int key_verify(struct dml_key *k, int signing, struct slice text, struct slice signature);

/* out has KEY_SIGNATURE_MAX; the length, ERR_ARG or ERR_SYSTEM. */
int key_sign(struct dml_key *k, int signing, struct slice text, char *out);

/* Frees the contexts; for key_unref. */
void key_forget_contexts(struct dml_key *k);

#endif
