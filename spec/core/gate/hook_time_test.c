/* SPDX-License-Identifier: Apache-2.0 */

/* Which runs are timed, what they stand for, and where what they took is counted. */

#include "gate/hook_time.h"

#include "base/clock.h"
#include "gate/route.h"
#include "support/test.h"

static void test_the_first_runs_are_all_timed(void **state UNUSED)
{
    struct hook_sampler s;

    hook_sampler_init(&s);
    for (int i = 0; i < HOOK_TIME_FIRST; i++)
        assert_int_equal(hook_sampler_due(&s), 1);
}

static void test_samples_stand_for_all_runs(void **state UNUSED)
{
    const uint32_t runs = 200000;
    struct hook_sampler s;
    uint32_t timed = 0, told = 0, odd = 0;

    hook_sampler_init(&s);
    for (uint32_t i = 0; i < runs; i++) {
        uint32_t weight = hook_sampler_due(&s);
        timed += weight > 0;
        told += weight;
        odd += i % 2 ? weight : 0;
    }
    assert_true(told <= runs && told > runs - 2 * HOOK_TIME_EVERY);
    assert_true(timed > runs / HOOK_TIME_EVERY / 2 && timed < 2 * runs / HOOK_TIME_EVERY);
    assert_true(odd > runs / 2 - runs / 10 && odd < runs / 2 + runs / 10); /* no hook is left out */
}

static void test_times_are_counted_with_the_hook_that_took_them(void **state UNUSED)
{
    struct hook_time times[2][2] = {0};
    uint32_t hooks = PHASE_BIT(PHASE_ACCESS) | PHASE_BIT(PHASE_LOG);
    struct hook_total *total = hook_total_of(SLICE("p"), hooks);
    struct plugin_use first = {.hooks = hooks, .times = times[0], .total = total},
                      second = {.hooks = PHASE_BIT(PHASE_LOG), .times = times[1], .total = total};
    struct plugin_use *const uses[] = {&first, &second};
    struct hook_lap lap;

    assert_int_equal(hook_times_count(hooks), 2);
    assert_null(hook_time_of(&second, PHASE_ACCESS));
    hook_lap_begin(&lap, uses, 2, PHASE_LOG, 10);
    clock_advance_ms(1);
    hook_lap_pause(&lap);
    clock_advance_ms(20);
    hook_lap_resume(&lap);
    clock_advance_ms(2);
    hook_lap_end(&lap, 0);
    clock_advance_ms(5);
    hook_lap_end(&lap, 1);
    hook_lap_end(&lap, 2); /* no such place */
    hook_lap_end(&lap, -1);

    const struct hook_time *t = hook_time_of(&first, PHASE_LOG);
    assert_ptr_equal(t, &times[0][1]);
    assert_int_equal(t->samples, 1);
    assert_int_equal(t->runs, 10);
    assert_in_range(t->busy_ns, 30000000, 2000000000); /* real time goes on besides */
    assert_in_range(t->waited_ns, 200000000, 2000000000);
    assert_int_equal(times[0][0].samples, 0);
    t = hook_time_of(&second, PHASE_LOG);
    assert_in_range(t->busy_ns, 50000000, 2000000000);
    assert_int_equal(t->waited_ns, 0);

    assert_int_equal(total->times[PHASE_LOG].runs, 20);
    assert_int_equal(total->times[PHASE_LOG].busy_ns, times[0][1].busy_ns + times[1][0].busy_ns);
    assert_int_equal(total->times[PHASE_ACCESS].runs, 0);
}

static void test_a_plugin_has_one_total_for_all_its_places(void **state UNUSED)
{
    struct hook_total *one = hook_total_of(SLICE("one"), PHASE_BIT(PHASE_LOG)),
                      *two = hook_total_of(SLICE("two"), PHASE_BIT(PHASE_LOG));
    int seen = 0;

    assert_ptr_not_equal(one, two);
    assert_ptr_equal(hook_total_of(SLICE("one"), PHASE_BIT(PHASE_ACCESS)), one);
    assert_int_equal(one->hooks, PHASE_BIT(PHASE_LOG) | PHASE_BIT(PHASE_ACCESS));
    assert_int_equal(two->hooks, PHASE_BIT(PHASE_LOG));
    for (struct hook_total *t = NULL; (t = hook_total_next(t));)
        seen += t == one || t == two;
    assert_int_equal(seen, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_runs_are_all_timed),
        cmocka_unit_test(test_samples_stand_for_all_runs),
        cmocka_unit_test(test_times_are_counted_with_the_hook_that_took_them),
        cmocka_unit_test(test_a_plugin_has_one_total_for_all_its_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
