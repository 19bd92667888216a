/* SPDX-License-Identifier: Apache-2.0 */

/* Several workers live on the one thread of the test, each with its own loop, mailbox and pool;
 * turn_all lets them run until nothing moves any more. The last test has real threads. */

#include "gate/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/rand.h"
#include "fakes/fake_outbound.h"
#include "fakes/pool_world.h"
#include "support/test.h"

static void an_idle_connection_is_used_again(void **state)
{
    struct wish a, b;
    (void)state;

    assert_int_equal(ask(&a, 0, 0), ERR_AGAIN);
    turn_all();
    assert_true(a.got);
    fake_outbound_carry(a.o);
    assert_int_equal(pool_idle_count(workers[0].pool), 1);
    assert_int_equal(ask(&b, 0, 0), 0);
    assert_ptr_equal(b.o, a.o);
    assert_int_equal(targets[0]->opened, 1);
    assert_int_equal(targets[0]->connections, 1);
    assert_int_equal(up.live->connections, 1);
    fake_outbound_carry(b.o);
}

static void the_latest_used_comes_first(void **state)
{
    struct wish a, b, c;
    (void)state;

    get(&a, 0, 0);
    get(&b, 0, 0);
    fake_outbound_carry(b.o);
    fake_outbound_carry(a.o);
    get(&c, 0, 0);
    assert_ptr_equal(c.o, a.o);
    fake_outbound_carry(c.o);
}

static void a_fresh_one_is_not_a_reused_one(void **state)
{
    struct wish a, b;
    (void)state;

    get(&a, 0, 0);
    fake_outbound_carry(a.o);
    prepare(&b, 0, 0);
    b.claim.wants_fresh = true;
    assert_int_equal(ask_prepared(&b), ERR_AGAIN);
    turn_all();
    assert_ptr_not_equal(b.o, a.o);
    assert_int_equal(fake_outbound_made(), 2);
    fake_outbound_carry(b.o);
}

static void a_fresh_one_does_not_come_from_the_shelf(void **state)
{
    struct wish a, b, c;
    (void)state;

    up.keepalive.max_idle = 4;
    get(&a, 0, 0);
    get(&b, 0, 0);
    fake_outbound_carry(a.o);
    fake_outbound_carry(b.o);
    turn_all();
    prepare(&c, 1, 0);
    c.claim.wants_fresh = true;
    assert_int_equal(ask_prepared(&c), ERR_AGAIN);
    turn_all();
    assert_int_equal(c.o->requests, 0);
    fake_outbound_carry(c.o);
}

static void a_fresh_one_at_the_limit_takes_the_place_of_an_idle_one(void **state)
{
    struct wish a, b;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    fake_outbound_carry(a.o);
    prepare(&b, 0, 0);
    b.claim.wants_fresh = true;
    assert_int_equal(ask_prepared(&b), ERR_AGAIN);
    turn_all();
    assert_true(b.got && b.err == 0);
    assert_int_equal(fake_outbound_made(), 2);
    assert_int_equal(fake_outbound_most(), 1);
    fake_outbound_carry(b.o);
}

static void one_that_closes_while_idle_is_forgotten_at_once(void **state)
{
    struct wish a, b;
    (void)state;

    get(&a, 0, 0);
    fake_outbound_carry(a.o);
    fake_outbound_peer_closes(a.o);
    assert_int_equal(pool_idle_count(workers[0].pool), 0);
    assert_int_equal(up.live->connections, 0);
    assert_int_equal(targets[0]->connections, 0);
    assert_int_equal(ask(&b, 0, 0), ERR_AGAIN);
    turn_all();
    fake_outbound_carry(b.o);
}

static void a_worn_connection_is_not_kept(void **state)
{
    struct wish w;
    (void)state;

    up.keepalive.max_requests = 3;
    for (int i = 0; i < 6; i++) {
        get(&w, 0, 0);
        fake_outbound_carry(w.o);
        turn_all();
    }
    assert_int_equal(fake_outbound_made(), 2);
    assert_int_equal(fake_outbound_open(), 0);
}

