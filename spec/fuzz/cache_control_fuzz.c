/* SPDX-License-Identifier: Apache-2.0 */

/* Cache-Control and CDN-Cache-Control from any text: numbers stay within their range, names point into the text. */

#include <stdlib.h>

#include "http/cacheable.h"
#include "http/structured.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

static void seconds(int64_t n)
{
    expect(n >= -1 && n <= CACHE_SECONDS_MAX);
}

static void within(struct slice part, struct slice all)
{
    expect(!part.ptr || (part.ptr >= all.ptr && part.ptr + part.len <= all.ptr + all.len));
}

static void check(const struct cache_control *c)
{
    seconds(c->max_age);
    seconds(c->s_maxage);
    seconds(c->min_fresh);
    seconds(c->max_stale);
    seconds(c->stale_while_revalidate);
    seconds(c->stale_if_error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct arena *a = arena_new_heap(1024);
    struct slice text = arena_dup(a, slice_of((const char *)bytes, len));
    struct message request = {.method = METHOD_GET}, response = {.status = 200};
    struct cache_moment moment = {0, 0, 1000000000};
    struct cache_rules rules = {.ttl_s = 5};
    struct cache_control c;
    struct cache_life life;

    headers_init(&request.headers, a, 4);
    headers_init(&response.headers, a, 4);
    headers_add_id(&request.headers, HEADER_CACHE_CONTROL, text);
    headers_add_id(&response.headers, HEADER_CACHE_CONTROL, text);
    cache_control_read(&request.headers, &c);
    check(&c);
    within(c.no_cache_names, text);
    within(c.private_names, text);
    headers_add_id(&response.headers, HEADER_CDN_CACHE_CONTROL, text);
    if (cache_control_read_targeted(&response.headers, &c)) {
        expect(structured_is_dictionary(text));
        check(&c);
    }
    headers_add_id(&response.headers, HEADER_EXPIRES, text);
    headers_add_id(&response.headers, HEADER_AGE, text);
    if (cache_judge(&request, &response, false, &rules, &moment, &life) == CACHE_KEPT) {
        expect(life.lifetime_s >= 0 && life.initial_age_s >= 0);
        (void)cache_usable(&life, &c, 10);
    }
    arena_free(a);
    return 0;
}
