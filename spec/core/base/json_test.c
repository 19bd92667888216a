/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"

#include <math.h>
#include <stdio.h>

#include "base/err.h"
#include "support/expect.h"

static struct buf out;
static struct json_writer w;

static int setup(void **state)
{
    (void)state;
    buf_init(&out, 100000);
    json_writer_init(&w, &out, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_deinit(&out);
    return 0;
}

static void write_sample(void)
{
    json_object(&w);
    json_key(&w, SLICE("a"));
    json_array(&w);
    json_int(&w, 1);
    json_array(&w);
    json_array_end(&w);
    json_bool(&w, true);
    json_array_end(&w);
    json_key(&w, SLICE("b\""));
    json_null(&w);
    json_key(&w, SLICE("c"));
    json_object(&w);
    json_object_end(&w);
    json_key(&w, SLICE("d"));
    json_raw(&w, SLICE("[1]"));
    json_object_end(&w);
}

static void commas_and_colons_are_put_by_the_writer(void **state)
{
    (void)state;
    write_sample();
    assert_int_equal(json_writer_end(&w), 0);
    expect_slice(buf_slice(&out), "{\"a\":[1,[],true],\"b\\\"\":null,\"c\":{},\"d\":[1]}");
}

static void indented_text_is_for_people(void **state)
{
    (void)state;
    json_writer_init(&w, &out, 2);
    write_sample();
    assert_int_equal(json_writer_end(&w), 0);
    expect_slice(buf_slice(&out),
                 "{\n  \"a\": [\n    1,\n    [],\n    true\n  ],\n  \"b\\\"\": null,\n"
                 "  \"c\": {},\n  \"d\": [1]\n}");
}

static void misuse_is_an_error_that_sticks(void **state)
{
    (void)state;
    json_object(&w);
    json_int(&w, 1);
    json_object_end(&w);
    assert_int_equal(json_writer_end(&w), ERR_ARG);

    json_writer_init(&w, &out, 0);
    json_array(&w);
    json_key(&w, SLICE("a"));
    assert_int_equal(json_writer_end(&w), ERR_ARG);

    json_writer_init(&w, &out, 0);
    json_array(&w);
    json_object_end(&w);
    assert_int_equal(json_writer_end(&w), ERR_ARG);

    json_writer_init(&w, &out, 0);
    json_object(&w);
    json_key(&w, SLICE("a"));
    json_object_end(&w);
    assert_int_equal(json_writer_end(&w), ERR_ARG);

    json_writer_init(&w, &out, 0);
    json_null(&w);
    json_null(&w);
    assert_int_equal(json_writer_end(&w), ERR_ARG);

    json_writer_init(&w, &out, 0);
    json_array_end(&w);
    assert_int_equal(json_writer_end(&w), ERR_ARG);

    json_writer_init(&w, &out, 0);
    assert_int_equal(json_writer_end(&w), ERR_ARG);

    json_writer_init(&w, &out, 0);
    json_array(&w);
    assert_int_equal(json_writer_end(&w), ERR_ARG);
}

static void depth_and_size_are_capped(void **state)
{
    (void)state;
    for (int i = 0; i < 128; i++)
        json_array(&w);
    for (int i = 0; i < 128; i++)
        json_array_end(&w);
    assert_int_equal(json_writer_end(&w), 0);

    json_writer_init(&w, &out, 0);
    for (int i = 0; i < 129; i++)
        json_array(&w);
    assert_int_equal(json_writer_end(&w), ERR_DEPTH);

    struct buf small;
    buf_init(&small, 5);
    json_writer_init(&w, &small, 0);
    json_string(&w, SLICE("abcd"));
    assert_int_equal(json_writer_end(&w), ERR_FULL);
    buf_deinit(&small);
}

static const char *number(double n)
{
    static char text[64];

    buf_clear(&out);
    json_writer_init(&w, &out, 0);
    json_number(&w, n);
    if (json_writer_end(&w) < 0)
        return "error";
    snprintf(text, sizeof(text), "%.*s", SLICE_ARG(buf_slice(&out)));
    return text;
}

static void numbers_are_exact(void **state)
{
    (void)state;
    assert_string_equal(number(9007199254740992), "9007199254740992");
    assert_string_equal(number(-9007199254740991), "-9007199254740991");
    assert_string_equal(number(0.1), "0.1");
    assert_string_equal(number(NAN), "error");
    assert_int_equal(json_writer_end(&w), ERR_ARG);
    assert_string_equal(number(-INFINITY), "error");

    buf_clear(&out);
    json_writer_init(&w, &out, 0);
    json_int(&w, INT64_MIN);
    assert_int_equal(json_writer_end(&w), 0);
    expect_slice(buf_slice(&out), "-9223372036854775808");
}

static void strings_are_escaped_where_needed_only(void **state)
{
    (void)state;
    json_string(&w, SLICE("/\x7f\"\\\b\f\n\r\t\x01\x1f\xc3\xa9\xf0\x9f\x98\x80"));
    assert_int_equal(json_writer_end(&w), 0);
    expect_slice(buf_slice(&out),
                 "\"/\x7f\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\xc3\xa9\xf0\x9f\x98\x80\"");

    buf_clear(&out);
    assert_int_equal(json_quote(&out, slice_of("a\0b", 3)), 0);
    expect_slice(buf_slice(&out), "\"a\\u0000b\"");
}

static void invalid_utf8_is_refused_or_replaced(void **state)
{
    (void)state;
    json_string(&w, SLICE("0123456789\xff"));
    assert_int_equal(json_writer_end(&w), ERR_ENCODING);

    json_writer_init(&w, &out, 0);
    json_object(&w);
    json_key(&w, SLICE("\xc0"));
    assert_int_equal(json_writer_end(&w), ERR_ENCODING);

    buf_clear(&out);
    json_writer_init(&w, &out, 0);
    json_object(&w);
    json_key_lossy(&w, SLICE("\xc0"));
    json_string_lossy(&w, SLICE("a\xff\xe2\x82z\xe2\x82\xac"));
    json_object_end(&w);
    assert_int_equal(json_writer_end(&w), 0);
    expect_slice(buf_slice(&out),
                 "{\"\xef\xbf\xbd\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xe2\x82\xac\"}");
}

/* Each byte at each place of a long string: what is looked for eight at a time must not be
 * missed. */
static void every_byte_is_found_wherever_it_stands(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < 20; at++) {
            char text[20], expected[64];
            memset(text, 'x', sizeof(text));
            text[at] = (char)c;
            const char *with = c == '"'    ? "\\\""
                               : c == '\\' ? "\\\\"
                               : c >= 0x80 ? "\xef\xbf\xbd"
                                           : NULL;
            char plain[2] = {(char)c, '\0'};
            if (c < 0x20)
                continue;
            snprintf(expected, sizeof(expected), "\"%.*s%s%.*s\"", (int)at, "xxxxxxxxxxxxxxxxxxxx",
                     with ? with : plain, (int)(19 - at), "xxxxxxxxxxxxxxxxxxxx");
            buf_clear(&out);
            assert_int_equal(json_quote(&out, slice_of(text, 20)), 0);
            expect_slice(buf_slice(&out), expected);
        }
    }
    for (int c = 0; c < 0x20; c++) {
        char text[20];
        memset(text, 'x', sizeof(text));
        text[11] = (char)c;
        buf_clear(&out);
        assert_int_equal(json_quote(&out, slice_of(text, 20)), 0);
        assert_int_equal(buf_slice(&out).ptr[12], '\\');
    }
}