static void idle_ones_end_by_timeout(void **state)
{
    struct wish a, b;
    (void)state;

    up.keepalive.idle_timeout_ms = 1000;
    get(&a, 0, 0);
    get(&b, 0, 0);
    fake_outbound_carry(a.o);
    pass_time(900);
    fake_outbound_carry(b.o);
    assert_int_equal(fake_outbound_open(), 2);
    pass_time(400);
    assert_int_equal(fake_outbound_open(), 1);
    pass_time(1000);
    assert_int_equal(fake_outbound_open(), 0);
    assert_int_equal(up.live->connections, 0);
}

static void those_on_the_shelf_end_by_timeout_too(void **state)
{
    struct wish w[4];
    (void)state;

    up.keepalive.idle_timeout_ms = 1000;
    up.keepalive.max_idle = 4; /* one per worker */
    for (int i = 0; i < 4; i++)
        get(&w[i], 0, 0);
    for (int i = 0; i < 4; i++)
        fake_outbound_carry(w[i].o);
    turn_all();
    assert_int_equal(up.live->shelved, 3);
    pass_time(1500);
    assert_int_equal(fake_outbound_open(), 0);
    assert_int_equal(up.live->connections, 0);
}

static void the_shelf_is_not_forgotten_by_its_last_worker(void **state)
{
    struct wish a, b;
    (void)state;

    up.keepalive.idle_timeout_ms = 2000;
    up.keepalive.max_idle = 4;
    get(&a, 0, 0);
    get(&b, 0, 0);
    fake_outbound_carry(a.o);
    fake_outbound_carry(b.o);
    turn_all();
    fake_outbound_peer_closes(b.o); /* the one on the worker's own list */
    pass_time(1000);
    assert_int_equal(up.live->shelved, 1);
    pass_time(1600);
    assert_int_equal(fake_outbound_open(), 0);
}

static void what_one_worker_has_too_many_of_another_takes(void **state)
{
    struct wish a, b, c;
    (void)state;

    up.keepalive.max_idle = 4;
    get(&a, 0, 0);
    get(&b, 0, 0);
    fake_outbound_carry(a.o);
    fake_outbound_carry(b.o);
    turn_all();
    assert_int_equal(pool_idle_count(workers[0].pool), 1);
    assert_int_equal(ask(&c, 1, 0), 0); /* at once */
    assert_int_equal(fake_outbound_made(), 2);
    fake_outbound_carry(c.o);
    assert_int_equal(pool_idle_count(workers[1].pool), 1);
}

static void a_dead_one_on_the_shelf_is_replaced(void **state)
{
    struct wish a, b, c;
    (void)state;

    up.keepalive.max_idle = 4;
    get(&a, 0, 0);
    get(&b, 0, 0);
    fake_outbound_carry(a.o);
    fake_outbound_carry(b.o);
    turn_all();
    fake_outbound_peer_closes(a.o); /* the one on the shelf: the longest idle */
    get(&c, 1, 0);
    assert_int_equal(fake_outbound_made(), 3);
    assert_int_equal(up.live->connections, 2);
    fake_outbound_carry(c.o);
}

static void no_more_than_max_idle_stay_over_all_workers(void **state)
{
    struct wish w[4][4];
    (void)state;

    up.keepalive.max_idle = 6;
    for (int i = 0; i < 16; i++)
        get(&w[i / 4][i % 4], i / 4, 0);
    for (int i = 0; i < 16; i++)
        fake_outbound_carry(w[i / 4][i % 4].o);
    turn_all();
    assert_int_equal(fake_outbound_open(), 6);
    assert_int_equal(up.live->connections, 6);
}

static void fewer_than_workers_may_stay_too(void **state)
{
    struct wish w[4];
    (void)state;

    up.keepalive.max_idle = 2;
    for (int i = 0; i < 4; i++)
        get(&w[i], i, 0);
    for (int i = 0; i < 4; i++)
        fake_outbound_carry(w[i].o);
    turn_all();
    assert_int_equal(fake_outbound_open(), 2);
}

