/* SPDX-License-Identifier: Apache-2.0 */

#include "base/text.h"

#include <stdio.h>

#include "base/err.h"
#include "base/rand.h"
#include "support/expect.h"

static void uuids_have_version_and_variant(void **state)
{
    uint8_t ones[16], count[16];
    char text[TEXT_UUID];

    (void)state;
    memset(ones, 0xff, sizeof(ones));
    for (int i = 0; i < 16; i++)
        count[i] = (uint8_t)i;
    text_uuid(ones, 4, text);
    assert_memory_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff", TEXT_UUID);
    text_uuid(count, 7, text);
    assert_memory_equal(text, "00010203-0405-7607-8809-0a0b0c0d0e0f", TEXT_UUID);
}

static void hex_goes_both_ways(void **state)
{
    uint8_t bytes[256];
    char text[512], back[256];

    (void)state;
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(text_hex(bytes, 256, text), 512);
    assert_memory_equal(text + 2 * 0xaf, "afb0", 4);
    assert_int_equal(text_unhex(slice_of(text, 512), back), 256);
    assert_memory_equal(back, bytes, 256);
    assert_int_equal(text_unhex(SLICE("AfB0"), back), 2);
    assert_memory_equal(back, "\xaf\xb0", 2);
    assert_int_equal(text_unhex(SLICE("abc"), back), ERR_ENCODING);
    assert_int_equal(text_unhex(SLICE("0g"), back), ERR_ENCODING);
    assert_int_equal(text_unhex(SLICE(":0"), back), ERR_ENCODING);
}

static void base64_of_the_rfc(void **state)
{
    static const char *const coded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    char out[16], back[16];

    (void)state;
    for (size_t n = 0; n < COUNT_OF(coded); n++) {
        size_t len = text_base64("foobar", n, 0, out);
        assert_int_equal(len, TEXT_BASE64_SIZE(n));
        expect_slice(slice_of(out, len), coded[n]);
        assert_int_equal(text_unbase64(slice_from(coded[n]), 0, back), n);
        assert_memory_equal(back, "foobar", n);

        len = text_base64("foobar", n, TEXT_NO_PAD, out);
        assert_int_equal(text_unbase64(slice_of(out, len), TEXT_URL, back), n);
        assert_memory_equal(back, "foobar", n);
    }
}

static void base64_has_two_alphabets(void **state)
{
    char out[8];

    (void)state;
    expect_slice(slice_of(out, text_base64("\xfb\xef\xff", 3, 0, out)), "++//");
    expect_slice(slice_of(out, text_base64("\xfb\xef\xff", 3, TEXT_URL, out)), "--__");
    assert_int_equal(text_unbase64(SLICE("--__"), TEXT_URL, out), 3);
    assert_memory_equal(out, "\xfb\xef\xff", 3);
    assert_int_equal(text_unbase64(SLICE("--__"), 0, out), ERR_ENCODING);
    assert_int_equal(text_unbase64(SLICE("++//"), TEXT_URL, out), ERR_ENCODING);
}

static void one_value_has_one_base64_text(void **state)
{
    static const char *const bad[] = {
        "Zg=",  "Zg===",     "Z===",  "Zh==", "Zm9=",  "Zm9v=",    "=",
        "====", "Zm9v Zm9v", "Zm9\n", "Z",    "Zm9vZ", "Zg==Zg==", "Zm=v"};
    char out[16];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(text_unbase64(slice_from(bad[i]), 0, out), ERR_ENCODING);
        assert_int_equal(text_unbase64(slice_from(bad[i]), TEXT_URL, out), ERR_ENCODING);
    }
    assert_int_equal(text_unbase64(SLICE("Zg"), 0, out), ERR_ENCODING);
}

static void base64_of_random_bytes_reads_back(void **state)
{
    uint8_t bytes[100], back[100];
    char text[TEXT_BASE64_SIZE(100)];

    (void)state;
    for (size_t n = 0; n <= 100; n++) {
        rand_secure(bytes, n);
        size_t len = text_base64(bytes, n, TEXT_URL, text);
        assert_int_equal(text_unbase64(slice_of(text, len), TEXT_URL, back), n);
        assert_memory_equal(back, bytes, n);
    }
}

static void percent_coding_keeps_what_it_may(void **state)
{
    char out[64];

    (void)state;
    expect_slice(slice_of(out, text_percent_encode(SLICE("aZ09-._~ /\xff%"), "", out)),
                 "aZ09-._~%20%2F%FF%25");
    expect_slice(slice_of(out, text_percent_encode(SLICE("/a b"), "/", out)), "/a%20b");
    assert_int_equal(text_percent_encode(slice_of("\0", 1), "/", out), 3);
    assert_memory_equal(out, "%00", 3);
}

static void percent_coding_is_decoded_in_place_or_refused(void **state)
{
    char out[64] = "a%2fb%4A+";

    (void)state;
    assert_int_equal(text_percent_decode(slice_from(out), false, out), 5);
    assert_memory_equal(out, "a/bJ+", 5);
    assert_int_equal(text_percent_decode(SLICE("a+b%2B"), true, out), 4);
    assert_memory_equal(out, "a b+", 4);
    assert_int_equal(text_percent_decode(SLICE("%"), false, out), ERR_ENCODING);
    assert_int_equal(text_percent_decode(SLICE("%4"), false, out), ERR_ENCODING);
    assert_int_equal(text_percent_decode(SLICE("%4x"), false, out), ERR_ENCODING);
    assert_int_equal(text_percent_decode(SLICE("%%41"), false, out), ERR_ENCODING);
}

