/* SPDX-License-Identifier: Apache-2.0 */

#include "side/spill_record.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "support/expect.h"
#include "support/test.h"

#define SEED 0x1234567u

static struct buf file;

/* What a walk has found: "0:first 1:second !5 " with the number of damaged bytes behind a "!". */
static char found[4096];

static int set_up(void **state)
{
    (void)state;
    buf_init(&file, 64 * MIB);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_deinit(&file);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void add(uint32_t index, struct slice event)
{
    char *out;

    assert_int_equal(buf_reserve(&file, SPILL_HEAD + event.len, &out), 0);
    memcpy(out + SPILL_HEAD, event.ptr, event.len);
    spill_seal(out, event.len, index, 1000 + index, SEED);
    buf_commit(&file, SPILL_HEAD + event.len);
}

static void note_good(void *arg, const struct spill_record *r, struct slice place)
{
    size_t at = strlen(found);

    (void)arg;
    assert_int_equal(place.len, SPILL_HEAD + r->event.len);
    assert_int_equal(r->at_ms, 1000 + r->index);
    snprintf(found + at, sizeof(found) - at, "%u:%.*s ", r->index, SLICE_ARG(r->event));
}

static void note_bad(void *arg, struct slice place)
{
    size_t at = strlen(found);

    (void)arg;
    snprintf(found + at, sizeof(found) - at, "!%zu ", place.len);
}

static size_t walk(struct slice bytes)
{
    struct spill_walk w = {note_good, note_bad, NULL};

    found[0] = '\0';
    return spill_walk(bytes, SEED, &w);
}

static void add_three(void)
{
    add(0, SLICE("one"));
    add(1, SLICE(""));
    add(2, SLICE("three"));
}

static void records_come_back_in_order(void **state)
{
    (void)state;
    add_three();
    assert_int_equal(walk(buf_slice(&file)), buf_len(&file));
    assert_string_equal(found, "0:one 1: 2:three ");
}

static void a_file_that_was_cut_anywhere_keeps_what_is_whole(void **state)
{
    static const size_t ends[] = {0, SPILL_HEAD + 3, 2 * SPILL_HEAD + 3, 3 * SPILL_HEAD + 8};
    static const char *const wanted[] = {"", "0:one ", "0:one 1: ", "0:one 1: 2:three "};
    (void)state;

    add_three();
    for (size_t len = 0; len <= buf_len(&file); len++) {
        size_t whole = 0;
        while (whole < 3 && len >= ends[whole + 1])
            whole++;
        assert_int_equal(walk(slice_of(buf_slice(&file).ptr, len)), ends[whole]);
        assert_string_equal(found, wanted[whole]);
    }
}

static void a_byte_that_is_wrong_costs_its_record_alone(void **state)
{
    size_t second = SPILL_HEAD + 3;
    (void)state;

    add(0, SLICE("one"));
    add(1, SLICE("second"));
    add(2, SLICE("three"));
    char *bytes = file.mem + file.start;
    for (size_t at = second; at < second + SPILL_HEAD + 6; at++) {
        bytes[at] ^= 0x40;
        assert_int_equal(walk(buf_slice(&file)), buf_len(&file));
        assert_string_equal(found, "0:one !30 2:three ");
        bytes[at] ^= 0x40;
    }
}

static void zeros_at_the_end_are_what_a_crash_leaves(void **state)
{
    static char zeros[4096];
    (void)state;

    add(0, SLICE("one"));
    assert_int_equal(buf_add(&file, slice_of(zeros, sizeof(zeros))), 0);
    assert_int_equal(walk(buf_slice(&file)), SPILL_HEAD + 3);
    assert_string_equal(found, "0:one ");
    add(1, SLICE("two"));
    walk(buf_slice(&file));
    assert_string_equal(found, "0:one !4096 1:two ");
}

/* Sealed with another file's seed, as a client would do that knows how records look. */
static void an_event_can_not_pass_for_a_record(void **state)
{
    char inner[SPILL_HEAD + 4];
    (void)state;

    memcpy(inner + SPILL_HEAD, "evil", 4);
    spill_seal(inner, 4, 7, 1007, SEED + 1);
    add(0, slice_of(inner, sizeof(inner)));
    add(1, SLICE("fine"));
    file.mem[file.start + 4] ^= 1;
    walk(buf_slice(&file));
    assert_string_equal(found, "!52 1:fine ");
}

/* Megabytes of marks, each with a claim to a length that has to be summed up. */
static void a_file_made_to_be_slow_is_given_up(void **state)
{
    struct spill_record r;
    size_t needed;
    char mark[SPILL_HEAD + 1];
    (void)state;

    spill_seal(mark, 0, 0, 0, SEED + 1);
    memcpy(mark + 8, "\0\0\x08\0", 4);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(buf_add(&file, slice_of(mark, SPILL_HEAD)), 0);
    assert_int_equal(spill_look(buf_slice(&file), SEED, &r, &needed), ERR_SYNTAX);
    walk(buf_slice(&file));
    assert_true(found[0] == '!' || found[0] == '\0');
}

static char struck[256];

static void note_strike(void *arg, uint32_t first, uint32_t count)
{
    size_t at = strlen(struck);

    (void)arg;
    snprintf(struck + at, sizeof(struck) - at, "%u+%u ", first, count);
}

static void strikes_that_are_not_whole_do_not_count(void **state)
{
    char bytes[3 * SPILL_STRIKE];
    (void)state;

    spill_strike_seal(bytes, 0, 5, SEED);
    spill_strike_seal(bytes + SPILL_STRIKE, 9, 1, SEED);
    spill_strike_seal(bytes + 2 * SPILL_STRIKE, 20, 3, SEED);
    bytes[SPILL_STRIKE + 4] ^= 2;
    spill_strikes_walk(slice_of(bytes, sizeof(bytes) - 1), SEED, note_strike, NULL);
    assert_string_equal(struck, "0+5 ");
    struck[0] = '\0';
    spill_strikes_walk(slice_of(bytes, sizeof(bytes)), SEED, note_strike, NULL);
    assert_string_equal(struck, "0+5 20+3 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_come_back_in_order),
        TEST(a_file_that_was_cut_anywhere_keeps_what_is_whole),
        TEST(a_byte_that_is_wrong_costs_its_record_alone),
        TEST(zeros_at_the_end_are_what_a_crash_leaves),
        TEST(an_event_can_not_pass_for_a_record),
        TEST(a_file_made_to_be_slow_is_given_up),
        TEST(strikes_that_are_not_whole_do_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
