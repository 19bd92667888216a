/* SPDX-License-Identifier: Apache-2.0 */

#include "gate/health.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "support/test.h"

enum { N = 4, THREADS = 4 };

static struct upstream up;
static struct endpoint endpoints[N];

static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    log_configure(LOG_OFF, LOG_TEXT);
    for (uint16_t i = 0; i < N; i++)
        endpoints[i] = (struct endpoint){
            .weight = 1,
            .target = target_ref(SLICE("http1"), SLICE("10.0.0.1"), (uint16_t)(80 + i))};
    up = (struct upstream){.name = SLICE("orders"), .endpoints = endpoints, .nendpoints = N};
    up.passive.consecutive_errors = 3;
    up.passive.eject_for_ms = 30000;
    up.passive.max_ejected = 0.5;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++)
        target_unref(endpoints[i].target);
    return 0;
}

static void fail_times(int endpoint, int n)
{
    for (int i = 0; i < n; i++)
        upstream_report(&up, endpoints[endpoint].target, OUTCOME_ERROR);
}

static bool is_usable(int endpoint)
{
    return target_is_usable(endpoints[endpoint].target);
}

static void enough_errors_in_a_row_eject_for_a_while(void **state)
{
    (void)state;
    fail_times(0, 2);
    assert_true(is_usable(0));
    fail_times(0, 1);
    assert_false(is_usable(0));
    assert_int_equal(health_count_ejected(&up), 1);
    clock_advance_ms(29000);
    assert_false(is_usable(0));
    clock_advance_ms(1001);
    assert_true(is_usable(0));
    assert_int_equal(health_count_ejected(&up), 0);
}

static void a_good_answer_between_starts_the_count_anew(void **state)
{
    (void)state;
    fail_times(0, 2);
    upstream_report(&up, endpoints[0].target, OUTCOME_OK);
    fail_times(0, 2);
    assert_true(is_usable(0));
}

static void after_its_time_it_needs_as_many_errors_again(void **state)
{
    (void)state;
    fail_times(0, 3);
    clock_advance_ms(30001);
    fail_times(0, 2);
    assert_true(is_usable(0));
    fail_times(0, 1);
    assert_false(is_usable(0));
}

static void errors_of_an_ejected_one_do_not_prolong_it(void **state)
{
    (void)state;
    fail_times(0, 3);
    clock_advance_ms(20000);
    fail_times(0, 10); /* from attempts that were under way */
    clock_advance_ms(10001);
    assert_true(is_usable(0));
    fail_times(0, 2); /* nor count when it is back */
    assert_true(is_usable(0));
}

static void never_more_than_the_share_is_ejected(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++)
        fail_times(i, 10);
    assert_int_equal(health_count_ejected(&up), 2);
    /* When the first ones are back, the others may go. */
    clock_advance_ms(30001);
    fail_times(2, 1);
    fail_times(3, 1);
    assert_false(is_usable(2));
    assert_false(is_usable(3));
}

static void half_of_three_is_one(void **state)
{
    (void)state;
    up.nendpoints = 3;
    for (int i = 0; i < 3; i++)
        fail_times(i, 3);
    assert_int_equal(health_count_ejected(&up), 1);
}

static void switched_off_it_never_ejects(void **state)
{
    (void)state;
    up.passive.consecutive_errors = 0;
    fail_times(0, 1000);
    assert_true(is_usable(0));
}

static void attempts_are_counted(void **state)
{
    (void)state;
    fail_times(0, 2);
    upstream_report(&up, endpoints[0].target, OUTCOME_OK);
    assert_int_equal(endpoints[0].target->requests, 3);
    assert_int_equal(endpoints[0].target->failures, 2);
}

static void *fail_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        fail_times(i % N, 1);
    return NULL;
}

static void the_share_holds_with_many_workers(void **state)
{
    pthread_t threads[THREADS];
    (void)state;

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, fail_all, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(health_count_ejected(&up), 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(enough_errors_in_a_row_eject_for_a_while),
        T(a_good_answer_between_starts_the_count_anew),
        T(after_its_time_it_needs_as_many_errors_again),
        T(errors_of_an_ejected_one_do_not_prolong_it),
        T(never_more_than_the_share_is_ejected),
        T(half_of_three_is_one),
        T(switched_off_it_never_ejects),
        T(attempts_are_counted),
        T(the_share_holds_with_many_workers),
    };
    return cmocka_run_group_tests_name("gate/health", tests, NULL, NULL);
}
