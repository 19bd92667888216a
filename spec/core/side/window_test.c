/* SPDX-License-Identifier: Apache-2.0 */

#include "side/window.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "support/test.h"

#define KEY SLICE("key")
#define SECOND 1000000u

static struct store *store;
static struct window_verdict v;

/* The clock stands at the beginning of a window of a minute, but for what the test itself takes. */
static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    store = store_new(SLICE("test"), 1 * MIB);
    clock_refresh();
    clock_advance_ms(60000 - (int64_t)(clock_ms() % 60000));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_free(store);
    return 0;
}

static bool gcra(int64_t limit, uint64_t window_us, int64_t burst, int64_t cost)
{
    assert_int_equal(window_gcra(store, KEY, limit, window_us, burst, cost, &v), 0);
    return v.allowed;
}

static bool sliding(int64_t limit, int64_t cost)
{
    assert_int_equal(window_sliding(store, KEY, limit, 60 * SECOND, cost, &v), 0);
    return v.allowed;
}

static bool fixed(int64_t limit, int64_t cost)
{
    assert_int_equal(window_fixed(store, KEY, limit, 60 * SECOND, cost, &v), 0);
    return v.allowed;
}

static void near(uint64_t us, uint64_t expected_us)
{
    assert_in_range(us, expected_us - MIN(expected_us, 50000u), expected_us + 50000);
}

static void gcra_lets_the_burst_pass_and_then_the_rate(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_true(gcra(10, 10 * SECOND, 5, 1)); /* one per second, five at once */
        assert_int_equal(v.limit, 10);
        assert_int_equal(v.remaining, 4 - i);
        near(v.reset_us, (uint64_t)(i + 1) * SECOND);
    }
    assert_false(gcra(10, 10 * SECOND, 5, 1));
    assert_int_equal(v.remaining, 0);
    near(v.retry_after_us, SECOND);
    clock_advance_ms(1000);
    assert_true(gcra(10, 10 * SECOND, 5, 1));
    assert_false(gcra(10, 10 * SECOND, 5, 1));
    clock_advance_ms(20000);
    for (int i = 0; i < 5; i++)
        assert_true(gcra(10, 10 * SECOND, 5, 1));
    assert_false(gcra(10, 10 * SECOND, 5, 1));
}

static void gcra_passes_exactly_when_it_said(void **state)
{
    (void)state;
    assert_true(gcra(7, SECOND, 7, 7)); /* 7 per second: no whole number of microseconds each */
    assert_false(gcra(7, SECOND, 7, 3));
    near(v.retry_after_us, 428572);
    clock_advance_ms((int64_t)v.retry_after_us / 1000 + 1);
    assert_true(gcra(7, SECOND, 7, 3));
}

/* Rounding must not give or take anything, however long it runs. */
static void gcra_keeps_an_odd_rate_for_ever(void **state)
{
    int passed = 0;
    (void)state;

    for (int ms = 0; ms < 700000; ms += 7) {
        passed += gcra(3, SECOND * 7, 1, 1);
        clock_advance_ms(7);
    }
    assert_in_range(passed, 297, 301); /* 700 s at 3 per 7 s, asked each 7 ms */
}

static void a_cost_of_0_only_looks(void **state)
{
    (void)state;
    assert_true(gcra(5, SECOND, 5, 0));
    assert_int_equal(v.remaining, 5);
    assert_int_equal(v.reset_us, 0);
    gcra(5, 60 * SECOND, 5, 2);
    gcra(5, 60 * SECOND, 5, 0);
    assert_int_equal(v.remaining, 3);
    assert_true(fixed(5, 2));
    fixed(5, 0);
    assert_int_equal(v.remaining, 3);
    assert_true(sliding(5, 2));
    sliding(5, 0);
    assert_int_equal(v.remaining, 3);
}

