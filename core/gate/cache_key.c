/* SPDX-License-Identifier: Apache-2.0 */

/* A key is the URL: scheme, host in lower case with its port unless the scheme has it anyway, normalised path, query as it stands. No two requests for
 * different things share one: none of its parts can hold what divides them. What else keeps responses apart is their
 * variant: the route, the selectors of `vary`, the fields that the response's Vary names; each with its length before
 * it. So all that is kept of a URL is found, and purged, by the URL alone. */

#include <stdlib.h>

#include "base/text.h"
#include "gate/cache_parts.h"
#include "gate/gateway.h"
#include "gate/selector.h"

#define VARIES_MAX 8 /* different ones of one URL, that an answer is looked for by */

/* The port that a scheme has anyway says nothing (RFC 9110, 4.2.3). */
static struct slice default_port(const struct exchange *x)
{
    return slice_eq(x->scheme, SLICE("https")) ? SLICE(":443") : SLICE(":80");
}

static struct slice without_default_port(const struct exchange *x, struct slice authority)
{
    struct slice port = default_port(x);

    return slice_ends(authority, port) ? slice_sub(authority, 0, authority.len - port.len)
                                       : authority;
}

static struct slice url_of(struct exchange *x, struct slice authority, struct slice path,
                           struct slice query)
{
    authority = without_default_port(x, authority);
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

    u->key = response_key_of(u->conf->key ? template_text(u->conf->key, x, false)
                                          : url_of(x, m->authority, x->path, m->query));
    return u->key.text.len > 0 && u->key.text.len <= RESPONSE_KEY_MAX;
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

static struct slice taken(struct exchange *x, struct buf *made)
{
    struct slice text = arena_dup(x->arena, buf_slice(made));

    buf_deinit(made);
    return text;
}

/* What the place keeps apart, whatever a response says. */
static struct slice apart(struct cache_use *u)
{
    struct exchange *x = u->x;
    struct buf out;

    if (u->apart.ptr)
        return u->apart;
    buf_init(&out, SIZE_MAX); /* of parts that the request's limits bound */
    add_value(&out, x->route ? x->route->key : SLICE(""));
    for (uint32_t i = 0; i < u->conf->nvary; i++)
        add_value(&out, selector_value(u->conf->vary[i], x));
    u->apart = taken(x, &out);
    return u->apart;
}

static struct slice make_variant(struct cache_use *u, struct slice vary)
{
    struct buf out;
    struct slice name;

    if (!vary.len)
        return apart(u);
    buf_init(&out, SIZE_MAX);
    (void)!buf_add(&out, apart(u));
    while (slice_split(&vary, ',', &name))
        add_value(&out, normal_value(u->x, name));
    return taken(u->x, &out);
}

static const struct cache_variant *made_variant(const struct cache_use *u, struct slice vary)
{
    const struct cache_variant *v = u->variants;

    while (v && !slice_eq(v->vary, vary))
        v = v->next;
    return v;
}

static struct slice add_variant(struct cache_use *u, struct slice vary, struct slice text)
{
    struct cache_variant *v = arena_alloc(u->x->arena, sizeof(*v));

    v->vary = vary.len ? arena_dup(u->x->arena, vary) : SLICE("");
    v->text = text;
    v->next = u->variants;
    u->variants = v;
    return text;
}

struct slice cache_variant(struct cache_use *u, struct slice vary)
{
    const struct cache_variant *made = made_variant(u, vary);

    return made ? made->text : add_variant(u, vary, make_variant(u, vary));
}

void cache_copy_variant(struct cache_use *own, struct cache_use *u, struct slice vary)
{
    own->apart = arena_dup(own->x->arena, apart(u));
    add_variant(own, vary, arena_dup(own->x->arena, cache_variant(u, vary)));
}

struct slice cache_likely_vary(const struct cache_use *u)
{
    if (u->stale)
        return u->stale->vary;
    return u->variants ? u->variants->vary : SLICE("");
}

static enum stored_fit fits(const struct stored *r, void *arg)
{
    const struct cache_variant *made = made_variant(arg, r->vary);

    if (!made)
        return STORED_ASKS;
    return slice_eq(made->text, r->variant) ? STORED_FITS : STORED_DIFFERS;
}

/* Variants are made while no lock is held, when one of what is kept asks for it: nearly all that is kept of a URL has the
 * same Vary, and one look is enough. */
struct stored *cache_find(struct cache_use *u)
{
    enum stored_fit fit;

    for (int looks = 0; looks <= VARIES_MAX; looks++) {
        struct stored *r = response_store_find(u->conf->store, &u->key, fits, u, &fit);
        u->knows_url = u->knows_url || r || fit == STORED_DIFFERS;
        if (!r || fit == STORED_FITS || slice_eq(cache_variant(u, r->vary), r->variant))
            return r;
        stored_unref(r);
    }
    return NULL;
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
        list = list.len ? ARENA_JOIN(u->x->arena, list, SLICE(","), names[i]) : names[i];
    }
    return list;
}

/* --- invalidation ------------------------------------------------------------------------------------------------------ */

/* The key of a URL reference, when it is on the same host; absent otherwise. */
static struct slice key_of_reference(struct exchange *x, struct slice ref)
{
    struct slice origin = ARENA_JOIN(x->arena, x->scheme, SLICE("://"),
                                     without_default_port(x, x->request->authority));
    struct slice path = ref, query = SLICE_NONE, normal;

    if (ref.len > origin.len && slice_eq_nocase(slice_sub(ref, 0, origin.len), origin))
        path = slice_from_index(ref, origin.len);
    if (slice_starts(path, default_port(x)))
        path = slice_from_index(path, default_port(x).len);
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

bool cache_is_own_url(const struct cache_use *u, struct slice ref)
{
    return ref.len > 0 && slice_eq(key_of_reference(u->x, ref), u->key.text);
}

static void invalidate_reference(struct cache_use *u, const struct message *response,
                                 enum header_id id)
{
    struct slice ref = headers_get_id(&response->headers, id);
    struct slice key = ref.len ? key_of_reference(u->x, ref) : SLICE_NONE;

    if (key.len)
        (void)response_store_purge(u->conf->store, RESPONSE_PURGE_KEY, key);
}

void cache_invalidate(struct cache_use *u, const struct message *response)
{
    (void)response_store_purge(u->conf->store, RESPONSE_PURGE_KEY, u->key.text);
    if (u->conf->key)
        return; /* what its text makes of another URL is not known */
    invalidate_reference(u, response, HEADER_LOCATION);
    invalidate_reference(u, response, HEADER_CONTENT_LOCATION);
}