static void keepalive_may_be_off(void **state)
{
    struct wish w;
    (void)state;

    up.keepalive.max_idle = 0;
    get(&w, 0, 0);
    fake_outbound_carry(w.o);
    turn_all();
    assert_int_equal(fake_outbound_open(), 0);
}

static void a_connection_that_gets_idle_goes_to_who_waits_longest(void **state)
{
    struct wish a, b, c;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    assert_int_equal(ask(&b, 1, 0), ERR_AGAIN);
    assert_int_equal(ask(&c, 2, 0), ERR_AGAIN);
    turn_all();
    assert_false(b.got || c.got);
    fake_outbound_carry(a.o);
    turn_all();
    assert_true(b.got && !c.got);
    assert_ptr_equal(b.o, a.o);
    fake_outbound_carry(b.o);
    turn_all();
    assert_true(c.got);
    assert_int_equal(fake_outbound_made(), 1);
    fake_outbound_carry(c.o);
}

static void who_comes_later_does_not_overtake(void **state)
{
    struct wish a, b, c;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    ask(&b, 1, 0);
    fake_outbound_carry(a.o); /* lies on worker 0's list until its turn ends */
    assert_int_equal(ask(&c, 0, 0), ERR_AGAIN);
    turn_all();
    assert_true(b.got && !c.got);
    fake_outbound_carry(b.o);
    turn_all();
    assert_true(c.got);
    fake_outbound_carry(c.o);
}

static void a_connection_that_lies_idle_elsewhere_is_fetched(void **state)
{
    struct wish a, b;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    fake_outbound_carry(a.o);
    turn_all();
    assert_int_equal(ask(&b, 1, 0), ERR_AGAIN);
    turn_all();
    assert_true(b.got);
    assert_ptr_equal(b.o, a.o);
    fake_outbound_carry(b.o);
}

static void one_to_another_target_gives_its_slot(void **state)
{
    struct wish a, b;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    fake_outbound_carry(a.o);
    turn_all();
    assert_int_equal(ask(&b, 1, 1), ERR_AGAIN);
    turn_all();
    assert_true(b.got && b.err == 0);
    assert_int_equal(targets[0]->connections, 0);
    assert_int_equal(targets[1]->connections, 1);
    assert_int_equal(fake_outbound_most(), 1);
    fake_outbound_carry(b.o);
}

static void one_on_another_targets_shelf_gives_its_slot(void **state)
{
    struct wish a, b, c[2];
    (void)state;

    up.max_connections = 2;
    up.keepalive.max_idle = 4;
    get(&a, 0, 0);
    get(&b, 0, 0);
    fake_outbound_carry(a.o);
    fake_outbound_carry(b.o);
    turn_all();
    assert_int_equal(up.live->shelved, 1);
    ask(&c[0], 1, 1);
    ask(&c[1], 1, 1);
    turn_all();
    assert_true(c[0].got && c[1].got);
    assert_int_equal(fake_outbound_most(), 2);
    fake_outbound_carry(c[0].o);
    fake_outbound_carry(c[1].o);
}

static void a_busy_target_does_not_starve_another(void **state)
{
    struct wish w[30], rare;
    bool got = false;
    (void)state;

    up.max_connections = 1;
    get(&w[0], 0, 0);
    ask(&rare, 1, 1);
    for (int i = 1; i < 30 && !got; i++) {
        ask(&w[i], 0, 0);
        fake_outbound_carry(w[i - 1].o);
        turn_all();
        got = rare.got;
        if (got) {
            fake_outbound_carry(rare.o);
            turn_all();
            fake_outbound_carry(w[i].o);
        }
    }
    assert_true(got);
}

static void when_the_peer_closes_the_slot_wakes_who_waits(void **state)
{
    struct wish a, b;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    ask(&b, 1, 0);
    fake_outbound_peer_closes(a.o);
    turn_all();
    assert_true(b.got && b.err == 0);
    assert_int_equal(fake_outbound_made(), 2);
    fake_outbound_carry(b.o);
}