static void what_can_never_pass_is_said_so(void **state)
{
    (void)state;
    assert_false(gcra(10, SECOND, 5, 6));
    assert_true(v.retry_after_us == UINT64_MAX);
    assert_false(fixed(5, 6));
    assert_true(v.retry_after_us == UINT64_MAX);
    assert_false(sliding(5, 6));
    assert_true(v.retry_after_us == UINT64_MAX);
}

static void a_changed_limit_keeps_what_was_taken(void **state)
{
    (void)state;
    assert_true(gcra(10, 10 * SECOND, 10, 10));
    gcra(20, 10 * SECOND, 20, 0);
    near(v.reset_us, 10 * SECOND);
    assert_int_equal(v.remaining, 0);
    clock_advance_ms(5000);
    gcra(20, 10 * SECOND, 20, 0);
    assert_in_range(v.remaining, 9, 10);
}

static void refused_ones_do_not_push_the_time_on(void **state)
{
    (void)state;
    assert_true(gcra(1, SECOND, 1, 1));
    for (int i = 0; i < 9; i++) {
        clock_advance_ms(100);
        assert_false(gcra(1, SECOND, 1, 1));
    }
    clock_advance_ms(101);
    assert_true(gcra(1, SECOND, 1, 1));
}

static void a_fixed_window_starts_anew(void **state)
{
    (void)state;
    clock_advance_ms(20000);
    assert_true(fixed(3, 2));
    assert_int_equal(v.remaining, 1);
    near(v.reset_us, 40 * SECOND);
    assert_false(fixed(3, 2));
    near(v.retry_after_us, 40 * SECOND);
    assert_true(fixed(3, 1));
    assert_int_equal(v.remaining, 0);
    clock_advance_ms(40000);
    assert_true(fixed(3, 3));
}

static void a_sliding_window_remembers_the_one_before(void **state)
{
    (void)state;
    assert_true(sliding(10, 10));
    clock_advance_ms(60000); /* all ten weigh in full */
    assert_false(sliding(10, 1));
    near(v.retry_after_us, 6 * SECOND);
    clock_advance_ms(30000); /* now five */
    assert_true(sliding(10, 5));
    assert_int_equal(v.remaining, 0);
    assert_false(sliding(10, 1));
    near(v.retry_after_us, 6 * SECOND);
    clock_advance_ms(6001);
    assert_true(sliding(10, 1));
    clock_advance_ms(240000);
    sliding(10, 0);
    assert_int_equal(v.remaining, 10);
    assert_int_equal(v.reset_us, 0);
}

static void a_sliding_window_says_when_even_in_the_next_one(void **state)
{
    (void)state;
    assert_true(sliding(10, 8));
    assert_false(sliding(10, 4)); /* 8 of the previous must weigh 6 at most: 45 s of 60 left */
    near(v.retry_after_us, 75 * SECOND);
    clock_advance_ms((int64_t)v.retry_after_us / 1000 - 100);
    assert_false(sliding(10, 4));
    clock_advance_ms(101);
    assert_true(sliding(10, 4));
}

static bool enter_window(int64_t limit, uint64_t lease_us)
{
    assert_int_equal(window_enter(store, KEY, limit, lease_us, &v), 0);
    return v.allowed;
}

static void what_is_undone_was_never_taken(void **state)
{
    (void)state;
    assert_true(gcra(3, 60 * SECOND, 3, 2));
    assert_int_equal(window_gcra_undo(store, KEY, 3, 60 * SECOND, 2), 0);
    assert_true(gcra(3, 60 * SECOND, 3, 0));
    assert_int_equal(v.remaining, 3);
    assert_int_equal(window_gcra_undo(store, KEY, 3, 60 * SECOND, 2), 0); /* never more than all */
    assert_true(gcra(3, 60 * SECOND, 3, 3));
    assert_false(gcra(3, 60 * SECOND, 3, 1));

    assert_true(fixed(3, 1));
    assert_true(fixed(3, 2));
    assert_int_equal(window_fixed_undo(store, KEY, 60 * SECOND, 2), 0);
    assert_true(fixed(3, 2));
    assert_false(fixed(3, 1));
    assert_int_equal(window_sliding_undo(store, KEY, 60 * SECOND, 2), 0); /* not what was counted */
    assert_false(fixed(3, 1));
}

