/* SPDX-License-Identifier: Apache-2.0 */

/* Signed tokens: JWS in its compact form (RFC 7515) and the claims in it (RFC 7519), as strict as RFC 8725 wants it.
 *
 *   token --- jwt_decode: size, three parts, base64url, header ---> jwt_verify: algorithm, crit, typ, key, signature, claims
 *
 * The algorithm has to be on the caller's list and to fit the key that is used; what a token says of keys (jwk, jku, x5u,
 * x5c) is not looked at, only its kid chooses among the keys that are there. Nothing of a payload is read before its
 * signature is verified. Everything lies in the caller's room: a token that needs no escapes takes nothing from the heap. */

#ifndef DML_SCRIPT_JWT_H
#define DML_SCRIPT_JWT_H

#include "base/slice.h"
#include "script/crypto_key.h"

enum { JWT_KEYS_MAX = 128, JWT_KEYS_TEXT_MAX = 512 * 1024, JWT_LIST_MAX = 64 };

/* --- jwt_keys.c: what is verified with -------------------------------------------------------------------------------- */

struct dml_keys {
    /* owned */
    struct arena *arena;
    struct jwk keys[JWT_KEYS_MAX];
    int nkeys;
};

struct dml_keys *jwt_keys_new(void);
void jwt_keys_free(struct dml_keys *ks);
int jwt_keys_add(struct dml_keys *ks, struct dml_key *k, struct slice kid, int signing);
int jwt_keys_add_jwks(struct dml_keys *ks, struct slice json, const char **why);

/* --- jwt_policy.c: what a token has to be ------------------------------------------------------------------------------- */

struct jwt_list {
    struct slice items[JWT_LIST_MAX];
    int n;
};

struct dml_policy {
    /* owned */
    struct arena *arena;
    struct jwt_list issuers, audiences, types, required, critical, noted;
    /* state */
    uint32_t signings; /* a bit for each that is allowed */
    double skew, max_age;
    size_t max_size;
    bool any_audience, is_raw, may_be_untyped;
};

struct dml_policy *jwt_policy_new(void);
void jwt_policy_free(struct dml_policy *p);
int jwt_policy_text(struct dml_policy *p, int which, struct slice text);
int jwt_policy_number(struct dml_policy *p, int which, double n);
bool jwt_list_has(const struct jwt_list *list, struct slice text);

/* Without "application/", which may be left out (RFC 7515, 4.1.9). */
struct slice jwt_short_type(struct slice type);

/* --- jwt_token.c: tokens -------------------------------------------------------------------------------------------------- */

struct jwt_token {
    struct slice signed_part; /* of the token itself */
    struct slice header, payload, signature;
    struct slice kid, type; /* ptr NULL: not there */
    int signing;            /* -1: none that is known */
    bool has_critical;
    char *room; /* behind what is in use */
};

/* An enum dml_jwt_fault; *detail says more, or is NULL. room: twice the token's length. */
int jwt_decode(struct slice token, char *room, struct jwt_token *out, const char **detail);

/* Whether all that the header's crit names is known to the policy, and there. */
bool jwt_critical_fits(const struct dml_policy *p, struct slice header);

/* --- jwt_verify.c --------------------------------------------------------------------------------------------------------- */

/* An enum dml_jwt_fault. now: seconds since 1970. */
int jwt_verify(const struct dml_keys *ks, const struct dml_policy *p, struct slice token,
               double now, struct dml_jwt *out);

#endif
