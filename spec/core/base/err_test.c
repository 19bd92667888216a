/* SPDX-License-Identifier: Apache-2.0 */

#include "base/err.h"

#include <errno.h>
#include <string.h>

#include "support/test.h"

static void every_code_has_a_word_of_its_own_and_a_status(void **state)
{
    (void)state;
    for (int a = -1; a >= -ERR_COUNT; a--) {
        assert_string_not_equal(err_word(a), "unknown");
        assert_in_range(err_status(a), 400, 599);
        for (int b = a - 1; b >= -ERR_COUNT; b--)
            assert_string_not_equal(err_word(a), err_word(b));
    }
}

static void codes_map_to_the_words_and_statuses_of_the_list(void **state)
{
    (void)state;
    assert_string_equal(err_word(ERR_TIMEOUT), "timeout");
    assert_int_equal(err_status(ERR_TIMEOUT), 504);
    assert_string_equal(err_word(ERR_NO_TARGET), "no_endpoint");
    assert_int_equal(err_status(ERR_NO_TARGET), 503);
    assert_int_equal(ERR_AGAIN, -1);
    assert_string_equal(err_word(ERR_STOPPING), "stopping");
}

static void what_is_no_code_is_ok_or_unknown(void **state)
{
    (void)state;
    assert_string_equal(err_word(0), "ok");
    assert_string_equal(err_word(7), "ok");
    assert_string_equal(err_word(-ERR_COUNT - 1), "unknown");
    assert_int_equal(err_status(-ERR_COUNT - 1), 500);
    assert_int_equal(err_status(0), 500);
}

static void errors_of_sockets_are_translated(void **state)
{
    (void)state;
    assert_int_equal(err_from_errno(EWOULDBLOCK), ERR_AGAIN);
    assert_int_equal(err_from_errno(EINPROGRESS), ERR_AGAIN);
    assert_int_equal(err_from_errno(ECONNREFUSED), ERR_REFUSED);
    assert_int_equal(err_from_errno(EPIPE), ERR_RESET);
    assert_int_equal(err_from_errno(ECONNRESET), ERR_RESET);
    assert_int_equal(err_from_errno(EHOSTUNREACH), ERR_UNREACHABLE);
    assert_int_equal(err_from_errno(ETIMEDOUT), ERR_TIMEOUT);
    assert_int_equal(err_from_errno(EMFILE), ERR_LIMIT);
    assert_int_equal(err_from_errno(EPERM), ERR_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_word_of_its_own_and_a_status),
        cmocka_unit_test(codes_map_to_the_words_and_statuses_of_the_list),
        cmocka_unit_test(what_is_no_code_is_ok_or_unknown),
        cmocka_unit_test(errors_of_sockets_are_translated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