static void beyond_max_pending_nobody_waits(void **state)
{
    struct wish a, b, c;
    (void)state;

    up.max_connections = 1;
    up.max_pending = 1;
    get(&a, 0, 0);
    assert_int_equal(ask(&b, 1, 0), ERR_AGAIN);
    assert_int_equal(ask(&c, 2, 0), ERR_OVERLOAD);
    pool_cancel(&b.claim);
    assert_int_equal(ask(&c, 2, 0), ERR_AGAIN); /* there is room again */
    fake_outbound_carry(a.o);
    turn_all();
    assert_true(c.got && !b.got);
    fake_outbound_carry(c.o);
}

static void waiting_has_an_end(void **state)
{
    struct wish a, b;
    (void)state;

    up.max_connections = 1;
    up.timeout_ms = 500;
    get(&a, 0, 0);
    ask(&b, 1, 0);
    pass_time(501);
    assert_int_equal(b.err, ERR_OVERLOAD);
    assert_int_equal(up.live->pending, 0);
    fake_outbound_carry(a.o);
}

static void a_grant_for_a_cancelled_claim_goes_to_the_next(void **state)
{
    struct wish a, b, c;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    ask(&b, 1, 0);
    ask(&c, 2, 0);
    fake_outbound_carry(a.o);
    loop_turn(workers[0].loop, 0); /* the grant is in worker 1's mailbox */
    pool_cancel(&b.claim);
    turn_all();
    assert_true(c.got && !b.got);
    fake_outbound_carry(c.o);
}

static void so_does_a_slot_for_a_cancelled_claim(void **state)
{
    struct wish a, b, c;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    ask(&b, 1, 0);
    ask(&c, 2, 0);
    fake_outbound_peer_closes(a.o);
    pool_cancel(&b.claim);
    turn_all();
    assert_true(c.got && !b.got);
    fake_outbound_carry(c.o);
}

static void a_granted_connection_that_died_on_the_way_leaves_its_slot(void **state)
{
    struct wish a, b;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    ask(&b, 1, 0);
    fake_outbound_carry(a.o);
    loop_turn(workers[0].loop, 0);
    fake_outbound_peer_closes(a.o);
    turn_all();
    assert_true(b.got && b.err == 0);
    assert_int_equal(fake_outbound_made(), 2);
    fake_outbound_carry(b.o);
}

static void a_cancelled_opening_frees_its_slot(void **state)
{
    struct wish a;
    (void)state;

    assert_int_equal(ask(&a, 0, 0), ERR_AGAIN);
    pool_cancel(&a.claim);
    assert_int_equal(up.live->connections, 0);
    assert_int_equal(fake_outbound_open(), 0);
    pool_cancel(&a.claim); /* at rest: harmless */
    turn_all();
    assert_false(a.got);
}

static void a_refused_connection_frees_its_slot(void **state)
{
    struct wish a, b;
    (void)state;

    up.max_connections = 1;
    fake_outbound_port(8000, FAKE_REFUSES);
    ask(&a, 0, 0);
    ask(&b, 1, 1);
    turn_all();
    assert_int_equal(a.err, ERR_REFUSED);
    assert_int_equal(targets[0]->opened, 0);
    assert_true(b.got && b.err == 0);
    fake_outbound_carry(b.o);
}

static void a_silent_target_times_out(void **state)
{
    struct wish a;
    (void)state;

    fake_outbound_port(8000, FAKE_SILENT);
    ask(&a, 0, 0);
    pass_time(1001);
    assert_int_equal(a.err, ERR_TIMEOUT);
    assert_int_equal(up.live->connections, 0);
}