static void put_utf8(uint32_t c, char *out, size_t n)
{
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
}

static void utf8_is_each_character_in_its_shortest_form(void **state)
{
    char text[4];

    (void)state;
    for (uint32_t c = 0x80; c < 0x200000; c++) {
        for (size_t n = 2; n <= 4; n++) {
            if (c >= (n == 2 ? 0x800u : n == 3 ? 0x10000u : 0x200000u))
                continue;
            put_utf8(c, text, n);
            bool is_shortest = n == (c < 0x800 ? 2u : c < 0x10000 ? 3u : 4u);
            bool is_character = c < 0x110000 && (c < 0xd800 || c > 0xdfff);
            if (text_is_utf8(slice_of(text, n)) != (is_shortest && is_character))
                fail_msg("U+%04X in %zu bytes", c, n);
            if (text_is_utf8(slice_of(text, n - 1)))
                fail_msg("U+%04X without its last byte", c);
        }
    }
}

static void utf8_is_checked_behind_ascii_too(void **state)
{
    (void)state;
    assert_true(text_is_utf8(SLICE("")));
    assert_true(text_is_utf8(SLICE("0123456789abcdef\xc3\xa9gh")));
    assert_false(text_is_utf8(SLICE("0123456789abcde\xc3")));
    assert_false(text_is_utf8(SLICE("0123456\x80")));
    assert_false(text_is_utf8(SLICE("\xc0\x80")));
    assert_false(text_is_utf8(SLICE("\xff")));
    assert_int_equal(text_utf8_len(SLICE("a\xe2\x82\xac"), 1), 3);
    assert_int_equal(text_utf8_len(SLICE("a\xe2\x82"), 1), 0);
}

static void the_nearest_word_is_suggested_if_it_is_near(void **state)
{
    static const char *const words[] = {"upstream", "upstreams", "timeout", "path", "paths"};

    (void)state;
    assert_int_equal(text_distance(SLICE("kitten"), SLICE("sitting")), 3);
    assert_int_equal(text_distance(SLICE("ab"), SLICE("ba")), 1);
    assert_int_equal(text_distance(SLICE("ca"), SLICE("abc")), 3);
    assert_int_equal(text_distance(SLICE(""), SLICE("abc")), 3);
    assert_int_equal(text_distance(SLICE("abc"), SLICE("abc")), 0);

    assert_string_equal(text_nearest(SLICE("upsteram"), words, COUNT_OF(words)), "upstream");
    assert_string_equal(text_nearest(SLICE("pahts"), words, COUNT_OF(words)), "paths");
    assert_string_equal(text_nearest(SLICE("pat"), words, COUNT_OF(words)), "path");
    assert_null(text_nearest(SLICE("pony"), words, COUNT_OF(words)));
    assert_null(text_nearest(SLICE(""), words, COUNT_OF(words)));
}

static void long_texts_are_no_words(void **state)
{
    char a[200], b[200];

    (void)state;
    memset(a, 'a', sizeof(a));
    memset(b, 'a', sizeof(b));
    assert_int_equal(text_distance(slice_of(a, 200), slice_of(b, 200)), 0);
    b[0] = 'b';
    assert_int_equal(text_distance(slice_of(a, 200), slice_of(b, 200)), 200);
    assert_int_equal(text_distance(slice_of(a, 64), slice_of(b, 64)), 1);
}

static void tokens_and_field_values(void **state)
{
    (void)state;
    assert_true(text_is_token(SLICE("X-a_b.1!#$%&'*+^`|~")));
    for (int c = 0; c < 256; c++) {
        char one = (char)c;
        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
            assert_false(text_is_token(slice_of(&one, 1)));
        else
            assert_true(text_is_token(slice_of(&one, 1)));
        bool is_control = (c < ' ' && c != '\t') || c == 0x7f;
        assert_int_equal(text_is_field_value(slice_of(&one, 1)), !is_control);
    }
    assert_false(text_is_token(SLICE("")));
    assert_true(text_is_field_value(SLICE("")));
    assert_false(text_is_field_value(SLICE("a\r\nb")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuids_have_version_and_variant),
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(base64_of_the_rfc),
        cmocka_unit_test(base64_has_two_alphabets),
        cmocka_unit_test(one_value_has_one_base64_text),
        cmocka_unit_test(base64_of_random_bytes_reads_back),
        cmocka_unit_test(percent_coding_keeps_what_it_may),
        cmocka_unit_test(percent_coding_is_decoded_in_place_or_refused),
        cmocka_unit_test(utf8_is_each_character_in_its_shortest_form),
        cmocka_unit_test(utf8_is_checked_behind_ascii_too),
        cmocka_unit_test(the_nearest_word_is_suggested_if_it_is_near),
        cmocka_unit_test(long_texts_are_no_words),
        cmocka_unit_test(tokens_and_field_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
