/* SPDX-License-Identifier: Apache-2.0 */

#include "side/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "support/expect.h"
#include "support/test.h"

#define KEY SLICE("key")

static struct store *store;
static struct buf out;
static uint8_t tag;

static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    store = store_new(SLICE("test"), 1 * MIB);
    buf_init(&out, 1 * MIB);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_deinit(&out);
    store_free(store);
    return 0;
}

static struct slice text_of(struct slice key)
{
    buf_clear(&out);
    return store_get(store, key, &out, &tag) == 0 ? buf_slice(&out) : SLICE_NONE;
}

static void set(struct slice key, const char *value)
{
    assert_int_equal(store_set(store, key, slice_from(value), 7, 0), 0);
}

static void a_value_comes_back_with_its_tag(void **state)
{
    (void)state;
    assert_int_equal(store_get(store, KEY, &out, &tag), ERR_NOT_FOUND);
    set(KEY, "one");
    expect_slice(text_of(KEY), "one");
    assert_int_equal(tag, 7);
    set(KEY, "a longer value than the first one was");
    expect_slice(text_of(KEY), "a longer value than the first one was");
    set(KEY, "");
    expect_slice(text_of(KEY), "");
    assert_int_equal(store_delete(store, KEY), 0);
    assert_int_equal(store_delete(store, KEY), ERR_NOT_FOUND);
    assert_null(text_of(KEY).ptr);
}

static void keys_have_bounds(void **state)
{
    static char long_key[STORE_KEY_MAX + 1];
    (void)state;

    assert_int_equal(store_set(store, SLICE(""), SLICE("v"), 0, 0), ERR_ARG);
    assert_int_equal(store_set(store, slice_of(long_key, sizeof(long_key)), SLICE("v"), 0, 0),
                     ERR_ARG);
    assert_int_equal(store_set(store, slice_of(long_key, STORE_KEY_MAX), SLICE("v"), 0, 0), 0);
    expect_slice(text_of(slice_of(long_key, STORE_KEY_MAX)), "v");
}

static void a_value_ends_with_its_ttl(void **state)
{
    (void)state;
    assert_int_equal(store_set(store, KEY, SLICE("v"), 0, 1000), 0);
    assert_int_equal(store_ttl(store, KEY), 1000);
    clock_advance_ms(999);
    assert_in_range(store_ttl(store, KEY), 0, 1);
    clock_advance_ms(1);
    assert_null(text_of(KEY).ptr);
    assert_int_equal(store_ttl(store, KEY), ERR_NOT_FOUND);
    set(KEY, "for ever");
    assert_int_equal(store_ttl(store, KEY), 0);
    clock_advance_ms(1000000);
    expect_slice(text_of(KEY), "for ever");
}

static void add_only_when_absent(void **state)
{
    (void)state;
    assert_int_equal(store_add(store, KEY, SLICE("a"), 0, 500), 0);
    assert_int_equal(store_add(store, KEY, SLICE("b"), 0, 0), ERR_EXISTS);
    expect_slice(text_of(KEY), "a");
    clock_advance_ms(501);
    assert_int_equal(store_add(store, KEY, SLICE("b"), 0, 0), 0);
}

static void cas_only_when_unchanged(void **state)
{
    (void)state;
    assert_int_equal(store_cas(store, KEY, SLICE("a"), 0, SLICE("b"), 0, 0), ERR_NOT_FOUND);
    set(KEY, "a");
    assert_int_equal(store_cas(store, KEY, SLICE("x"), 7, SLICE("b"), 0, 0), ERR_EXISTS);
    assert_int_equal(store_cas(store, KEY, SLICE("a"), 1, SLICE("b"), 0, 0), ERR_EXISTS);
    assert_int_equal(store_cas(store, KEY, SLICE("a"), 7, SLICE("b"), 0, 0), 0);
    expect_slice(text_of(KEY), "b");
}

