/* SPDX-License-Identifier: Apache-2.0 */

#include "side/redis_reply.h"

#include <stdio.h>

#include "base/err.h"
#include "support/test.h"

/* Reads `bytes` in pieces of `step`; the number of whole replies, or the code that it ended in. */
static int read_in_steps(struct redis_codec *c, struct slice bytes, size_t step)
{
    int n = 0;

    for (size_t at = 0; at < bytes.len; at += step) {
        struct slice part = slice_sub(bytes, at, step);
        int rc = redis_codec_feed(c, part.ptr, part.len);
        if (rc < 0)
            return rc;
        while ((rc = redis_codec_next(c)) == 1)
            n++;
        if (rc < 0)
            return rc;
    }
    return n;
}

static int read_all(struct slice bytes, size_t max)
{
    struct redis_codec *c = redis_codec_new(max);
    int n = read_in_steps(c, bytes, bytes.len);

    redis_codec_free(c);
    return n;
}

static void expect_reply(const struct redis_reply *r, size_t i, enum redis_kind kind,
                         const char *text)
{
    const struct redis_value *v = &r->values.items[i];

    assert_int_equal(v->kind, kind);
    assert_true(slice_eq(redis_text(r, v), slice_from(text)));
}

static void test_every_kind_of_reply_is_read_however_it_is_cut(void **state UNUSED)
{
    struct slice bytes = SLICE("+OK\r\n-ERR no\r\n:-42\r\n$3\r\na\0b\r\n$-1\r\n*-1\r\n$0\r\n\r\n"
                               "*3\r\n$1\r\nx\r\n*1\r\n:7\r\n$-1\r\n*0\r\n");

    for (size_t step = 1; step <= bytes.len; step++) {
        struct redis_codec *c = redis_codec_new(4096);
        assert_int_equal(read_in_steps(c, bytes, step), 9);
        const struct redis_reply *r = redis_codec_reply(c);
        assert_int_equal(r->values.n, 13);
        expect_reply(r, 0, REDIS_STATUS, "OK");
        expect_reply(r, 1, REDIS_ERROR, "ERR no");
        assert_int_equal(r->values.items[2].number, -42);
        assert_true(slice_eq(redis_text(r, &r->values.items[3]), SLICE("a\0b")));
        assert_int_equal(r->values.items[4].kind, REDIS_NIL);
        assert_int_equal(r->values.items[5].kind, REDIS_NIL);
        expect_reply(r, 6, REDIS_TEXT, "");
        assert_int_equal(r->values.items[7].kind, REDIS_LIST);
        assert_int_equal(r->values.items[7].number, 3);
        expect_reply(r, 8, REDIS_TEXT, "x");
        assert_int_equal(r->values.items[9].number, 1);
        assert_int_equal(r->values.items[10].number, 7);
        assert_int_equal(r->values.items[11].kind, REDIS_NIL);
        assert_int_equal(r->values.items[12].number, 0);
        redis_codec_free(c);
    }
}

static void test_a_text_moves_with_the_readers_buffer(void **state UNUSED)
{
    struct redis_codec *c = redis_codec_new(1 * MIB);
    struct buf out;

    buf_init(&out, 1 * MIB);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(buf_printf(&out, "$%d\r\ntext %04d\r\n", 9, i), 0);
    assert_int_equal(read_in_steps(c, buf_slice(&out), 700), 2000);
    for (int i = 0; i < 2000; i++) {
        char text[16];
        snprintf(text, sizeof(text), "text %04d", i);
        expect_reply(redis_codec_reply(c), (size_t)i, REDIS_TEXT, text);
    }
    redis_codec_clear(c);
    assert_int_equal(read_in_steps(c, SLICE("+again\r\n"), 3), 1);
    expect_reply(redis_codec_reply(c), 0, REDIS_STATUS, "again");
    buf_deinit(&out);
    redis_codec_free(c);
}

static void test_what_is_no_redis_is_refused(void **state UNUSED)
{
    static const char *const rows[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "?\r\n",
        "*1\r\n%1\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        "$xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(read_all(slice_from(rows[i]), 4096), ERR_PROTOCOL);
}

static void test_a_line_without_an_end_is_not_looked_at_for_ever(void **state UNUSED)
{
    struct redis_codec *c = redis_codec_new(16 * MIB);
    char line[4096];
    int rc = 0;
    size_t fed = 1;

    memset(line, 'x', sizeof(line));
    assert_int_equal(read_in_steps(c, SLICE("+"), 1), 0);
    for (; rc == 0 && fed < 1 * MIB; fed += sizeof(line))
        rc = read_in_steps(c, slice_of(line, sizeof(line)), sizeof(line));
    assert_int_equal(rc, ERR_PROTOCOL);
    assert_true(fed < 128 * KIB);
    redis_codec_free(c);
}

static void test_what_is_too_long_is_refused_before_it_is_held(void **state UNUSED)
{
    struct redis_codec *c = redis_codec_new(1000);
    char more[20000];
    int rc;
    size_t fed = 0;

    assert_int_equal(read_all(SLICE("*2147483647\r\n"), 16 * MIB), ERR_LIMIT);
    memset(more, 'x', sizeof(more));
    assert_int_equal(read_in_steps(c, SLICE("$1000000000\r\n"), 100), 0);
    do {
        rc = read_in_steps(c, slice_of(more, sizeof(more)), sizeof(more));
        fed += sizeof(more);
    } while (rc == 0 && fed < 1 * MIB);
    assert_int_equal(rc, ERR_LIMIT);
    assert_true(fed < 128 * KIB);
    redis_codec_free(c);

    /* Together, without a clear between them. */
    c = redis_codec_new(1000);
    for (fed = 0, rc = 1; rc == 1 && fed < 1000; fed++)
        rc = read_in_steps(c, SLICE(":1\r\n"), 4);
    assert_int_equal(rc, ERR_LIMIT);
    redis_codec_free(c);
}

static void test_an_error_has_a_word(void **state UNUSED)
{
    assert_true(slice_eq(redis_error_word(SLICE("WRONGTYPE Operation")), SLICE("WRONGTYPE")));
    assert_true(slice_eq(redis_error_word(SLICE("NOSCRIPT")), SLICE("NOSCRIPT")));
    assert_true(slice_eq(redis_error_word(SLICE("Error in it")), SLICE("ERR")));
    assert_true(slice_eq(redis_error_word(SLICE("")), SLICE("ERR")));
}

static void test_commands_are_written(void **state UNUSED)
{
    const struct slice words[] = {SLICE("SET"), SLICE("k"), SLICE("0123456789 a\r\nb")};
    struct slice wanted = SLICE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$15\r\n0123456789 a\r\nb\r\n");
    char out[100];

    size_t size = redis_command_size(words, 3);
    assert_int_equal(size, wanted.len);
    assert_ptr_equal(redis_command_put(out, words, 3), out + size);
    assert_memory_equal(out, wanted.ptr, size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_reply_is_read_however_it_is_cut),
        cmocka_unit_test(test_a_text_moves_with_the_readers_buffer),
        cmocka_unit_test(test_what_is_no_redis_is_refused),
        cmocka_unit_test(test_a_line_without_an_end_is_not_looked_at_for_ever),
        cmocka_unit_test(test_what_is_too_long_is_refused_before_it_is_held),
        cmocka_unit_test(test_an_error_has_a_word),
        cmocka_unit_test(test_commands_are_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
