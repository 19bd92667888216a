/* SPDX-License-Identifier: Apache-2.0 */

/* Two workers on the test's thread, each with a loop and a mailbox; the last test has real
 * threads. */

#include "side/flight.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/rand.h"
#include "net/loop.h"
#include "support/expect.h"
#include "support/test.h"

#define KEY SLICE("key")
#define LEASE_MS 3600000 /* real time passes in the tests, too, but not as much */

struct caller {
    struct flight_seat *seat;
    int events;
    enum flight_event event;
    char value[32];
};

static struct flights *flights;
static struct loop *loops[2];
static struct mailbox *mailboxes[2];

static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    flights = flights_new();
    for (int i = 0; i < 2; i++) {
        loops[i] = loop_new();
        mailboxes[i] = mailbox_new(loops[i], NULL);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        mailbox_free(mailboxes[i]);
        loop_free(loops[i]);
    }
    flights_free(flights);
    assert_int_equal(check_failures(), 0);
    return 0;
}

static void turn(void)
{
    for (int i = 0; i < 6; i++)
        loop_turn(loops[i % 2], 0);
}

static void on_event(void *arg, enum flight_event event, struct slice value)
{
    struct caller *c = arg;

    c->events++;
    c->event = event;
    if (event == FLIGHT_LANDED)
        memcpy(c->value, value.ptr, value.len);
}

static int join_bounded(struct caller *c, int worker, size_t max_waiters)
{
    *c = (struct caller){0};
    return flight_join(flights, KEY, LEASE_MS, max_waiters, mailboxes[worker], on_event, c,
                       &c->seat);
}

static int join(struct caller *c, int worker)
{
    return join_bounded(c, worker, 100);
}

static bool is_told(const struct caller *c, enum flight_event event)
{
    return c->events == 1 && c->event == event;
}

static void one_runs_and_all_get_its_value(void **state)
{
    struct caller a, b, c, next;
    (void)state;

    assert_int_equal(join(&a, 0), FLIGHT_IS_OWNER);
    assert_int_equal(join(&b, 0), FLIGHT_WAITS);
    assert_int_equal(join(&c, 1), FLIGHT_WAITS);
    turn();
    assert_int_equal(b.events + c.events, 0);
    flight_land(a.seat, SLICE("value"));
    assert_int_equal(b.events, 0); /* only from its own loop */
    turn();
    assert_true(is_told(&b, FLIGHT_LANDED) && is_told(&c, FLIGHT_LANDED));
    assert_string_equal(b.value, "value");
    assert_string_equal(c.value, "value");
    assert_int_equal(join(&next, 0), FLIGHT_IS_OWNER);
    flight_land(next.seat, SLICE(""));
}

static void keys_do_not_wait_for_each_other(void **state)
{
    struct caller a = {0}, b = {0};
    (void)state;

    assert_int_equal(
        flight_join(flights, SLICE("a"), LEASE_MS, 1, mailboxes[0], on_event, &a, &a.seat),
        FLIGHT_IS_OWNER);
    assert_int_equal(
        flight_join(flights, SLICE("b"), LEASE_MS, 1, mailboxes[0], on_event, &b, &b.seat),
        FLIGHT_IS_OWNER);
    flight_drop(a.seat);
    flight_drop(b.seat);
}

static void when_the_owner_fails_the_first_waiter_takes_over(void **state)
{
    struct caller a, b, c;
    (void)state;

    join(&a, 0);
    join(&b, 1);
    join(&c, 0);
    flight_drop(a.seat);
    turn();
    assert_true(is_told(&b, FLIGHT_OWNER));
    assert_int_equal(c.events, 0);
    flight_land(b.seat, SLICE("second"));
    turn();
    assert_true(is_told(&c, FLIGHT_LANDED));
    assert_string_equal(c.value, "second");
}

static void a_lease_ends_and_the_late_owner_counts_for_nothing(void **state)
{
    struct caller a, b, c;
    (void)state;

    join(&a, 0);
    join(&b, 1);
    join(&c, 1);
    flights_sweep(flights);
    turn();
    assert_int_equal(b.events, 0);
    clock_advance_ms(LEASE_MS);
    flights_sweep(flights);
    turn();
    assert_true(is_told(&b, FLIGHT_OWNER));
    flight_land(a.seat, SLICE("late"));
    turn();
    assert_int_equal(c.events, 0);
    clock_advance_ms(LEASE_MS / 2); /* the new owner has a lease of its own */
    flights_sweep(flights);
    turn();
    assert_int_equal(c.events, 0);
    flight_land(b.seat, SLICE("in time"));
    turn();
    assert_string_equal(c.value, "in time");
}

static void a_lease_that_ended_unseen_is_seen_by_who_joins(void **state)
{
    struct caller a, b;
    (void)state;

    join(&a, 0);
    clock_advance_ms(LEASE_MS);
    assert_int_equal(join(&b, 0), FLIGHT_IS_OWNER);
    flight_drop(a.seat);
    flight_land(b.seat, SLICE(""));
}