static void what_a_window_has_taken_with_it_is_undone_there(void **state)
{
    (void)state;
    assert_true(sliding(4, 4));
    clock_advance_ms(60000);
    assert_int_equal(window_sliding_undo(store, KEY, 60 * SECOND, 4), 0);
    assert_true(sliding(4, 4));
    assert_int_equal(window_sliding_undo(store, SLICE("nobody"), 60 * SECOND, 4), 0);
}

static void only_so_many_are_inside(void **state)
{
    (void)state;
    assert_int_equal(window_leave(store, KEY, 0), ERR_NOT_FOUND);
    assert_true(enter_window(2, 60 * SECOND));
    assert_int_equal(v.remaining, 1);
    assert_true(enter_window(2, 60 * SECOND));
    assert_false(enter_window(2, 60 * SECOND));
    assert_int_equal(window_leave(store, KEY, 0), 0);
    assert_true(enter_window(2, 60 * SECOND));
    assert_int_equal(window_leave(store, KEY, 0), 0);
    assert_int_equal(window_leave(store, KEY, 0), 0);
    assert_int_equal(window_leave(store, KEY, 0), ERR_NOT_FOUND);
}

static void a_lost_one_ends_with_its_lease_however_many_come_and_go(void **state)
{
    (void)state;
    assert_true(enter_window(2, 15 * SECOND)); /* never leaves */
    for (int i = 0; i < 14; i++) {
        assert_true(enter_window(2, 15 * SECOND));
        assert_int_equal(v.remaining, 0);
        assert_int_equal(window_leave(store, KEY, 0), 0);
        clock_advance_ms(1000);
    }
    assert_true(enter_window(2, 15 * SECOND));
    assert_int_equal(v.remaining, 0);
    assert_false(enter_window(2, 15 * SECOND));
    near(v.retry_after_us, 2 * SECOND);
    clock_advance_ms(2100);
    assert_true(enter_window(2, 15 * SECOND));
}

static void who_has_stayed_beyond_his_lease_takes_nobody_elses_place(void **state)
{
    uint64_t since = clock_us();
    (void)state;

    assert_true(enter_window(1, 15 * SECOND));
    clock_advance_ms(16100);
    assert_true(enter_window(1, 15 * SECOND));
    assert_int_equal(window_leave(store, KEY, since), ERR_NOT_FOUND);
    assert_false(enter_window(1, 15 * SECOND));
    assert_int_equal(window_leave(store, KEY, clock_us()), 0);
    assert_true(enter_window(1, 15 * SECOND));
}

static void who_leaves_gives_his_own_lease_back(void **state)
{
    uint64_t first = clock_us();
    (void)state;

    assert_true(enter_window(2, 15 * SECOND));
    clock_advance_ms(10000);
    assert_true(enter_window(2, 15 * SECOND));
    assert_int_equal(window_leave(store, KEY, first), 0);
    clock_advance_ms(6100); /* the first one's would be over */
    assert_true(enter_window(2, 15 * SECOND));
    assert_false(enter_window(2, 15 * SECOND));
}

static void a_new_lease_keeps_those_inside(void **state)
{
    (void)state;
    assert_true(enter_window(2, 15 * SECOND));
    assert_true(enter_window(2, 30 * SECOND));
    assert_false(enter_window(2, 30 * SECOND));
}

