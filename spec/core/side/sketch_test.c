/* SPDX-License-Identifier: Apache-2.0 */

#include "side/sketch.h"

#include <pthread.h>

#include "base/clock.h"
#include "support/test.h"

static struct sketch *s;

static int setup(void **state)
{
    (void)state;
    s = sketch_ref(SLICE("s"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sketch_unref(s);
    return 0;
}

static void note(int n, uint64_t us)
{
    for (int i = 0; i < n; i++)
        sketch_note(s, us);
}

static void says_nothing_before_it_knows_enough(void **state)
{
    (void)state;
    note(SKETCH_LEAST - 1, 1000);
    assert_int_equal(sketch_percentile(s, 0.9), 0);
    note(1, 1000);
    assert_true(sketch_percentile(s, 0.9) > 0);
}

static void finds_a_percentile_within_a_bucket(void **state)
{
    (void)state;
    note(90, 1000);
    note(10, 50000);
    assert_in_range(sketch_percentile(s, 0.9), 1000, 1250);
    clock_advance_ms(SKETCH_FRESH_MS);
    assert_in_range(sketch_percentile(s, 0.95), 50000, 62500);
}

static void ends_of_its_range_hold(void **state)
{
    (void)state;
    note(50, 0);
    assert_in_range(sketch_percentile(s, 0.99), 1, 100);
    note(5000, UINT64_MAX / 2);
    clock_advance_ms(SKETCH_FRESH_MS);
    assert_true(sketch_percentile(s, 0.99) > 60000000);
}

static void forgets_what_is_old(void **state)
{
    (void)state;
    note(100, 50000);
    clock_advance_ms(10000);
    note(1000, 1000);
    assert_in_range(sketch_percentile(s, 0.99), 50000, 62500); /* a tenth is of the half before */
    clock_advance_ms(10000);
    note(100, 1000);
    assert_in_range(sketch_percentile(s, 0.99), 1000, 1250);
    clock_advance_ms(40000);
    assert_int_equal(sketch_percentile(s, 0.99), 0);
}

static void is_found_by_name(void **state)
{
    struct sketch *same = sketch_ref(SLICE("s")), *other = sketch_ref(SLICE("t"));
    (void)state;

    assert_ptr_equal(same, s);
    assert_ptr_not_equal(other, s);
    sketch_unref(same);
    sketch_unref(other);
}

static void *note_many(void *arg)
{
    for (int i = 0; i < 50000; i++) {
        sketch_note(arg, 1000);
        if (i % 100 == 0)
            (void)!sketch_percentile(arg, 0.9);
    }
    return NULL;
}

static void workers_note_at_the_same_time(void **state)
{
    pthread_t threads[4];
    (void)state;

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, note_many, s);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(sketch_percentile(s, 0.9), 1000, 1250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(says_nothing_before_it_knows_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(finds_a_percentile_within_a_bucket, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_of_its_range_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(forgets_what_is_old, setup, teardown),
        cmocka_unit_test_setup_teardown(is_found_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_note_at_the_same_time, setup, teardown),
    };
    return cmocka_run_group_tests_name("side/sketch", tests, NULL, NULL);
}
