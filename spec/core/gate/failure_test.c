/* SPDX-License-Identifier: Apache-2.0 */

#include "gate/failure.h"

#include "base/arena.h"
#include "base/err.h"
#include "gate/attempt.h"
#include "http/message.h"
#include "support/test.h"

static struct failure_set set;

static int setup(void **state)
{
    (void)state;
    set = (struct failure_set){0};
    return 0;
}

static bool has_status(int status)
{
    struct message m = {.status = status};
    struct attempt a = {.response = &m};

    return failure_has(&set, &a);
}

static bool has_error(int err, bool was_connected)
{
    struct attempt a = {.err = err, .connected_us = was_connected};

    return failure_has(&set, &a);
}

static void statuses_and_classes(void **state)
{
    (void)state;
    assert_int_equal(failure_add(&set, SLICE("503")), 0);
    assert_int_equal(failure_add(&set, SLICE("4xx")), 0);
    assert_true(has_status(503) && has_status(400) && has_status(499));
    assert_false(has_status(502) || has_status(504) || has_status(399) || has_status(500));
    assert_false(has_status(101) || has_status(200) || has_status(599) || has_status(999));
}

static void kinds(void **state)
{
    (void)state;
    assert_int_equal(failure_add(&set, SLICE("connect")), 0);
    assert_true(has_error(ERR_REFUSED, false) && has_error(ERR_TIMEOUT, false));
    assert_false(has_error(ERR_TIMEOUT, true) || has_error(ERR_RESET, true));
    assert_int_equal(failure_add(&set, SLICE("timeout")), 0);
    assert_int_equal(failure_add(&set, SLICE("reset")), 0);
    assert_true(has_error(ERR_TIMEOUT, true) && has_error(ERR_CLOSED, true));
    assert_false(has_error(ERR_PROTOCOL, true));
    assert_int_equal(failure_add(&set, SLICE("protocol")), 0);
    assert_true(has_error(ERR_PROTOCOL, true));
}

static void what_is_the_gateways_own_is_none(void **state)
{
    (void)state;
    assert_int_equal(failure_add(&set, SLICE("connect")), 0);
    assert_false(has_error(ERR_OVERLOAD, false) || has_error(ERR_NO_TARGET, false) ||
                 has_error(ERR_CANCELLED, false));
}

static void grpc(void **state)
{
    struct arena *arena = arena_new_heap(512);
    struct message m = {.status = 200};
    struct attempt a = {.response = &m};
    (void)state;

    headers_init(&m.headers, arena, 4);
    assert_int_equal(failure_add(&set, SLICE("grpc:unavailable")), 0);
    assert_false(failure_has(&set, &a));
    headers_set_id(&m.headers, HEADER_GRPC_STATUS, SLICE("14"));
    assert_true(failure_has(&set, &a));
    headers_set_id(&m.headers, HEADER_GRPC_STATUS, SLICE("13"));
    assert_false(failure_has(&set, &a));
    headers_set_id(&m.headers, HEADER_GRPC_STATUS, SLICE("99999999999999999999"));
    assert_false(failure_has(&set, &a));
    arena_free(arena);
}

static void other_words_are_refused(void **state)
{
    static const char *const words[] = {"",    "conect", "6xx", "0xx",   "099",    "600",
                                        "50x", "5xxx",   "xx",  "grpc:", "grpc:x", "5 0"};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(words); i++)
        assert_int_equal(failure_add(&set, slice_from(words[i])), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(statuses_and_classes, setup),
        cmocka_unit_test_setup(kinds, setup),
        cmocka_unit_test_setup(what_is_the_gateways_own_is_none, setup),
        cmocka_unit_test_setup(grpc, setup),
        cmocka_unit_test_setup(other_words_are_refused, setup),
    };
    return cmocka_run_group_tests_name("gate/failure", tests, NULL, NULL);
}
