/* SPDX-License-Identifier: Apache-2.0 */

#include "side/budget.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "support/test.h"

static void a_share_of_what_was_asked_or_the_least(void **state)
{
    struct budget *b = budget_ref(SLICE("a"), 10000);
    (void)state;

    assert_true(budget_take(b, 0.5, 2));
    assert_true(budget_take(b, 0.5, 2));
    assert_false(budget_take(b, 0.5, 2));
    for (int i = 0; i < 6; i++)
        budget_count(b);
    assert_true(budget_take(b, 0.5, 2));
    assert_false(budget_take(b, 0.5, 2));
    struct budget_counts counts;
    budget_counts(b, &counts);
    assert_int_equal(counts.asked, 6);
    assert_int_equal(counts.taken, 3); /* what was refused is not taken */
    clock_advance_ms(11000);
    assert_false(budget_take(b, 0.5, 0));
    assert_true(budget_take(b, 0.5, 1));
    budget_unref(b);
}

static void is_found_by_name_and_window_while_somebody_has_it(void **state)
{
    struct budget *b = budget_ref(SLICE("a"), 10000);
    (void)state;

    struct budget *same = budget_ref(SLICE("a"), 10000), *other = budget_ref(SLICE("a"), 20000);
    assert_ptr_equal(b, same);
    assert_ptr_not_equal(b, other);
    assert_true(budget_take(b, 0, 1));
    assert_true(budget_take(other, 0, 1));
    budget_unref(b);
    assert_false(budget_take(same, 0, 1));
    budget_unref(same);
    budget_unref(other);
    b = budget_ref(SLICE("a"), 10000); /* the last had gone: anew */
    assert_true(budget_take(b, 0, 1));
    budget_unref(b);
}

static atomic_int had;

static void *take_many(void *arg)
{
    for (int i = 0; i < 20000; i++)
        if (budget_take(arg, 0.1, 0))
            atomic_fetch_add(&had, 1);
    return NULL;
}

static void threads_never_take_more(void **state)
{
    struct budget *b = budget_ref(SLICE("shared"), 3600000);
    pthread_t threads[4];
    (void)state;

    for (int i = 0; i < 10000; i++)
        budget_count(b);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, take_many, b);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&had), 990, 1000);
    budget_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_of_what_was_asked_or_the_least),
        cmocka_unit_test(is_found_by_name_and_window_while_somebody_has_it),
        cmocka_unit_test(threads_never_take_more),
    };
    return cmocka_run_group_tests_name("side/budget", tests, NULL, NULL);
}