static void a_counter_never_lives_without_its_ttl(void **state)
{
    double n;
    (void)state;

    assert_int_equal(store_incr(store, KEY, 2, 10, 1000, &n), 0);
    assert_true(n == 12);
    clock_advance_ms(600);
    assert_int_equal(store_incr(store, KEY, -0.5, 10, 1000, &n), 0);
    assert_true(n == 11.5);
    assert_in_range(store_ttl(store, KEY), 1, 400); /* the first one's */
    clock_advance_ms(400);
    assert_int_equal(store_incr(store, KEY, 1, 0, 0, &n), 0);
    assert_true(n == 1);
    set(KEY, "12345678");
    assert_int_equal(store_incr(store, KEY, 1, 0, 0, &n), ERR_ARG);
}

static void too_large_a_value_changes_nothing(void **state)
{
    size_t size = 1 * MIB / 16 / 8;
    char *large = calloc(1, size);
    (void)state;

    assert_non_null(large);
    set(KEY, "small");
    assert_int_equal(store_set(store, KEY, slice_of(large, size), 0, 0), ERR_FULL);
    expect_slice(text_of(KEY), "small");
    assert_int_equal(store_set(store, KEY, slice_of(large, size / 2), 0, 0), 0);
    free(large);
}

static struct slice numbered(int i)
{
    static char key[32];
    return slice_of(key, (size_t)sprintf(key, "key %d", i));
}

static void at_the_budget_the_least_recently_used_go(void **state)
{
    struct store_stats stats;
    (void)state;

    set(KEY, "kept, since it is used");
    for (int i = 0; i < 50000; i++) {
        set(numbered(i), "value");
        assert_non_null(text_of(KEY).ptr);
        store_stats(store, &stats);
        if (i % 5000 == 0)
            assert_true(stats.bytes <= 1 * MIB);
    }
    assert_true(stats.evictions > 0);
    assert_int_equal(stats.entries + stats.evictions, 50001);
    assert_true(stats.bytes > 3 * MIB / 4);
    assert_null(text_of(numbered(0)).ptr);
    expect_slice(text_of(numbered(49999)), "value");
}

static void where_all_are_in_use_some_go_all_the_same(void **state)
{
    struct store_stats stats;
    int kept = 0;
    (void)state;

    for (int i = 0; i < 4000; i++)
        set(numbered(i), "value");
    for (int i = 0; i < 4000; i++)
        assert_non_null(text_of(numbered(i)).ptr);
    for (int i = 4000; i < 12000; i++)
        set(numbered(i), "value");
    store_stats(store, &stats);
    assert_true(stats.bytes <= 1 * MIB && stats.evictions > 0);
    expect_slice(text_of(numbered(11999)), "value");
    for (int i = 0; i < 4000; i++)
        kept += text_of(numbered(i)).ptr != NULL;
    assert_true(kept < 4000);
}

static void expired_ones_make_room_before_others(void **state)
{
    struct store_stats stats;
    (void)state;

    for (int i = 0; i < 5000; i++)
        assert_int_equal(store_set(store, numbered(i), SLICE("v"), 0, 100), 0);
    clock_advance_ms(101);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(store_set(store, numbered(100000 + i), SLICE("v"), 0, 0), 0);
    store_stats(store, &stats);
    assert_int_equal(stats.evictions, 0);
    assert_true(stats.expired > 4000);
    for (int i = 0; i < 5000; i++)
        assert_non_null(text_of(numbered(100000 + i)).ptr);
}

static void a_smaller_budget_evicts_and_keeps_the_latest(void **state)
{
    struct store_stats stats;
    (void)state;

    for (int i = 0; i < 4000; i++)
        set(numbered(i), "value");
    store_resize(store, 128 * KIB);
    store_stats(store, &stats);
    assert_true(stats.bytes <= 128 * KIB && stats.entries > 100);
    assert_int_equal(stats.budget, 128 * KIB);
    expect_slice(text_of(numbered(3999)), "value");
    assert_null(text_of(numbered(0)).ptr);
    store_resize(store, 1 * MIB);
    expect_slice(text_of(numbered(3999)), "value");
}

