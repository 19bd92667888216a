/* SPDX-License-Identifier: Apache-2.0 */

#include "gate/cache_record.h"

#include "base/check.h"
#include "base/err.h"
#include "base/hash.h"
#include "support/test.h"

static struct arena *arena;

static int set_up(void **state UNUSED)
{
    arena = arena_new_heap(4096);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    arena_free(arena);
    assert_int_equal(check_failures(), 0);
    return 0;
}

static struct cache_record make(void)
{
    struct cache_record r = {
        .key = SLICE("http://a/b"),
        .variant = SLICE("5:route"),
        .head = {.status = 200},
        .life = {.initial_age_s = 1,
                 .lifetime_s = 600,
                 .stale_while_revalidate_s = 2,
                 .stale_if_error_s = 3,
                 .never_stale = true},
        .came_wall_ms = 1700000000123,
        .body = slice_of("a\0b\r\n", 5),
    };

    headers_init(&r.head.headers, arena, 4);
    headers_add(&r.head.headers, SLICE("ETag"), SLICE("\"1\""));
    headers_add(&r.head.headers, SLICE("X-Empty"), SLICE(""));
    headers_add(&r.head.headers, SLICE("etag"), SLICE("\"2\""));
    return r;
}

static struct slice written(const struct cache_record *r)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    assert_int_equal(cache_record_write(r, &out), 0);
    struct slice bytes = arena_dup(arena, buf_slice(&out));
    buf_deinit(&out);
    return bytes;
}

static void test_what_is_written_is_read(void **state UNUSED)
{
    struct cache_record r = make(), got;
    struct slice bytes = written(&r);

    assert_int_equal(cache_record_read(bytes, arena, &got), 0);
    assert_true(slice_eq(got.key, r.key) && slice_eq(got.variant, r.variant));
    assert_true(slice_eq(got.body, r.body));
    assert_int_equal(got.head.status, 200);
    assert_int_equal(got.came_wall_ms, r.came_wall_ms);
    assert_int_equal(got.life.initial_age_s, 1);
    assert_int_equal(got.life.lifetime_s, 600);
    assert_int_equal(got.life.stale_while_revalidate_s, 2);
    assert_int_equal(got.life.stale_if_error_s, 3);
    assert_true(got.life.never_stale && !got.life.always_validate && !got.life.is_shared);
    assert_int_equal(got.head.headers.n, 3);
    assert_true(slice_eq(headers_get_id(&got.head.headers, HEADER_ETAG), SLICE("\"1\", \"2\"")));
    assert_true(slice_eq(written(&got), bytes));
}

static void test_what_is_cut_or_changed_is_none(void **state UNUSED)
{
    struct cache_record r = make(), got;
    struct slice bytes = written(&r);
    char *copy = (char *)(uintptr_t)arena_dup(arena, bytes).ptr;

    for (size_t n = 0; n < bytes.len; n++)
        assert_int_equal(cache_record_read(slice_sub(bytes, 0, n), arena, &got), ERR_SYNTAX);
    for (size_t i = 0; i < bytes.len; i++) {
        copy[i] ^= 0x20;
        assert_int_equal(cache_record_read(slice_of(copy, bytes.len), arena, &got), ERR_SYNTAX);
        copy[i] ^= 0x20;
    }
}

/* Whoever writes it has made the sum as well. */
static int read_with(struct cache_record *r)
{
    struct cache_record got;

    return cache_record_read(written(r), arena, &got);
}

static void test_what_no_upstream_sends_is_none(void **state UNUSED)
{
    static const char *const bad[][2] = {{"X\r\nY", "z"},
                                         {"", "z"},
                                         {"X", "a\r\nSet-Cookie: b"},
                                         {"X", "a\nb"},
                                         {"Content-Length", "3"},
                                         {"Transfer-Encoding", "chunked"},
                                         {"Connection", "close"}};
    static const int statuses[] = {0, 100, 199, 206, 304, 600, -1};
    struct cache_record r;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        r = make();
        headers_add(&r.head.headers, slice_from(bad[i][0]), slice_from(bad[i][1]));
        assert_int_equal(read_with(&r), ERR_SYNTAX);
    }
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        r = make();
        r.head.status = statuses[i];
        assert_int_equal(read_with(&r), ERR_SYNTAX);
    }
    r = make();
    r.life.lifetime_s = -1;
    assert_int_equal(read_with(&r), ERR_SYNTAX);
    r = make();
    r.life.initial_age_s = CACHE_SECONDS_MAX + 1;
    assert_int_equal(read_with(&r), ERR_SYNTAX);
    r = make();
    r.came_wall_ms = -1;
    assert_int_equal(read_with(&r), ERR_SYNTAX);
}

static void test_what_is_too_much_is_not_written(void **state UNUSED)
{
    struct cache_record r = make();
    struct buf out;

    buf_init(&out, 100);
    assert_int_equal(cache_record_write(&r, &out), ERR_FULL);
    buf_deinit(&out);
    for (int i = 0; i < CACHE_RECORD_FIELDS_MAX; i++)
        headers_add(&r.head.headers, SLICE("X"), SLICE("y"));
    buf_init(&out, SIZE_MAX);
    assert_int_equal(cache_record_write(&r, &out), ERR_LIMIT);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_cut_or_changed_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_no_upstream_sends_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_too_much_is_not_written, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
