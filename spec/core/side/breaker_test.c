/* SPDX-License-Identifier: Apache-2.0 */

#include "side/breaker.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/metric.h"
#include "support/test.h"

static const struct breaker_rules rules = {
    .window_ms = 1000,
    .min_requests = 4,
    .failure_ratio = 0.5,
    .open_ms = 100,
    .open_max_ms = 400,
    .probes = 2,
};

static struct breaker *b;

static int start(void **state)
{
    (void)state;
    metric_init(1, 100);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    metric_deinit();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    b = breaker_ref(SLICE("upstream"), SLICE("u"), &rules);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    breaker_unref(b);
    return 0;
}

static enum breaker_state now(void)
{
    struct breaker_view view;

    breaker_look(b, &view);
    return view.state;
}

static bool may_enter(struct breaker_pass *pass)
{
    uint64_t wait_ms;

    return breaker_enter(b, pass, &wait_ms);
}

static void call(enum breaker_outcome outcome)
{
    struct breaker_pass pass;

    assert_true(may_enter(&pass));
    breaker_leave(b, pass, outcome, 1);
}

static void calls(int n, enum breaker_outcome outcome)
{
    for (int i = 0; i < n; i++)
        call(outcome);
}

static void opens_at_its_share_of_failures(void **state)
{
    struct breaker_pass pass;
    uint64_t wait_ms = 0;
    (void)state;

    calls(3, BREAKER_FAILED);
    assert_int_equal(now(), BREAKER_CLOSED);
    calls(4, BREAKER_GOOD);
    assert_int_equal(now(), BREAKER_CLOSED);
    call(BREAKER_FAILED);
    assert_int_equal(now(), BREAKER_OPEN);
    assert_false(breaker_enter(b, &pass, &wait_ms));
    assert_in_range(wait_ms, 1, 100);
}

static void what_is_not_known_does_not_count(void **state)
{
    (void)state;
    calls(20, BREAKER_VOID);
    calls(2, BREAKER_FAILED);
    assert_int_equal(now(), BREAKER_CLOSED);
}

static void what_comes_back_late_does_not_count(void **state)
{
    struct breaker_pass late[4], probe;
    (void)state;

    for (int i = 0; i < 4; i++)
        assert_true(may_enter(&late[i]));
    calls(4, BREAKER_FAILED);
    clock_advance_ms(150);
    assert_true(may_enter(&probe));
    for (int i = 0; i < 4; i++)
        breaker_leave(b, late[i], i % 2 ? BREAKER_GOOD : BREAKER_FAILED, 1);
    assert_int_equal(now(), BREAKER_HALF_OPEN);
    breaker_leave(b, probe, BREAKER_GOOD, 1);
    call(BREAKER_GOOD);
    assert_int_equal(now(), BREAKER_CLOSED);
}

static void what_was_before_is_forgotten_when_it_closes(void **state)
{
    (void)state;
    calls(4, BREAKER_FAILED);
    clock_advance_ms(150);
    calls(2, BREAKER_GOOD);
    assert_int_equal(now(), BREAKER_CLOSED);
    calls(3, BREAKER_FAILED);
    assert_int_equal(now(), BREAKER_CLOSED);
}

static void probes_that_never_come_back_are_given_up(void **state)
{
    struct breaker_pass lost[2], pass;
    (void)state;

    calls(4, BREAKER_FAILED);
    clock_advance_ms(150);
    assert_true(may_enter(&lost[0]));
    assert_true(may_enter(&lost[1]));
    assert_false(may_enter(&pass));
    clock_advance_ms(401);
    calls(2, BREAKER_GOOD);
    assert_int_equal(now(), BREAKER_CLOSED);
    breaker_leave(b, lost[0], BREAKER_FAILED, 1);
    assert_int_equal(now(), BREAKER_CLOSED);
}

static void slow_calls_open_it_too(void **state)
{
    struct breaker_rules slow = rules;
    struct breaker_pass pass;
    (void)state;

    slow.slow_ms = 10;
    slow.slow_ratio = 0.5;
    breaker_unref(b);
    b = breaker_ref(SLICE("upstream"), SLICE("u"), &slow);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(now(), BREAKER_CLOSED);
        assert_true(may_enter(&pass));
        breaker_leave(b, pass, BREAKER_GOOD, i < 2 ? 10 : 11);
    }
    assert_int_equal(now(), BREAKER_OPEN);
}

