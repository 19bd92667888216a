/* SPDX-License-Identifier: Apache-2.0 */

#include "base/buf.h"

#include <stdlib.h>

#include "base/err.h"
#include "support/expect.h"

static void bytes_come_out_as_they_went_in(void **state)
{
    struct buf b;
    uint8_t in = 0, out = 0;

    (void)state;
    buf_init(&b, 3000);
    /* Uneven steps, so that the content wanders through the memory and sometimes empties. */
    for (int turn = 0; turn < 5000; turn++) {
        char piece[97];
        size_t n = (size_t)turn * 7 % sizeof(piece), take = (size_t)turn * 13 % 101;
        for (size_t i = 0; i < n; i++)
            piece[i] = (char)in++;
        assert_int_equal(buf_add(&b, slice_of(piece, n)), 0);
        take = MIN(take, buf_len(&b));
        for (size_t i = 0; i < take; i++)
            assert_int_equal((uint8_t)buf_slice(&b).ptr[i], out++);
        buf_consume(&b, take);
    }
    assert_true(b.size <= 3000);
    buf_deinit(&b);
}

static void a_short_queue_stays_small_however_much_flows_through(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, MIB);
    assert_int_equal(buf_add(&b, SLICE("0123456789")), 0);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf_add(&b, SLICE("0123456789")), 0);
        buf_consume(&b, 10);
    }
    expect_slice(buf_slice(&b), "0123456789");
    assert_true(b.size <= 512);
    buf_deinit(&b);
}

static void the_cap_is_exact_and_a_refused_add_changes_nothing(void **state)
{
    struct buf b;
    char *room;

    (void)state;
    buf_init(&b, 10);
    assert_int_equal(buf_add(&b, SLICE("123456")), 0);
    assert_int_equal(buf_add(&b, SLICE("78901")), ERR_FULL);
    assert_int_equal(buf_printf(&b, "%05d", 1), ERR_FULL);
    assert_int_equal(buf_reserve(&b, 5, &room), ERR_FULL);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &room), ERR_FULL);
    expect_slice(buf_slice(&b), "123456");
    assert_int_equal(buf_add(&b, SLICE("7890")), 0);
    buf_consume(&b, 4);
    assert_int_equal(buf_add(&b, SLICE("abcd")), 0);
    expect_slice(buf_slice(&b), "567890abcd");
    buf_deinit(&b);
}

static void printing_grows_as_needed(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100000);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(buf_printf(&b, "%08d", i), 0);
    assert_int_equal(buf_len(&b), 16000);
    expect_slice(slice_sub(buf_slice(&b), 8 * 1234, 8), "00001234");
    buf_deinit(&b);
}

static void reserved_room_becomes_content_when_committed(void **state)
{
    struct buf b;
    char *room;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_reserve(&b, 1000, &room), 0);
    memcpy(room, "abc", 3);
    assert_int_equal(buf_len(&b), 0);
    buf_commit(&b, 3);
    expect_slice(buf_slice(&b), "abc");
    buf_deinit(&b);
}

static void an_empty_buffer_is_an_empty_slice_and_holds_memory_until_released(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    expect_slice(buf_slice(&b), "");
    assert_null(b.mem);
    assert_int_equal(buf_add(&b, SLICE("x")), 0);
    buf_clear(&b);
    expect_slice(buf_slice(&b), "");
    assert_non_null(b.mem);
    buf_release(&b);
    assert_null(b.mem);
    assert_int_equal(buf_add(&b, SLICE("y")), 0);
    expect_slice(buf_slice(&b), "y");
    buf_deinit(&b);
}

static void the_content_can_be_taken(void **state)
{
    struct buf b;
    size_t len;

    (void)state;
    buf_init(&b, 8);
    char *text = buf_take(&b, &len);
    assert_string_equal(text, "");
    free(text);

    assert_int_equal(buf_add(&b, SLICE("12345678")), 0);
    buf_consume(&b, 2);
    assert_int_equal(buf_add(&b, SLICE("90")), 0);
    text = buf_take(&b, &len);
    assert_string_equal(text, "34567890");
    assert_int_equal(len, 8);
    assert_int_equal(buf_len(&b), 0);
    free(text);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(a_short_queue_stays_small_however_much_flows_through),
        cmocka_unit_test(the_cap_is_exact_and_a_refused_add_changes_nothing),
        cmocka_unit_test(printing_grows_as_needed),
        cmocka_unit_test(reserved_room_becomes_content_when_committed),
        cmocka_unit_test(an_empty_buffer_is_an_empty_slice_and_holds_memory_until_released),
        cmocka_unit_test(the_content_can_be_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
