/* SPDX-License-Identifier: Apache-2.0 */

#include "base/map.h"

#include <stdio.h>

#include "base/hash.h"
#include "support/test.h"

#define N 2000
static char keys[N][8];
static int values[N];

static struct slice key(int i)
{
    return slice_from(keys[i]);
}

static int make_keys(void **state)
{
    (void)state;
    hash_init();
    for (int i = 0; i < N; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        values[i] = i;
    }
    return 0;
}

static void an_empty_map_has_nothing(void **state)
{
    struct map m;
    size_t i = 0;

    (void)state;
    map_init(&m);
    assert_null(map_find(&m, SLICE("x")));
    assert_null(map_remove(&m, SLICE("x")));
    assert_null(map_next(&m, &i));
    map_deinit(&m);
}

static void setting_replaces_and_returns_what_was_there(void **state)
{
    struct map m;
    char one[] = "same", two[] = "same";

    (void)state;
    map_init(&m);
    assert_null(map_set(&m, slice_from(one), &values[1]));
    assert_ptr_equal(map_set(&m, slice_from(two), &values[2]), &values[1]);
    assert_int_equal(m.n, 1);
    /* The new key's bytes count now; those of the old one may go. */
    one[0] = 'S';
    assert_ptr_equal(map_find(&m, SLICE("same")), &values[2]);
    map_deinit(&m);
}

static void the_empty_text_is_a_key(void **state)
{
    struct map m;

    (void)state;
    map_init(&m);
    assert_null(map_set(&m, SLICE_NONE, &values[1]));
    assert_ptr_equal(map_find(&m, SLICE("")), &values[1]);
    assert_null(map_find(&m, SLICE("\0")));
    assert_ptr_equal(map_remove(&m, SLICE("")), &values[1]);
    assert_int_equal(m.n, 0);
    map_deinit(&m);
}

/* Adds and removes so that about half of the keys are in at any time, and asks for all of them. */
static void what_was_removed_is_gone_and_nothing_else(void **state)
{
    struct map m;
    bool is_in[N] = {false};

    (void)state;
    map_init(&m);
    for (int turn = 0; turn < 40 * N; turn++) {
        int i = (int)((unsigned)turn * 2654435761u >> 7) % N;
        void *previous = is_in[i] ? map_remove(&m, key(i)) : map_set(&m, key(i), &values[i]);
        assert_ptr_equal(previous, is_in[i] ? &values[i] : NULL);
        is_in[i] = !is_in[i];
    }
    size_t n = 0;
    for (int i = 0; i < N; i++) {
        assert_ptr_equal(map_find(&m, key(i)), is_in[i] ? &values[i] : NULL);
        n += is_in[i];
    }
    assert_int_equal(m.n, n);
    /* Churn must not make it grow. */
    assert_true(m.size <= 4096);
    map_deinit(&m);
}

static void a_walk_sees_each_entry_once(void **state)
{
    struct map m;
    struct map_entry *e;
    bool is_seen[N] = {false};
    int n = 0;

    (void)state;
    map_init(&m);
    for (int i = 0; i < N; i++)
        map_set(&m, key(i), &values[i]);
    for (size_t i = 0; (e = map_next(&m, &i));) {
        int value = *(int *)e->value;
        assert_true(slice_eq(e->key, key(value)));
        assert_false(is_seen[value]);
        is_seen[value] = true;
        n++;
    }
    assert_int_equal(n, N);
    map_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(setting_replaces_and_returns_what_was_there),
        cmocka_unit_test(the_empty_text_is_a_key),
        cmocka_unit_test(what_was_removed_is_gone_and_nothing_else),
        cmocka_unit_test(a_walk_sees_each_entry_once),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
