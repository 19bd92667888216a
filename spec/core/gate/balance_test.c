/* SPDX-License-Identifier: Apache-2.0 */

#include "gate/balancer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "gate/health.h"
#include "gate/latency.h"
#include "support/test.h"

enum { MAX = 16 };

static struct upstream up;
static struct endpoint endpoints[MAX];
static struct upstream_live *live;
static struct balancer *balancer;
static struct arena *arena;

/* An upstream of n endpoints with these weights (NULL: all 1). */
static void make(enum balance balance, int n, const int *weights, uint32_t seed)
{
    for (int i = 0; i < n; i++) {
        char *host = NULL;
        assert_true(asprintf(&host, "10.0.0.%d", i + 1) > 0);
        endpoints[i].target = target_ref(SLICE("http1"), slice_from(host), 80);
        endpoints[i].address = endpoints[i].target->host;
        endpoints[i].weight = weights ? weights[i] : 1;
        endpoints[i].live = endpoint_live_ref(live, endpoints[i].target);
        free(host);
    }
    up = (struct upstream){.endpoints = endpoints, .nendpoints = (uint32_t)n, .balance = balance};
    balancer = balancer_new(arena, &up, seed);
}

static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    log_configure(LOG_OFF, LOG_TEXT);
    arena = arena_new_heap(4096);
    live = upstream_live_ref(SLICE("orders"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < up.nendpoints; i++) {
        endpoint_live_unref(endpoints[i].live);
        target_unref(endpoints[i].target);
    }
    up.nendpoints = 0;
    upstream_live_unref(live);
    arena_free(arena);
    return 0;
}

static int pick_avoiding(uint64_t hash, const struct endpoint *const *tried, size_t ntried)
{
    const struct endpoint *e;

    if (upstream_pick(&up, balancer, hash, tried, ntried, &e) < 0)
        return -1;
    return (int)(e - endpoints);
}

static int pick(void)
{
    return pick_avoiding(0, NULL, 0);
}

static void round_robin_spreads_a_heavy_endpoint_among_the_others(void **state)
{
    const int weights[] = {3, 1, 1};
    const int expected[] = {0, 1, 0, 2, 0, 0, 1, 0, 2, 0};
    (void)state;

    make(BALANCE_ROUND_ROBIN, 3, weights, 0);
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_int_equal(pick(), expected[i]);
}

static void workers_do_not_begin_at_the_same_endpoint(void **state)
{
    bool seen[4] = {false};
    (void)state;

    make(BALANCE_ROUND_ROBIN, 4, NULL, 0);
    for (uint32_t seed = 0; seed < 4; seed++) {
        balancer = balancer_new(arena, &up, seed);
        seen[pick()] = true;
    }
    for (int i = 0; i < 4; i++)
        assert_true(seen[i]);
}

static void an_endpoint_of_weight_0_is_never_chosen(void **state)
{
    const int weights[] = {1, 0, 1};
    const enum balance all[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUEST, BALANCE_HASH,
                                BALANCE_EWMA, BALANCE_RANDOM};
    (void)state;

    make(BALANCE_ROUND_ROBIN, 3, weights, 0);
    for (size_t b = 0; b < COUNT_OF(all); b++) {
        up.balance = all[b];
        balancer = balancer_new(arena, &up, 7);
        for (uint64_t i = 0; i < 100; i++)
            assert_int_not_equal(pick_avoiding(i, NULL, 0), 1);
    }
}

static void endpoints_that_are_drained_or_ejected_are_left_out(void **state)
{
    const enum balance all[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUEST, BALANCE_HASH,
                                BALANCE_EWMA, BALANCE_RANDOM};
    (void)state;

    make(BALANCE_ROUND_ROBIN, 4, NULL, 0);
    atomic_store(&endpoints[1].live->drained, true);
    atomic_store(&endpoints[2].live->ejected_until_ms, clock_ms() + 1000);
    for (size_t b = 0; b < COUNT_OF(all); b++) {
        bool seen[4] = {false};
        up.balance = all[b];
        balancer = balancer_new(arena, &up, 0);
        for (uint64_t i = 0; i < 200; i++)
            seen[pick_avoiding(i * 0x9e3779b97f4a7c15u, NULL, 0)] = true;
        assert_true(seen[0] && seen[3] && !seen[1] && !seen[2]);
    }
    clock_advance_ms(1001); /* an ejection ends by itself */
    bool came_back = false;
    up.balance = BALANCE_ROUND_ROBIN;
    balancer = balancer_new(arena, &up, 0);
    for (int i = 0; i < 4; i++)
        came_back |= pick() == 2;
    assert_true(came_back);
    atomic_store(&endpoints[3].live->is_down, true);
    for (int i = 0; i < 20; i++)
        assert_int_not_equal(pick(), 3);
}

