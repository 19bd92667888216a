/* SPDX-License-Identifier: Apache-2.0 */

#include "base/blocks.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "support/test.h"

static void the_block_given_last_is_taken_first(void **state)
{
    struct blocks b;

    (void)state;
    blocks_init(&b, 4096, 8);
    void *one = blocks_take(&b), *two = blocks_take(&b);
    assert_ptr_not_equal(one, two);
    assert_int_equal((uintptr_t)one % 16, 0);
    memset(one, 1, 4096);
    memset(two, 2, 4096);
    assert_int_equal(b.nused, 2);

    blocks_give(&b, one);
    blocks_give(&b, two);
    assert_int_equal(b.nused, 0);
    assert_int_equal(b.nfree, 2);
    assert_ptr_equal(blocks_take(&b), two);
    assert_ptr_equal(blocks_take(&b), one);
    memset(one, 3, 4096);
    blocks_give(&b, one);
    blocks_give(&b, two);
    blocks_deinit(&b);
}

static void what_is_above_the_limit_goes_back_to_the_heap(void **state)
{
    struct blocks b;
    void *taken[5];

    (void)state;
    blocks_init(&b, 64, 2);
    for (int i = 0; i < 5; i++)
        taken[i] = blocks_take(&b);
    for (int i = 0; i < 5; i++)
        blocks_give(&b, taken[i]);
    assert_int_equal(b.nfree, 2);
    blocks_deinit(&b);
}

static void ignore_line(void *arg, enum log_level level, struct slice line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static void a_block_that_was_not_given_back_is_noticed(void **state)
{
    struct blocks b;
    uint64_t before = check_failures();

    (void)state;
    log_capture(ignore_line, NULL);
    blocks_init(&b, 64, 0);
    void *lost = blocks_take(&b);
    blocks_deinit(&b);
    log_capture(NULL, NULL);
    assert_int_equal(check_failures() - before, 1);
    blocks_give(&b, lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_block_given_last_is_taken_first),
        cmocka_unit_test(what_is_above_the_limit_goes_back_to_the_heap),
        cmocka_unit_test(a_block_that_was_not_given_back_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
