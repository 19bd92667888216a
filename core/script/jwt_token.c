/* SPDX-License-Identifier: Apache-2.0 */

/* Taking a token apart. Each part is base64url in the one form that it has (no padding, no blanks, no bits to spare), so
 * that a token can't be written in two ways: what is remembered or revoked by its text stays what it is. */

#include "base/err.h"
#include "base/json_strict.h"
#include "base/text.h"
#include "script/jwt.h"

/* The text of a string event, where it stays: with escapes it lies in the reader's scratch. */
static struct slice keep(struct jwt_token *t, struct slice text)
{
    if (text.ptr >= t->header.ptr && text.ptr <= t->header.ptr + t->header.len)
        return text;
    char *at = t->room;
    memcpy(at, text.ptr, text.len);
    t->room += text.len;
    return slice_of(at, text.len);
}

/* A header parameter that matters; the others are skipped. 0 or a code. */
static int read_parameter(struct json_strict *s, struct jwt_token *t)
{
    struct slice name = s->json.string;
    bool is_alg = slice_eq(name, SLICE("alg")), is_kid = slice_eq(name, SLICE("kid"));
    bool is_type = slice_eq(name, SLICE("typ"));

    t->has_critical |= slice_eq(name, SLICE("crit"));
    int event = json_strict_read(s);
    if (!is_alg && !is_kid && !is_type)
        return json_strict_skip(s, event);
    if (event != JSON_STRING)
        return event < 0 ? event : ERR_SYNTAX;
    if (is_alg)
        t->signing = signing_find(s->json.string);
    else if (is_kid)
        t->kid = keep(t, s->json.string);
    else
        t->type = keep(t, s->json.string);
    return 0;
}

static const char *why_header(int rc)
{
    switch (rc) {
    case ERR_EXISTS: return "a header parameter is there twice";
    case ERR_DEPTH: return "the header is nested too deeply";
    case ERR_LIMIT: return "the header has too many members";
    default: return "the header is no JSON object, or alg, kid or typ is no text";
    }
}

static int read_header(struct jwt_token *t, const char **detail)
{
    struct json_strict s;
    int event = 0;

    json_strict_init(&s, t->header);
    int rc = json_strict_read(&s) == JSON_OBJECT ? 0 : ERR_SYNTAX;
    while (rc == 0 && (event = json_strict_read(&s)) == JSON_KEY)
        rc = read_parameter(&s, t);
    if (rc == 0 && event == JSON_OBJECT_END)
        event = json_strict_read(&s);
    json_strict_deinit(&s);
    rc = rc < 0 ? rc : event == JSON_END ? 0 : MIN(event, 0);
    if (rc < 0)
        *detail = why_header(rc);
    return rc < 0 ? DML_JWT_MALFORMED : DML_JWT_FINE;
}

static bool decode_part(struct slice text, struct jwt_token *t, struct slice *out)
{
    if (text.len > 0 && text.ptr[text.len - 1] == '=')
        return false;
    ssize_t n = text_unbase64(text, TEXT_URL, t->room);
    if (n < 0)
        return false;
    *out = slice_of(t->room, (size_t)n);
    t->room += n;
    return true;
}

int jwt_decode(struct slice token, char *room, struct jwt_token *out, const char **detail)
{
    struct slice rest = token, parts[3] = {SLICE_NONE};
    int n = 0;

    *out = (struct jwt_token){.room = room, .signing = -1};
    *detail = NULL;
    while (n < 3 && slice_split(&rest, '.', &parts[n]))
        n++;
    if (n < 3 || rest.ptr) {
        *detail = "a token has three parts";
        return DML_JWT_MALFORMED;
    }
    out->signed_part = slice_of(token.ptr, (size_t)(parts[2].ptr - 1 - token.ptr));
    if (!decode_part(parts[0], out, &out->header) || !decode_part(parts[1], out, &out->payload) ||
        !decode_part(parts[2], out, &out->signature)) {
        *detail = "a part is not base64url without padding";
        return DML_JWT_MALFORMED;
    }
    return read_header(out, detail);
}

/* --- crit (RFC 7515, 4.1.11) ------------------------------------------------------------------------------------------- */

/* Whether the header's own level has a parameter. */
static bool has_parameter(struct slice header, struct slice name)
{
    struct json_strict s;
    bool found = false;

    json_strict_init(&s, header);
    int rc = json_strict_read(&s);
    while (rc >= 0 && json_strict_read(&s) == JSON_KEY) {
        found |= slice_eq(s.json.string, name);
        rc = json_strict_read(&s);
        rc = json_strict_skip(&s, rc);
    }
    json_strict_deinit(&s);
    return found;
}

static bool list_fits(struct json_strict *s, const struct dml_policy *p, struct slice header)
{
    int event, n = 0;

    if (json_strict_read(s) != JSON_ARRAY)
        return false;
    for (; (event = json_strict_read(s)) == JSON_STRING; n++)
        if (n == JWT_LIST_MAX || !jwt_list_has(&p->critical, s->json.string) ||
            !has_parameter(header, s->json.string))
            return false;
    return event == JSON_ARRAY_END && n > 0;
}

bool jwt_critical_fits(const struct dml_policy *p, struct slice header)
{
    struct json_strict s;
    bool fits = false;

    json_strict_init(&s, header);
    int rc = json_strict_read(&s);
    while (rc >= 0 && json_strict_read(&s) == JSON_KEY) {
        if (slice_eq(s.json.string, SLICE("crit"))) {
            fits = list_fits(&s, p, header);
            break;
        }
        rc = json_strict_read(&s);
        rc = json_strict_skip(&s, rc);
    }
    json_strict_deinit(&s);
    return fits;
}
