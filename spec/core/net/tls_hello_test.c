/* SPDX-License-Identifier: Apache-2.0 */

#include "net/tls_hello.h"

#include "support/expect.h"

#define BYTES(text) slice_of("" text, sizeof(text) - 1)

static void test_names(void **state UNUSED)
{
    static const struct {
        struct slice extension;
        const char *name;
    } rows[] = {
        {{"\x00\x06\x00\x00\x03"
          "a.B",
          8},
         "a.b"},
        {{"\x00\x05\x00\x00\x02"
          "a.",
          7},
         "a"},
        {{"\x00\x04\x00\x00\x01"
          "*",
          6},
         ""}, /* no host */
        {{"\x00\x06\x00\x00\x03"
          "a\0b",
          8},
         ""},
        {{"\x00\x06\x01\x00\x03"
          "abc",
          8},
         ""}, /* another type of name */
        {{"\x00\x06\x00\x00\x04"
          "abc",
          8},
         ""}, /* longer than its list */
        {{"\x00\x07\x00\x00\x03"
          "abc",
          8},
         ""}, /* a list longer than the extension */
        {{"\x00\x06\x00\x00\x03"
          "abcd",
          9},
         ""}, /* bytes behind the list */
        {{"\x00\x00", 2}, ""},
        {{"\x00", 1}, ""},
        {{"", 0}, ""},
    };
    char name[TLS_NAME_MAX + 1];

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len = tls_hello_name(rows[i].extension, name);
        expect_slice(slice_of(name, len), rows[i].name);
    }
}

static void test_protocols(void **state UNUSED)
{
    struct slice one, list = tls_hello_protocols(BYTES("\x00\x0c\x02h2\x08http/1.1"));

    assert_true(tls_hello_protocol(&list, &one));
    expect_slice(one, "h2");
    assert_true(tls_hello_protocol(&list, &one));
    expect_slice(one, "http/1.1");
    assert_false(tls_hello_protocol(&list, &one));
    assert_int_equal(tls_hello_protocols(BYTES("\x00\x0d\x02h2")).len, 0);
    list = BYTES("\x09http/1.1");
    assert_false(tls_hello_protocol(&list, &one));
    list = BYTES("\x00");
    assert_false(tls_hello_protocol(&list, &one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_protocols),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