static void a_names_addresses_are_used_in_turn(void **state)
{
    struct wish w[4];
    (void)state;

    for (int i = 0; i < 4; i++)
        get(&w[i], 0, NAMED);
    assert_string_equal(fake_outbound_tried(),
                        "10.9.0.1:8080 10.9.0.2:8080 10.9.0.3:8080 10.9.0.1:8080");
    for (int i = 0; i < 4; i++)
        fake_outbound_carry(w[i].o);
}

static void when_one_address_fails_the_next_is_tried(void **state)
{
    struct wish w;
    (void)state;

    fake_outbound_port(8080, FAKE_REFUSES);
    ask(&w, 0, NAMED);
    turn_all();
    assert_int_equal(w.err, ERR_REFUSED);
    assert_string_equal(fake_outbound_tried(), "10.9.0.1:8080 10.9.0.2:8080 10.9.0.3:8080");
}

static void a_silent_address_leaves_time_for_the_others(void **state)
{
    struct wish w;
    (void)state;

    fake_outbound_port(8080, FAKE_SILENT);
    ask(&w, 0, NAMED);
    pass_time(400);
    fake_outbound_port(8080, FAKE_ACCEPTS);
    pass_time(400);
    assert_true(w.got && w.err == 0);
    fake_outbound_carry(w.o);
}

static void a_name_that_does_not_resolve_is_said(void **state)
{
    struct wish w;
    (void)state;

    names.err = ERR_DNS;
    assert_int_equal(ask(&w, 0, NAMED), ERR_AGAIN);
    turn_all();
    assert_int_equal(w.err, ERR_DNS);
    assert_int_equal(up.live->connections, 0);
}

static void the_deadline_covers_the_name(void **state)
{
    struct wish w, cancelled;
    (void)state;

    names.is_silent = true;
    ask(&w, 0, NAMED);
    ask(&cancelled, 0, NAMED);
    pool_cancel(&cancelled.claim);
    pass_time(1001);
    assert_int_equal(w.err, ERR_TIMEOUT);
    assert_int_equal(names.cancelled, 2);
    assert_int_equal(up.live->connections, 0);
}

static void draining_closes_what_is_idle_and_what_becomes_so(void **state)
{
    struct endpoint_live *live = endpoint_live_ref(up.live, targets[0]);
    struct wish a, b, other;
    (void)state;

    up.keepalive.max_idle = 4; /* one for each worker; the second lies on the shelf */
    get(&a, 0, 0);
    get(&b, 0, 0);
    get(&other, 0, 1);
    fake_outbound_carry(a.o);
    fake_outbound_carry(other.o);
    pass_time(2000);
    assert_int_equal(fake_outbound_open(), 3);
    atomic_store(&live->drained, true);
    pass_time(1100);
    assert_int_equal(fake_outbound_open(), 2);
    fake_outbound_carry(b.o);
    pass_time(1100);
    assert_int_equal(fake_outbound_open(), 1); /* the other endpoint's */
    endpoint_live_unref(live);
}

static struct wish late[2];

static void ask_late(void)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(ask(&late[i], 1 + i, 0), ERR_AGAIN);
}

static void who_looks_at_the_shelf_just_before_it_is_filled_is_seen(void **state)
{
    struct wish a, b;
    (void)state;

    up.max_connections = 2;
    up.keepalive.max_idle = 4;
    get(&a, 0, 0);
    get(&b, 0, 0);
    fake_outbound_carry(a.o);
    fake_outbound_carry(b.o);
    fake_outbound_at_detach(ask_late); /* one is on its way to the shelf */
    turn_all();
    for (int i = 0; i < 2; i++) {
        assert_true(late[i].got && late[i].err == 0);
        fake_outbound_carry(late[i].o);
    }
    assert_int_equal(fake_outbound_made(), 2);
}

static void a_pool_may_go_while_a_grant_is_on_its_way(void **state)
{
    struct wish a, b, c;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    ask(&b, 1, 0);
    ask(&c, 2, 0);
    fake_outbound_carry(a.o);
    loop_turn(workers[0].loop, 0);
    pool_cancel(&b.claim);
    world_stop_worker(1);
    turn_all();
    assert_true(c.got && c.err == 0);
    fake_outbound_carry(c.o);
}

