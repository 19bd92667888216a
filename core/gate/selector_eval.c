/* SPDX-License-Identifier: Apache-2.0 */

/* What a selector finds in an exchange. The only file of the selectors that knows it. A value is a
 * slice of the exchange wherever it can be; what must be made lies in its arena. */

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/text.h"
#include "gate/exchange.h"
#include "gate/selector_parts.h"
#include "gate/snapshot.h"

#define CLAIMS_DEPTH 64

/* RFC 6265, 5.4: name=value, separated by "; ". */
static struct slice cookie(const struct headers *headers, struct slice name)
{
    HEADERS_EACH(f, headers)
    {
        struct slice rest = f->value, pair;
        if (f->id != HEADER_COOKIE)
            continue;
        while (slice_split(&rest, ';', &pair)) {
            ssize_t eq = slice_find_char(pair, '=');
            if (eq >= 0 && slice_eq(slice_trim(slice_sub(pair, 0, (size_t)eq)), name))
                return slice_trim(slice_from_index(pair, (size_t)eq + 1));
        }
    }
    return SLICE_NONE;
}

/* --- claims ----------------------------------------------------------------------------------- */

/* The reader has given `event`; reads on to the end of that value. */
static bool skip_value(struct json_reader *r, int event)
{
    int open = 0;

    for (;; event = json_read(r)) {
        if (event <= 0 || event == JSON_END)
            return false;
        open += event == JSON_OBJECT || event == JSON_ARRAY;
        open -= event == JSON_OBJECT_END || event == JSON_ARRAY_END;
        if (open == 0)
            return true;
    }
}

/* A text as it reads, a number or truth as it is written, a list or object as JSON. */
static struct slice claim_value(struct json_reader *r, int event, size_t from, struct arena *a)
{
    if (event == JSON_STRING)
        return arena_dup(a, r->string.ptr ? r->string : SLICE(""));
    if (event == JSON_NULL || !skip_value(r, event))
        return SLICE_NONE;
    while (from < r->pos && strchr(" \t\r\n:,", r->text.ptr[from]))
        from++;
    return slice_sub(r->text, from, r->pos - from);
}

/* The reader stands inside an object. A name may have dots of its own: a key is compared with all
 * that is left of the path first, and then as its beginning. */
static bool find_claim(struct json_reader *r, struct slice path, struct arena *a, struct slice *out)
{
    while (json_read(r) == JSON_KEY) {
        bool is_it = slice_eq(r->string, path);
        bool leads = !is_it && path.len > r->string.len && slice_starts(path, r->string) &&
                     path.ptr[r->string.len] == '.';
        struct slice left = slice_from_index(path, r->string.len + 1);
        size_t from = r->pos;
        int event = json_read(r);
        if (is_it) {
            *out = claim_value(r, event, from, a);
            return true;
        }
        if (leads && event == JSON_OBJECT) {
            if (find_claim(r, left, a, out))
                return true;
        } else if (!skip_value(r, event)) {
            return false;
        }
    }
    return false;
}

static struct slice claim(struct slice claims, struct slice path, struct arena *a)
{
    struct slice out = SLICE_NONE;
    struct json_reader r;

    if (!claims.ptr)
        return out;
    json_reader_init(&r, claims, CLAIMS_DEPTH);
    if (json_read(&r) == JSON_OBJECT && !find_claim(&r, path, a, &out))
        out = SLICE_NONE;
    json_reader_deinit(&r);
    return out;
}

/* --- selectors -------------------------------------------------------------------------------- */

static struct slice header(const struct headers *headers, const struct selector *s)
{
    return s->header_id ? headers_get_id(headers, s->header_id) : headers_get(headers, s->name);
}

static struct slice response_value(const struct selector *s, struct exchange *x)
{
    if (!x->response)
        return SLICE_NONE;
    if (s->kind == SELECTOR_RESPONSE)
        return header(&x->response->headers, s);
    return arena_printf(x->arena, "%d", x->response->status);
}

/* Seconds with microseconds. */
static struct slice duration(struct exchange *x)
{
    uint64_t us = (x->end_us ? x->end_us : clock_us()) - x->start_us;

