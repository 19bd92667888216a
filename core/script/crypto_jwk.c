/* SPDX-License-Identifier: Apache-2.0 */

/* JSON Web Keys. A member that is there twice, is no text where one is asked for, or is not base64url in its one form
 * makes the key a faulty one; members that are not known are passed over, as RFC 7517 asks for. Nothing that a key names
 * (x5u) is fetched, and its certificates (x5c) are not looked at. */

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/param_build.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json_strict.h"
#include "base/text.h"
#include "script/crypto_key.h"
#include "script/crypto_thread.h"

/* What a JWK may say that matters here. */
enum member { KTY, CRV, ALG, USE, KID, N, E, D, P, Q, DP, DQ, QI, X, Y, K, MEMBERS };
static const char *const member_names[MEMBERS] = {
    "kty", "crv", "alg", "use", "kid", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y", "k",
};

struct members {
    struct slice text[MEMBERS]; /* ptr NULL: not there; from N on: decoded */
    bool has_key_ops, may_verify;
};

static int member_of(struct slice name)
{
    for (int i = 0; i < MEMBERS; i++)
        if (slice_eq(name, slice_from(member_names[i])))
            return i;
    return -1;
}

/* key_ops: a list of texts, with "verify" or "sign" where it may be used here. */
static int read_key_ops(struct json_strict *s, struct members *m)
{
    int event = json_strict_read(s);

    m->has_key_ops = true;
    if (event != JSON_ARRAY)
        return event < 0 ? event : ERR_SYNTAX;
    while ((event = json_strict_read(s)) == JSON_STRING) {
        struct slice op = s->json.string;
        m->may_verify |= slice_eq(op, SLICE("verify")) || slice_eq(op, SLICE("sign"));
    }
    return event == JSON_ARRAY_END ? 0 : event < 0 ? event : ERR_SYNTAX;
}

static int read_text(struct json_strict *s, struct arena *a, int which, struct members *m)
{
    int event = json_strict_read(s);

    if (event != JSON_STRING)
        return event < 0 ? event : ERR_SYNTAX;
    struct slice text = s->json.string;
    if (which < N) {
        m->text[which] = arena_dup(a, text);
        return 0;
    }
    char *bytes = arena_alloc(a, text.len + 1);
    ssize_t n =
        slice_find_char(text, '=') < 0 ? text_unbase64(text, TEXT_URL, bytes) : ERR_ENCODING;
    if (n < 0)
        return ERR_ENCODING;
    m->text[which] = slice_of(bytes, (size_t)n);
    return 0;
}

static int read_members(struct slice json, struct arena *a, struct members *m)
{
    struct json_strict s;

    json_strict_init(&s, json);
    int rc = json_strict_read(&s) == JSON_OBJECT ? 0 : ERR_SYNTAX;
    while (rc == 0) {
        int event = json_strict_read(&s);
        if (event != JSON_KEY) {
            rc = event == JSON_OBJECT_END ? json_strict_read(&s) : event;
            break;
        }
        int which = member_of(s.json.string);
        if (which >= 0) {
            rc = read_text(&s, a, which, m);
        } else if (slice_eq(s.json.string, SLICE("key_ops"))) {
            rc = read_key_ops(&s, m);
        } else {
            event = json_strict_read(&s);
            rc = json_strict_skip(&s, event);
        }
    }
    json_strict_deinit(&s);
    return rc == JSON_END ? 0 : rc < 0 ? rc : ERR_SYNTAX;
}

/* --- members -> OpenSSL's parameters -------------------------------------------------------------------------------- */

struct making {
    OSSL_PARAM_BLD *build;
    BIGNUM *numbers[8];
    int nnumbers;
};

static void add_number(struct making *mk, const char *name, struct slice bytes)
{
    BIGNUM *n = BN_secure_new();

    if (!n || !BN_bin2bn((const unsigned char *)bytes.ptr, (int)bytes.len, n) ||
        OSSL_PARAM_BLD_push_BN(mk->build, name, n) != 1) {
        BN_free(n);
        return; /* what is missing shows when the key is made */
    }
    mk->numbers[mk->nnumbers++] = n;
}

static EVP_PKEY *finish(struct making *mk, const char *type, bool is_private)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(mk->build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    int selection = is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;

    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(mk->build);
    for (int i = 0; i < mk->nnumbers; i++)
        BN_clear_free(mk->numbers[i]);
    crypto_forget_errors();
    return pkey;
}