/* --- reader --- */

static struct json_reader r;

/* The last event of the text: JSON_END or the error. */
static int read_all_deep(struct slice text, int max_depth)
{
    int event;

    json_reader_init(&r, text, max_depth);
    do
        event = json_read(&r);
    while (event > 0 && event != JSON_END);
    json_reader_deinit(&r);
    return event;
}

static int read_all(const char *text)
{
    return read_all_deep(slice_from(text), 512);
}

static void events_come_in_order(void **state)
{
    static const int events[] = {JSON_OBJECT,     JSON_KEY,       JSON_ARRAY, JSON_NUMBER,
                                 JSON_TRUE,       JSON_FALSE,     JSON_NULL,  JSON_OBJECT,
                                 JSON_OBJECT_END, JSON_ARRAY_END, JSON_KEY,   JSON_STRING,
                                 JSON_OBJECT_END, JSON_END,       JSON_END};

    (void)state;
    json_reader_init(&r, SLICE(" { \"a\" : [ 1 , true,false,null,{}\n], \"b\":\"x\" }\r\n\t"), 8);
    for (size_t i = 0; i < COUNT_OF(events); i++) {
        assert_int_equal(json_read(&r), events[i]);
        if (i == 1)
            expect_slice(r.string, "a");
        if (i == 11)
            expect_slice(r.string, "x");
    }
    json_reader_deinit(&r);
}

