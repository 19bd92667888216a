/* SPDX-License-Identifier: Apache-2.0 */

/* Key sets and tokens, as Lua sees them. */

#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "script/jwt.h"

struct dml_keys *dml_keys_new(void)
{
    return jwt_keys_new();
}

void dml_keys_free(struct dml_keys *ks)
{
    jwt_keys_free(ks);
}

int dml_keys_add(struct dml_keys *ks, struct dml_key *k, const char *kid, size_t kidlen,
                 int signing)
{
    return jwt_keys_add(ks, k, slice_of(kid, kidlen), signing);
}

int dml_keys_add_jwks(struct dml_keys *ks, const char *ptr, size_t len, const char **why)
{
    return jwt_keys_add_jwks(ks, slice_of(ptr, len), why);
}

int dml_keys_count(const struct dml_keys *ks)
{
    return ks->nkeys;
}

int dml_keys_kid(const struct dml_keys *ks, int index, struct dml_slice *out)
{
    if (index < 0 || index >= ks->nkeys || !ks->keys[index].kid.ptr)
        return ERR_NOT_FOUND;
    struct slice kid = ks->keys[index].kid;
    *out = (struct dml_slice){kid.ptr, (int32_t)kid.len};
    return 0;
}

struct dml_policy *dml_policy_new(void)
{
    return jwt_policy_new();
}

void dml_policy_free(struct dml_policy *p)
{
    jwt_policy_free(p);
}

int dml_policy_number(struct dml_policy *p, int which, double n)
{
    return jwt_policy_number(p, which, n);
}

int dml_policy_text(struct dml_policy *p, int which, const char *ptr, size_t len)
{
    return jwt_policy_text(p, which, slice_of(ptr, len));
}

const char *dml_jwt_word(int fault)
{
    static const char *const words[DML_JWT_FAULTS] = {
        [DML_JWT_FINE] = "fine",
        [DML_JWT_MALFORMED] = "malformed",
        [DML_JWT_TOO_LARGE] = "too_large",
        [DML_JWT_ALGORITHM] = "algorithm",
        [DML_JWT_CRITICAL] = "critical",
        [DML_JWT_TYPE] = "type",
        [DML_JWT_UNKNOWN_KEY] = "unknown_key",
        [DML_JWT_SIGNATURE] = "signature",
        [DML_JWT_MISSING_CLAIM] = "missing_claim",
        [DML_JWT_BAD_CLAIM] = "bad_claim",
        [DML_JWT_EXPIRED] = "expired",
        [DML_JWT_NOT_YET_VALID] = "not_yet_valid",
        [DML_JWT_TOO_OLD] = "too_old",
        [DML_JWT_ISSUER] = "issuer",
        [DML_JWT_AUDIENCE] = "audience",
    };

    return fault >= 0 && fault < DML_JWT_FAULTS ? words[fault] : NULL;
}

static struct dml_slice given(struct slice s)
{
    return (struct dml_slice){s.ptr, (int32_t)s.len};
}

int dml_jwt_decode(const char *ptr, size_t len, struct dml_jwt *out)
{
    struct jwt_token t;

    out->detail = NULL;
    if (len > DML_JWT_SIZE_MAX)
        return DML_JWT_TOO_LARGE;
    int fault = jwt_decode(slice_of(ptr, len), out->room, &t, &out->detail);
    if (fault != DML_JWT_FINE)
        return fault;
    out->header = given(t.header);
    out->payload = given(t.payload);
    out->signature = given(t.signature);
    return DML_JWT_FINE;
}

int dml_jwt_verify(const struct dml_keys *ks, const struct dml_policy *p, const char *ptr,
                   size_t len, struct dml_jwt *out)
{
    return jwt_verify(ks, p, slice_of(ptr, len), (double)clock_wall_ms() / 1e3, out);
}

static char *put_part(char *at, struct slice part)
{
    return at + text_base64(part.ptr, part.len, TEXT_URL | TEXT_NO_PAD, at);
}

int dml_jwt_sign(struct dml_key *k, int signing, const struct dml_slice *header,
                 const struct dml_slice *payload, char *out)
{
    char signature[KEY_SIGNATURE_MAX];

    char *at = put_part(out, slice_of(header->ptr, (size_t)header->len));
    *at++ = '.';
    at = put_part(at, slice_of(payload->ptr, (size_t)payload->len));
    int n = key_sign(k, signing, slice_of(out, (size_t)(at - out)), signature);
    if (n < 0)
        return n;
    *at++ = '.';
    at = put_part(at, slice_of(signature, (size_t)n));
    return (int)(at - out);
}
