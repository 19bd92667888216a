/* SPDX-License-Identifier: Apache-2.0 */

/* What a shared cache keeps, and for how long: one row for each rule of RFC 9111 that a head can speak of. */

#include "http/cacheable.h"

#include "support/test.h"

#define NAMES_8 "a, b, c, d, e, f, g, h,"
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"
#define NOW 784111777 /* the same */

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new_heap(4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* "Name: value" lines. */
static void fields(struct message *m, const char *text)
{
    struct slice rest = slice_from(text), line;

    headers_init(&m->headers, arena, 8);
    while (slice_split(&rest, '\n', &line)) {
        ssize_t colon = slice_find_char(line, ':');
        if (colon > 0)
            headers_add(&m->headers, slice_sub(line, 0, (size_t)colon),
                        slice_trim(slice_from_index(line, (size_t)colon + 1)));
    }
}

static const struct cache_rules usual = {.ttl_s = -1};

static enum cache_refusal judge(int status, const char *request, const char *response,
                                const struct cache_rules *rules, bool is_personal,
                                struct cache_life *life)
{
    struct message asked = {.method = METHOD_GET}, answer = {.status = status};
    struct cache_moment moment = {.asked_ms = 5000, .came_ms = 7500, .came_wall_s = NOW};

    fields(&asked, request);
    fields(&answer, response);
    return cache_judge(&asked, &answer, is_personal, rules, &moment, life);
}

static void test_lifetimes(void **state)
{
    static const struct {
        const char *head;
        int64_t lifetime; /* -1: not kept */
    } rows[] = {
        {"", -1},
        {"Cache-Control: max-age=60", 60},
        {"Cache-Control: max-age=0", 0},
        {"Cache-Control: MaX-AgE=60, foo=bar", 60},
        {"Cache-Control: max-age=99999999999", CACHE_SECONDS_MAX},
        {"Cache-Control: max-age=003600", 3600},
        {"Cache-Control: max-age=\"60\"", 60},
        {"Cache-Control: max-age=-60", 0},
        {"Cache-Control: max-age='60'", 0},
        {"Cache-Control: max-age=60.5", 0},
        {"Cache-Control: max-age", 0},
        {"Cache-Control: max-age=60, max-age=30", 30},
        {"Cache-Control: max-age=60\nCache-Control: s-maxage=5", 5},
        {"Cache-Control: ext=\"max-age=60\", max-age=1", 1},
        {"Cache-Control: max-age=1, ext=\"max-age=60, s-maxage=60\"", 1},
        {DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT", 60},
        {DATE "Expires: Sun, 06 Nov 1994 08:48:37 GMT", 0},
        {DATE "Expires: 0", 0},
        {DATE "Expires: Fri, 31 Dec 9999 23:59:59 GMT", CACHE_SECONDS_MAX},
        {DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT\nExpires: Sun, 06 Nov 1994 08:50:37 GMT", 0},
        {"Date: nonsense\nExpires: Sun, 06 Nov 1994 08:50:37 GMT", 60},
        {DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT\nCache-Control: max-age=5", 5},
        {DATE "Last-Modified: Sun, 06 Nov 1994 08:48:37 GMT", 6},
        {DATE "Last-Modified: Sun, 06 Nov 1904 08:48:37 GMT", 7 * 86400},
        {DATE "Last-Modified: nonsense", -1},
        {"Cache-Control: no-cache", 0},
        {"CDN-Cache-Control: max-age=60\nCache-Control: no-store", 60},
        {"CDN-Cache-Control: max-age=1\nCache-Control: max-age=60", 1},
        {"CDN-Cache-Control: max-age=foo\nCache-Control: max-age=60", 60},
        {"CDN-Cache-Control: max-age=1, (\nCache-Control: max-age=60", 60},
        {DATE "CDN-Cache-Control: foo\nExpires: Sun, 06 Nov 1994 08:50:37 GMT", -1},
    };
    struct cache_life life;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum cache_refusal r = judge(200, "", rows[i].head, &usual, false, &life);
        int64_t got = r == CACHE_KEPT ? life.lifetime_s : -1;
        if (got != rows[i].lifetime)
            fail_msg("%s: %lld", rows[i].head, (long long)got);
    }
}

static void test_refusals(void **state)
{
    static const uint16_t only_200[] = {200};
    static const struct cache_rules narrow = {60, true, only_200, 1};
    static const struct {
        int status;
        const char *request, *response;
        bool is_personal;
        const struct cache_rules *rules;
        enum cache_refusal want;
    } rows[] = {
        {200, "", "Cache-Control: max-age=9, no-store", false, &usual, CACHE_NO_STORE},
        {200, "", "Cache-Control: max-age=9, nO-StOrE", false, &usual, CACHE_NO_STORE},
        {200, "", "Cache-Control: max-age=9, no-store, must-understand", false, &usual, CACHE_KEPT},
        {299, "", "Cache-Control: max-age=9, no-store, must-understand", false, &usual,
         CACHE_BY_STATUS},
        {299, "", "Cache-Control: max-age=9, must-understand", false, &usual, CACHE_BY_STATUS},
        {299, "", "Cache-Control: max-age=9", false, &usual, CACHE_KEPT},
        {409, "", "Cache-Control: max-age=9, no-store, must-understand", false, &usual, CACHE_KEPT},
        {200, "", "Cache-Control: max-age=9, private", false, &usual, CACHE_PRIVATE},
        {200, "", "Cache-Control: max-age=9, private=\"set-cookie\"", false, &usual, CACHE_KEPT},
        {200, "Cache-Control: no-store", "Cache-Control: max-age=9", false, &usual,
         CACHE_BY_REQUEST},
        {200, "", "Cache-Control: max-age=9", true, &usual, CACHE_IDENTITY},
        {200, "", "Cache-Control: max-age=9, public", true, &usual, CACHE_KEPT},
        {200, "", "Cache-Control: s-maxage=9", true, &usual, CACHE_KEPT},
        {200, "", "Cache-Control: max-age=9, must-revalidate", true, &usual, CACHE_KEPT},
        {200, "", "Cache-Control: max-age=9\nVary: a, *", false, &usual, CACHE_VARY},
        {200, "", "Cache-Control: max-age=9\nVary: " NAMES_8 NAMES_8 NAMES_8 NAMES_8, false, &usual,
         CACHE_KEPT},
        {200, "", "Cache-Control: max-age=9\nVary: " NAMES_8 NAMES_8 NAMES_8 NAMES_8 "x", false,
         &usual, CACHE_VARY},
        {200, "", "Cache-Control: max-age=9\nSet-Cookie: a=b", false, &usual, CACHE_COOKIE},
        {200, "", "Cache-Control: max-age=9\nSet-Cookie: a=b", false, &narrow, CACHE_KEPT},
        {206, "", "Cache-Control: max-age=9", false, &usual, CACHE_BY_STATUS},
        {304, "", "Cache-Control: max-age=9", false, &usual, CACHE_BY_STATUS},
        {299, "", "Cache-Control: max-age=9", false, &usual, CACHE_KEPT},
        {404, "", "Cache-Control: max-age=9", false, &narrow, CACHE_BY_STATUS},
        {200, "", "", false, &narrow, CACHE_KEPT},
        {201, "", DATE "Last-Modified: Sun, 06 Nov 1994 08:48:37 GMT", false, &usual,
         CACHE_NO_LIFE},
        {201, "", DATE "Last-Modified: Sun, 06 Nov 1994 08:48:37 GMT\nCache-Control: public", false,
         &usual, CACHE_KEPT},
    };
    struct cache_life life;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum cache_refusal r = judge(rows[i].status, rows[i].request, rows[i].response,
                                     rows[i].rules, rows[i].is_personal, &life);
        if (r != rows[i].want)
            fail_msg("row %zu, %s: %s", i, rows[i].response, cache_refusal_text(r));
    }
}

/* Of an answer to POST only what it says of its life itself counts. */
static void test_methods(void **state)
{
    static const struct cache_rules with_ttl = {.ttl_s = 60};
    static const struct {
        enum method method;
        const char *response;
        enum cache_refusal want;
    } rows[] = {
        {METHOD_GET, DATE "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT", CACHE_KEPT},
        {METHOD_GET, "", CACHE_KEPT},
        {METHOD_POST, "Cache-Control: max-age=9", CACHE_KEPT},
        {METHOD_POST, DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT", CACHE_KEPT},
        {METHOD_POST, DATE "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT", CACHE_NO_LIFE},
        {METHOD_POST, "Cache-Control: no-cache", CACHE_NO_LIFE},
        {METHOD_POST, "", CACHE_NO_LIFE},
        {METHOD_PUT, "Cache-Control: max-age=9", CACHE_BY_METHOD},
        {METHOD_HEAD, "Cache-Control: max-age=9", CACHE_BY_METHOD},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message asked = {.method = rows[i].method}, answer = {.status = 200};
        struct cache_moment moment = {.came_wall_s = NOW};
        struct cache_life life;
        fields(&asked, "");
        fields(&answer, rows[i].response);
        enum cache_refusal r = cache_judge(&asked, &answer, false, &with_ttl, &moment, &life);
        if (r != rows[i].want)
            fail_msg("row %zu, %s: %s", i, rows[i].response, cache_refusal_text(r));
    }
}

static void test_ages(void **state)
{
    static const struct {
        const char *head;
        int64_t age; /* with 2 s from request to response */
    } rows[] = {
        {DATE, 2},
        {"Date: Sun, 06 Nov 1994 08:49:07 GMT\n", 30},
        {"Date: Sun, 06 Nov 1994 08:50:37 GMT\n", 2},
        {"Age: 100\n", 102},
        {"Age: 100, 0\n", 102},
        {"Age: 0, 100\n", 2},
        {"Age: 0\nAge: 100\n", 2},
        {"Age: -1\n", 2},
        {"Age: 7.5\n", 2},
        {"Age: abc\n", 2},
        {"Age: 2147483649\n", CACHE_SECONDS_MAX},
    };
    struct cache_life life;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice head = arena_printf(arena, "%sCache-Control: max-age=9", rows[i].head);
        assert_int_equal(judge(200, "", head.ptr, &usual, false, &life), CACHE_KEPT);
        if (cache_age_s(&life, 7500) != rows[i].age)
            fail_msg("%s: %lld", rows[i].head, (long long)cache_age_s(&life, 7500));
        assert_int_equal(cache_age_s(&life, 17499), rows[i].age + 9);
        assert_int_equal(cache_age_s(&life, 0), rows[i].age);
    }
}

/* Asked 10 s after it came, 8 s old already then: 18 s in all. */
static void test_uses(void **state)
{
    static const struct {
        const char *request, *response;
        enum cache_state want;
        bool on_error;
    } rows[] = {
        {"", "max-age=19", CACHE_FRESH, false},
        {"", "max-age=18", CACHE_STALE, false},
        {"", "max-age=90, no-cache", CACHE_STALE, false},
        {"Cache-Control: no-cache", "max-age=90", CACHE_STALE, false},
        {"Cache-Control: max-age=17", "max-age=90", CACHE_STALE, false},
        {"Cache-Control: max-age=18", "max-age=90", CACHE_FRESH, false},
        {"Cache-Control: max-age=0", "max-age=90", CACHE_STALE, false},
        {"Cache-Control: min-fresh=71", "max-age=90", CACHE_FRESH, false},
        {"Cache-Control: min-fresh=72", "max-age=90", CACHE_STALE, false},
        {"Cache-Control: max-stale=8", "max-age=10", CACHE_FRESH, false},
        {"Cache-Control: max-stale=7", "max-age=10", CACHE_STALE, false},
        {"Cache-Control: max-stale", "max-age=10", CACHE_FRESH, false},
        {"Cache-Control: max-stale", "max-age=10, must-revalidate", CACHE_STALE, false},
        {"Cache-Control: max-stale", "s-maxage=10", CACHE_STALE, false},
        {"", "max-age=10, stale-while-revalidate=9", CACHE_REVALIDATE, false},
        {"", "max-age=10, stale-while-revalidate=8", CACHE_STALE, false},
        {"", "s-maxage=10, stale-while-revalidate=9", CACHE_REVALIDATE, false},
        {"", "max-age=10, stale-if-error=9", CACHE_STALE, true},
        {"", "max-age=10, stale-if-error=8", CACHE_STALE, false},
        {"", "s-maxage=10, stale-if-error=9", CACHE_STALE, true},
        {"", "max-age=10, stale-if-error=9, must-revalidate", CACHE_STALE, false},
        {"", "max-age=10, stale-if-error=9, proxy-revalidate", CACHE_STALE, false},
        {"Cache-Control: stale-if-error=9", "max-age=10", CACHE_STALE, true},
        {"Cache-Control: stale-if-error=9", "s-maxage=10", CACHE_STALE, false},
    };
    struct cache_life life;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message asked = {0};
        struct cache_control says;
        struct slice head = arena_printf(arena, "Age: 6\nCache-Control: %s", rows[i].response);

        fields(&asked, rows[i].request);
        cache_control_read(&asked.headers, &says);
        assert_int_equal(judge(200, "", head.ptr, &usual, false, &life), CACHE_KEPT);
        bool is_stale = life.lifetime_s <= 18;
        if (cache_usable(&life, &says, 17500) != rows[i].want ||
            (is_stale && cache_usable_on_error(&life, &says, 17500) != rows[i].on_error))
            fail_msg("%s / %s", rows[i].request, rows[i].response);
    }
}

static void test_names(void **state)
{
    struct message m = {0};
    struct cache_control c;

    (void)state;
    fields(&m, "Cache-Control: no-cache=\"a, b\", private=\"c\", only-if-cached, no-transform");
    cache_control_read(&m.headers, &c);
    assert_true(slice_eq(c.no_cache_names, SLICE("a, b")));
    assert_true(slice_eq(c.private_names, SLICE("c")));
    assert_true(c.is_there && c.only_if_cached && c.no_transform);
    assert_false(c.no_cache || c.is_private);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lifetimes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_methods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_uses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
