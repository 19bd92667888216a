/* SPDX-License-Identifier: Apache-2.0 */

#include "base/list.h"

#include "support/test.h"

struct item {
    int n;
    struct list link;
};

static int number(const struct list *link)
{
    return link ? container_of(link, struct item, link)->n : -1;
}

static struct item items[4];
static struct list head, other;

static int setup(void **state)
{
    (void)state;
    list_init(&head);
    list_init(&other);
    for (int i = 0; i < 4; i++) {
        items[i].n = i;
        list_init(&items[i].link);
    }
    return 0;
}

/* The numbers in the list as one decimal number. */
static int as_number(const struct list *l)
{
    int sum = 0;

    LIST_EACH (it, l)
        sum = sum * 10 + number(it);
    return sum;
}

static void order_of_push_append_and_pop(void **state)
{
    (void)state;
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_last(&head));
    assert_null(list_pop(&head));
    list_append(&head, &items[2].link);
    list_append(&head, &items[3].link);
    list_push(&head, &items[1].link);
    assert_int_equal(as_number(&head), 123);
    assert_int_equal(number(list_first(&head)), 1);
    assert_int_equal(number(list_last(&head)), 3);
    assert_int_equal(number(list_pop(&head)), 1);
    assert_int_equal(as_number(&head), 23);
}

static void removing_twice_is_harmless(void **state)
{
    (void)state;
    for (int i = 1; i < 4; i++)
        list_append(&head, &items[i].link);
    list_remove(&items[2].link);
    list_remove(&items[2].link);
    assert_int_equal(as_number(&head), 13);
}

static void the_body_of_a_walk_may_remove(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        list_append(&head, &items[i].link);
    LIST_EACH (it, &head)
        if (number(it) % 2)
            list_remove(it);
    assert_int_equal(as_number(&head), 2);
    assert_int_equal(number(list_last(&head)), 2);
}

static void splicing_moves_all_to_the_end(void **state)
{
    (void)state;
    list_append(&head, &items[1].link);
    list_append(&other, &items[2].link);
    list_append(&other, &items[3].link);
    list_splice(&head, &other);
    assert_int_equal(as_number(&head), 123);
    assert_int_equal(number(list_last(&head)), 3);
    assert_true(list_is_empty(&other));
    list_splice(&head, &other);
    assert_int_equal(as_number(&head), 123);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(order_of_push_append_and_pop, setup),
        cmocka_unit_test_setup(removing_twice_is_harmless, setup),
        cmocka_unit_test_setup(the_body_of_a_walk_may_remove, setup),
        cmocka_unit_test_setup(splicing_moves_all_to_the_end, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
