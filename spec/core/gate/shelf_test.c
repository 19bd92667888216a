/* SPDX-License-Identifier: Apache-2.0 */

#include "gate/shelf.h"

#include "base/clock.h"
#include "base/hash.h"
#include "fakes/fake_outbound.h"
#include "gate/slot_queue.h"
#include "gate/upstream.h"
#include "net/loop.h"
#include "support/test.h"

static struct wire_env env;
static struct target *target;
static struct upstream_live *live, *other;
static struct outbound *opened;

static void on_connected(void *owner, struct outbound *o, int err)
{
    assert_int_equal(err, 0);
    opened = o;
    o->target = target;
    (void)owner;
}

static void on_closed(void *owner, struct outbound *o)
{
    (void)owner;
    (void)o;
}

static const struct outbound_events events = {.on_connected = on_connected, .on_closed = on_closed};

/* A connection of l's, with its slot. */
static struct outbound *open_one(struct upstream_live *l)
{
    assert_true(slot_take(l, 100));
    opened = NULL;
    outbound_connect(&env, &(struct outbound_to){.addr = &target->addr, .timeout_ms = 1000},
                     &events, NULL);
    while (!opened)
        loop_turn(env.loop, 20);
    atomic_fetch_add(&target->connections, 1);
    opened->idle_since_ms = clock_ms();
    return opened;
}

static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    fake_outbound_reset();
    env = (struct wire_env){.loop = loop_new()};
    target = target_ref(SLICE("http1"), SLICE("10.0.0.1"), 80);
    live = upstream_live_ref(SLICE("orders"));
    other = upstream_live_ref(SLICE("other"));
    return 0;
}

/* However a test leaves its connections: the target's end closes them and gives all slots back. */
static int tear_down(void **state)
{
    (void)state;
    target_unref(target);
    assert_int_equal(fake_outbound_open(), 0);
    assert_int_equal(live->connections, 0);
    assert_int_equal(live->shelved, 0);
    upstream_live_unref(live);
    upstream_live_unref(other);
    loop_free(env.loop);
    return 0;
}

static void close_taken(struct outbound *o, struct upstream_live *l)
{
    outbound_close(o);
    atomic_fetch_sub(&target->connections, 1);
    slot_release(l);
}

static void the_latest_given_is_taken_first(void **state)
{
    struct outbound *a = open_one(live), *b = open_one(live);
    (void)state;

    assert_true(shelf_give(target->shelf, a, live, 10));
    assert_true(shelf_give(target->shelf, b, live, 10));
    assert_int_equal(shelf_count(target->shelf, live), 2);
    assert_ptr_equal(shelf_take(target->shelf, live), b);
    assert_ptr_equal(shelf_take(target->shelf, live), a);
    assert_null(shelf_take(target->shelf, live));
    close_taken(a, live);
    close_taken(b, live);
}

static void upstreams_do_not_take_each_others(void **state)
{
    struct outbound *a = open_one(live);
    (void)state;

    assert_true(shelf_give(target->shelf, a, live, 10));
    assert_null(shelf_take(target->shelf, other));
    assert_int_equal(shelf_count(target->shelf, other), 0);
    assert_ptr_equal(shelf_take(target->shelf, live), a);
    close_taken(a, live);
}

static void a_full_shelf_closes_what_comes(void **state)
{
    struct outbound *a = open_one(live), *b = open_one(live);
    (void)state;

    assert_true(shelf_give(target->shelf, a, live, 1));
    assert_false(shelf_give(target->shelf, b, live, 1));
    assert_int_equal(fake_outbound_open(), 1);
    assert_int_equal(live->connections, 2); /* the slot is the giver's to release */
    slot_release(live);
    atomic_fetch_sub(&target->connections, 1);
}

static void a_connection_that_died_on_the_shelf_is_not_handed_on(void **state)
{
    struct outbound *a = open_one(live);
    (void)state;

    assert_true(shelf_give(target->shelf, a, live, 10));
    fake_outbound_peer_closes(a);
    struct outbound *taken = shelf_take(target->shelf, live);
    assert_ptr_equal(taken, a);
    assert_false(outbound_attach(taken, &env));
    assert_int_equal(fake_outbound_open(), 0);
    slot_release(live);
    atomic_fetch_sub(&target->connections, 1);
}

static void old_ones_are_swept_and_their_slots_freed(void **state)
{
    struct outbound *a = open_one(live);
    (void)state;

    assert_true(shelf_give(target->shelf, a, live, 10));
    clock_advance_ms(600);
    assert_true(shelf_give(target->shelf, open_one(live), live, 10));
    assert_true(shelf_give(target->shelf, open_one(other), other, 10));
    clock_advance_ms(600);
    assert_int_equal(shelf_sweep(target->shelf, live, 1000), 1);
    assert_int_equal(live->connections, 1);
    assert_int_equal(target->connections, 2);
    clock_advance_ms(600);
    assert_int_equal(shelf_sweep(target->shelf, live, 1000), 1);
    assert_int_equal(shelf_count(target->shelf, other), 1); /* has its own time */
}

static void it_outlives_the_upstream_that_filled_it(void **state)
{
    struct upstream_live *gone = upstream_live_ref(SLICE("gone"));
    (void)state;

    assert_true(shelf_give(target->shelf, open_one(gone), gone, 10));
    upstream_live_unref(gone);
    assert_int_equal(shelf_sweep(target->shelf, NULL, 0), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_latest_given_is_taken_first),
        T(upstreams_do_not_take_each_others),
        T(a_full_shelf_closes_what_comes),
        T(a_connection_that_died_on_the_shelf_is_not_handed_on),
        T(old_ones_are_swept_and_their_slots_freed),
        T(it_outlives_the_upstream_that_filled_it),
    };
    return cmocka_run_group_tests_name("gate/shelf", tests, NULL, NULL);
}