static void orders_hold_until_another(void **state)
{
    struct breaker_pass pass;
    (void)state;

    breaker_force(b, BREAKER_ORDER_OPEN);
    assert_int_equal(now(), BREAKER_FORCED_OPEN);
    clock_advance_ms(10000);
    assert_false(may_enter(&pass));
    breaker_force(b, BREAKER_ORDER_CLOSE);
    calls(10, BREAKER_FAILED);
    assert_int_equal(now(), BREAKER_FORCED_CLOSED);
    breaker_force(b, BREAKER_ORDER_AUTO);
    calls(4, BREAKER_FAILED);
    assert_int_equal(now(), BREAKER_OPEN);
}

static void is_found_by_scope_name_and_rules(void **state)
{
    struct breaker_rules others = rules;
    (void)state;

    others.probes = 3;
    struct breaker *same = breaker_ref(SLICE("upstream"), SLICE("u"), &rules),
                   *scope = breaker_ref(SLICE("route"), SLICE("u"), &rules),
                   *name = breaker_ref(SLICE("upstream"), SLICE("v"), &rules),
                   *rule = breaker_ref(SLICE("upstream"), SLICE("u"), &others);
    assert_ptr_equal(same, b);
    assert_true(scope != b && name != b && rule != b);
    breaker_unref(same);
    breaker_unref(scope);
    breaker_unref(name);
    breaker_unref(rule);
}

static void count_one(void *arg, struct breaker *found, const struct breaker_view *view)
{
    (void)arg;
    (void)found;
    assert_true(slice_eq(view->name, SLICE("u")));
}

static void can_be_looked_for(void **state)
{
    struct breaker *route = breaker_ref(SLICE("route"), SLICE("u"), &rules);
    struct breaker *other = breaker_ref(SLICE("route"), SLICE("v"), &rules);
    (void)state;

    assert_int_equal(breakers_each(SLICE("u"), count_one, NULL), 2);
    assert_int_equal(breakers_each(SLICE("w"), count_one, NULL), 0);
    breaker_unref(other);
    assert_int_equal(breakers_each(SLICE_NONE, count_one, NULL), 2);
    breaker_unref(route);
}

/* --- threads ------------------------------------------------------------------------------------------------------- */

static atomic_int probes_admitted;

static void *ask(void *arg)
{
    struct breaker_pass pass;

    (void)arg;
    for (int i = 0; i < 20000; i++)
        if (may_enter(&pass))
            atomic_fetch_add(&probes_admitted, 1);
    return NULL;
}

static void run_threads(void *(*fn)(void *))
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, fn, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void no_more_probes_pass_than_may(void **state)
{
    struct breaker_rules few = rules;
    (void)state;

    few.probes = 7;
    few.open_max_ms = 3600000;
    breaker_unref(b);
    b = breaker_ref(SLICE("upstream"), SLICE("u"), &few);
    calls(4, BREAKER_FAILED);
    clock_advance_ms(150);
    run_threads(ask);
    assert_int_equal(atomic_load(&probes_admitted), 7);
}

static void *go_through(void *arg)
{
    struct breaker_pass pass;

    (void)arg;
    for (int i = 0; i < 50000; i++) {
        if (may_enter(&pass))
            breaker_leave(b, pass, i % 3 ? BREAKER_GOOD : i % 2 ? BREAKER_FAILED : BREAKER_VOID, 1);
        if (i % 1000 == 0)
            breaker_force(b, BREAKER_ORDER_AUTO);
    }
    return NULL;
}

static void workers_may_do_all_of_it_at_once(void **state)
{
    (void)state;
    run_threads(go_through);
    breaker_force(b, BREAKER_ORDER_AUTO);
    calls(4, BREAKER_FAILED);
    assert_int_equal(now(), BREAKER_OPEN);
    clock_advance_ms(150);
    calls(2, BREAKER_GOOD);
    assert_int_equal(now(), BREAKER_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opens_at_its_share_of_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_known_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(what_comes_back_late_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_before_is_forgotten_when_it_closes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(probes_that_never_come_back_are_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_calls_open_it_too, setup, teardown),
        cmocka_unit_test_setup_teardown(orders_hold_until_another, setup, teardown),
        cmocka_unit_test_setup_teardown(is_found_by_scope_name_and_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(can_be_looked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(no_more_probes_pass_than_may, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_may_do_all_of_it_at_once, setup, teardown),
    };
    return cmocka_run_group_tests_name("side/breaker", tests, start, stop);
}
