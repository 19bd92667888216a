/* SPDX-License-Identifier: Apache-2.0 */

#include "base/slice.h"

#include <stdlib.h>

#include "support/expect.h"

static void comparing_without_case_folds_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(slice_eq_nocase(SLICE("Content-Length"), SLICE("cONTENT-lENGTH")));
    assert_true(slice_eq_nocase(SLICE(""), SLICE_NONE));
    assert_false(slice_eq_nocase(SLICE("etag"), SLICE("etags")));
    /* Neighbours of the letters, and the same with bit 5 or 7 flipped. */
    assert_false(slice_eq_nocase(SLICE("@"), SLICE("`")));
    assert_false(slice_eq_nocase(SLICE("aaaa[aaa"), SLICE("aaaa{aaa")));
    assert_false(slice_eq_nocase(SLICE("aaaaaaa\xc1"), SLICE("aaaaaaa\xe1")));
    assert_false(slice_eq_nocase(SLICE("aaaaaaaa\x01"), SLICE("aaaaaaaa\x21")));
}

static void comparing_without_case_sees_each_byte_at_each_length(void **state)
{
    char a[40], b[40];

    (void)state;
    for (size_t len = 1; len < sizeof(a); len++) {
        for (size_t at = 0; at < len; at++) {
            memset(a, 'x', len);
            memset(b, 'X', len);
            assert_true(slice_eq_nocase(slice_of(a, len), slice_of(b, len)));
            b[at] = 'Y';
            assert_false(slice_eq_nocase(slice_of(a, len), slice_of(b, len)));
        }
    }
}

static void a_copy_of_any_length_ends_where_it_should(void **state)
{
    char from[80], to[96];

    (void)state;
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (char)('0' + i);
    for (size_t len = 0; len <= sizeof(from); len++) {
        memset(to, '~', sizeof(to));
        assert_ptr_equal(slice_put(to + 8, slice_of(from, len)), to + 8 + len);
        assert_memory_equal(to + 8, from, len);
        assert_memory_equal(to, "~~~~~~~~", 8);
        assert_memory_equal(to + 8 + len, "~~~~~~~~", 8);
    }
    assert_ptr_equal(slice_put(to, SLICE_NONE), to);
}

static void a_capital_is_seen_wherever_it_stands(void **state)
{
    char text[20];

    (void)state;
    for (size_t len = 0; len <= sizeof(text); len++) {
        memset(text, '[', len); /* the neighbours of the letters are none */
        assert_false(slice_has_capital(slice_of(text, len)));
        memset(text, '@', len);
        assert_false(slice_has_capital(slice_of(text, len)));
        for (size_t at = 0; at < len; at++) {
            memset(text, 'z', len);
            assert_false(slice_has_capital(slice_of(text, len)));
            text[at] = at % 2 ? 'A' : 'Z';
            assert_true(slice_has_capital(slice_of(text, len)));
        }
    }
    assert_false(slice_has_capital(SLICE_NONE));
}

static void every_pair_of_bytes_compares_as_tolower_says(void **state)
{
    (void)state;
    for (int x = 0; x < 256; x++) {
        for (int y = 0; y < 256; y++) {
            char a[8] = "--------", b[8] = "--------";
            int small_x = x >= 'A' && x <= 'Z' ? x + 32 : x,
                small_y = y >= 'A' && y <= 'Z' ? y + 32 : y;
            a[5] = (char)x;
            b[5] = (char)y;
            if (slice_eq_nocase(slice_of(a, 8), slice_of(b, 8)) != (small_x == small_y) ||
                slice_eq_nocase(slice_of(a + 5, 1), slice_of(b + 5, 1)) != (small_x == small_y))
                fail_msg("%02x and %02x", x, y);
        }
    }
}

static void prefixes_suffixes_and_order(void **state)
{
    (void)state;
    assert_true(slice_starts(SLICE("/api/x"), SLICE("/api")));
    assert_true(slice_starts(SLICE("a"), SLICE("")));
    assert_false(slice_starts(SLICE("/ap"), SLICE("/api")));
    assert_true(slice_ends(SLICE("a.json"), SLICE(".json")));
    assert_false(slice_ends(SLICE("json"), SLICE(".json")));
    assert_true(slice_compare(SLICE("a"), SLICE("b")) < 0);
    assert_true(slice_compare(SLICE("ab"), SLICE("a")) > 0);
    assert_true(slice_compare(SLICE("a\xff"), SLICE("ab")) > 0);
    assert_int_equal(slice_compare(SLICE_NONE, SLICE("")), 0);
}