static void expect_decoded(const char *text, const char *decoded, size_t len)
{
    json_reader_init(&r, slice_from(text), 1);
    assert_int_equal(json_read(&r), JSON_STRING);
    assert_int_equal(r.string.len, len);
    assert_memory_equal(r.string.ptr, decoded, len);
    assert_int_equal(json_read(&r), JSON_END);
    json_reader_deinit(&r);
}

static void strings_are_decoded(void **state)
{
    (void)state;
    expect_decoded("\"\"", "", 0);
    expect_decoded("\"plain \xc3\xa9\"", "plain \xc3\xa9", 8);
    expect_decoded("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz", 10);
    expect_decoded("\"\\u0000\\u00e9\\u20AC\\ud83d\\uDE00!\"",
                   "\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!", 11);
}

static void one_string_leaves_nothing_in_the_next(void **state)
{
    (void)state;
    json_reader_init(&r, SLICE("[\"\\n1\",\"\\t2\",\"3\"]"), 1);
    assert_int_equal(json_read(&r), JSON_ARRAY);
    assert_int_equal(json_read(&r), JSON_STRING);
    expect_slice(r.string, "\n1");
    assert_int_equal(json_read(&r), JSON_STRING);
    expect_slice(r.string, "\t2");
    assert_int_equal(json_read(&r), JSON_STRING);
    expect_slice(r.string, "3");
    json_reader_deinit(&r);
}

static void a_string_without_escapes_is_a_part_of_the_text(void **state)
{
    static const char text[] = "\"abc\"";

    (void)state;
    json_reader_init(&r, slice_from(text), 1);
    assert_int_equal(json_read(&r), JSON_STRING);
    assert_ptr_equal(r.string.ptr, text + 1);
    json_reader_deinit(&r);
}

static void bad_strings_say_what_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(read_all("\"\xff\""), ERR_ENCODING);
    assert_int_equal(read_all("\"\\ud800\""), ERR_ENCODING);
    assert_int_equal(read_all("\"\\udc00\""), ERR_ENCODING);
    assert_int_equal(read_all("\"\\ud800\\u0041\""), ERR_ENCODING);
    assert_int_equal(read_all("\"\\ud800\\ud800\""), ERR_ENCODING);
    assert_int_equal(read_all("\"\\ud800\\ue000\""), ERR_ENCODING);
    assert_int_equal(read_all("\"\\u12g4\""), ERR_SYNTAX);
    assert_int_equal(read_all("\"\\u12"), ERR_SYNTAX);
    assert_int_equal(read_all("\"\\x\""), ERR_SYNTAX);
    assert_int_equal(read_all("\"\n\""), ERR_SYNTAX);
    assert_int_equal(read_all("\"abc"), ERR_SYNTAX);
    assert_int_equal(read_all("\"abc\\"), ERR_SYNTAX);
    assert_int_equal(read_all_deep(slice_of("\"\\\0\"", 4), 1), ERR_SYNTAX);
}

