/* SPDX-License-Identifier: Apache-2.0 */

#include "base/arena.h"

#include <stdlib.h>

#include "base/blocks.h"
#include "support/expect.h"

static struct blocks pool;

static int make_pool(void **state)
{
    (void)state;
    blocks_init(&pool, 4096, 16);
    return 0;
}

static int free_pool(void **state)
{
    (void)state;
    assert_int_equal(pool.nused, 0);
    blocks_deinit(&pool);
    return 0;
}

static void pieces_are_aligned_and_apart(void **state)
{
    struct arena *a = arena_new(&pool);
    char *pieces[200];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        pieces[i] = arena_alloc(a, i);
        assert_int_equal((uintptr_t)pieces[i] % 8, 0);
        memset(pieces[i], (int)i, i);
    }
    for (size_t i = 0; i < COUNT_OF(pieces); i++)
        for (size_t j = 0; j < i; j++)
            assert_int_equal((uint8_t)pieces[i][j], i);
    arena_free(a);
}

static void zeroed_memory_is_zero_in_a_recycled_block(void **state)
{
    static const char zeros[1000];
    struct arena *a = arena_new(&pool);

    (void)state;
    memset(arena_alloc(a, 1000), 0xff, 1000);
    arena_free(a);
    a = arena_new(&pool);
    assert_memory_equal(arena_zero(a, 1000), zeros, 1000);
    arena_free(a);
}

static void a_line_is_zero_and_shared_with_nobody(void **state)
{
    static const char zeros[2 * CACHE_LINE];
    struct arena *a = arena_new(&pool);

    (void)state;
    memset(arena_alloc(a, 1000), 0xff, 1000);
    arena_free(a);
    a = arena_new(&pool);
    for (int i = 0; i < 8; i++) {
        char *line = arena_zero_line(a, sizeof(zeros));
        assert_int_equal((uintptr_t)line % CACHE_LINE, 0);
        assert_memory_equal(line, zeros, sizeof(zeros));
        memset(line, 0xff, sizeof(zeros));
        memset(arena_alloc(a, 8), 0xff, 8);
    }
    arena_free(a);
}

static void small_use_needs_one_block_of_the_pool_only(void **state)
{
    struct arena *a = arena_new(&pool);

    (void)state;
    for (int i = 0; i < 30; i++)
        arena_alloc(a, 64);
    assert_int_equal(arena_size(a), 4096);
    assert_int_equal(pool.nused, 1);
    arena_free(a);
}

static void large_pieces_do_not_waste_the_current_block(void **state)
{
    struct arena *a = arena_new(&pool);

    (void)state;
    char *before = arena_alloc(a, 8);
    memset(arena_alloc(a, 100000), 1, 100000);
    char *after = arena_alloc(a, 8);
    assert_true(after - before > 0 && after - before <= 32);
    assert_in_range(arena_size(a), 104096, 104096 + 64);
    arena_free(a);
}

static void copies_and_prints_are_c_strings(void **state)
{
    struct arena *a = arena_new_heap(0);
    char text[1000];

    (void)state;
    memset(text, 'x', sizeof(text));
    struct slice s = arena_dup(a, slice_of("hello", 4));
    expect_slice(s, "hell");
    assert_int_equal(s.ptr[4], '\0');
    assert_null(arena_dup(a, SLICE_NONE).ptr);
    expect_slice(arena_dup(a, SLICE("")), "");

    expect_slice(arena_printf(a, "%s-%d", "a", 7), "a-7");
    expect_slice(ARENA_JOIN(a, SLICE("a")), "a");
    expect_slice(ARENA_JOIN(a, SLICE("one"), SLICE_NONE, SLICE(", "), SLICE("two")), "one, two");
    s = arena_printf(a, "%.*s!", 1000, text);
    assert_int_equal(s.len, 1001);
    assert_string_equal(s.ptr + 999, "x!");
    arena_free(a);
}

struct step {
    int number;
    int *order;
    int *n;
};

static void note_step(void *arg)
{
    struct step *step = arg;
    step->order[(*step->n)++] = step->number;
}

static void cleanups_run_latest_first(void **state)
{
    struct arena *a = arena_new(&pool);
    int order[3], n = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct step *step = arena_alloc(a, sizeof(*step));
        *step = (struct step){i, order, &n};
        arena_on_free(a, note_step, step);
    }
    arena_free(a);
    assert_int_equal(n, 3);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[2], 0);
}

static void look_at_block(void *arg)
{
    assert_string_equal(arg, "still here");
}

static void adopted_memory_outlives_the_cleanups_and_then_goes_home(void **state)
{
    struct blocks other;
    struct arena *a = arena_new(&pool);

    (void)state;
    blocks_init(&other, 256, 4);
    char *block = blocks_take(&other), *heap = malloc(100);
    strcpy(block, "still here");
    strcpy(heap, "still here");
    arena_on_free(a, look_at_block, block);
    arena_on_free(a, look_at_block, heap);
    arena_adopt(a, &other, block);
    arena_adopt_heap(a, heap);
    assert_int_equal(arena_size(a), 4096 + 256);
    arena_free(a);
    assert_int_equal(other.nused, 0);
    assert_int_equal(other.nfree, 1);
    blocks_deinit(&other);
}

static void many_small_pieces_take_few_heap_blocks(void **state)
{
    struct arena *a = arena_new_heap(100);

    (void)state;
    for (int i = 0; i < 100000; i++)
        arena_zero(a, 24);
    /* The sanitizer's gaps are a third more. */
    assert_true(arena_size(a) >= 2400000 && arena_size(a) < 3500000);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(zeroed_memory_is_zero_in_a_recycled_block),
        cmocka_unit_test(a_line_is_zero_and_shared_with_nobody),
        cmocka_unit_test(small_use_needs_one_block_of_the_pool_only),
        cmocka_unit_test(large_pieces_do_not_waste_the_current_block),
        cmocka_unit_test(copies_and_prints_are_c_strings),
        cmocka_unit_test(cleanups_run_latest_first),
        cmocka_unit_test(adopted_memory_outlives_the_cleanups_and_then_goes_home),
        cmocka_unit_test(many_small_pieces_take_few_heap_blocks),
    };
    return cmocka_run_group_tests(tests, make_pool, free_pool);
}
