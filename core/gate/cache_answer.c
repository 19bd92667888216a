/* SPDX-License-Identifier: Apache-2.0 */

/* Answers from what is kept: the client's conditions (RFC 9110, 13) and ranges (14) are this cache's to keep. Fields and
 * content stay where they lie: the exchange holds the response until it ends. */

#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "gate/cache_parts.h"
#include "gate/forward.h"
#include "gate/gateway.h"

#define FIELDS_MORE 8 /* Age, Cache-Status, Content-Range, Via, and some of hooks */

/* --- conditions -------------------------------------------------------------------------------------------------------- */

static struct slice opaque_tag(struct slice etag)
{
    return slice_starts(etag, SLICE("W/")) ? slice_from_index(etag, 2) : etag;
}

bool cache_same_etag(struct slice a, struct slice b)
{
    return slice_eq(opaque_tag(a), opaque_tag(b));
}

static bool matches_etag(struct slice list, struct slice etag)
{
    struct slice one;

    if (slice_eq(slice_trim(list), SLICE("*")))
        return true;
    while (slice_next_token(&list, &one))
        if (etag.len && cache_same_etag(one, etag))
            return true;
    return false;
}

/* Its Date where it does not say when it was changed (RFC 9111, 4.3.2). */
static struct slice changed_at(const struct headers *h)
{
    struct slice changed = headers_get_id(h, HEADER_LAST_MODIFIED);

    return changed.ptr ? changed : headers_get_id(h, HEADER_DATE);
}

bool cache_client_has(const struct cache_conditions *c, const struct headers *h)
{
    time_t since, changed;

    if (c->none_match.ptr)
        return matches_etag(c->none_match, headers_get_id(h, HEADER_ETAG));
    return c->modified_since.ptr && text_to_http_date(c->modified_since, &since) == 0 &&
           text_to_http_date(changed_at(h), &changed) == 0 && changed <= since;
}

/* --- ranges ------------------------------------------------------------------------------------------------------------- */

struct range {
    size_t from, to; /* `to` is behind the last byte */
};

enum range_kind { RANGE_NONE, RANGE_ONE, RANGE_BEYOND };

/* "bytes=a-b", "bytes=a-", "bytes=-n". Several at once are answered with the whole, as RFC 9110, 14.2 allows. */
static enum range_kind read_range(struct slice text, size_t size, struct range *out)
{
    uint64_t first = 0, last = UINT64_MAX;

    if (!slice_eq_nocase(slice_sub(text, 0, 6), SLICE("bytes=")) || slice_find_char(text, ',') >= 0)
        return RANGE_NONE;
    text = slice_trim(slice_from_index(text, 6));
    ssize_t dash = slice_find_char(text, '-');
    if (dash < 0)
        return RANGE_NONE;
    struct slice a = slice_sub(text, 0, (size_t)dash), b = slice_from_index(text, (size_t)dash + 1);
    if ((a.len && text_to_u64(a, UINT64_MAX, &first) < 0) ||
        (b.len && text_to_u64(b, UINT64_MAX, &last) < 0) || (!a.len && !b.len))
        return RANGE_NONE;
    if (!a.len) { /* the last n bytes */
        *out = (struct range){size - MIN(last, size), size};
        return last > 0 && size > 0 ? RANGE_ONE : RANGE_BEYOND;
    }
    if (last < first)
        return RANGE_NONE;
    *out = (struct range){MIN(first, size), last >= size ? size : last + 1};
    return first < size ? RANGE_ONE : RANGE_BEYOND;
}

/* If-Range: the part only when it is of this very representation (RFC 9110, 13.1.5). */
static bool range_holds(const struct exchange *x, const struct headers *h)
{
    struct slice condition = headers_get_id(&x->request->headers, HEADER_IF_RANGE);

    if (!condition.ptr)
        return true;
    if (slice_find_char(condition, '"') >= 0)
        return !slice_starts(condition, SLICE("W/")) &&
               slice_eq(condition, headers_get_id(h, HEADER_ETAG));
    return slice_eq(condition, headers_get_id(h, HEADER_LAST_MODIFIED));
}

static enum range_kind range_of(const struct exchange *x, const struct message *m, size_t size,
                                struct range *out)
{
    struct slice text = headers_get_id(&x->request->headers, HEADER_RANGE);