static void with_all_ejected_those_not_drained_are_used(void **state)
{
    (void)state;

    make(BALANCE_ROUND_ROBIN, 3, NULL, 0);
    for (int i = 0; i < 3; i++)
        atomic_store(&endpoints[i].live->ejected_until_ms, clock_ms() + 1000);
    atomic_store(&endpoints[0].live->drained, true);
    for (int i = 0; i < 6; i++)
        assert_true(pick() > 0);
    for (int i = 0; i < 3; i++)
        atomic_store(&endpoints[i].live->drained, true);
    const struct endpoint *e;
    assert_int_equal(upstream_pick(&up, balancer, 0, NULL, 0, &e), ERR_NO_TARGET);
}

static void a_retry_avoids_what_was_tried_while_others_are_left(void **state)
{
    const struct endpoint *tried[3];
    (void)state;

    make(BALANCE_HASH, 3, NULL, 0);
    for (uint64_t key = 0; key < 50; key++) {
        uint64_t hash = key * 0x9e3779b97f4a7c15u;
        int first = pick_avoiding(hash, NULL, 0);
        tried[0] = &endpoints[first];
        int second = pick_avoiding(hash, tried, 1);
        tried[1] = &endpoints[second];
        int third = pick_avoiding(hash, tried, 2);
        tried[2] = &endpoints[third];
        assert_true(first != second && second != third && first != third);
        assert_int_equal(pick_avoiding(hash, tried, 3), first);
    }
    /* rather one that was tried than one that is ejected */
    atomic_store(&endpoints[1].live->ejected_until_ms, clock_ms() + 1000);
    atomic_store(&endpoints[2].live->ejected_until_ms, clock_ms() + 1000);
    tried[0] = &endpoints[0];
    assert_int_equal(pick_avoiding(1, tried, 1), 0);
}

static void least_request_prefers_the_less_loaded_for_its_weight(void **state)
{
    const int weights[] = {2, 1};
    (void)state;

    make(BALANCE_LEAST_REQUEST, 2, weights, 0);
    atomic_store(&endpoints[0].live->active, 3);
    atomic_store(&endpoints[1].live->active, 1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(), 1); /* 1.5 against 1 */
    atomic_store(&endpoints[0].live->active, 1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(), 0); /* 0.5 against 1 */
}

static void least_request_uses_an_idle_upstream_by_weight(void **state)
{
    const int weights[] = {3, 1};
    int n[2] = {0};
    (void)state;

    make(BALANCE_LEAST_REQUEST, 2, weights, 0);
    for (int i = 0; i < 8000; i++)
        n[pick()]++;
    assert_in_range(n[0], 5700, 6300);
}

static void least_request_spreads_what_a_loaded_one_does_not_get(void **state)
{
    int n[3] = {0};
    (void)state;

    make(BALANCE_LEAST_REQUEST, 3, NULL, 0);
    atomic_store(&endpoints[0].live->active, 100);
    for (int i = 0; i < 9000; i++)
        n[pick()]++;
    assert_int_equal(n[0], 0);
    assert_in_range(n[1], 4200, 4800);
}

static void least_request_keeps_many_endpoints_even(void **state)
{
    (void)state;

    make(BALANCE_LEAST_REQUEST, 16, NULL, 0);
    for (int i = 0; i < 16 * 100; i++)
        atomic_fetch_add(&endpoints[pick()].live->active, 1);
    for (int i = 0; i < 16; i++)
        assert_in_range(endpoints[i].live->active, 95, 105);
}

static uint64_t key_hash(int key)
{
    return hash_stable(slice_of((const char *)&key, sizeof(key)), 0);
}

static void random_draws_by_weight(void **state)
{
    const int weights[] = {3, 1};
    int n[2] = {0};
    (void)state;

    make(BALANCE_RANDOM, 2, weights, 0);
    for (int i = 0; i < 8000; i++)
        n[pick()]++;
    assert_in_range(n[0], 5700, 6300); /* 8 standard deviations either way */
}

static void slow_answers(int endpoint, uint64_t ms)
{
    latency_note(&endpoints[endpoint].live->latency, ms * 1000, clock_ms());
}

static void ewma_prefers_who_answers_sooner_for_its_load(void **state)
{
    (void)state;

    make(BALANCE_EWMA, 2, NULL, 0);
    slow_answers(0, 10);
    slow_answers(1, 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(), 0);
    atomic_store(&endpoints[0].live->active, 5);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(), 1); /* 60 against 50 */
    endpoints[0].weight = 2;
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(), 0); /* 30 against 50 */
}

