/* SPDX-License-Identifier: Apache-2.0 */

#include "side/response_purges.h"

#include <stdio.h>

#include "base/check.h"
#include "support/test.h"

static char text[RESPONSE_PURGE_TEXT_MAX];

static void expect_first(struct response_purges *p, enum response_purge what, const char *of)
{
    enum response_purge is;
    uint64_t number;
    size_t len;

    assert_true(response_purges_first(p, &number, &is, text, &len));
    assert_int_equal(is, what);
    assert_true(slice_eq(slice_of(text, len), slice_from(of)));
    response_purges_done(p, number);
}

static bool is_empty(struct response_purges *p)
{
    enum response_purge what;
    uint64_t number;
    size_t len;

    return !response_purges_first(p, &number, &what, text, &len);
}

static void test_they_wait_in_order(void **state UNUSED)
{
    struct response_purges *p = response_purges_new();

    assert_true(is_empty(p));
    response_purges_add(p, RESPONSE_PURGE_KEY, SLICE("/a"));
    response_purges_add(p, RESPONSE_PURGE_PREFIX, SLICE("/b"));
    assert_false(is_empty(p));
    expect_first(p, RESPONSE_PURGE_KEY, "/a");
    expect_first(p, RESPONSE_PURGE_PREFIX, "/b");
    assert_true(is_empty(p));
    response_purges_free(p);
}

static void test_what_they_may_mean(void **state UNUSED)
{
    struct response_purges *p = response_purges_new();

    assert_false(response_purges_mean(p, SLICE("/a")));
    response_purges_add(p, RESPONSE_PURGE_KEY, SLICE("/a"));
    response_purges_add(p, RESPONSE_PURGE_PREFIX, SLICE("/b"));
    assert_true(response_purges_mean(p, SLICE("/a")) && response_purges_mean(p, SLICE("/b/c")));
    assert_false(response_purges_mean(p, SLICE("/a/b")));
    response_purges_add(p, RESPONSE_PURGE_TAG, SLICE("x")); /* of whatever */
    assert_true(response_purges_mean(p, SLICE("/a/b")));
    response_purges_free(p);
}

static void test_too_many_mean_everything(void **state UNUSED)
{
    struct response_purges *p = response_purges_new();
    char name[16];

    for (int i = 0; i <= RESPONSE_PURGES_MAX; i++) {
        assert_false(response_purges_mean(p, SLICE("/other")));
        snprintf(name, sizeof(name), "/%d", i);
        response_purges_add(p, RESPONSE_PURGE_KEY, slice_from(name));
    }
    assert_true(response_purges_mean(p, SLICE("/other")));
    expect_first(p, RESPONSE_PURGE_PREFIX, "");
    assert_true(is_empty(p));
    response_purges_add(p, RESPONSE_PURGE_TAG, slice_of(text, sizeof(text)));
    assert_false(is_empty(p));
    response_purges_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_they_wait_in_order),
        cmocka_unit_test(test_what_they_may_mean),
        cmocka_unit_test(test_too_many_mean_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
