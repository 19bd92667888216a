/* SPDX-License-Identifier: Apache-2.0 */

#include "net/loop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "net/watch.h"
#include "support/test.h"

static struct loop *loop;
static char trail[64]; /* what ran, one letter each */

static void mark(char c)
{
    size_t len = strlen(trail);

    assert_true(len < sizeof(trail) - 1);
    trail[len] = c;
    trail[len + 1] = '\0';
}

static int set_up(void **state)
{
    (void)state;
    loop = loop_new();
    trail[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

struct lettered {
    struct timer timer;
    struct later later;
    struct timer *other;
    char letter;
    int again;
};

static void on_timer(struct timer *t)
{
    mark(container_of(t, struct lettered, timer)->letter);
}

static void lettered_init(struct lettered *x, char letter)
{
    *x = (struct lettered){.letter = letter};
    timer_init(&x->timer, loop, on_timer);
}

static void pass_ms(int ms)
{
    clock_advance_ms(ms);
    loop_turn(loop, 0);
}

static void timers_fire_when_due_and_the_earliest_first(void **state)
{
    struct lettered a, b, c;

    (void)state;
    lettered_init(&a, 'a');
    lettered_init(&b, 'b');
    lettered_init(&c, 'c');
    timer_set(&c.timer, 30000);
    timer_set(&a.timer, 10000);
    timer_set(&b.timer, 20000);
    pass_ms(9000);
    assert_string_equal(trail, "");
    pass_ms(1000);
    assert_string_equal(trail, "a");
    assert_false(timer_is_set(&a.timer));
    pass_ms(20000);
    assert_string_equal(trail, "abc");
    pass_ms(60000);
    assert_string_equal(trail, "abc");
}

static void a_moved_timer_knows_only_its_last_time(void **state)
{
    struct lettered a, b, c;

    (void)state;
    lettered_init(&a, 'a');
    lettered_init(&b, 'b');
    lettered_init(&c, 'c');
    timer_set(&a.timer, 10000);
    timer_set(&a.timer, 50000);
    timer_set(&b.timer, 50000);
    timer_set(&b.timer, 10000);
    timer_set(&c.timer, 10000);
    timer_stop(&c.timer);
    pass_ms(11000);
    assert_string_equal(trail, "b");
    timer_set(&c.timer, 5000);
    pass_ms(6000);
    assert_string_equal(trail, "bc");
    pass_ms(40000);
    assert_string_equal(trail, "bca");
}

static void on_timer_again(struct timer *t)
{
    struct lettered *x = container_of(t, struct lettered, timer);

    mark(x->letter);
    if (x->again-- > 0)
        timer_set(t, 0);
}

static void a_timer_of_zero_fires_at_the_next_turn(void **state)
{
    struct lettered a;

    (void)state;
    lettered_init(&a, 'a');
    a.timer.fn = on_timer_again;
    a.again = 1;
    timer_set(&a.timer, 0);
    loop_turn(loop, -1);
    assert_string_equal(trail, "a");
    loop_turn(loop, -1);
    assert_string_equal(trail, "aa");
}

static void on_timer_free_other(struct timer *t)
{
    struct lettered *x = container_of(t, struct lettered, timer);

    mark(x->letter);
    timer_deinit(x->other);
    memset(x->other, 0xff, sizeof(*x->other));
}

static void a_timer_may_free_another_of_the_same_moment(void **state)
{
    struct lettered a, b;

    (void)state;
    lettered_init(&a, 'a');
    lettered_init(&b, 'b');
    a.timer.fn = b.timer.fn = on_timer_free_other;
    a.other = &b.timer;
    b.other = &a.timer;
    timer_set(&a.timer, 1000);
    timer_set(&b.timer, 1000);
    pass_ms(1000);
    assert_int_equal(strlen(trail), 1);
    assert_true(a.timer.slot == UINT32_MAX || b.timer.slot == UINT32_MAX); /* untouched since */
}

static void on_timer_push_back(struct timer *t)
{
    struct lettered *x = container_of(t, struct lettered, timer);

    mark(x->letter);
    if (timer_is_set(x->other))
        timer_set(x->other, 7000);
}

static void a_timer_may_put_off_another_of_the_same_moment(void **state)
{
    struct lettered a, b;

    (void)state;
    lettered_init(&a, 'a');
    lettered_init(&b, 'b');
    a.timer.fn = b.timer.fn = on_timer_push_back;
    a.other = &b.timer;
    b.other = &a.timer;
    timer_set(&a.timer, 1000);
    timer_set(&b.timer, 1000);
    pass_ms(1000);
    assert_int_equal(strlen(trail), 1);
    pass_ms(6000);
    assert_int_equal(strlen(trail), 1);
    pass_ms(1000);
    assert_int_equal(strlen(trail), 2);
}

static void a_timer_moves_to_another_loop(void **state)
{
    struct loop *second = loop_new();
    struct lettered a;

    (void)state;
    lettered_init(&a, 'a');
    timer_set(&a.timer, 1000);
    timer_stop(&a.timer);
    timer_move(&a.timer, NULL);
    timer_move(&a.timer, second);
    timer_set(&a.timer, 1000);
    pass_ms(2000);
    assert_string_equal(trail, "");
    loop_turn(second, 0);
    assert_string_equal(trail, "a");
    loop_free(second);
}

#define CROWD 500

struct member {
    struct timer timer;
    uint64_t due_ms;
    int fired;
};

static void on_member(struct timer *t)
{
    struct member *m = container_of(t, struct member, timer);

    assert_true(m->due_ms != 0 && m->due_ms <= clock_ms());
    m->due_ms = 0;
    m->fired++;
}

/* Compared with the plainest model: a due time in each, looked at one by one. */
static void a_crowd_of_timers_fires_exactly_when_each_is_due(void **state)
{
    struct member *crowd = calloc(CROWD, sizeof(*crowd));

    (void)state;
    assert_non_null(crowd);
    for (int i = 0; i < CROWD; i++)
        timer_init(&crowd[i].timer, loop, on_member);
    for (int step = 0; step < 300; step++) {
        for (int k = 0; k < 100; k++) {
            struct member *m = &crowd[rand_below(CROWD)];
            uint32_t delay = 1000 + rand_below(60000);
            uint32_t what = rand_below(4);
            if (what == 0)
                timer_stop(&m->timer);
            else if (what == 1)
                timer_deinit(&m->timer);
            else
                timer_set(&m->timer, delay);
            m->due_ms = what < 2 ? 0 : clock_ms() + delay;
        }
        pass_ms((int)rand_below(3000));
        for (int i = 0; i < CROWD; i++)
            assert_true(crowd[i].due_ms == 0 || crowd[i].due_ms > clock_ms());
    }
    for (int i = 0; i < CROWD; i++)
        timer_deinit(&crowd[i].timer);
    free(crowd);
}

static void the_wait_ends_when_a_timer_is_due(void **state)
{
    struct lettered a;
    uint64_t start = clock_us_now();

    (void)state;
    lettered_init(&a, 'a');
    clock_refresh();
    timer_set(&a.timer, 20);
    while (!trail[0])
        loop_turn(loop, 5000);
    assert_in_range(clock_us_now() - start, 19000, 3000000);
}

static void on_later(struct later *d)
{
    struct lettered *x = container_of(d, struct lettered, later);

    mark(x->letter);
    if (x->again-- > 0)
        loop_later(loop, d);
}

static void on_timer_queue_later(struct timer *t)
{
    struct lettered *x = container_of(t, struct lettered, timer);

    mark('t');
    loop_later(loop, &x->later);
    loop_later(loop, &x->later);
}

static void laters_run_once_at_the_end_of_the_turn(void **state)
{
    struct lettered a, b;

    (void)state;
    lettered_init(&a, 'a');
    lettered_init(&b, 'b');
    later_init(&a.later, on_later);
    a.timer.fn = on_timer_queue_later;
    b.timer.fn = on_timer;
    timer_set(&a.timer, 1000);
    timer_set(&b.timer, 1001);
    pass_ms(2000);
    assert_string_equal(trail, "tba");
    loop_turn(loop, 0);
    assert_string_equal(trail, "tba");
}

static void a_later_queued_by_a_later_runs_in_the_same_turn(void **state)
{
    struct lettered a;

    (void)state;
    lettered_init(&a, 'a');
    later_init(&a.later, on_later);
    a.again = 2;
    loop_later(loop, &a.later);
    loop_turn(loop, -1);
    assert_string_equal(trail, "aaa");
}

static void a_cancelled_later_does_not_run(void **state)
{
    struct lettered a;

    (void)state;
    lettered_init(&a, 'a');
    later_init(&a.later, on_later);
    loop_later(loop, &a.later);
    later_cancel(&a.later);
    later_cancel(&a.later);
    loop_turn(loop, 0);
    assert_string_equal(trail, "");
}

static void on_free_again(void *ptr)
{
    mark('f');
    free(ptr);
}

static void on_free(void *ptr)
{
    mark('F');
    loop_free_later(loop, ptr, on_free_again);
}

static void on_later_free(struct later *d)
{
    mark('l');
    loop_free_later(loop, malloc(1), on_free);
    if (container_of(d, struct lettered, later)->again-- > 0)
        loop_later(loop, d);
}

static void frees_come_after_all_laters(void **state)
{
    struct lettered a;

    (void)state;
    lettered_init(&a, 'a');
    later_init(&a.later, on_later_free);
    a.again = 1;
    loop_later(loop, &a.later);
    loop_turn(loop, -1);
    assert_string_equal(trail, "llFFff");
}

static void freeing_a_loop_frees_what_was_put_off(void **state)
{
    struct loop *second = loop_new();

    (void)state;
    loop_free_later(second, malloc(1), on_free_again);
    loop_free(second);
    assert_string_equal(trail, "f");
}

static void what_waits_for_the_end_runs_when_the_loop_is_freed(void **state)
{
    struct loop *second = loop_new();
    struct lettered a, b;

    (void)state;
    lettered_init(&a, 'a');
    lettered_init(&b, 'b');
    later_init(&a.later, on_later_free);
    later_init(&b.later, on_later);
    loop_at_end(second, &a.later);
    loop_at_end(second, &b.later);
    later_cancel(&b.later);
    loop_turn(second, 0);
    assert_string_equal(trail, "");
    loop_free(second);
    assert_string_equal(trail, "l");
    loop_turn(loop, 0);
    assert_string_equal(trail, "lFf");
}

static void on_later_stop(struct later *d UNUSED)
{
    loop_stop(loop);
}

static void run_ends_after_the_turn_that_stopped_it(void **state)
{
    struct lettered a, b;

    (void)state;
    lettered_init(&a, 'a');
    lettered_init(&b, 'b');
    later_init(&a.later, on_later_stop);
    later_init(&b.later, on_later);
    loop_later(loop, &a.later);
    loop_later(loop, &b.later);
    loop_run(loop);
    assert_string_equal(trail, "b");
}

static bool on_idle(void *arg)
{
    int *again = arg;

    mark('i');
    return (*again)-- > 0;
}

static void idle_runs_once_per_quiet_spell(void **state)
{
    struct lettered a;
    int again = 0;

    (void)state;
    lettered_init(&a, 'a');
    loop_on_idle(loop, on_idle, &again);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 30);
    assert_string_equal(trail, "i");
    timer_set(&a.timer, 0);
    loop_turn(loop, 30);
    assert_string_equal(trail, "ia");
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 30);
    assert_string_equal(trail, "iai");
}