static void ewma_asks_an_unknown_one_once_and_a_slow_one_again_in_the_end(void **state)
{
    (void)state;

    make(BALANCE_EWMA, 2, NULL, 0);
    slow_answers(0, 10);
    assert_int_equal(pick(), 1);
    atomic_store(&endpoints[1].live->active, 1); /* it has not answered yet */
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(), 0);
    atomic_store(&endpoints[1].live->active, 0);
    slow_answers(1, 1000);
    int seconds = 0;
    while (pick() == 0 && ++seconds < 1000) {
        clock_advance_ms(1000);
        slow_answers(0, 10);
    }
    assert_in_range(seconds, 40, 52); /* 10 s * ln(100) = 46 s */
}

static void ewma_spreads_over_many_by_their_speed(void **state)
{
    int n[8] = {0};
    (void)state;

    make(BALANCE_EWMA, 8, NULL, 0);
    for (int i = 0; i < 8; i++)
        slow_answers(i, i < 4 ? 10 : 1000);
    for (int i = 0; i < 8000; i++)
        n[pick()]++;
    for (int i = 0; i < 4; i++) {
        /* A fast one wins against all slow ones: 11/14 of the lots are won by the fast four. */
        assert_in_range(n[i], 1350, 1800);
        assert_in_range(n[i + 4], 300, 560);
    }
}

static void an_error_looks_slow_to_ewma(void **state)
{
    (void)state;

    make(BALANCE_EWMA, 2, NULL, 0);
    upstream_report(&up, &endpoints[0], OUTCOME_ERROR, 50);
    upstream_report(&up, &endpoints[1], OUTCOME_OK, 200000);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(), 1);
}

static void shares_of(enum balance balance, int *first, int total)
{
    up.balance = balance;
    balancer = balancer_new(arena, &up, 0);
    *first = 0;
    for (int i = 0; i < total; i++)
        *first += pick() == 0;
}

/* What comes back begins with a tenth of its weight: 1/11 of the requests of two. */
static void a_slow_start_begins_with_a_tenth_and_ends_with_all(void **state)
{
    int n;
    (void)state;

    make(BALANCE_ROUND_ROBIN, 2, NULL, 0);
    up.slow_start_ms = 30000;
    health_set_drained(&up, &endpoints[0], true);
    health_set_drained(&up, &endpoints[0], false);
    shares_of(BALANCE_ROUND_ROBIN, &n, 1100);
    assert_in_range(n, 98, 102);
    shares_of(BALANCE_RANDOM, &n, 11000);
    assert_in_range(n, 750, 1250); /* 8 standard deviations */
    clock_advance_ms(15000);
    shares_of(BALANCE_ROUND_ROBIN, &n, 1550);
    assert_in_range(n, 545, 555); /* 0.55 of 1.55 */
    clock_advance_ms(15001);
    shares_of(BALANCE_ROUND_ROBIN, &n, 1000);
    assert_int_equal(n, 500);
    assert_true(health_share(&up, &endpoints[0]) == 1);
}

static void a_slow_start_holds_back_by_load_and_latency_too(void **state)
{
    int n;
    (void)state;

    make(BALANCE_LEAST_REQUEST, 2, NULL, 0);
    up.slow_start_ms = 30000;
    health_set_drained(&up, &endpoints[0], true);
    health_set_drained(&up, &endpoints[0], false);
    atomic_store(&endpoints[0].live->active, 1);
    atomic_store(&endpoints[1].live->active, 9);
    shares_of(BALANCE_LEAST_REQUEST, &n, 100);
    assert_int_equal(n, 0); /* 1 for a tenth against 9 */
    slow_answers(0, 10);
    slow_answers(1, 10);
    atomic_store(&endpoints[0].live->active, 0);
    atomic_store(&endpoints[1].live->active, 8);
    shares_of(BALANCE_EWMA, &n, 100);
    assert_int_equal(n, 0);
}

static void a_slow_start_moves_no_key(void **state)
{
    int before[200];
    (void)state;

    make(BALANCE_HASH, 3, NULL, 0);
    for (int key = 0; key < 200; key++)
        before[key] = pick_avoiding(key_hash(key), NULL, 0);
    up.slow_start_ms = 30000;
    health_set_drained(&up, &endpoints[0], true);
    health_set_drained(&up, &endpoints[0], false);
    for (int key = 0; key < 200; key++)
        assert_int_equal(pick_avoiding(key_hash(key), NULL, 0), before[key]);
}

