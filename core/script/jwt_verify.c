/* SPDX-License-Identifier: Apache-2.0 */

/* Verifying tokens. The signature comes before the claims: of a payload that nobody has signed nothing is read. It is
 * then walked once: what matters is noted, all of it is checked to be JSON that says nothing twice. Times are numbers of
 * seconds (NumericDate), with a fraction where somebody wants one. */

#include <math.h>

#include "base/err.h"
#include "base/json_strict.h"
#include "script/jwt.h"

/* --- claims ------------------------------------------------------------------------------------------------------------- */

enum { EXP, NBF, IAT, TIMES };
static const char *const time_names[TIMES] = {"exp", "nbf", "iat"};

struct claims {
    double time[TIMES]; /* NAN: not there */
    uint64_t required;  /* a bit for each that is there */
    bool has_issuer, issuer_fits;
    bool has_audience, audience_fits;
    bool has_noted;
    const char *bad; /* a claim of the wrong kind */
};

static int read_time(struct json_strict *s, int which, struct claims *c)
{
    int event = json_strict_read(s);

    if (event == JSON_NUMBER)
        c->time[which] = s->json.number;
    else
        c->bad = time_names[which];
    return json_strict_skip(s, event);
}

static int read_issuer(struct json_strict *s, const struct dml_policy *p, struct claims *c)
{
    int event = json_strict_read(s);

    c->has_issuer = true;
    if (event == JSON_STRING)
        c->issuer_fits = jwt_list_has(&p->issuers, s->json.string);
    else
        c->bad = "iss";
    return json_strict_skip(s, event);
}

/* A text, or a list of them. */
static int read_audience(struct json_strict *s, const struct dml_policy *p, struct claims *c)
{
    int event = json_strict_read(s);

    c->has_audience = true;
    if (event == JSON_STRING) {
        c->audience_fits = jwt_list_has(&p->audiences, s->json.string);
        return 0;
    }
    if (event != JSON_ARRAY) {
        c->bad = "aud";
        return json_strict_skip(s, event);
    }
    while ((event = json_strict_read(s)) > 0 && event != JSON_ARRAY_END) {
        if (event == JSON_STRING)
            c->audience_fits |= jwt_list_has(&p->audiences, s->json.string);
        else
            c->bad = "aud";
        int rc = json_strict_skip(s, event);
        if (rc < 0)
            return rc;
    }
    return MIN(event, 0);
}

/* sub and jti are texts where they are there; nothing else is known of them here. */
static int read_text(struct json_strict *s, const char *name, struct claims *c)
{
    int event = json_strict_read(s);

    if (event != JSON_STRING)
        c->bad = name;
    return json_strict_skip(s, event);
}

static int read_claim(struct json_strict *s, const struct dml_policy *p, struct claims *c)
{
    struct slice name = s->json.string;

    for (int i = 0; i < p->required.n; i++)
        if (slice_eq(p->required.items[i], name))
            c->required |= (uint64_t)1 << i;
    c->has_noted |= jwt_list_has(&p->noted, name);
    for (int i = 0; i < TIMES; i++)
        if (slice_eq(name, slice_from(time_names[i])))
            return read_time(s, i, c);
    if (slice_eq(name, SLICE("iss")))
        return read_issuer(s, p, c);
    if (slice_eq(name, SLICE("aud")))
        return read_audience(s, p, c);
    if (slice_eq(name, SLICE("sub")))
        return read_text(s, "sub", c);
    if (slice_eq(name, SLICE("jti")))
        return read_text(s, "jti", c);
    int event = json_strict_read(s);
    return json_strict_skip(s, event);
}

static int read_claims(const struct dml_policy *p, struct slice payload, struct claims *c)
{
    struct json_strict s;
    int event = 0;

    json_strict_init(&s, payload);
    int rc = json_strict_read(&s) == JSON_OBJECT ? 0 : ERR_SYNTAX;
    while (rc == 0 && (event = json_strict_read(&s)) == JSON_KEY)
        rc = read_claim(&s, p, c);
    if (rc == 0 && event == JSON_OBJECT_END)
        event = json_strict_read(&s);
    json_strict_deinit(&s);
    return rc < 0 ? rc : event == JSON_END ? 0 : event < 0 ? event : ERR_SYNTAX;
}

/* What is not there is NAN, and compares as neither. */
static int judge_times(const struct dml_policy *p, const struct claims *c, double now)
{
    if (now >= c->time[EXP] + p->skew)
        return DML_JWT_EXPIRED;
    if (now < c->time[NBF] - p->skew || now < c->time[IAT] - p->skew)
        return DML_JWT_NOT_YET_VALID;
    if (p->max_age > 0 && now > c->time[IAT] + p->max_age + p->skew)
        return DML_JWT_TOO_OLD;
    return DML_JWT_FINE;
}

