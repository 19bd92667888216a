/* SPDX-License-Identifier: Apache-2.0 */

/* The body machine by itself: credit, spans, and that any cut gives the same. Refusals stand in
 * h1_server_test.c. */

#include "http/h1_body.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "support/test.h"

static const char chunked[] = "5\r\nhello\r\n1;x\r\n \r\n05\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\nGET";

static void test_any_cut_gives_the_same(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof(chunked) - 4; cut++) {
        struct h1_body b;
        char text[64];
        size_t len = 0;
        int rc = 0;
        struct slice parts[2] = {slice_of(chunked, cut),
                                 slice_of(chunked + cut, sizeof(chunked) - 1 - cut)};
        h1_body_begin(&b, H1_CHUNKED, 0);
        for (int p = 0; p < 2; p++) {
            struct slice spans[8];
            int n = 8;
            rc = h1_body_read(&b, &parts[p], 100, spans, &n);
            for (int i = 0; i < n; i++) {
                memcpy(text + len, spans[i].ptr, spans[i].len);
                len += spans[i].len;
            }
        }
        assert_int_equal(rc, H1_END);
        assert_true(slice_eq(slice_of(text, len), SLICE("hello world")));
        assert_true(slice_eq(parts[1], SLICE("GET")));
        h1_body_deinit(&b);
    }
}

static void test_credit_bounds_what_is_taken(void **state)
{
    struct h1_body b;
    struct slice in = SLICE("5\r\nhello\r\n0\r\n\r\n"), spans[4];
    int n = 4;

    (void)state;
    h1_body_begin(&b, H1_CHUNKED, 0);
    assert_int_equal(h1_body_read(&b, &in, 0, spans, &n), 0);
    assert_int_equal(n, 0);
    n = 4;
    assert_int_equal(h1_body_read(&b, &in, 3, spans, &n), 0);
    assert_true(n == 1 && slice_eq(spans[0], SLICE("hel")));
    n = 4;
    assert_int_equal(h1_body_read(&b, &in, 2, spans, &n), H1_END); /* the end costs nothing */
    assert_true(n == 1 && slice_eq(spans[0], SLICE("lo")));
    assert_int_equal(in.len, 0);
}

static void test_spans_bound_what_is_taken(void **state)
{
    struct h1_body b;
    struct slice in = SLICE("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"), spans[2];
    int n = 2;

    (void)state;
    h1_body_begin(&b, H1_CHUNKED, 0);
    assert_int_equal(h1_body_read(&b, &in, 100, spans, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(h1_body_read(&b, &in, 100, spans, &n), H1_END);
    assert_true(n == 1 && slice_eq(spans[0], SLICE("c")));
}

static void test_lengths_and_streams(void **state)
{
    struct h1_body b;
    struct slice in = SLICE("helloGET"), spans[1];
    int n = 1;

    (void)state;
    h1_body_begin(&b, H1_LENGTH, 5);
    assert_int_equal(h1_body_read(&b, &in, 100, spans, &n), H1_END);
    assert_true(slice_eq(spans[0], SLICE("hello")) && slice_eq(in, SLICE("GET")));
    n = 1;
    h1_body_begin(&b, H1_STREAM, 0);
    assert_int_equal(h1_body_read(&b, &in, 2, spans, &n), 0);
    assert_true(slice_eq(spans[0], SLICE("GE")) && slice_eq(in, SLICE("T")));
}

static void test_whether_the_rest_is_here(void **state)
{
    struct h1_body b;

    (void)state;
    h1_body_begin(&b, H1_LENGTH, 5);
    assert_true(h1_body_is_here(&b, SLICE("hello")));
    assert_false(h1_body_is_here(&b, SLICE("hell")));
    h1_body_begin(&b, H1_CHUNKED, 0);
    assert_true(h1_body_is_here(&b, SLICE("1\r\nx\r\n0\r\nA: b\r\n\r\n")));
    assert_false(h1_body_is_here(&b, SLICE("1\r\nx\r\n0\r\nA: b\r\n\r")));
    assert_false(h1_body_is_here(&b, SLICE("1\r\nxy")));
    h1_body_begin(&b, H1_STREAM, 0);
    assert_false(h1_body_is_here(&b, SLICE("x")));
}

/* What a body may cost beside its content is bounded. */
static void test_framing_is_bounded(void **state)
{
    static char text[40 * KIB];
    struct h1_body b;
    struct slice spans[1], in;
    int n = 1;

    (void)state;
    h1_body_begin(&b, H1_CHUNKED, 0);
    memset(text, 'a', sizeof(text));
    memcpy(text, "5;", 2);
    in = slice_of(text, sizeof(text));
    assert_int_equal(h1_body_read(&b, &in, 100, spans, &n), ERR_BAD_REQUEST);
    h1_body_begin(&b, H1_CHUNKED, 0);
    memset(text, '0', sizeof(text));
    in = slice_of(text, sizeof(text));
    assert_int_equal(h1_body_read(&b, &in, 100, spans, &n), ERR_BAD_REQUEST);
    h1_body_begin(&b, H1_CHUNKED, 0);
    memset(text, 'a', sizeof(text));
    memcpy(text, "0\r\nX:", 5);
    in = slice_of(text, sizeof(text));
    assert_int_equal(h1_body_read(&b, &in, 100, spans, &n), ERR_BAD_REQUEST);
    h1_body_deinit(&b);
    h1_body_begin(&b, H1_CHUNKED, 0);
    size_t len = (size_t)sprintf(text, "0\r\n");
    for (int i = 0; i < 65; i++)
        len += (size_t)sprintf(text + len, "X: y\r\n");
    in = slice_of(text, len + (size_t)sprintf(text + len, "\r\n"));
    assert_int_equal(h1_body_read(&b, &in, 100, spans, &n), H1_END);
    struct arena *a = arena_new_heap(1024);
    const struct headers *trailers;
    assert_int_equal(h1_body_trailers(&b, a, &trailers), ERR_BAD_REQUEST);
    arena_free(a);
}

static void test_a_body_may_have_many_chunks(void **state)
{
    struct h1_body b;
    struct slice spans[1];

    (void)state;
    h1_body_begin(&b, H1_CHUNKED, 0);
    for (int i = 0; i < 1000; i++) {
        struct slice in = SLICE("1;ext=long\r\nx\r\n");
        int n = 1;
        assert_int_equal(h1_body_read(&b, &in, 100, spans, &n), 0);
        assert_int_equal(in.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut_gives_the_same),
        cmocka_unit_test(test_credit_bounds_what_is_taken),
        cmocka_unit_test(test_spans_bound_what_is_taken),
        cmocka_unit_test(test_lengths_and_streams),
        cmocka_unit_test(test_whether_the_rest_is_here),
        cmocka_unit_test(test_framing_is_bounded),
        cmocka_unit_test(test_a_body_may_have_many_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