static void what_goes_on_in_a_quiet_spell_yields_to_events(void **state)
{
    struct lettered a;
    int again = 1000000;

    (void)state;
    lettered_init(&a, 'a');
    loop_on_idle(loop, on_idle, &again);
    for (int i = 0; i < 4; i++)
        loop_turn(loop, i == 0 ? 30 : -1);
    assert_string_equal(trail, "iiii");
    timer_set(&a.timer, 0);
    loop_turn(loop, -1);
    assert_string_equal(trail, "iiiia");
    again = 0;
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 30);
    assert_string_equal(trail, "iiiiai");
}

static uint64_t busy_us; /* what an event costs */

static void on_pipe(struct watch *w UNUSED, unsigned what UNUSED)
{
    mark('e');
    for (uint64_t end = clock_us_now() + busy_us; clock_us_now() < end;)
        ;
}

static void a_busy_loop_is_not_idle(void **state)
{
    struct lettered end = {.letter = 0};
    int fds[2], again = 0;
    struct watch w;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    watch_init(&w, loop, fds[0], on_pipe);
    watch_for(&w, WATCH_READ);
    loop_on_idle(loop, on_idle, &again);
    busy_us = 10000;
    later_init(&end.later, on_later_stop);
    timer_init(&end.timer, loop, on_timer_queue_later);
    timer_set(&end.timer, 50);
    loop_run(loop);
    busy_us = 0;
    assert_null(strchr(trail, 'i'));
    assert_true(strlen(trail) > 2);
    watch_end(&w);
    close(fds[0]);
    close(fds[1]);
}

