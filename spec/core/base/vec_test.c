/* SPDX-License-Identifier: Apache-2.0 */

#include "base/vec.h"

#include "support/test.h"

static void a_vector_grows_and_keeps_its_items(void **state)
{
    VEC(int) v = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        vec_push(&v, i * 3);
    assert_int_equal(v.n, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(v.items[i], i * 3);
    assert_int_equal(vec_pop(&v), 2997);
    assert_int_equal(v.n, 999);
    vec_free(&v);
    assert_int_equal(v.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vector_grows_and_keeps_its_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