static void parts_never_leave_the_text(void **state)
{
    (void)state;
    expect_slice(slice_from_index(SLICE("hello"), 2), "llo");
    expect_slice(slice_from_index(SLICE("hello"), 9), "");
    expect_slice(slice_sub(SLICE("hello"), 1, 3), "ell");
    expect_slice(slice_sub(SLICE("hello"), 4, SIZE_MAX), "o");
    assert_null(slice_sub(SLICE_NONE, 1, 1).ptr);
}

static void finding(void **state)
{
    (void)state;
    assert_int_equal(slice_find_char(SLICE("a=b=c"), '='), 1);
    assert_int_equal(slice_find_last_char(SLICE("a=b=c"), '='), 3);
    assert_int_equal(slice_find_char(SLICE_NONE, '='), -1);
    assert_int_equal(slice_find_last_char(SLICE("abc"), '='), -1);
    assert_int_equal(slice_find(SLICE("abcabd"), SLICE("abd")), 3);
    assert_int_equal(slice_find(SLICE("abc"), SLICE("")), 0);
    assert_int_equal(slice_find(SLICE("ab"), SLICE("abc")), -1);
}

static void trimming_takes_blanks_and_tabs_only(void **state)
{
    (void)state;
    expect_slice(slice_trim(SLICE(" \t a b\n \t")), "a b\n");
    expect_slice(slice_trim(SLICE("  ")), "");
}

static void splitting_keeps_empty_parts(void **state)
{
    struct slice rest = SLICE("a,,b,"), part;

    (void)state;
    assert_true(slice_split(&rest, ',', &part));
    expect_slice(part, "a");
    assert_true(slice_split(&rest, ',', &part));
    expect_slice(part, "");
    assert_true(slice_split(&rest, ',', &part));
    expect_slice(part, "b");
    assert_true(slice_split(&rest, ',', &part));
    expect_slice(part, "");
    assert_false(slice_split(&rest, ',', &part));
}

static void list_elements_skip_what_is_empty_and_keep_quoted_commas(void **state)
{
    struct slice rest = SLICE(" ,gzip;q=1 ,, \"a,\\\"b\" ;x,\tbr"), token;

    (void)state;
    assert_true(slice_next_token(&rest, &token));
    expect_slice(token, "gzip;q=1");
    assert_true(slice_next_token(&rest, &token));
    expect_slice(token, "\"a,\\\"b\" ;x");
    assert_true(slice_next_token(&rest, &token));
    expect_slice(token, "br");
    assert_false(slice_next_token(&rest, &token));

    rest = SLICE("\"open, string\\");
    assert_true(slice_next_token(&rest, &token));
    expect_slice(token, "\"open, string\\");
    assert_false(slice_next_token(&rest, &token));
}

static void a_list_has_a_token_whatever_its_case(void **state)
{
    (void)state;
    assert_true(slice_has_token(SLICE("keep-alive, Upgrade"), SLICE("upgrade")));
    assert_false(slice_has_token(SLICE("keep-alive, Upgrades"), SLICE("upgrade")));
    assert_false(slice_has_token(SLICE_NONE, SLICE("upgrade")));
}

static void a_copy_is_a_c_string(void **state)
{
    (void)state;
    char *copy = slice_dup(slice_of("hello", 4));
    assert_string_equal(copy, "hell");
    free(copy);
    copy = slice_dup(SLICE_NONE);
    assert_string_equal(copy, "");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing_without_case_folds_ascii_letters_only),
        cmocka_unit_test(comparing_without_case_sees_each_byte_at_each_length),
        cmocka_unit_test(a_copy_of_any_length_ends_where_it_should),
        cmocka_unit_test(a_capital_is_seen_wherever_it_stands),
        cmocka_unit_test(every_pair_of_bytes_compares_as_tolower_says),
        cmocka_unit_test(prefixes_suffixes_and_order),
        cmocka_unit_test(parts_never_leave_the_text),
        cmocka_unit_test(finding),
        cmocka_unit_test(trimming_takes_blanks_and_tabs_only),
        cmocka_unit_test(splitting_keeps_empty_parts),
        cmocka_unit_test(list_elements_skip_what_is_empty_and_keep_quoted_commas),
        cmocka_unit_test(a_list_has_a_token_whatever_its_case),
        cmocka_unit_test(a_copy_is_a_c_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