static void senseless_limits_are_refused(void **state)
{
    (void)state;
    assert_int_equal(window_gcra(store, KEY, 0, SECOND, 1, 1, &v), ERR_ARG);
    assert_int_equal(window_gcra(store, KEY, 1, 0, 1, 1, &v), ERR_ARG);
    assert_int_equal(window_gcra(store, KEY, 1, SECOND, 0, 1, &v), ERR_ARG);
    assert_int_equal(window_fixed(store, KEY, 1, SECOND, -1, &v), ERR_ARG);
    assert_int_equal(window_enter(store, KEY, -1, SECOND, &v), ERR_ARG);
    assert_int_equal(window_sliding(store, SLICE(""), 1, SECOND, 1, &v), ERR_ARG);
}

static void the_largest_numbers_work(void **state)
{
    int64_t most = (int64_t)1 << 53;
    (void)state;

    assert_true(gcra(most, (uint64_t)most, most, most));
    assert_int_equal(v.remaining, 0);
    assert_false(gcra(most, (uint64_t)most, most, most));
    assert_in_range(v.retry_after_us, (uint64_t)most - SECOND, (uint64_t)most);

    assert_int_equal(window_gcra(store, SLICE("ages"), 1, (uint64_t)most, most, most, &v), 0);
    assert_true(v.allowed && v.reset_us == UINT64_MAX); /* more microseconds than 64 bits hold */
    clock_advance_ms(1000000);
    assert_int_equal(window_gcra(store, SLICE("ages"), 1, (uint64_t)most, most, most, &v), 0);
    assert_false(v.allowed);
    assert_int_equal(v.retry_after_us, UINT64_MAX);
}

enum { THREADS = 8, ROUNDS = 5000, LIMIT = 1000 };

enum way { GCRA, FIXED, SLIDING, INSIDE };
static enum way way;
static atomic_int passed;

static void *hammer(void *arg)
{
    struct window_verdict mine;
    (void)arg;

    for (int i = 0; i < ROUNDS; i++) {
        int rc = way == GCRA      ? window_gcra(store, KEY, LIMIT, 3600ul * SECOND, LIMIT, 1, &mine)
                 : way == FIXED   ? window_fixed(store, KEY, LIMIT, 60 * SECOND, 1, &mine)
                 : way == SLIDING ? window_sliding(store, KEY, LIMIT, 60 * SECOND, 1, &mine)
                                  : window_enter(store, KEY, LIMIT, 3600ul * SECOND, &mine);
        if (rc < 0 || mine.remaining < 0)
            abort();
        if (mine.allowed)
            atomic_fetch_add(&passed, 1);
    }
    return NULL;
}

static void with_many_workers_exactly_the_limit_passes(void **state)
{
    pthread_t threads[THREADS];
    (void)state;

    for (way = GCRA; way <= INSIDE; way++) {
        struct store *old = store;
        store = store_new(SLICE("test"), 1 * MIB);
        store_free(old);
        passed = 0;
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, hammer, NULL);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(passed, LIMIT);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(gcra_lets_the_burst_pass_and_then_the_rate),
        T(gcra_passes_exactly_when_it_said),
        T(gcra_keeps_an_odd_rate_for_ever),
        T(a_cost_of_0_only_looks),
        T(what_can_never_pass_is_said_so),
        T(a_changed_limit_keeps_what_was_taken),
        T(refused_ones_do_not_push_the_time_on),
        T(a_fixed_window_starts_anew),
        T(a_sliding_window_remembers_the_one_before),
        T(a_sliding_window_says_when_even_in_the_next_one),
        T(what_is_undone_was_never_taken),
        T(what_a_window_has_taken_with_it_is_undone_there),
        T(only_so_many_are_inside),
        T(a_lost_one_ends_with_its_lease_however_many_come_and_go),
        T(who_has_stayed_beyond_his_lease_takes_nobody_elses_place),
        T(who_leaves_gives_his_own_lease_back),
        T(a_new_lease_keeps_those_inside),
        T(senseless_limits_are_refused),
        T(the_largest_numbers_work),
        T(with_many_workers_exactly_the_limit_passes),
    };
    return cmocka_run_group_tests_name("side/window", tests, NULL, NULL);
}
