/* SPDX-License-Identifier: Apache-2.0 */

#include "base/check.h"

#include "base/log.h"
#include "support/expect.h"

static int nlines;
static char last_line[512];

static void count_line(void *arg, enum log_level level, struct slice line)
{
    (void)arg;
    assert_int_equal(level, LOG_ERROR);
    nlines++;
    snprintf(last_line, sizeof(last_line), "%.*s", SLICE_ARG(line));
}

static bool is_small(int n)
{
    return CHECK(n < 10);
}

static void a_failed_check_is_false_counted_and_logged_once_for_its_place(void **state)
{
    (void)state;
    uint64_t before = check_failures();

    nlines = 0;
    log_capture(count_line, NULL);
    assert_true(is_small(3));
    assert_int_equal(nlines, 0);
    for (int i = 0; i < 100; i++)
        assert_false(is_small(10));
    assert_int_equal(nlines, 1);
    assert_non_null(strstr(last_line, "check_test.c"));
    assert_non_null(strstr(last_line, "\"msg\":\"n < 10\""));
    assert_int_equal(check_failures() - before, 100);

    (void)CHECK(nlines == 0);
    assert_int_equal(nlines, 2);
    log_capture(NULL, NULL);
}

static void require(void *arg)
{
    REQUIRE(arg != NULL);
}

static void a_failed_require_ends_the_process(void **state)
{
    assert_false(aborts(require, state));
    assert_true(aborts(require, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_check_is_false_counted_and_logged_once_for_its_place),
        cmocka_unit_test(a_failed_require_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