static EVP_PKEY *rsa_of(const struct members *m, const char **why)
{
    static const char *const names[] = {
        [N] = OSSL_PKEY_PARAM_RSA_N,          [E] = OSSL_PKEY_PARAM_RSA_E,
        [D] = OSSL_PKEY_PARAM_RSA_D,          [P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
        [Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,    [DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
        [DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2, [QI] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    struct making mk = {.build = OSSL_PARAM_BLD_new()};
    int nfactors = 0;

    for (int i = P; i <= QI; i++)
        nfactors += m->text[i].ptr != NULL;
    if (!m->text[N].ptr || !m->text[E].ptr || (nfactors != 0 && nfactors != 5)) {
        OSSL_PARAM_BLD_free(mk.build);
        *why = "an RSA key has n and e, and either all or none of p, q, dp, dq, qi";
        return NULL;
    }
    bool is_private = m->text[D].ptr != NULL;
    for (int i = N; i <= (is_private ? QI : E); i++)
        if (m->text[i].ptr && m->text[i].len <= KEY_SIGNATURE_MAX)
            add_number(&mk, names[i], m->text[i]);
    *why = "n and e make no RSA key";
    return finish(&mk, "RSA", is_private);
}

static EVP_PKEY *ec_of(const struct members *m, const char **why)
{
    static const struct {
        const char *name;
        size_t size;
    } curves[] = {{"P-256", 32}, {"P-384", 48}, {"P-521", 66}};
    unsigned char point[1 + 2 * 66] = {0x04}; /* uncompressed */
    size_t size = 0;

    for (size_t i = 0; i < COUNT_OF(curves); i++)
        if (slice_eq(m->text[CRV], slice_from(curves[i].name)))
            size = curves[i].size;
    *why = "an EC key has crv P-256, P-384 or P-521, and x and y of the curve's own length";
    if (size == 0 || m->text[X].len != size || m->text[Y].len != size ||
        (m->text[D].ptr && m->text[D].len != size))
        return NULL;
    memcpy(point + 1, m->text[X].ptr, size);
    memcpy(point + 1 + size, m->text[Y].ptr, size);
    struct making mk = {.build = OSSL_PARAM_BLD_new()};
    OSSL_PARAM_BLD_push_utf8_string(mk.build, OSSL_PKEY_PARAM_GROUP_NAME, m->text[CRV].ptr, 0);
    OSSL_PARAM_BLD_push_octet_string(mk.build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * size);
    if (m->text[D].ptr)
        add_number(&mk, OSSL_PKEY_PARAM_PRIV_KEY, m->text[D]);
    *why = "the key's point is not on its curve";
    return finish(&mk, "EC", m->text[D].ptr != NULL);
}

static EVP_PKEY *ed25519_of(const struct members *m, const char **why)
{
    unsigned char public[32];
    size_t len = sizeof(public);
    EVP_PKEY *pkey = NULL;

    *why = "an Ed25519 key has x, and to sign d, of 32 bytes each";
    if (m->text[X].len != 32 || (m->text[D].ptr && m->text[D].len != 32))
        return NULL;
    const unsigned char *x = (const unsigned char *)m->text[X].ptr;
    if (!m->text[D].ptr) {
        pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, 32);
    } else {
        pkey = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL,
                                               (const unsigned char *)m->text[D].ptr, 32);
        if (pkey && (EVP_PKEY_get_raw_public_key(pkey, public, &len) != 1 ||
                     CRYPTO_memcmp(public, x, sizeof(public)) != 0)) {
            EVP_PKEY_free(pkey);
            pkey = NULL;
            *why = "x and d are no pair";
        }
    }
    crypto_forget_errors();
    return pkey;
}

static struct dml_key *make_key(const struct members *m, bool may_be_short, const char **why)
{
    EVP_PKEY *pkey = NULL;
    bool is_private = m->text[D].ptr != NULL;

    if (slice_eq(m->text[KTY], SLICE("oct")) && m->text[K].ptr)
        return key_from_secret(m->text[K], may_be_short, why);
    *why = "its kty is none of RSA, EC, OKP with crv Ed25519, and oct with a k";
    if (slice_eq(m->text[KTY], SLICE("RSA")))
        pkey = rsa_of(m, why);
    else if (slice_eq(m->text[KTY], SLICE("EC")))
        pkey = ec_of(m, why);
    else if (slice_eq(m->text[KTY], SLICE("OKP")) && slice_eq(m->text[CRV], SLICE("Ed25519")))
        pkey = ed25519_of(m, why);
    return pkey ? key_from_pkey(pkey, is_private, why) : NULL;
}

bool key_from_jwk(struct slice json, struct arena *a, bool may_be_short, struct jwk *out,
                  const char **why)
{
    struct members m = {.has_key_ops = false};

    *out = (struct jwk){.signing = -1};
    if (json.len > KEY_TEXT_MAX || read_members(json, a, &m) < 0) {
        *why =
            "it is no JWK: an object in JSON, each member once, texts in base64url without padding";
        return false;
    }
    out->kid = m.text[KID];
    out->may_verify = (!m.text[USE].ptr || slice_eq(m.text[USE], SLICE("sig"))) &&
                      (!m.has_key_ops || m.may_verify);
    if (!out->may_verify) {
        *why = "its use or key_ops say that it is not for signatures";
        return false;
    }
    if (m.text[ALG].ptr)
        out->signing = signing_find(m.text[ALG]);
    if (m.text[ALG].ptr && out->signing < 0) {
        *why = "its alg is not known here";
        return false;
    }
    out->key = make_key(&m, may_be_short, why);
    if (out->key && out->signing >= 0 && !key_fits(out->key, out->signing)) {
        key_unref(out->key);
        out->key = NULL;
        *why = "the key does not fit its own alg, or is too short for it";
    }
    return out->key != NULL;
}
