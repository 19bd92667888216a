/* SPDX-License-Identifier: Apache-2.0 */

#include "http/cache_control.h"

#include <stddef.h>

#include "base/err.h"
#include "base/text.h"
#include "http/structured.h"

enum { FLAG, SECONDS };

static const struct directive {
    struct slice name;
    uint8_t kind;
    uint8_t offset; /* in struct cache_control */
} directives[] = {
#define HAS_FLAG(text, field) \
    { \
        {text, sizeof(text) - 1}, FLAG, offsetof(struct cache_control, field) \
    }
#define HAS_SECONDS(text, field) \
    { \
        {text, sizeof(text) - 1}, SECONDS, offsetof(struct cache_control, field) \
    }
    HAS_FLAG("no-store", no_store),
    HAS_FLAG("no-cache", no_cache),
    HAS_FLAG("no-transform", no_transform),
    HAS_FLAG("must-understand", must_understand),
    HAS_FLAG("only-if-cached", only_if_cached),
    HAS_FLAG("must-revalidate", must_revalidate),
    HAS_FLAG("proxy-revalidate", proxy_revalidate),
    HAS_FLAG("public", is_public),
    HAS_FLAG("private", is_private),
    HAS_SECONDS("max-age", max_age),
    HAS_SECONDS("s-maxage", s_maxage),
    HAS_SECONDS("min-fresh", min_fresh),
    HAS_SECONDS("max-stale", max_stale),
    HAS_SECONDS("stale-while-revalidate", stale_while_revalidate),
    HAS_SECONDS("stale-if-error", stale_if_error),
#undef HAS_FLAG
#undef HAS_SECONDS
};

static void init(struct cache_control *out)
{
    *out = (struct cache_control){
        .max_age = -1,
        .s_maxage = -1,
        .min_fresh = -1,
        .max_stale = -1,
        .stale_while_revalidate = -1,
        .stale_if_error = -1,
    };
}

static const struct directive *find(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(directives); i++)
        if (slice_eq_nocase(directives[i].name, name))
            return &directives[i];
    return NULL;
}

static void set_flag(struct cache_control *c, const struct directive *d)
{
    *(bool *)((char *)c + d->offset) = true;
}

static void set_seconds(struct cache_control *c, const struct directive *d, int64_t seconds)
{
    int64_t *at = (int64_t *)((char *)c + d->offset);

    seconds = MIN(MAX(seconds, 0), CACHE_SECONDS_MAX);
    *at = *at < 0 ? seconds : MIN(*at, seconds);
}

int64_t cache_seconds(struct slice text)
{
    uint64_t n;
    int rc = text_to_u64(text, CACHE_SECONDS_MAX, &n);

    if (rc == ERR_RANGE)
        return CACHE_SECONDS_MAX;
    return rc == 0 ? (int64_t)n : -1;
}

static struct slice unquoted(struct slice s)
{
    bool is_quoted = s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"';

    return is_quoted ? slice_sub(s, 1, s.len - 2) : s;
}

/* A name with a list of fields says nothing of the rest of the response. */
static void set_with_names(struct cache_control *c, const struct directive *d, struct slice names)
{
    if (d->offset == offsetof(struct cache_control, no_cache) && names.ptr)
        c->no_cache_names = names;
    else if (d->offset == offsetof(struct cache_control, is_private) && names.ptr)
        c->private_names = names;
    else
        set_flag(c, d);
}

static void read_directive(struct cache_control *c, struct slice token)
{
    ssize_t eq = slice_find_char(token, '=');
    struct slice name = eq < 0 ? token : slice_sub(token, 0, (size_t)eq);
    struct slice value = eq < 0 ? SLICE_NONE : unquoted(slice_from_index(token, (size_t)eq + 1));
    const struct directive *d = find(name);

    if (!d)
        return;
    if (d->kind == FLAG)
        set_with_names(c, d, value);
    else if (d->offset == offsetof(struct cache_control, max_stale) && !value.ptr)
        c->max_stale_any = true;
    else
        set_seconds(c, d, value.ptr ? cache_seconds(value) : 0);
}

void cache_control_read(const struct headers *h, struct cache_control *out)
{
    struct slice rest = headers_get_id(h, HEADER_CACHE_CONTROL);
    struct slice token;

    init(out);
    out->is_there = rest.ptr != NULL;
    while (slice_next_token(&rest, &token))
        read_directive(out, token);
}

bool cache_control_read_targeted(const struct headers *h, struct cache_control *out)
{
    struct slice rest = headers_get_id(h, HEADER_CDN_CACHE_CONTROL);
    struct structured_member m;

    init(out);
    if (!slice_trim(rest).len || !structured_is_dictionary(rest))
        return false;
    while (structured_next(&rest, &m)) {
        const struct directive *d = find(m.key);
        if (d && d->kind == FLAG && m.kind == STRUCTURED_TRUE)
            set_flag(out, d);
        else if (d && d->kind == SECONDS && m.kind == STRUCTURED_INTEGER)
            set_seconds(out, d, m.integer);
        else if (d && m.kind != STRUCTURED_FALSE)
            return false; /* a known name with a value of another type: the field is of no use */
    }
    out->is_there = true;
    return true;
}
