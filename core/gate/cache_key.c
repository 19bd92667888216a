/* SPDX-License-Identifier: Apache-2.0 */

/* A key is the URL: scheme, host in lower case with its port, normalised path, query as it stands. No two requests for
 * different things share one: none of its parts can hold what divides them. What else keeps responses apart is their
 * variant: the route, the selectors of `vary`, the fields that the response's Vary names; each with its length before
 * it. So all that is kept of a URL is found, and purged, by the URL alone. */

#include <stdlib.h>

#include "base/text.h"
#include "gate/cache_parts.h"
#include "gate/gateway.h"
#include "gate/selector.h"

static struct slice url_of(struct exchange *x, struct slice authority, struct slice path,
                           struct slice query)
{
    char *start = arena_alloc(x->arena, x->scheme.len + authority.len + path.len + query.len + 4);
    char *p = slice_put(start, x->scheme);

    p = slice_put(p, SLICE("://"));
    for (size_t i = 0; i < authority.len; i++) {
        char c = authority.ptr[i];
        *p++ = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    p = slice_put(p, path);
    if (query.ptr) {
        *p++ = '?';
        p = slice_put(p, query);
    }
    return slice_of(start, (size_t)(p - start));
}

bool cache_make_key(struct cache_use *u)
{
    struct exchange *x = u->x;
    const struct message *m = x->request;

    u->key = u->conf->key ? template_text(u->conf->key, x, false)
                          : url_of(x, m->authority, x->path, m->query);
    return u->key.len > 0 && u->key.len <= RESPONSE_KEY_MAX;
}

/* --- variants -------------------------------------------------------------------------------------------------------- */

static void add_value(struct buf *out, struct slice value)
{
    char length[24];
    size_t n = text_from_u64(value.len, length);

    length[n++] = value.ptr ? ':' : '-'; /* nothing there is another thing than nothing in it */
    (void)!buf_add(out, slice_of(length, n));
    (void)!buf_add(out, value);
}

/* Is it a list of words whose case, and the blanks between them, mean nothing? */
static bool is_accept(struct slice name)
{
    enum header_id id = header_id(name);

    return id == HEADER_ACCEPT || id == HEADER_ACCEPT_ENCODING || id == HEADER_ACCEPT_LANGUAGE;
}

/* A field of the request, in a form that is the same for values that mean the same (RFC 9111, 4.1). */
static struct slice normal_value(struct exchange *x, struct slice name)
{
    struct slice value = headers_get(&x->request->headers, name), one;
    bool has_quotes = slice_find_char(value, '"') >= 0;

    if (!value.len || has_quotes || header_flags(header_id(name)) & HEADER_SINGLE)
        return value;
    char *start = arena_alloc(x->arena, value.len + 1), *p = start;
    bool is_lowered = is_accept(name);
    while (slice_next_token(&value, &one)) {
        for (size_t i = 0; i < one.len; i++) {
            char c = one.ptr[i];
            if (!is_lowered || (c != ' ' && c != '\t'))
                *p++ = is_lowered && c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        *p++ = ',';
    }
    return slice_of(start, (size_t)(p - start));
}

static struct slice make_variant(struct cache_use *u, struct slice vary)
{
    struct exchange *x = u->x;
    struct buf out;
    struct slice name;

    buf_init(&out, SIZE_MAX); /* of parts that the request's limits bound */
    add_value(&out, x->route ? x->route->key : SLICE(""));
    for (uint32_t i = 0; i < u->conf->nvary; i++)
        add_value(&out, selector_value(u->conf->vary[i], x));
    while (vary.len && slice_split(&vary, ',', &name))
        add_value(&out, normal_value(x, name));
    struct slice made = arena_dup(x->arena, buf_slice(&out));
    buf_deinit(&out);
    return made;
}

struct slice cache_variant(struct cache_use *u, struct slice vary)
{
    if (!u->variant.ptr || !slice_eq(u->vary, vary)) {
        u->vary = vary.len ? arena_dup(u->x->arena, vary) : SLICE("");
        u->variant = make_variant(u, u->vary);
    }
    return u->variant;
}

bool cache_fits(const struct stored *r, void *arg)
{
    return slice_eq(cache_variant(arg, r->vary), r->variant);
}

static int by_text(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static struct slice lower(struct arena *a, struct slice s)
{
    char *out = arena_alloc(a, s.len + 1);

    for (size_t i = 0; i < s.len; i++)
        out[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] | 0x20) : s.ptr[i];
    return slice_of(out, s.len);
}

struct slice cache_vary_of(struct cache_use *u, const struct message *response)
{
    struct slice rest = headers_get_id(&response->headers, HEADER_VARY), token;
    struct slice names[CACHE_VARY_MAX], list = SLICE("");
    size_t n = 0;

    if (!rest.len)
        return list;
    while (n < CACHE_VARY_MAX && slice_next_token(&rest, &token))
        names[n++] = lower(u->x->arena, token);
    qsort(names, n, sizeof(names[0]), by_text);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && slice_eq(names[i], names[i - 1]))
            continue;
        list = list.len
                   ? arena_printf(u->x->arena, "%.*s,%.*s", SLICE_ARG(list), SLICE_ARG(names[i]))
                   : names[i];
    }
    return list;
}

/* --- invalidation ------------------------------------------------------------------------------------------------------ */

/* The key of a URL reference, when it is on the same host; absent otherwise. */
static struct slice key_of_reference(struct exchange *x, struct slice ref)
{
    struct slice origin = arena_printf(x->arena, "%.*s://%.*s", SLICE_ARG(x->scheme),
                                       SLICE_ARG(x->request->authority));
    struct slice path = ref, query = SLICE_NONE, normal;

    if (ref.len > origin.len && slice_eq_nocase(slice_sub(ref, 0, origin.len), origin))
        path = slice_from_index(ref, origin.len);
    if (!path.len || path.ptr[0] != '/' || (path.len > 1 && path.ptr[1] == '/'))
        return SLICE_NONE;
    ssize_t hash = slice_find_char(path, '#');
    if (hash >= 0)
        path = slice_sub(path, 0, (size_t)hash);
    ssize_t mark = slice_find_char(path, '?');
    if (mark >= 0) {
        query = slice_from_index(path, (size_t)mark + 1);
        path = slice_sub(path, 0, (size_t)mark);
    }
    if (uri_normalise_path(path, x->arena, &normal) < 0)
        return SLICE_NONE;
    return url_of(x, x->request->authority, normal, query);
}

static void invalidate_reference(struct cache_use *u, const struct message *response,
                                 enum header_id id)
{
    struct slice ref = headers_get_id(&response->headers, id);
    struct slice key = ref.len ? key_of_reference(u->x, ref) : SLICE_NONE;

    if (key.len)
        (void)response_store_purge_key(u->conf->store, key);
}

void cache_invalidate(struct cache_use *u, const struct message *response)
{
    (void)response_store_purge_key(u->conf->store, u->key);
    if (u->conf->key)
        return; /* what its text makes of another URL is not known */
    invalidate_reference(u, response, HEADER_LOCATION);
    invalidate_reference(u, response, HEADER_CONTENT_LOCATION);
}