static int with_claim(int fault, struct slice name, struct dml_jwt *out)
{
    out->claim = (struct dml_slice){name.ptr, (int32_t)name.len};
    return fault;
}

static int judge(const struct dml_policy *p, const struct claims *c, double now,
                 struct dml_jwt *out)
{
    if (c->bad)
        return with_claim(DML_JWT_BAD_CLAIM, slice_from(c->bad), out);
    for (int i = 0; i < p->required.n; i++)
        if (!(c->required >> i & 1))
            return with_claim(DML_JWT_MISSING_CLAIM, p->required.items[i], out);
    if (p->max_age > 0 && isnan(c->time[IAT]))
        return with_claim(DML_JWT_MISSING_CLAIM, SLICE("iat"), out);
    if (p->issuers.n > 0 && !c->has_issuer)
        return with_claim(DML_JWT_MISSING_CLAIM, SLICE("iss"), out);
    if (p->issuers.n > 0 && !c->issuer_fits)
        return DML_JWT_ISSUER;
    if (p->audiences.n > 0 && !c->has_audience)
        return with_claim(DML_JWT_MISSING_CLAIM, SLICE("aud"), out);
    if (c->has_audience && !c->audience_fits && !p->any_audience)
        return DML_JWT_AUDIENCE;
    return judge_times(p, c, now);
}

static int judge_claims(const struct dml_policy *p, struct slice payload, double now,
                        struct dml_jwt *out)
{
    struct claims c = {.time = {NAN, NAN, NAN}};
    int rc = read_claims(p, payload, &c);

    if (rc < 0) {
        out->detail = rc == ERR_EXISTS  ? "a claim is there twice"
                      : rc == ERR_DEPTH ? "the payload is nested too deeply"
                                        : "the payload is no JSON object";
        return DML_JWT_MALFORMED;
    }
    out->expires = isnan(c.time[EXP]) ? 0 : c.time[EXP];
    out->has_noted = c.has_noted;
    return judge(p, &c, now, out);
}

/* --- header and signature --------------------------------------------------------------------------------------------- */

static bool type_fits(const struct dml_policy *p, struct slice type)
{
    struct slice own = jwt_short_type(type);

    for (int i = 0; i < p->types.n; i++)
        if (type.ptr && slice_eq_nocase(p->types.items[i], own))
            return true;
    return p->types.n == 0 || (!type.ptr && p->may_be_untyped);
}

/* Whether a key may be tried. A key that has no kid fits every token. */
static bool may_try(const struct jwk *jwk, const struct jwt_token *t)
{
    if (!key_fits(jwk->key, t->signing) || (jwk->signing >= 0 && jwk->signing != t->signing))
        return false;
    return !t->kid.ptr || !jwk->kid.ptr || slice_eq(jwk->kid, t->kid);
}

/* Tokens that name no key, or name one of several, may cost so many verifications. */
enum { TRIES_MAX = 4 };

static int verify_signature(const struct dml_keys *ks, const struct jwt_token *t,
                            struct dml_jwt *out)
{
    int tries = 0;

    for (int i = 0; i < ks->nkeys && tries < TRIES_MAX; i++) {
        if (!may_try(&ks->keys[i], t))
            continue;
        tries++;
        if (key_verify(ks->keys[i].key, t->signing, t->signed_part, t->signature) == 1) {
            out->key = i;
            return DML_JWT_FINE;
        }
    }
    return tries == 0 ? DML_JWT_UNKNOWN_KEY : DML_JWT_SIGNATURE;
}

static struct dml_slice given(struct slice s)
{
    return (struct dml_slice){s.ptr, (int32_t)s.len};
}

int jwt_verify(const struct dml_keys *ks, const struct dml_policy *p, struct slice token,
               double now, struct dml_jwt *out)
{
    struct jwt_token t;

    out->detail = NULL;
    if (token.len > p->max_size)
        return DML_JWT_TOO_LARGE;
    int fault = jwt_decode(token, out->room, &t, &out->detail);
    if (fault != DML_JWT_FINE)
        return fault;
    out->header = given(t.header);
    out->payload = given(t.payload);
    out->signature = given(t.signature);
    out->kid = given(t.kid);
    out->signing = t.signing;
    out->expires = 0;
    out->has_noted = 0;
    if (t.signing < 0 || !(p->signings >> t.signing & 1))
        return DML_JWT_ALGORITHM;
    if (t.has_critical && !jwt_critical_fits(p, t.header))
        return DML_JWT_CRITICAL;
    if (!type_fits(p, t.type))
        return DML_JWT_TYPE;
    fault = verify_signature(ks, &t, out);
    if (fault != DML_JWT_FINE || p->is_raw)
        return fault;
    return judge_claims(p, t.payload, now, out);
}