static void a_key_keeps_its_endpoint_in_every_worker(void **state)
{
    (void)state;

    make(BALANCE_HASH, 5, NULL, 1);
    struct balancer *other = balancer_new(arena, &up, 99);
    for (int key = 0; key < 1000; key++) {
        int here = pick_avoiding(key_hash(key), NULL, 0);
        struct balancer *own = balancer;
        balancer = other;
        assert_int_equal(pick_avoiding(key_hash(key), NULL, 0), here);
        balancer = own;
    }
}

/* Takes one endpoint away: of `keys` keys exactly its own move, and those over all others by
 * weight. */
static void check_movement(const int *weights, int n, int leaves)
{
    enum { KEYS = 20000 };
    static int before[KEYS];
    int total = 0, moved_to[MAX] = {0}, own = 0;

    make(BALANCE_HASH, n, weights, 0);
    for (int key = 0; key < KEYS; key++)
        before[key] = pick_avoiding(key_hash(key), NULL, 0);
    atomic_store(&endpoints[leaves].live->drained, true);
    for (int key = 0; key < KEYS; key++) {
        int after = pick_avoiding(key_hash(key), NULL, 0);
        if (before[key] != leaves) {
            assert_int_equal(after, before[key]);
        } else {
            own++;
            moved_to[after]++;
        }
    }
    for (int i = 0; i < n; i++)
        total += endpoints[i].weight;
    double share = (double)endpoints[leaves].weight / total;
    assert_in_range(own, (int)(KEYS * share * 0.9), (int)(KEYS * share * 1.1));
    for (int i = 0; i < n; i++) {
        double due = i == leaves
                         ? 0
                         : (double)own * endpoints[i].weight / (total - endpoints[leaves].weight);
        assert_in_range(moved_to[i], (int)(due * 0.75), (int)(due * 1.25));
    }
}

static void when_an_endpoint_leaves_only_its_keys_move(void **state)
{
    (void)state;
    check_movement(NULL, 10, 3);
}

static void with_weights_too(void **state)
{
    const int weights[] = {1, 2, 3, 4};
    (void)state;
    check_movement(weights, 4, 2);
}

static void a_target_is_found_again_by_identity(void **state)
{
    struct target *a = target_ref(SLICE("http1"), SLICE("Orders.Internal"), 80);
    struct target *b = target_ref(SLICE("http1"), SLICE("orders.internal"), 80);
    struct target *v6 = target_ref(SLICE("http1"), SLICE("[::1]"), 80);
    struct target *bare = target_ref(SLICE("http1"), SLICE("::1"), 80);
    struct target *other = target_ref(SLICE("http2"), SLICE("::1"), 80);
    (void)state;

    assert_ptr_equal(a, b);
    assert_true(a->is_name);
    assert_ptr_equal(v6, bare);
    assert_false(v6->is_name);
    assert_ptr_not_equal(v6, other);
    assert_true(slice_eq(v6->identity, SLICE("http1 [::1]:80")));
    atomic_store(&a->opened, 7);
    target_unref(a);
    assert_int_equal(target_ref(SLICE("http1"), SLICE("orders.internal"), 80)->opened, 7);
    target_unref(b);
    target_unref(b);
    target_unref(v6);
    target_unref(bare);
    target_unref(other);
    a = target_ref(SLICE("http1"), SLICE("orders.internal"), 80);
    assert_int_equal(a->opened, 0); /* nobody named it any more: it was forgotten */
    target_unref(a);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(round_robin_spreads_a_heavy_endpoint_among_the_others),
        T(workers_do_not_begin_at_the_same_endpoint),
        T(an_endpoint_of_weight_0_is_never_chosen),
        T(endpoints_that_are_drained_or_ejected_are_left_out),
        T(with_all_ejected_those_not_drained_are_used),
        T(a_retry_avoids_what_was_tried_while_others_are_left),
        T(least_request_prefers_the_less_loaded_for_its_weight),
        T(least_request_uses_an_idle_upstream_by_weight),
        T(least_request_spreads_what_a_loaded_one_does_not_get),
        T(least_request_keeps_many_endpoints_even),
        T(random_draws_by_weight),
        T(ewma_prefers_who_answers_sooner_for_its_load),
        T(ewma_asks_an_unknown_one_once_and_a_slow_one_again_in_the_end),
        T(ewma_spreads_over_many_by_their_speed),
        T(an_error_looks_slow_to_ewma),
        T(a_slow_start_begins_with_a_tenth_and_ends_with_all),
        T(a_slow_start_holds_back_by_load_and_latency_too),
        T(a_slow_start_moves_no_key),
        T(a_key_keeps_its_endpoint_in_every_worker),
        T(when_an_endpoint_leaves_only_its_keys_move),
        T(with_weights_too),
        T(a_target_is_found_again_by_identity),
    };
    return cmocka_run_group_tests_name("gate/balance", tests, NULL, NULL);
}