static void hits_and_misses_are_counted(void **state)
{
    struct store_stats stats;
    (void)state;

    set(KEY, "v");
    text_of(KEY);
    text_of(KEY);
    text_of(SLICE("other"));
    store_stats(store, &stats);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.misses, 1);
}

static void count_up(void *record, bool is_new, uint64_t *ttl_ms, void *arg)
{
    uint64_t *n = record;

    if (is_new) {
        assert_int_equal(*n, 0);
        assert_int_equal(*ttl_ms, 0);
        *ttl_ms = 1000;
    }
    *(uint64_t *)arg = ++*n;
}

static void a_record_is_updated_in_place(void **state)
{
    struct store_stats stats;
    uint64_t n;
    (void)state;

    assert_int_equal(store_update(store, KEY, sizeof(n), count_up, &n), 0);
    clock_advance_ms(500);
    assert_int_equal(store_update(store, KEY, sizeof(n), count_up, &n), 0);
    assert_int_equal(n, 2);
    clock_advance_ms(501); /* the TTL was left alone by the second */
    assert_int_equal(store_update(store, KEY, sizeof(n), count_up, &n), 0);
    assert_int_equal(n, 1);
    store_stats(store, &stats);
    assert_int_equal(stats.expired, 1);
    assert_int_equal(stats.entries, 1);
    assert_int_equal(store_update(store, KEY, 513, count_up, &n), ERR_ARG);
    set(SLICE("text"), "12345678");
    assert_int_equal(store_update(store, SLICE("text"), 8, count_up, &n), ERR_ARG);
    expect_slice(text_of(SLICE("text")), "12345678");
}

static void stores_are_found_by_name(void **state)
{
    (void)state;
    assert_null(stores_find(SLICE("a")));
    struct store *a = stores_make(SLICE("a"), 1 * MIB), *b = stores_make(SLICE("b"), 1 * MIB);
    assert_ptr_equal(stores_find(SLICE("a")), a);
    assert_ptr_equal(stores_make(SLICE("a"), 2 * MIB), a);
    struct store_stats stats;
    store_stats(a, &stats);
    assert_int_equal(stats.budget, 2 * MIB);
    expect_slice(store_name(b), "b");
    stores_free_all();
    assert_null(stores_find(SLICE("a")));
}

/* Two configurations name it, one after the other goes. */
static void what_nobody_names_is_emptied(void **state UNUSED)
{
    struct slice name = SLICE("passing");
    struct store_stats stats;

    stores_name(name, 1 * MIB);
    stores_name(name, 2 * MIB);
    struct store *s = stores_find(name);
    assert_int_equal(store_set(s, SLICE("k"), SLICE("v"), 0, 0), 0);
    stores_unname(name);
    store_stats(s, &stats);
    assert_int_equal(stats.entries, 1);
    assert_int_equal(stats.budget, 1 * MIB); /* until it is resized by who uses it */
    stores_unname(name);
    store_stats(s, &stats);
    assert_int_equal(stats.entries, 0);
    assert_true(stats.bytes < 4 * KIB);
    assert_int_equal(store_set(s, SLICE("k"), SLICE("v"), 0, 0),
                     ERR_FULL); /* who kept it does no harm */
    stores_name(name, 2 * MIB);
    assert_ptr_equal(stores_find(name), s);
    assert_int_equal(store_set(s, SLICE("k"), SLICE("v"), 0, 0), 0);
    stores_unname(name);
    stores_free_all();
}

static int add_mark(struct store *s, int i, uint64_t ttl_ms)
{
    char key[32];
    int n = snprintf(key, sizeof(key), "mark %d", i);

    return store_add(s, slice_of(key, (size_t)n), SLICE("x"), 0, ttl_ms);
}

