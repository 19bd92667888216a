/* SPDX-License-Identifier: Apache-2.0 */

#include "base/clock.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "support/test.h"

static void the_cached_time_stands_still_between_refreshes(void **state)
{
    (void)state;
    clock_refresh();
    uint64_t us = clock_us(), wall = clock_wall_ms();
    while (clock_us_now() < us + 2000)
        ;
    assert_int_equal(clock_us(), us);
    assert_int_equal(clock_ms(), us / 1000);
    assert_int_equal(clock_wall_ms(), wall);
    clock_refresh();
    assert_true(clock_us() >= us + 2000);
    assert_true(clock_ms() >= us / 1000 + 2);
    assert_true(clock_wall_ms() > wall);
}

static void the_wall_clock_is_the_systems(void **state)
{
    (void)state;
    clock_refresh();
    assert_in_range(clock_wall_ms() / 1000, time(NULL) - 2, time(NULL) + 2);
    assert_in_range(clock_wall_ms_now() / 1000, time(NULL) - 2, time(NULL) + 2);
}

static void *read_in_thread(void *arg)
{
    *(uint64_t *)arg = clock_us();
    return NULL;
}

static void advancing_moves_both_clocks_in_all_threads(void **state)
{
    uint64_t us = clock_us_now(), wall = clock_wall_ms_now(), in_thread;
    pthread_t thread;

    (void)state;
    clock_advance_ms(3600000);
    clock_advance_ms(1000);
    assert_true(clock_us() >= us + 3601000000);
    assert_true(clock_us() < us + 3700000000);
    assert_true(clock_wall_ms() >= wall + 3601000);
    assert_int_equal(pthread_create(&thread, NULL, read_in_thread, &in_thread), 0);
    pthread_join(thread, NULL);
    assert_true(in_thread >= us + 3601000000);
    clock_advance_ms(-3601000);
    assert_true(clock_us() < us + 100000000);
}

static void the_http_date_follows_the_clock(void **state)
{
    char date[30];
    time_t first, second;

    (void)state;
    clock_refresh();
    text_http_date((time_t)(clock_wall_ms() / 1000), date);
    assert_string_equal(clock_http_date(), date);
    assert_int_equal(strlen(clock_http_date()), 29);
    assert_int_equal(text_to_http_date(slice_from(clock_http_date()), &first), 0);
    clock_advance_ms(5000);
    assert_int_equal(text_to_http_date(slice_from(clock_http_date()), &second), 0);
    assert_in_range(second - first, 5, 6);
    clock_advance_ms(-5000);
}

static void *burn_20_ms(void *arg)
{
    uint64_t start = clock_cpu_us();

    while (clock_cpu_us() < start + 20000)
        ;
    return arg;
}

static void cpu_time_is_what_this_thread_used(void **state)
{
    pthread_t thread;

    (void)state;
    uint64_t before = clock_cpu_us();
    assert_int_equal(pthread_create(&thread, NULL, burn_20_ms, NULL), 0);
    pthread_join(thread, NULL);
    assert_true(clock_cpu_us() - before < 10000);
    burn_20_ms(NULL);
    assert_true(clock_cpu_us() - before >= 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cached_time_stands_still_between_refreshes),
        cmocka_unit_test(the_wall_clock_is_the_systems),
        cmocka_unit_test(advancing_moves_both_clocks_in_all_threads),
        cmocka_unit_test(the_http_date_follows_the_clock),
        cmocka_unit_test(cpu_time_is_what_this_thread_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
