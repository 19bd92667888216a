/* SPDX-License-Identifier: Apache-2.0 */

/* Heads as they are kept: fields that point into the memory behind them, so that an answer copies an array and no text.
 * What belongs to a connection or a proxy, and what counts the age until now, is not kept (RFC 9111, 3.1). */

#include "gate/cache_parts.h"
#include "gate/gateway.h"

static bool is_kept(enum header_id id)
{
    if (header_flags(id) & (HEADER_HOP | HEADER_FRAMING))
        return false;
    switch (id) {
    case HEADER_AGE:
    case HEADER_PROXY_AUTHENTICATE:
    case HEADER_PROXY_AUTHORIZATION: return false;
    default: return true;
    }
}

/* What the content that is kept has to fit, whatever a 304 says (RFC 9111, 3.2): its coding, its part, its digests. */
static bool is_of_content(const struct field *f)
{
    static const struct slice digests[] = {
        {"Content-MD5", 11}, {"Digest", 6}, {"Content-Digest", 14}, {"Repr-Digest", 11}};

    for (size_t i = 0; i < COUNT_OF(digests); i++)
        if (slice_eq_nocase(f->name, digests[i]))
            return true;
    return f->id == HEADER_CONTENT_ENCODING || f->id == HEADER_CONTENT_RANGE;
}

/* Names that no-cache and private speak of. */
struct unkept {
    struct slice no_cache, private;
};

static struct unkept unkept_of(const struct message *response)
{
    struct cache_control says;

    cache_control_read(&response->headers, &says);
    return (struct unkept){says.no_cache_names, says.private_names};
}

static bool keeps(const struct unkept * not, const struct field *f)
{
    return is_kept((enum header_id)f->id) && !slice_has_token(not ->no_cache, f->name) &&
           !slice_has_token(not ->private, f->name) &&
           !slice_eq_nocase(f->name, SLICE("Proxy-Authentication-Info"));
}

/* The tags of a list field, joined by single spaces. */
static struct slice tags_of(struct cache_use *u, const struct message *response)
{
    struct slice rest = headers_get(&response->headers, u->conf->tag_header);
    char *start, *p;

    if (!rest.len)
        return SLICE("");
    start = p = arena_alloc(u->x->arena, rest.len + 1);
    bool is_gap = true;
    for (size_t i = 0; i < rest.len; i++) {
        bool divides = rest.ptr[i] == ',' || rest.ptr[i] == ' ' || rest.ptr[i] == '\t';
        if (divides && !is_gap)
            *p++ = ' ';
        else if (!divides)
            *p++ = rest.ptr[i];
        is_gap = divides;
    }
    return slice_trim(slice_of(start, (size_t)(p - start)));
}

static struct slice draft(struct cache_use *u, const struct message *response,
                          const struct cache_life *life)
{
    const struct headers *h = &response->headers;
    struct unkept not = unkept_of(response);
    size_t texts = 0, room = sizeof(struct cached_head) + h->n * sizeof(struct field);

    HEADERS_EACH(f, h)
    texts += f->name.len + f->value.len;
    struct cached_head *head = arena_alloc(u->x->arena, room + texts);
    *head = (struct cached_head){.life = *life, .status = response->status};
    HEADERS_EACH(f, h)
    {
        if (keeps(&not, f))
            head->fields[head->nfields++] = *f;
    }
    char *p = (char *)&head->fields[head->nfields];
    for (uint32_t i = 0; i < head->nfields; i++) { /* offsets for now */
        struct field *f = &head->fields[i];
        char *name = p, *value = p = slice_put(p, f->name);
        p = slice_put(p, f->value);
        f->name.ptr = (const char *)(name - (char *)head);
        f->value.ptr = (const char *)(value - (char *)head);
        f->note = 0;
    }
    return slice_of((char *)head, (size_t)(p - (char *)head));
}

struct stored *cache_store_head(struct cache_use *u, const struct message *response,
                                const struct cache_life *life, struct response_body *body)
{
    struct slice vary = cache_vary_of(u, response);
    struct stored of = {
        .key = u->key,
        .vary = vary,
        .variant = cache_variant(u, vary),
        .tags = tags_of(u, response),
        .head = draft(u, response, life),
        .body = body,
    };
    struct stored *r = stored_new(&of);

    if (!r)
        return NULL;
    char *base = (char *)(uintptr_t)r->head.ptr; /* nobody else has seen it yet */
    struct cached_head *head = (struct cached_head *)(void *)base;
    for (uint32_t i = 0; i < head->nfields; i++) {
        head->fields[i].name.ptr = base + (size_t)(uintptr_t)head->fields[i].name.ptr;
        head->fields[i].value.ptr = base + (size_t)(uintptr_t)head->fields[i].value.ptr;
    }
    return r;
}

static struct slice kept_field(const struct cached_head *head, enum header_id id)
{
    for (uint32_t i = 0; i < head->nfields; i++)
        if (head->fields[i].id == id)
            return head->fields[i].value;
    return SLICE_NONE;
}

bool cache_is_meant(const struct stored *r, const struct message *not_modified)
{
    const struct cached_head *head = cached_head_of(r);
    struct slice etag = headers_get_id(&not_modified->headers, HEADER_ETAG);
    struct slice changed = headers_get_id(&not_modified->headers, HEADER_LAST_MODIFIED);
    struct slice kept = kept_field(head, HEADER_ETAG);
    struct slice kept_changed = kept_field(head, HEADER_LAST_MODIFIED);

    if (etag.ptr && (kept.ptr || !slice_starts(etag, SLICE("W/"))))
        return cache_same_etag(etag, kept);
    return !changed.ptr || !kept_changed.ptr || slice_eq(changed, kept_changed);
}

struct message *cache_freshen(struct cache_use *u, const struct stored *r,
                              const struct message *not_modified)
{
    const struct cached_head *head = cached_head_of(r);
    const struct headers *news = &not_modified->headers;
    struct message *m = arena_zero(u->x->arena, sizeof(*m));

    m->status = head->status;
    m->version = not_modified->version;
    headers_init(&m->headers, u->x->arena, head->nfields + news->n);
    for (uint32_t i = 0; i < head->nfields; i++) {
        const struct field *f = &head->fields[i];
        if (is_of_content(f) || !headers_find_name(news, f->name))
            headers_add(&m->headers, f->name, f->value);
    }
    HEADERS_EACH(f, news)
    {
        if (!is_of_content(f) && f->id != HEADER_CONTENT_LENGTH)
            headers_add(&m->headers, f->name, f->value);
    }
    return m;
}