/* Adds marks until one is refused; how many there are. */
static int fill_with_marks(struct store *s, uint64_t ttl_ms)
{
    int i = 0;

    while (add_mark(s, i, ttl_ms) == 0)
        i++;
    return i;
}

static void marks_are_never_pushed_out(void **state UNUSED)
{
    struct store_stats stats;
    struct store *s = stores_make(SLICE("marks"), 64 * KIB);

    int n = fill_with_marks(s, 1000);
    assert_int_equal(add_mark(s, n, 1000), ERR_FULL);
    for (int i = 0; i < n; i++)
        assert_int_equal(add_mark(s, i, 1000), ERR_EXISTS);
    assert_int_equal(store_set(s, SLICE("mark 0"), SLICE("y"), 0, 1000), 0);
    store_resize(s, 32 * KIB);
    store_stats(s, &stats);
    assert_int_equal(stats.entries, n);
    assert_int_equal(stats.evictions, 0);
    assert_int_equal(add_mark(s, 1, 1000), ERR_EXISTS);
    stores_free_all();
}

/* Those that live long stand before those that do not. */
static void marks_that_are_over_make_room(void **state UNUSED)
{
    struct store *s = stores_make(SLICE("marks"), 512 * KIB);
    int i = 0;

    for (; i < 100; i++)
        assert_int_equal(add_mark(s, i, 3600000), 0);
    int n = 100;
    while (add_mark(s, n, 1000) == 0)
        n++;
    clock_advance_ms(1001);
    int refused = 0;
    for (i = n; i < 2 * n - 200; i++)
        refused += add_mark(s, i, 1000) != 0;
    assert_true(refused < n / 20);
    for (i = 0; i < 100; i++)
        assert_int_equal(add_mark(s, i, 1000), ERR_EXISTS);
    stores_free_all();
}

enum { THREADS = 8, ROUNDS = 20000 };

static atomic_int added;

static void *hammer(void *arg)
{
    int self = (int)(intptr_t)arg;
    double n;
    struct buf mine;
    uint8_t t;

    buf_init(&mine, KIB);
    for (int i = 0; i < ROUNDS; i++) {
        char key[32];
        struct slice own = slice_of(key, (size_t)sprintf(key, "%d/%d", self, i % 500));
        (void)!store_incr(store, KEY, 1, 0, 0, &n);
        (void)!store_set(store, own, own, 0, i % 7);
        buf_clear(&mine);
        if (store_get(store, own, &mine, &t) == 0 && !slice_eq(buf_slice(&mine), own))
            abort();
        if (store_add(store, SLICE("once"), SLICE("x"), 0, 0) == 0)
            atomic_fetch_add(&added, 1);
    }
    buf_deinit(&mine);
    return NULL;
}

static void operations_are_atomic_over_threads(void **state)
{
    pthread_t threads[THREADS];
    double n;
    (void)state;

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, hammer, (void *)(intptr_t)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(store_incr(store, KEY, 0, 0, 0, &n), 0);
    assert_true(n == THREADS * ROUNDS);
    assert_int_equal(added, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_value_comes_back_with_its_tag),
        T(keys_have_bounds),
        T(a_value_ends_with_its_ttl),
        T(add_only_when_absent),
        T(cas_only_when_unchanged),
        T(a_counter_never_lives_without_its_ttl),
        T(too_large_a_value_changes_nothing),
        T(at_the_budget_the_least_recently_used_go),
        T(where_all_are_in_use_some_go_all_the_same),
        T(expired_ones_make_room_before_others),
        T(a_smaller_budget_evicts_and_keeps_the_latest),
        T(hits_and_misses_are_counted),
        T(a_record_is_updated_in_place),
        T(stores_are_found_by_name),
        T(what_nobody_names_is_emptied),
        T(marks_are_never_pushed_out),
        T(marks_that_are_over_make_room),
        T(operations_are_atomic_over_threads),
    };
    return cmocka_run_group_tests_name("side/store", tests, NULL, NULL);
}
