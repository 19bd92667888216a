/* SPDX-License-Identifier: Apache-2.0 */

/* Keys, as Lua sees them. */

#include "base/arena.h"
#include "base/err.h"
#include "script/crypto_key.h"

int dml_signing(const char *name, size_t len)
{
    return signing_find(slice_of(name, len));
}

const char *dml_signing_name(int signing)
{
    return signing_name(signing);
}

static struct dml_key *from_jwk(struct slice text, bool may_be_short, const char **why)
{
    struct arena *a = arena_new_heap(4 * KIB);
    struct jwk jwk;

    bool fine = key_from_jwk(text, a, may_be_short, &jwk, why);
    arena_free(a);
    return fine ? jwk.key : NULL;
}

struct dml_key *dml_key_new(int form, const char *ptr, size_t len, int flags, const char **why)
{
    struct slice text = slice_of(ptr, len);
    bool may_be_short = flags & DML_KEY_SHORT;

    switch (form) {
    case DML_KEY_PEM: return key_from_pem(text, why);
    case DML_KEY_DER: return key_from_der(text, why);
    case DML_KEY_JWK: return from_jwk(text, may_be_short, why);
    default: return key_from_secret(text, may_be_short, why);
    }
}

struct dml_key *dml_key_make(int signing)
{
    return key_make(signing);
}

void dml_key_free(struct dml_key *k)
{
    key_unref(k);
}

void dml_key_facts(const struct dml_key *k, struct dml_key_facts *out)
{
    *out = (struct dml_key_facts){k->kind, k->bits, k->is_private};
}

int dml_key_part(const struct dml_key *k, char part, char *out)
{
    return k->pkey ? key_part(k, part, out) : ERR_NOT_FOUND;
}

int dml_key_fits(const struct dml_key *k, int signing)
{
    return key_fits(k, signing);
}

static struct slice slice_from_lua(const struct dml_slice *s)
{
    return slice_of(s->ptr, (size_t)s->len);
}

int dml_key_verify(struct dml_key *k, int signing, const struct dml_slice *text,
                   const struct dml_slice *signature)
{
    return key_verify(k, signing, slice_from_lua(text), slice_from_lua(signature));
}

int dml_key_sign(struct dml_key *k, int signing, const struct dml_slice *text, char *out)
{
    return key_sign(k, signing, slice_from_lua(text), out);
}
