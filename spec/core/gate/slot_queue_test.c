/* SPDX-License-Identifier: Apache-2.0 */

#include "gate/slot_queue.h"

#include "base/err.h"
#include "base/hash.h"
#include "gate/upstream.h"
#include "net/loop.h"
#include "support/test.h"

enum { N = 8 };

struct one {
    struct slot_waiter waiter;
    int letters;
};

static struct loop *loop;
static struct mailbox *mailbox;
static struct upstream_live *live;
static struct target *const red = (struct target *)&loop, *const blue = (struct target *)&live;
static struct one ones[N];

static void on_letter(struct mail *m, void *reader)
{
    (void)reader;
    container_of(m, struct one, waiter.mail)->letters++;
}

static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    loop = loop_new();
    mailbox = mailbox_new(loop, NULL);
    live = upstream_live_ref(SLICE("orders"));
    for (int i = 0; i < N; i++)
        ones[i] =
            (struct one){.waiter = {.mail = {.fn = on_letter}, .mailbox = mailbox, .wants = red}};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++)
        if (ones[i].waiter.is_queued)
            assert_true(slot_leave(live, &ones[i].waiter));
    assert_int_equal(live->pending, 0);
    upstream_live_unref(live);
    mailbox_free(mailbox);
    loop_free(loop);
    return 0;
}

static int wait_with(int i, uint32_t max)
{
    return slot_wait(live, &ones[i].waiter, max, 100);
}

static int letters(int i)
{
    loop_turn(loop, 0);
    return ones[i].letters;
}

static void slots_are_counted_up_to_the_limit(void **state)
{
    (void)state;
    assert_true(slot_take(live, 2));
    assert_true(slot_take(live, 2));
    assert_false(slot_take(live, 2));
    slot_release(live);
    assert_true(slot_take(live, 2));
}

static void who_waits_longest_is_first(void **state)
{
    (void)state;
    assert_true(slot_take(live, 1));
    for (int i = 0; i < 3; i++)
        assert_int_equal(wait_with(i, 1), 0);
    slot_release(live);
    assert_int_equal(letters(0), 1);
    assert_int_equal(letters(1), 0);
    assert_null(ones[0].waiter.connection); /* a slot alone */
    assert_int_equal(live->connections, 1); /* which is its own now */
    slot_release(live);
    assert_int_equal(letters(1), 1);
}

static void a_slot_freed_just_before_waiting_is_not_missed(void **state)
{
    (void)state;
    assert_true(slot_take(live, 1));
    assert_false(slot_take(live, 1));
    slot_release(live); /* nobody waits yet */
    assert_int_equal(wait_with(0, 1), 0);
    assert_int_equal(letters(0), 1);
}

static void nobody_overtakes_who_waits(void **state)
{
    (void)state;
    assert_true(slot_take(live, 1));
    assert_int_equal(wait_with(0, 1), 0);
    assert_false(slot_take(live, 2)); /* a reload has raised the limit */
    assert_int_equal(wait_with(1, 2), 0);
    assert_int_equal(letters(0), 1);
    assert_int_equal(letters(1), 0);
}

static void only_so_many_may_wait(void **state)
{
    (void)state;
    assert_int_equal(slot_wait(live, &ones[0].waiter, 0, 1), 0);
    assert_int_equal(slot_wait(live, &ones[1].waiter, 0, 1), ERR_OVERLOAD);
    assert_true(slot_leave(live, &ones[0].waiter));
    assert_int_equal(slot_wait(live, &ones[1].waiter, 0, 1), 0);
}

static void who_is_served_can_not_leave(void **state)
{
    (void)state;
    assert_int_equal(wait_with(0, 0), 0);
    assert_int_equal(wait_with(1, 1), 0); /* serves the first */
    assert_false(slot_leave(live, &ones[0].waiter));
    assert_true(slot_leave(live, &ones[1].waiter));
    assert_int_equal(letters(0), 1);
}

static void a_connection_goes_to_the_first_it_fits(void **state)
{
    (void)state;
    ones[0].waiter.wants = blue;
    for (int i = 0; i < 3; i++)
        assert_int_equal(wait_with(i, 0), 0);
    assert_ptr_equal(slot_next(live, red), &ones[1].waiter);
    assert_ptr_equal(slot_next(live, NULL), &ones[0].waiter);
    assert_null(slot_next(live, blue));
    assert_ptr_equal(slot_next(live, red), &ones[2].waiter);
    assert_null(slot_next(live, NULL));
}

static void who_was_passed_over_often_comes_first(void **state)
{
    (void)state;
    ones[0].waiter.wants = blue;
    for (int i = 0; i < N; i++)
        assert_int_equal(wait_with(i, 0), 0);
    for (int i = 1; i <= 4; i++)
        assert_ptr_equal(slot_next(live, red), &ones[i].waiter);
    assert_null(slot_next(live, red));
    assert_ptr_equal(slot_next(live, NULL), &ones[0].waiter);
    assert_ptr_equal(slot_next(live, red), &ones[5].waiter);
}

static int nudges;

static void on_nudge(struct mail *m, void *reader)
{
    (void)m;
    (void)reader;
    nudges++;
}

static void seats_with_idle_ones_are_asked_for_them(void **state)
{
    struct slot_seat seat = {.nudge = {.fn = on_nudge}, .mailbox = mailbox};
    (void)state;

    nudges = 0;
    slot_seat_add(live, &seat);
    assert_int_equal(wait_with(0, 0), 0);
    letters(0);
    assert_int_equal(nudges, 0);
    slot_seat_show(&seat, 3, true);
    assert_int_equal(slot_count_idle(live), 3);
    assert_int_equal(wait_with(1, 0), 0);
    assert_int_equal(wait_with(2, 0), 0); /* is asked once until it has answered */
    letters(0);
    assert_int_equal(nudges, 1);
    slot_seat_answered(live, &seat);
    assert_int_equal(wait_with(3, 0), 0);
    assert_true(slot_seat_remove(live, &seat)); /* the letter is still to come */
    letters(0);
    assert_int_equal(nudges, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(slots_are_counted_up_to_the_limit),
        T(who_waits_longest_is_first),
        T(a_slot_freed_just_before_waiting_is_not_missed),
        T(nobody_overtakes_who_waits),
        T(only_so_many_may_wait),
        T(who_is_served_can_not_leave),
        T(a_connection_goes_to_the_first_it_fits),
        T(who_was_passed_over_often_comes_first),
        T(seats_with_idle_ones_are_asked_for_them),
    };
    return cmocka_run_group_tests_name("gate/slot_queue", tests, NULL, NULL);
}
