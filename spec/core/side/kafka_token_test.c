/* SPDX-License-Identifier: Apache-2.0 */

#include "side/kafka_token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "support/test.h"

/* A token with this payload; valid until the next one is asked for. */
static struct slice token_of(const char *payload)
{
    static char text[1024];
    char coded[900];

    size_t n = text_base64(payload, strlen(payload), TEXT_URL | TEXT_NO_PAD, coded);
    snprintf(text, sizeof(text), "eyJhbGciOiJub25lIn0.%.*s.c2lnbmF0dXJl", (int)n, coded);
    return slice_from(text);
}

static void test_a_token_says_whose_it_is_and_until_when(void **state UNUSED)
{
    struct kafka_token t;

    assert_null(kafka_token_parse(
        token_of("{\"x\":{\"exp\":1,\"sub\":\"no\"},\"sub\":\"orders\",\"exp\":1700000000.5}"),
        &t));
    assert_string_equal(t.principal, "orders");
    assert_int_equal(t.expires_ms, 1700000000500);
    assert_null(kafka_token_parse(token_of("{\"exp\":1700000000}"), &t));
    assert_string_equal(t.principal, "demilune");
}

static void test_what_is_no_token_is_told(void **state UNUSED)
{
    static const struct {
        const char *payload, *fault;
    } rows[] = {
        {"{\"sub\":\"a\"}", "does not say when it expires"},
        {"{\"exp\":\"soon\"}", "does not say when it expires"},
        {"{\"exp\":-1}", "does not say when it expires"},
        {"{\"exp\":1e300}", "does not say when it expires"},
        {"{\"exp\":1", "no JSON"},
        {"", "no JSON"},
    };
    static const char *const texts[] = {"", "opaque", "a.b", "a.!!!.c"};
    struct kafka_token t;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *wrong = kafka_token_parse(token_of(rows[i].payload), &t);
        assert_non_null(wrong);
        assert_non_null(strstr(wrong, rows[i].fault));
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        assert_non_null(strstr(kafka_token_parse(slice_from(texts[i]), &t), "is not a JWT"));
}

static void test_a_file_is_read_without_what_ends_its_line(void **state UNUSED)
{
    static char text[KAFKA_TOKEN_MAX + 1], large[KAFKA_TOKEN_MAX + 10];
    char path[] = "/tmp/dml_kafka_XXXXXX";
    int fd = mkstemp(path);
    struct kafka_token t;
    struct slice token = token_of("{\"exp\":1700000000}");

    assert_true(fd >= 0);
    assert_int_equal(write(fd, token.ptr, token.len), token.len);
    assert_int_equal(write(fd, "\r\n", 2), 2);
    assert_null(kafka_token_read(path, text, &t));
    assert_string_equal(text, token.ptr);
    assert_int_equal(write(fd, large, sizeof(large)), sizeof(large));
    assert_string_equal(kafka_token_read(path, text, &t), "is longer than 64 KiB");
    close(fd);
    unlink(path);
    assert_string_equal(kafka_token_read(path, text, &t), "No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_says_whose_it_is_and_until_when),
        cmocka_unit_test(test_what_is_no_token_is_told),
        cmocka_unit_test(test_a_file_is_read_without_what_ends_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