/* The descriptor stays open and readable; without its watch's end it would end the wait at
 * once. */
static void a_descriptor_whose_watch_has_ended_wakes_nobody(void **state)
{
    uint64_t start;
    int fds[2];
    struct watch w;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    watch_init(&w, loop, fds[0], on_pipe);
    watch_for(&w, WATCH_READ);
    loop_turn(loop, 0);
    watch_end(&w);
    assert_int_equal(write(fds[1], "x", 1), 1);
    start = clock_us_now();
    loop_turn(loop, 40);
    assert_true(clock_us_now() - start >= 39000);

    watch_for(&w, WATCH_READ);
    loop_turn(loop, 40);
    assert_string_equal(trail, "e");
    watch_end(&w);
    close(fds[0]);
    close(fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_when_due_and_the_earliest_first),
        TEST(a_moved_timer_knows_only_its_last_time),
        TEST(a_timer_of_zero_fires_at_the_next_turn),
        TEST(a_timer_may_free_another_of_the_same_moment),
        TEST(a_timer_may_put_off_another_of_the_same_moment),
        TEST(a_timer_moves_to_another_loop),
        TEST(a_crowd_of_timers_fires_exactly_when_each_is_due),
        TEST(the_wait_ends_when_a_timer_is_due),
        TEST(laters_run_once_at_the_end_of_the_turn),
        TEST(a_later_queued_by_a_later_runs_in_the_same_turn),
        TEST(a_cancelled_later_does_not_run),
        TEST(frees_come_after_all_laters),
        TEST(freeing_a_loop_frees_what_was_put_off),
        TEST(what_waits_for_the_end_runs_when_the_loop_is_freed),
        TEST(run_ends_after_the_turn_that_stopped_it),
        TEST(idle_runs_once_per_quiet_spell),
        TEST(what_goes_on_in_a_quiet_spell_yields_to_events),
        TEST(a_busy_loop_is_not_idle),
        TEST(a_descriptor_whose_watch_has_ended_wakes_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
