/* SPDX-License-Identifier: Apache-2.0 */

#include "side/tally.h"

#include <pthread.h>

#include "support/test.h"

static struct tally tally;

static int setup(void **state)
{
    (void)state;
    tally_init(&tally, 1000);
    return 0;
}

static void what_was_added_counts_for_the_window(void **state)
{
    (void)state;
    tally_add(&tally, 0, 5000);
    tally_add(&tally, 0, 5550);
    tally_add(&tally, 1, 5550);
    assert_int_equal(tally_sum(&tally, 0, 5550), 2);
    assert_int_equal(tally_sum(&tally, 1, 5550), 1);
    assert_int_equal(tally_sum(&tally, 2, 5550), 0);
    assert_int_equal(tally_sum(&tally, 0, 5999), 2);
    assert_int_equal(tally_sum(&tally, 0, 6000), 1); /* the first slot has left */
    assert_int_equal(tally_sum(&tally, 0, 6499), 1);
    assert_int_equal(tally_sum(&tally, 0, 6500), 0);
}

static void a_slot_begins_anew_after_a_window(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++)
        tally_add(&tally, 0, 5000);
    tally_add(&tally, 0, 6000);
    assert_int_equal(tally_sum(&tally, 0, 6000), 1);
}

static void what_was_taken_back_does_not_count(void **state)
{
    (void)state;
    uint32_t slot = tally_add(&tally, 0, 5000);
    tally_add(&tally, 0, 5000);
    tally_take_back(&tally, 0, slot);
    assert_int_equal(tally_sum(&tally, 0, 5000), 1);
    tally_add(&tally, 0, 6000); /* in the same place */
    tally_take_back(&tally, 0, slot);
    assert_int_equal(tally_sum(&tally, 0, 6000), 1);
    tally_take_back(&tally, 1, slot); /* nothing there */
    assert_int_equal(tally_sum(&tally, 1, 6000), 0);
}

static void a_clock_that_is_behind_takes_nothing_away(void **state)
{
    (void)state;
    tally_add(&tally, 0, 6000);
    tally_add(&tally, 0, 5000); /* the same cell, one window earlier */
    assert_int_equal(tally_sum(&tally, 0, 6000), 2);
    assert_int_equal(tally_sum(&tally, 0, 5990), 2);
}

static void forgets_when_told_so(void **state)
{
    (void)state;
    tally_add(&tally, 0, 5000);
    tally_clear(&tally);
    assert_int_equal(tally_sum(&tally, 0, 5000), 0);
}

static void windows_of_a_few_milliseconds_work(void **state)
{
    (void)state;
    tally_init(&tally, 1);
    tally_add(&tally, 0, 50);
    assert_int_equal(tally_sum(&tally, 0, 50), 1);
    assert_int_equal(tally_sum(&tally, 0, 60), 0);
}

#define PER_THREAD 200000u

static void *add_many(void *arg)
{
    for (uint64_t i = 0; i < PER_THREAD; i++)
        tally_add(arg, 0, 5000 + i * 500 / PER_THREAD);
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    pthread_t threads[4];
    (void)state;

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_many, &tally);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(tally_sum(&tally, 0, 5500), 4 * PER_THREAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_added_counts_for_the_window, setup),
        cmocka_unit_test_setup(a_slot_begins_anew_after_a_window, setup),
        cmocka_unit_test_setup(what_was_taken_back_does_not_count, setup),
        cmocka_unit_test_setup(a_clock_that_is_behind_takes_nothing_away, setup),
        cmocka_unit_test_setup(forgets_when_told_so, setup),
        cmocka_unit_test_setup(windows_of_a_few_milliseconds_work, setup),
        cmocka_unit_test_setup(nothing_is_lost_between_threads, setup),
    };
    return cmocka_run_group_tests_name("side/tally", tests, NULL, NULL);
}
