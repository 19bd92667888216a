/* SPDX-License-Identifier: Apache-2.0 */

#include "gate/health.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "gate/snapshot.h"
#include "support/test.h"

enum { N = 4, THREADS = 4 };

static struct upstream up, *ups[] = {&up};
static struct snapshot now = {.version = 1, .upstreams = ups, .nupstreams = 1};
static struct upstream_live *live;
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
    live = upstream_live_ref(SLICE("orders"));
    for (int i = 0; i < N; i++)
        endpoints[i].live = endpoint_live_ref(live, endpoints[i].target);
    up = (struct upstream){.name = SLICE("orders"), .endpoints = endpoints, .nendpoints = N};
    up.passive.consecutive_errors = 3;
    up.passive.eject_for_ms = 30000;
    up.passive.max_ejected = 0.5;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) {
        endpoint_live_unref(endpoints[i].live);
        target_unref(endpoints[i].target);
    }
    upstream_live_unref(live);
    return 0;
}

static void fail_times(int endpoint, int n)
{
    for (int i = 0; i < n; i++)
        upstream_report(&up, &endpoints[endpoint], OUTCOME_ERROR, 1000);
}

static bool is_usable(int endpoint)
{
    return endpoint_is_usable(endpoints[endpoint].live);
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
    upstream_report(&up, &endpoints[0], OUTCOME_OK, 1000);
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
    upstream_report(&up, &endpoints[0], OUTCOME_OK, 1000);
    assert_int_equal(endpoints[0].live->requests, 3);
    assert_int_equal(endpoints[0].live->failures, 2);
}

static void with_two_half_is_one_and_with_one_none(void **state)
{
    (void)state;
    up.nendpoints = 2;
    fail_times(0, 3);
    fail_times(1, 3);
    assert_false(is_usable(0));
    assert_true(is_usable(1));
    clock_advance_ms(30001);
    up.nendpoints = 1;
    fail_times(0, 30);
    assert_true(is_usable(0));
}

static void the_last_usable_one_is_never_ejected(void **state)
{
    (void)state;
    up.passive.max_ejected = 1;
    health_set_down(&up, &endpoints[0], true, "timeout");
    health_set_drained(&up, &endpoints[1], true);
    endpoints[2].weight = 0;
    fail_times(3, 30);
    assert_true(is_usable(3));
    health_set_down(&up, &endpoints[0], false, "");
    fail_times(3, 1);
    assert_false(is_usable(3));
}

static void what_an_endpoint_goes_through_has_a_name(void **state)
{
    const struct endpoint *e = &endpoints[0];
    (void)state;

    up.slow_start_ms = 10000;
    assert_int_equal(health_state(&up, e), HEALTH_HEALTHY);
    fail_times(0, 3);
    assert_int_equal(health_state(&up, e), HEALTH_EJECTED);
    health_set_down(&up, e, true, "timeout");
    assert_int_equal(health_state(&up, e), HEALTH_DOWN);
    health_set_drained(&up, e, true);
    assert_int_equal(health_state(&up, e), HEALTH_DRAINED);
    health_set_drained(&up, e, false);
    health_set_down(&up, e, false, "");
    assert_int_equal(health_state(&up, e), HEALTH_EJECTED);
    clock_advance_ms(30000);
    assert_int_equal(health_state(&up, e), HEALTH_SLOW_START);
    assert_in_range(health_share(&up, e) * 1000, 100, 101); /* it begins when the ejection ends */
    clock_advance_ms(10000);
    assert_int_equal(health_state(&up, e), HEALTH_HEALTHY);
    assert_int_equal(e->live->ejections, 1);
}

static void the_end_of_an_ejection_is_noticed_once(void **state)
{
    (void)state;
    fail_times(0, 3);
    health_sweep(&now);
    assert_int_not_equal(endpoints[0].live->ejected_until_ms, 0);
    clock_advance_ms(30001);
    health_sweep(&now);
    assert_int_equal(endpoints[0].live->ejected_until_ms, 0);
}

static void what_a_reload_adds_starts_slowly_but_not_the_first_configuration(void **state)
{
    (void)state;
    up.slow_start_ms = 10000;
    up.nendpoints = 1;
    health_follow(&now, NULL);
    assert_true(health_share(&up, &endpoints[0]) == 1);
    struct upstream more = up, *mores[] = {&more};
    struct snapshot next = {.version = 2, .upstreams = mores, .nupstreams = 1};
    more.nendpoints = 2;
    health_follow(&next, &now);
    assert_true(health_share(&more, &endpoints[0]) == 1);
    assert_true(health_share(&more, &endpoints[1]) < 0.11);
}

static void what_was_found_survives_a_reload_and_goes_with_the_endpoint(void **state)
{
    struct upstream fewer = up, *fewers[] = {&fewer};
    struct snapshot next = {.version = 2, .upstreams = fewers, .nupstreams = 1};
    (void)state;

    fewer.nendpoints = 2;
    health_follow(&now, NULL);
    fail_times(1, 3);
    fail_times(3, 3);
    for (int i = 0; i < N; i += 2) {
        health_set_drained(&up, &endpoints[i], true);
        health_set_down(&up, &endpoints[i], true, "timeout");
    }
    health_follow(&next, &now);
    assert_int_equal(health_state(&up, &endpoints[0]), HEALTH_DRAINED);
    assert_int_equal(health_state(&up, &endpoints[1]), HEALTH_EJECTED);
    /* Attempts of before may still hold them: added again, they begin anew all the same. */
    assert_int_equal(health_state(&up, &endpoints[2]), HEALTH_HEALTHY);
    assert_int_equal(health_state(&up, &endpoints[3]), HEALTH_HEALTHY);
}

static void upstreams_with_the_same_server_have_verdicts_of_their_own(void **state)
{
    struct upstream_live *other = upstream_live_ref(SLICE("reports"));
    struct endpoint_live *l = endpoint_live_ref(other, endpoints[0].target);
    (void)state;

    fail_times(0, 3);
    health_set_drained(&up, &endpoints[1], true);
    assert_true(endpoint_is_usable(l));
    assert_false(endpoint_is_drained(other, endpoints[0].target));
    assert_true(endpoint_is_drained(live, endpoints[1].target));
    assert_ptr_equal(endpoint_live_ref(other, endpoints[0].target), l); /* as a reload does */
    atomic_store(&l->drained, true);
    endpoint_live_unref(l);
    assert_true(endpoint_is_drained(other, endpoints[0].target));
    endpoint_live_unref(l);
    assert_false(endpoint_is_drained(other, endpoints[0].target)); /* forgotten */
    upstream_live_unref(other);
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
        T(with_two_half_is_one_and_with_one_none),
        T(the_last_usable_one_is_never_ejected),
        T(what_an_endpoint_goes_through_has_a_name),
        T(the_end_of_an_ejection_is_noticed_once),
        T(what_a_reload_adds_starts_slowly_but_not_the_first_configuration),
        T(what_was_found_survives_a_reload_and_goes_with_the_endpoint),
        T(upstreams_with_the_same_server_have_verdicts_of_their_own),
        T(the_share_holds_with_many_workers),
    };
    return cmocka_run_group_tests_name("gate/health", tests, NULL, NULL);
}