static void a_pool_may_go_while_it_is_asked_for_idle_ones(void **state)
{
    struct wish a, b;
    (void)state;

    up.max_connections = 1;
    get(&a, 0, 0);
    fake_outbound_carry(a.o);
    turn_all();
    ask(&b, 1, 0);
    world_stop_worker(0);
    turn_all();
    assert_true(b.got && b.err == 0);
    fake_outbound_carry(b.o);
}

/* 4 workers, 24 clients that come to any of them: no connection is made once there are enough. */
static void workers_together_reuse_nearly_always(void **state)
{
    enum { CLIENTS = 24, ROUNDS = 20000 };
    static struct wish w[CLIENTS];
    bool has[CLIENTS] = {false};
    int made_warming = 0;
    (void)state;

    up.keepalive.max_idle = 32;
    for (int i = 0; i < ROUNDS; i++) {
        if (i == ROUNDS / 4)
            made_warming = fake_outbound_made();
        uint32_t client = rand_below(CLIENTS);
        if (has[client])
            fake_outbound_carry(w[client].o);
        else
            get(&w[client], (int)rand_below(WORKERS), 0);
        has[client] = !has[client];
        if (i % 8 == 0)
            turn_all();
    }
    for (int i = 0; i < CLIENTS; i++)
        if (has[i])
            fake_outbound_carry(w[i].o);
    assert_true(made_warming <= WORKERS * CLIENTS);
    assert_true(fake_outbound_made() - made_warming <= ROUNDS / 2 / 1000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_idle_connection_is_used_again),
        T(the_latest_used_comes_first),
        T(a_fresh_one_is_not_a_reused_one),
        T(a_fresh_one_does_not_come_from_the_shelf),
        T(a_fresh_one_at_the_limit_takes_the_place_of_an_idle_one),
        T(one_that_closes_while_idle_is_forgotten_at_once),
        T(a_worn_connection_is_not_kept),
        T(idle_ones_end_by_timeout),
        T(those_on_the_shelf_end_by_timeout_too),
        T(the_shelf_is_not_forgotten_by_its_last_worker),
        T(what_one_worker_has_too_many_of_another_takes),
        T(a_dead_one_on_the_shelf_is_replaced),
        T(no_more_than_max_idle_stay_over_all_workers),
        T(fewer_than_workers_may_stay_too),
        T(keepalive_may_be_off),
        T(a_connection_that_gets_idle_goes_to_who_waits_longest),
        T(who_comes_later_does_not_overtake),
        T(a_connection_that_lies_idle_elsewhere_is_fetched),
        T(one_to_another_target_gives_its_slot),
        T(one_on_another_targets_shelf_gives_its_slot),
        T(a_busy_target_does_not_starve_another),
        T(when_the_peer_closes_the_slot_wakes_who_waits),
        T(beyond_max_pending_nobody_waits),
        T(waiting_has_an_end),
        T(a_grant_for_a_cancelled_claim_goes_to_the_next),
        T(so_does_a_slot_for_a_cancelled_claim),
        T(a_granted_connection_that_died_on_the_way_leaves_its_slot),
        T(a_cancelled_opening_frees_its_slot),
        T(a_refused_connection_frees_its_slot),
        T(a_silent_target_times_out),
        T(a_names_addresses_are_used_in_turn),
        T(when_one_address_fails_the_next_is_tried),
        T(a_silent_address_leaves_time_for_the_others),
        T(a_name_that_does_not_resolve_is_said),
        T(the_deadline_covers_the_name),
        T(draining_closes_what_is_idle_and_what_becomes_so),
        T(who_looks_at_the_shelf_just_before_it_is_filled_is_seen),
        T(a_pool_may_go_while_a_grant_is_on_its_way),
        T(a_pool_may_go_while_it_is_asked_for_idle_ones),
        T(workers_together_reuse_nearly_always),
    };
    return cmocka_run_group_tests_name("gate/pool", tests, NULL, NULL);
}
