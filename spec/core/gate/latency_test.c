/* SPDX-License-Identifier: Apache-2.0 */

#include "gate/latency.h"

#include <pthread.h>

#include "support/test.h"

static void assert_ms(double us, double ms)
{
    assert_in_range((int64_t)us, (int64_t)(ms * 995), (int64_t)(ms * 1005));
}

static void nothing_is_known_at_first(void **state)
{
    atomic_ullong cell = 0;
    (void)state;

    assert_true(latency_at(&cell, 123456789) == 0);
    latency_note(&cell, 0, 5000); /* faster than the clock */
    assert_true(latency_at(&cell, 5000) > 0);
}

static void a_peak_counts_at_once_and_fades(void **state)
{
    atomic_ullong cell = 0;
    (void)state;

    latency_note(&cell, 10000, 1000);
    assert_ms(latency_at(&cell, 1000), 10);
    latency_note(&cell, 500000, 1001);
    assert_ms(latency_at(&cell, 1001), 500);
    assert_ms(latency_at(&cell, 1001 + 6931), 250); /* half, without any answer */
    for (uint64_t t = 1; t <= 6931; t++)
        latency_note(&cell, 10000, 1001 + t);
    assert_ms(latency_at(&cell, 1001 + 6931), 255); /* half way to what it is now */
}

static void how_often_it_is_noted_makes_no_difference(void **state)
{
    atomic_ullong often = 0, seldom = 0;
    (void)state;

    latency_note(&often, 100000, 0);
    latency_note(&seldom, 100000, 0);
    for (uint64_t t = 1; t <= 10000; t++)
        latency_note(&often, 10000, t);
    latency_note(&seldom, 10000, 10000);
    assert_ms(latency_at(&seldom, 10000), 10 + 90 * 0.3679);
    assert_ms(latency_at(&often, 10000), 10 + 90 * 0.3679);
}

static void clocks_that_differ_a_little_do_no_harm(void **state)
{
    atomic_ullong cell = 0;
    (void)state;

    latency_note(&cell, 10000, 0x100000005); /* 32 bits have gone round */
    assert_ms(latency_at(&cell, 0xfffffff0), 10);
    latency_note(&cell, 1000, 0xfffffff0);
    assert_ms(latency_at(&cell, 0x100000005), 10);
}

static void *note_many(void *arg)
{
    for (uint64_t i = 0; i < 100000; i++)
        latency_note(arg, 10000, 1000 + i / 1000);
    return NULL;
}

static void workers_note_at_the_same_time(void **state)
{
    static atomic_ullong cell;
    pthread_t threads[4];
    (void)state;

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, note_many, &cell);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_ms(latency_at(&cell, 1099), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(a_peak_counts_at_once_and_fades),
        cmocka_unit_test(how_often_it_is_noted_makes_no_difference),
        cmocka_unit_test(clocks_that_differ_a_little_do_no_harm),
        cmocka_unit_test(workers_note_at_the_same_time),
    };
    return cmocka_run_group_tests_name("gate/latency", tests, NULL, NULL);
}
