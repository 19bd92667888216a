/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes, as each of the three things that come from outside: a token, which when it can be taken apart is what its
 * parts are written as, and passes with no key that has not signed it; header and payload (first line and the rest) of a
 * token that is signed, so that all behind the signature sees them; a key set. */

#include <stdlib.h>

#include "base/check.h"
#include "base/text.h"
#include "script/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define TOKEN_MAX (64 * KIB)

static struct dml_policy *policy;
static struct dml_keys *keys;
static struct dml_key *secret;
static char room[2 * TOKEN_MAX], token_room[TOKEN_MAX], again_room[TOKEN_MAX];

static void set_up(void)
{
    const char *why;

    if (policy)
        return;
    policy = jwt_policy_new();
    for (int i = 0; i < DML_SIGNINGS; i++)
        REQUIRE(jwt_policy_number(policy, DML_POLICY_SIGNING, i) == 0);
    REQUIRE(jwt_policy_number(policy, DML_POLICY_MAX_SIZE, TOKEN_MAX) == 0);
    REQUIRE(jwt_policy_text(policy, DML_POLICY_ISSUER, SLICE("me")) == 0);
    REQUIRE(jwt_policy_text(policy, DML_POLICY_AUDIENCE, SLICE("you")) == 0);
    REQUIRE(jwt_policy_text(policy, DML_POLICY_CRITICAL, SLICE("exp")) == 0);
    secret = key_from_secret(SLICE("0123456789abcdef0123456789abcdef"), false, &why);
    keys = jwt_keys_new();
    REQUIRE(jwt_keys_add(keys, secret, SLICE("k"), -1) == 0);
}

static size_t put(char *at, struct slice part)
{
    return text_base64(part.ptr, part.len, TEXT_URL | TEXT_NO_PAD, at);
}

/* The token of three parts; the signature is made when it is absent. */
static struct slice write(struct slice header, struct slice payload, struct slice signature)
{
    char made[KEY_SIGNATURE_MAX], *at = again_room;

    at += put(at, header);
    *at++ = '.';
    at += put(at, payload);
    if (!signature.ptr) {
        int n = key_sign(secret, DML_HS256, slice_of(again_room, (size_t)(at - again_room)), made);
        REQUIRE(n == 32);
        signature = slice_of(made, 32);
    }
    *at++ = '.';
    at += put(at, signature);
    return slice_of(again_room, (size_t)(at - again_room));
}

static void check_token(struct slice token)
{
    struct jwt_token t;
    struct dml_jwt result = {.room = room};
    const char *detail;

    int fault = jwt_decode(token, room, &t, &detail);
    REQUIRE((size_t)(t.room - room) <= 2 * token.len);
    if (fault == DML_JWT_FINE)
        REQUIRE(slice_eq(write(t.header, t.payload, t.signature), token));
    else
        REQUIRE(fault == DML_JWT_MALFORMED && detail);
    REQUIRE(jwt_verify(keys, policy, token, 1e9, &result) != DML_JWT_FINE);
}

static void check_parts(struct slice text)
{
    struct dml_jwt result = {.room = room};
    struct slice header;

    if (!slice_split(&text, '\n', &header) || !text.ptr)
        return;
    int fault = jwt_verify(keys, policy, write(header, text, SLICE_NONE), 1e9, &result);
    REQUIRE(fault >= 0 && fault < DML_JWT_FAULTS);
    if (fault == DML_JWT_FINE)
        REQUIRE(result.signing == DML_HS256 && slice_find(text, SLICE("you")) >= 0);
}

static void check_keys(struct slice text)
{
    const char *why;
    struct dml_keys *ks = jwt_keys_new();

    int n = jwt_keys_add_jwks(ks, text, &why);
    REQUIRE(n >= 0 || why);
    REQUIRE(ks->nkeys <= JWT_KEYS_MAX);
    jwt_keys_free(ks);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    size_t len = MIN(size, sizeof(token_room) / 2);

    set_up();
    memcpy(token_room, bytes, len);
    check_token(slice_of(token_room, len));
    check_parts(slice_of(token_room, len));
    check_keys(slice_of(token_room, len));
    return 0;
}