static void a_waiter_may_leave(void **state)
{
    struct caller a, b, c;
    (void)state;

    join(&a, 0);
    join(&b, 0);
    join(&c, 0);
    flight_leave(b.seat);
    flight_drop(a.seat);
    turn();
    assert_int_equal(b.events, 0);
    assert_true(is_told(&c, FLIGHT_OWNER));
    flight_leave(c.seat); /* an owner's leave is a drop */
    assert_int_equal(join(&a, 0), FLIGHT_IS_OWNER);
    flight_drop(a.seat);
}

static void who_leaves_while_the_value_is_on_its_way_is_not_called(void **state)
{
    struct caller a, b;
    (void)state;

    join(&a, 0);
    join(&b, 1);
    flight_land(a.seat, SLICE("value"));
    flight_leave(b.seat);
    turn();
    assert_int_equal(b.events, 0);
}

static void who_leaves_while_it_becomes_the_owner_passes_it_on(void **state)
{
    struct caller a, b, c;
    (void)state;

    join(&a, 0);
    join(&b, 1);
    join(&c, 0);
    flight_drop(a.seat);
    flight_leave(b.seat);
    turn();
    assert_int_equal(b.events, 0);
    assert_true(is_told(&c, FLIGHT_OWNER));
    flight_drop(c.seat);
}

static void only_so_many_wait(void **state)
{
    struct caller a, b, c;
    (void)state;

    join_bounded(&a, 0, 1);
    assert_int_equal(join_bounded(&b, 0, 1), FLIGHT_WAITS);
    assert_int_equal(join_bounded(&c, 0, 1), ERR_FULL);
    flight_leave(b.seat);
    assert_int_equal(join_bounded(&c, 0, 1), FLIGHT_WAITS);
    flight_leave(c.seat);
    flight_drop(a.seat);
}

enum { THREADS = 4, CALLERS = 8, RUNS = 3000 };

static atomic_int inside;

struct runner {
    struct caller caller;
    enum { RESTS, WAITS, RUNS_IT } state;
    int done;
};

static void runner_event(void *arg, enum flight_event event, struct slice value)
{
    struct runner *r = arg;
    (void)value;

    if (event == FLIGHT_OWNER) {
        if (atomic_fetch_add(&inside, 1) != 0)
            abort();
        r->state = RUNS_IT;
    } else {
        r->state = RESTS;
        r->done++;
    }
}

static void runner_step(struct runner *r, struct mailbox *mailbox)
{
    if (r->state == RESTS && r->done < RUNS) {
        int rc =
            flight_join(flights, KEY, LEASE_MS, 1000, mailbox, runner_event, r, &r->caller.seat);
        r->state = rc == FLIGHT_IS_OWNER ? RUNS_IT : WAITS;
        if (rc == FLIGHT_IS_OWNER && atomic_fetch_add(&inside, 1) != 0)
            abort();
    } else if (r->state == RUNS_IT) {
        atomic_fetch_sub(&inside, 1);
        if (rand_below(4) == 0)
            flight_drop(r->caller.seat);
        else
            flight_land(r->caller.seat, SLICE("value"));
        r->state = RESTS;
        r->done++;
    } else if (r->state == WAITS && rand_below(50) == 0) {
        flight_leave(r->caller.seat);
        r->state = RESTS;
    }
}

struct worker {
    struct loop *loop;
    struct mailbox *mailbox;
};

static void *run(void *arg)
{
    struct runner runners[CALLERS] = {0};
    struct worker *w = arg;
    bool all = false;

    while (!all) {
        all = true;
        for (int i = 0; i < CALLERS; i++) {
            runner_step(&runners[i], w->mailbox);
            all &= runners[i].done >= RUNS && runners[i].state == RESTS;
        }
        loop_turn(w->loop, 0);
    }
    return NULL;
}

static void with_many_workers_one_at_a_time_runs_and_nobody_is_forgotten(void **state)
{
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    (void)state;

    for (int i = 0; i < THREADS; i++) {
        workers[i].loop = loop_new();
        workers[i].mailbox = mailbox_new(workers[i].loop, NULL);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, &workers[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        mailbox_free(workers[i].mailbox);
        loop_free(workers[i].loop);
    }
    assert_int_equal(inside, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_runs_and_all_get_its_value),
        T(keys_do_not_wait_for_each_other),
        T(when_the_owner_fails_the_first_waiter_takes_over),
        T(a_lease_ends_and_the_late_owner_counts_for_nothing),
        T(a_lease_that_ended_unseen_is_seen_by_who_joins),
        T(a_waiter_may_leave),
        T(who_leaves_while_the_value_is_on_its_way_is_not_called),
        T(who_leaves_while_it_becomes_the_owner_passes_it_on),
        T(only_so_many_wait),
        T(with_many_workers_one_at_a_time_runs_and_nobody_is_forgotten),
    };
    return cmocka_run_group_tests_name("side/flight", tests, NULL, NULL);
}
