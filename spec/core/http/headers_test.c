/* SPDX-License-Identifier: Apache-2.0 */

#include "http/headers.h"

#include <ctype.h>

#include "support/test.h"

static struct arena *arena;
static struct headers h;

static int setup(void **state)
{
    (void)state;
    arena = arena_new_heap(1024);
    headers_init(&h, arena, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void add(const char *name, const char *value)
{
    headers_add(&h, slice_from(name), slice_from(value));
}

static void expect(const char *name, const char *value)
{
    struct slice got = headers_get(&h, slice_from(name));

    if (value == NULL) {
        assert_null(got.ptr);
        return;
    }
    assert_non_null(got.ptr);
    assert_true(slice_eq(got, slice_from(value)));
}

static void test_every_known_name_has_its_id(void **state)
{
    (void)state;
    for (int id = 1; id < HEADER_COUNT; id++) {
        char text[64];
        const char *name = header_name((enum header_id)id);
        size_t len = strlen(name);
        assert_int_equal(header_id(slice_from(name)), id);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)tolower((unsigned char)name[i]);
        assert_int_equal(header_id(slice_of(text, len)), id);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)toupper((unsigned char)name[i]);
        assert_int_equal(header_id(slice_of(text, len)), id);
        /* One letter off, one too many, one too few. */
        text[len / 2] = (char)(text[len / 2] + 1);
        assert_int_not_equal(header_id(slice_of(text, len)), id);
        assert_int_not_equal(header_id(slice_of(name, len - 1)), id);
        memcpy(text, name, len);
        text[len] = 'x';
        assert_int_not_equal(header_id(slice_of(text, len + 1)), id);
    }
}

static void test_only_letters_are_folded(void **state)
{
    (void)state;
    assert_int_equal(header_id(SLICE("Content\rType")), HEADER_OTHER);
    assert_int_equal(header_id(SLICE("Content_Type")), HEADER_OTHER);
    assert_int_equal(header_id(SLICE("HTT\x10"
                                     "2-Settings")),
                     HEADER_OTHER);
    assert_int_equal(header_id(SLICE("")), HEADER_OTHER);
}

static void test_fields_are_found_in_any_case(void **state)
{
    (void)state;
    add("content-TYPE", "a/b");
    add("X-Mine", "1");
    expect("Content-Type", "a/b");
    expect("x-mine", "1");
    expect("X-Other", NULL);
    assert_non_null(headers_find(&h, HEADER_CONTENT_TYPE));
    assert_null(headers_find(&h, HEADER_COOKIE));
}

static void test_several_fields_are_joined(void **state)
{
    (void)state;
    add("X-A", "1");
    add("Set-Cookie", "a=1");
    add("x-a", "2");
    add("set-cookie", "b=2");
    add("X-A", "");
    expect("X-A", "1, 2, ");
    expect("Set-Cookie", "a=1");
    struct field *f = headers_find(&h, HEADER_SET_COOKIE);
    f = headers_next(&h, f);
    assert_true(slice_eq(f->value, SLICE("b=2")));
    assert_null(headers_next(&h, f));
}

static void test_set_replaces_where_the_first_stood(void **state)
{
    (void)state;
    add("X-A", "1");
    add("X-B", "2");
    add("X-A", "3");
    headers_set(&h, SLICE("x-a"), SLICE("4"));
    expect("X-A", "4");
    assert_true(slice_eq(h.items[0].value, SLICE("4")));
    headers_set(&h, SLICE("X-New"), SLICE("5"));
    expect("X-New", "5");
    headers_set_id(&h, HEADER_VIA, SLICE("1.1 x"));
    expect("via", "1.1 x");
}

static void test_removed_fields_are_skipped(void **state)
{
    int n = 0;

    (void)state;
    add("X-A", "1");
    add("X-B", "2");
    add("x-a", "3");
    assert_int_equal(headers_remove(&h, SLICE("X-A")), 2);
    assert_int_equal(headers_remove(&h, SLICE("X-A")), 0);
    expect("X-A", NULL);
    HEADERS_EACH(f, &h)
    {
        assert_true(slice_eq(f->name, SLICE("X-B")));
        n++;
    }
    assert_int_equal(n, 1);
    add("Cookie", "a");
    assert_int_equal(headers_remove_id(&h, HEADER_COOKIE), 1);
    expect("Cookie", NULL);
}

static void test_lookalikes_are_removed(void **state)
{
    (void)state;
    add("X-My-Consumer", "1");
    add("x_my-consumer", "2");
    add("X_My_Consumer", "3");
    add("X-My-Consumers", "4");
    assert_null(headers_clear(&h, HEADER_OTHER, SLICE("X-My-Consumer"), true));
    expect("X-My-Consumer", "1");
    expect("x_my-consumer", NULL);
    expect("X_My_Consumer", NULL);
    expect("X-My-Consumers", "4");
}

static void test_a_name_is_cleared_with_its_lookalikes(void **state)
{
    (void)state;
    add("User_Agent", "1");
    add("user-agent", "2");
    add("USER-AGENT", "3");
    add("user-agent2", "4");
    struct field *first = headers_clear(&h, HEADER_USER_AGENT, SLICE("User-Agent"), false);
    assert_non_null(first);
    assert_int_equal(first->id, HEADER_USER_AGENT);
    expect("User-Agent", NULL);
    expect("User_Agent", NULL);
    expect("user-agent2", "4");
    assert_null(headers_clear(&h, HEADER_USER_AGENT, SLICE("User-Agent"), false));
}

static void test_an_empty_list(void **state)
{
    struct headers none = {0};

    (void)state;
    HEADERS_EACH(f, &none)
    fail_msg("%p", (void *)f);
    expect("X", NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_known_name_has_its_id),
        TEST(test_only_letters_are_folded),
        TEST(test_fields_are_found_in_any_case),
        TEST(test_several_fields_are_joined),
        TEST(test_set_replaces_where_the_first_stood),
        TEST(test_removed_fields_are_skipped),
        TEST(test_lookalikes_are_removed),
        TEST(test_a_name_is_cleared_with_its_lookalikes),
        TEST(test_an_empty_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
