/* SPDX-License-Identifier: Apache-2.0 */

#include "http/message.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_methods),
                                       cmocka_unit_test(test_statuses)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
