/* SPDX-License-Identifier: Apache-2.0 */

#include "base/rand.h"

#include <pthread.h>
#include <string.h>

#include "support/test.h"

static void numbers_below_n_are_spread_evenly(void **state)
{
    int counts[7] = {0};

    (void)state;
    for (int i = 0; i < 70000; i++) {
        uint32_t n = rand_below(7);
        assert_true(n < 7);
        counts[n]++;
    }
    /* 10000 each; ten standard deviations are 926. */
    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], 9000, 11000);
    assert_int_equal(rand_below(1), 0);
}

static void a_large_bound_favours_nobody(void **state)
{
    /* 4 numbers of 32 bits for 3 results: without drawing again, each third result would come
     * twice as often as the others. */
    uint32_t bound = 3u << 30;
    int thirds = 0;

    (void)state;
    for (int i = 0; i < 60000; i++)
        thirds += rand_below(bound) % 3 == 0;
    assert_in_range(thirds, 19000, 21000);
}

static void units_are_within_zero_and_one(void **state)
{
    double sum = 0;

    (void)state;
    for (int i = 0; i < 40000; i++) {
        double n = rand_unit();
        assert_true(n >= 0 && n < 1);
        sum += n;
    }
    assert_true(sum > 19000 && sum < 21000);
}

static void *first_number(void *arg)
{
    *(uint64_t *)arg = rand_u64();
    return NULL;
}

static void threads_draw_different_numbers(void **state)
{
    uint64_t numbers[4];
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, first_number, &numbers[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            assert_int_not_equal(numbers[i], numbers[j]);
}

static void secure_bytes_never_repeat_and_fill_exactly_what_is_asked(void **state)
{
    uint8_t seen[300][16], large[2000];

    (void)state;
    for (int i = 0; i < 300; i++) {
        uint8_t guarded[18] = {0};
        rand_secure(guarded + 1, 16);
        assert_int_equal(guarded[0] + guarded[17], 0);
        memcpy(seen[i], guarded + 1, 16);
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(seen[i], seen[j], 16);
    }
    memset(large, 0, sizeof(large));
    rand_secure(large, sizeof(large));
    int zeros = 0;
    for (size_t i = 0; i < sizeof(large); i++)
        zeros += large[i] == 0;
    assert_true(zeros < 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_below_n_are_spread_evenly),
        cmocka_unit_test(a_large_bound_favours_nobody),
        cmocka_unit_test(units_are_within_zero_and_one),
        cmocka_unit_test(threads_draw_different_numbers),
        cmocka_unit_test(secure_bytes_never_repeat_and_fill_exactly_what_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
