/* SPDX-License-Identifier: Apache-2.0 */

#include "http/message.h"

#include "base/err.h"
#include "support/test.h"

static void test_methods(void **state)
{
    (void)state;
    for (int m = 1; m < METHOD_COUNT; m++)
        assert_int_equal(method_parse(slice_from(method_text((enum method)m))), m);
    assert_int_equal(method_parse(SLICE("get")), METHOD_UNKNOWN);
    assert_int_equal(method_parse(SLICE("GETX")), METHOD_UNKNOWN);
    assert_int_equal(method_parse(SLICE("")), METHOD_UNKNOWN);
    assert_true(method_is_safe(METHOD_HEAD) && method_is_idempotent(METHOD_PUT));
    assert_false(method_is_safe(METHOD_PUT) || method_is_idempotent(METHOD_POST));
    assert_false(method_is_safe(METHOD_UNKNOWN) || method_is_idempotent(METHOD_UNKNOWN));
}

static void test_statuses(void **state)
{
    (void)state;
    assert_string_equal(status_text(404), "Not Found");
    assert_string_equal(status_text(299), "");
}

static void test_an_authority_gives_host_and_port(void **state)
{
    struct message m = {0};

    (void)state;
    headers_init(&m.headers, arena_new_heap(256), 1);
    assert_int_equal(message_set_authority(&m, SLICE("A.Example.:8080")), 0);
    assert_true(slice_eq(m.authority, SLICE("A.Example.:8080")));
    assert_true(slice_eq(m.host, SLICE("a.example")));
    assert_int_equal(m.port, 8080);
    assert_int_equal(message_set_authority(&m, SLICE("b/c")), ERR_SYNTAX);
    assert_true(slice_eq(m.host, SLICE("a.example")));
    assert_int_equal(message_set_authority(&m, SLICE("[::1]")), 0);
    assert_true(slice_eq(m.host, SLICE("::1")));
    assert_int_equal(m.port, 0);
    arena_free(m.headers.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_methods),
                                       cmocka_unit_test(test_statuses),
                                       cmocka_unit_test(test_an_authority_gives_host_and_port)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