    *out = (struct range){0, size};
    if (!text.ptr || m->status != 200 || x->request->method != METHOD_GET ||
        !range_holds(x, &m->headers))
        return RANGE_NONE;
    enum range_kind kind = read_range(text, size, out);
    if (kind == RANGE_BEYOND)
        *out = (struct range){0, 0};
    return kind;
}

static void say_range(struct exchange *x, struct message *m, enum range_kind kind,
                      struct range range, size_t size)
{
    if (kind == RANGE_NONE)
        return;
    m->status = kind == RANGE_ONE ? 206 : 416;
    headers_set_id(&m->headers, HEADER_CONTENT_RANGE,
                   kind == RANGE_ONE
                       ? arena_printf(x->arena, "bytes %zu-%zu/%zu", range.from, range.to - 1, size)
                       : arena_printf(x->arena, "bytes */%zu", size));
}

/* --- the answer ---------------------------------------------------------------------------------------------------------- */

static struct message *message_of(struct exchange *x, const struct stored *r)
{
    const struct cached_head *head = cached_head_of(r);
    struct message *m = arena_zero(x->arena, sizeof(*m));
    char *age = arena_alloc(x->arena, 20);

    m->status = head->status;
    m->version = HTTP_11;
    m->body = BODY_LENGTH;
    m->has_length = true;
    headers_init(&m->headers, x->arena, head->nfields + FIELDS_MORE);
    memcpy(m->headers.items, head->fields, head->nfields * sizeof(head->fields[0]));
    m->headers.n = head->nfields;
    size_t n = text_from_u64((uint64_t)cache_age_s(&head->life, clock_ms()), age);
    headers_add_id(&m->headers, HEADER_AGE, slice_of(age, n));
    return m;
}

static void make_not_modified(struct message *m)
{
    m->status = 304;
    m->body = BODY_NONE;
    m->has_length = false;
    headers_remove_id(&m->headers, HEADER_CONTENT_TYPE);
    headers_remove_id(&m->headers, HEADER_CONTENT_ENCODING);
    headers_remove_id(&m->headers, HEADER_CONTENT_LANGUAGE);
    headers_remove_id(&m->headers, HEADER_CONTENT_RANGE);
}

static void unref(void *r)
{
    stored_unref(r);
}

static void read_conditions(struct cache_use *u)
{
    const struct headers *h = &u->x->request->headers;

    if (u->role == ROLE_FETCH)
        return; /* taken out already: what stands there now is the cache's own */
    u->conditions.none_match = headers_get_id(h, HEADER_IF_NONE_MATCH);
    u->conditions.modified_since = headers_get_id(h, HEADER_IF_MODIFIED_SINCE);
}

static void say_how(struct cache_use *u, struct message *m, const struct stored *r,
                    struct slice how)
{
    const struct cache_life *life = &cached_head_of(r)->life;
    char ttl[24];
    size_t n = text_from_i64(life->lifetime_s - cache_age_s(life, clock_ms()), ttl);

    headers_add_id(&m->headers, HEADER_CACHE_STATUS,
                   ARENA_JOIN(u->x->arena, SLICE(FORWARD_PSEUDONYM "; "), how, SLICE("; ttl="),
                              slice_of(ttl, MIN(n, sizeof(ttl)))));
}

void cache_answer(struct cache_use *u, struct stored *r, struct slice how)
{
    struct exchange *x = u->x;
    struct message *m = message_of(x, r);
    size_t size = response_body_size(r->body);
    enum response_body_state state;
    struct slice seen = response_body_seen(r->body, &state);
    struct flow *f = &x->flows[SIDE_RESPONSE];
    struct range range;

    arena_on_free(x->arena, unref, r);
    read_conditions(u);
    enum range_kind kind = range_of(x, m, size, &range);
    if (m->status == 200 && cache_client_has(&u->conditions, &m->headers)) {
        make_not_modified(m);
        range = (struct range){0, 0};
    } else {
        say_range(x, m, kind, range, size);
    }
    m->content_length = range.to - range.from;
    say_how(u, m, r, how);
    x->response = m;
    x->replied = true;
    f->is_replaced = f->is_whole = false;
    f->state = FLOW_NONE;
    if (state == RESPONSE_BODY_FILLING && m->content_length > 0) {
        u->reading = r;
        f->taken = range.from;
        u->read_to = range.to;
    } else {
        x->reply_body = slice_sub(seen, range.from, range.to - range.from);
    }
    forward_response(x);
}