    return arena_printf(x->arena, "%u.%06u", (unsigned)(us / 1000000), (unsigned)(us % 1000000));
}

struct slice selector_value(const struct selector *s, struct exchange *x)
{
    switch (s->kind) {
    case SELECTOR_CLIENT_IP: return x->client_ip;
    case SELECTOR_HOST: return x->request->host;
    case SELECTOR_METHOD: return slice_from(method_text(x->request->method));
    case SELECTOR_PATH: return x->path;
    case SELECTOR_SCHEME: return x->scheme;
    case SELECTOR_ROUTE: return x->route ? x->route->name : SLICE_NONE;
    case SELECTOR_CONSUMER: return x->consumer ? x->consumer->name : SLICE_NONE;
    case SELECTOR_ID: return exchange_id(x);
    case SELECTOR_HEADER: return header(&x->request->headers, s);
    case SELECTOR_QUERY: return uri_query_get(x->request->query, s->name, x->arena);
    case SELECTOR_COOKIE: return cookie(&x->request->headers, s->name);
    case SELECTOR_PARAM: return exchange_param(x, s->name, false);
    case SELECTOR_CLAIM: return claim(x->claims, s->name, x->arena);
    case SELECTOR_TLS_SUBJECT: return x->tls_subject;
    case SELECTOR_TLS_THUMBPRINT: return x->tls_thumbprint;
    case SELECTOR_STATUS:
    case SELECTOR_RESPONSE: return response_value(s, x);
    case SELECTOR_UPSTREAM: return x->upstream ? x->upstream->name : SLICE_NONE;
    case SELECTOR_DURATION: return duration(x);
    case SELECTOR_COUNT: break;
    }
    return SLICE_NONE;
}

/* --- templates -------------------------------------------------------------------------------- */

int template_eval(const struct template *t, struct exchange *x, struct buf *out)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct template_part *part = &t->parts[i];
        struct slice value = part->selector ? selector_value(part->selector, x) : part->text;
        int rc = value.len ? buf_add(out, value) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* For a path: parameters and the path stand there encoded already; anything else must not bring
 * slashes or a query of its own. */
static struct slice encoded_value(const struct selector *s, struct exchange *x)
{
    if (s->kind == SELECTOR_PARAM)
        return exchange_param(x, s->name, true);
    struct slice value = selector_value(s, x);
    if (s->kind == SELECTOR_PATH || value.len == 0)
        return value;
    char *out = arena_alloc(x->arena, 3 * value.len);
    return slice_of(out, text_percent_encode(value, "!$&'()*+,;=:@", out));
}

/* One value of a query: whoever decodes it there gets the value, and no part of it ends it. */
static struct slice query_value(const struct selector *s, struct exchange *x)
{
    struct slice value = selector_value(s, x);

    if (value.len == 0)
        return value;
    char *out = arena_alloc(x->arena, 3 * value.len);
    return slice_of(out, text_percent_encode(value, "!$'()*,/:?@", out));
}

static bool begins_query(struct slice text)
{
    return slice_find_char(text, '?') >= 0 || slice_find_char(text, '#') >= 0;
}

struct slice template_text(const struct template *t, struct exchange *x, enum template_form form)
{
    struct slice *values = arena_alloc(x->arena, t->n * sizeof(values[0]));
    bool in_query = false;
    size_t len = 0;

    for (size_t i = 0; i < t->n; i++) {
        const struct template_part *part = &t->parts[i];
        values[i] = !part->selector         ? part->text
                    : form == TEMPLATE_TEXT ? selector_value(part->selector, x)
                    : in_query              ? query_value(part->selector, x)
                                            : encoded_value(part->selector, x);
        in_query |= form == TEMPLATE_URL && !part->selector && begins_query(part->text);
        len += values[i].len;
    }
    char *out = arena_alloc(x->arena, len + 1), *p = out;
    for (size_t i = 0; i < t->n; i++) {
        if (values[i].len)
            memcpy(p, values[i].ptr, values[i].len);
        p += values[i].len;
    }
    *p = '\0';
    return slice_of(out, len);
}
