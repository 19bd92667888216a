/* SPDX-License-Identifier: Apache-2.0 */

/* Key sets. A set of an issuer may hold keys that are not for us: each that can't be used is passed over, so that one
 * of them does not take the others' tokens away (RFC 7517, 5). */

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "base/json_strict.h"
#include "script/jwt.h"

struct dml_keys *jwt_keys_new(void)
{
    struct dml_keys *ks = calloc(1, sizeof(*ks));

    REQUIRE(ks != NULL);
    ks->arena = arena_new_heap(4 * KIB);
    return ks;
}

void jwt_keys_free(struct dml_keys *ks)
{
    for (int i = 0; i < ks->nkeys; i++)
        key_unref(ks->keys[i].key);
    arena_free(ks->arena);
    free(ks);
}

int jwt_keys_add(struct dml_keys *ks, struct dml_key *k, struct slice kid, int signing)
{
    if (ks->nkeys == JWT_KEYS_MAX)
        return ERR_FULL;
    ks->keys[ks->nkeys++] = (struct jwk){
        .key = key_ref(k),
        .kid = kid.ptr ? arena_dup(ks->arena, kid) : SLICE_NONE,
        .signing = signing,
        .may_verify = true,
    };
    return 0;
}

static int add_jwk(struct dml_keys *ks, struct slice json, const char **why)
{
    struct jwk jwk;

    if (!key_from_jwk(json, ks->arena, false, &jwk, why))
        return 0;
    if (ks->nkeys == JWT_KEYS_MAX) {
        key_unref(jwk.key);
        *why = "a set has 128 keys at most";
        return ERR_FULL;
    }
    ks->keys[ks->nkeys++] = jwk;
    return 1;
}

/* The keys between [ and ]. How many were added. */
static int add_list(struct dml_keys *ks, struct json_strict *s, const char **why)
{
    int event, n = 0;

    while ((event = json_strict_read(s)) == JSON_OBJECT) {
        size_t from = s->json.pos - 1;
        int rc = json_strict_skip(s, event);
        if (rc == 0)
            rc = add_jwk(ks, slice_sub(s->json.text, from, s->json.pos - from), why);
        if (rc < 0)
            return rc;
        n += rc;
    }
    return event == JSON_ARRAY_END ? n : event < 0 ? event : ERR_SYNTAX;
}

/* {"keys": [...]}, or ERR_NOT_FOUND when it has no keys. */
static int add_set(struct dml_keys *ks, struct json_strict *s, const char **why)
{
    int event, n = ERR_NOT_FOUND, rc = 0;

    if (json_strict_read(s) != JSON_OBJECT)
        return ERR_SYNTAX;
    while ((event = json_strict_read(s)) == JSON_KEY && rc == 0) {
        bool is_keys = slice_eq(s->json.string, SLICE("keys"));
        event = json_strict_read(s);
        if (is_keys && event == JSON_ARRAY) {
            n = add_list(ks, s, why);
            rc = MIN(n, 0);
        } else {
            rc = is_keys ? ERR_SYNTAX : json_strict_skip(s, event);
        }
    }
    if (rc < 0 || event < 0)
        return rc < 0 ? rc : event;
    return json_strict_read(s) == JSON_END ? n : ERR_SYNTAX;
}

/* Whoever publishes keys that others verify with publishes no secret: one among them is passed over, so that nobody signs
 * with what he can read there. */
static void drop_secrets_among_others(struct dml_keys *ks, const char **why)
{
    int nsecrets = 0, n = 0;

    for (int i = 0; i < ks->nkeys; i++)
        nsecrets += ks->keys[i].key->kind == DML_KEY_SECRET;
    if (nsecrets == 0 || nsecrets == ks->nkeys)
        return;
    for (int i = 0; i < ks->nkeys; i++) {
        if (ks->keys[i].key->kind == DML_KEY_SECRET)
            key_unref(ks->keys[i].key);
        else
            ks->keys[n++] = ks->keys[i];
    }
    ks->nkeys = n;
    *why = "a secret among public keys can't be one";
}

int jwt_keys_add_jwks(struct dml_keys *ks, struct slice json, const char **why)
{
    struct json_strict s;

    *why = NULL;
    if (json.len > JWT_KEYS_TEXT_MAX) {
        *why = "a key set has 512 KiB at most";
        return ERR_LIMIT;
    }
    json_strict_init(&s, json);
    int n = add_set(ks, &s, why);
    json_strict_deinit(&s);
    if (n == ERR_NOT_FOUND) { /* a key by itself */
        n = add_jwk(ks, json, why);
        return n == 0 ? ERR_ARG : n;
    }
    if (n >= 0)
        drop_secrets_among_others(ks, why);
    if (n < 0 && !*why)
        *why =
            n == ERR_EXISTS ? "a member is there twice" : "it is neither a JWK nor a set of them";
    return n;
}