static void expect_number(const char *text, double n, bool is_int)
{
    json_reader_init(&r, slice_from(text), 1);
    assert_int_equal(json_read(&r), JSON_NUMBER);
    assert_true(r.number == n);
    assert_int_equal(r.is_int, is_int);
    assert_int_equal(json_read(&r), JSON_END);
    json_reader_deinit(&r);
}

static void integers_up_to_2_to_the_53_are_exact_and_said_to_be(void **state)
{
    (void)state;
    expect_number("0", 0, true);
    expect_number("-12", -12, true);
    expect_number("9007199254740992", 9007199254740992, true);
    expect_number("-9007199254740992", -9007199254740992, true);
    expect_number("9007199254740993", 9007199254740992, false);
    expect_number("123456789012345678901234567890", 123456789012345678901234567890.0, false);
    expect_number("1.0", 1, false);
    expect_number("1e2", 100, false);
    expect_number("-0.25E-1", -0.025, false);
    assert_int_equal(read_all("1e400"), ERR_RANGE);
    assert_int_equal(read_all("-1e400"), ERR_RANGE);
    expect_number("1e-400", 0, false);
}

static void depth_is_counted_and_position_told(void **state)
{
    (void)state;
    assert_int_equal(read_all_deep(SLICE("[[1]]"), 2), JSON_END);
    assert_int_equal(read_all_deep(SLICE("[[1],{}]"), 1), ERR_DEPTH);
    assert_int_equal(read_all_deep(SLICE("1"), 0), JSON_END);
    assert_int_equal(read_all_deep(SLICE("[]"), 0), ERR_DEPTH);
    assert_int_equal(read_all("[1, 2, x]"), ERR_SYNTAX);
    assert_int_equal(r.pos, 7);
    assert_int_equal(read_all("\xef\xbb\xbf{}"), ERR_SYNTAX);
    assert_int_equal(r.pos, 0);
}

static void brackets_must_match(void **state)
{
    (void)state;
    assert_int_equal(read_all("[}"), ERR_SYNTAX);
    assert_int_equal(read_all("{]"), ERR_SYNTAX);
    assert_int_equal(read_all("[1}"), ERR_SYNTAX);
    assert_int_equal(read_all("{\"a\":1]"), ERR_SYNTAX);
    assert_int_equal(read_all("{\"a\"}"), ERR_SYNTAX);
    assert_int_equal(read_all("{\"a\":}"), ERR_SYNTAX);
    assert_int_equal(read_all("[1,]"), ERR_SYNTAX);
    assert_int_equal(read_all("{\"a\":1,}"), ERR_SYNTAX);
    assert_int_equal(read_all("1 2"), ERR_SYNTAX);
    assert_int_equal(read_all("]"), ERR_SYNTAX);
    assert_int_equal(read_all(""), ERR_SYNTAX);
    assert_int_equal(read_all("[1"), ERR_SYNTAX);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commas_and_colons_are_put_by_the_writer),
        TEST(indented_text_is_for_people),
        TEST(misuse_is_an_error_that_sticks),
        TEST(depth_and_size_are_capped),
        TEST(numbers_are_exact),
        TEST(strings_are_escaped_where_needed_only),
        TEST(invalid_utf8_is_refused_or_replaced),
        TEST(every_byte_is_found_wherever_it_stands),
        TEST(events_come_in_order),
        TEST(strings_are_decoded),
        TEST(one_string_leaves_nothing_in_the_next),
        TEST(a_string_without_escapes_is_a_part_of_the_text),
        TEST(bad_strings_say_what_is_wrong),
        TEST(integers_up_to_2_to_the_53_are_exact_and_said_to_be),
        TEST(depth_is_counted_and_position_told),
        TEST(brackets_must_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
