/* SPDX-License-Identifier: Apache-2.0 */

#include "gate/balancer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "support/test.h"

enum { MAX = 16 };

static struct upstream up;
static struct endpoint endpoints[MAX];
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
        free(host);
    }
    up = (struct upstream){.endpoints = endpoints, .nendpoints = (uint32_t)n, .balance = balance};
    balancer = balancer_new(arena, &up, seed);
}

static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    arena = arena_new_heap(4096);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < up.nendpoints; i++)
        target_unref(endpoints[i].target);
    up.nendpoints = 0;
    arena_free(arena);
    return 0;
}

static int pick_avoiding(uint64_t hash, struct target *const *tried, size_t ntried)
{
    struct target *t;

    if (upstream_pick(&up, balancer, hash, tried, ntried, &t) < 0)
        return -1;
    for (int i = 0; i < (int)up.nendpoints; i++)
        if (endpoints[i].target == t)
            return i;
    return -1;
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
    const enum balance all[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUEST, BALANCE_HASH};
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
    const enum balance all[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUEST, BALANCE_HASH};
    (void)state;

    make(BALANCE_ROUND_ROBIN, 4, NULL, 0);
    atomic_store(&endpoints[1].target->drained, true);
    atomic_store(&endpoints[2].target->ejected_until_ms, clock_ms() + 1000);
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
}

static void with_all_ejected_those_not_drained_are_used(void **state)
{
    (void)state;

    make(BALANCE_ROUND_ROBIN, 3, NULL, 0);
    for (int i = 0; i < 3; i++)
        atomic_store(&endpoints[i].target->ejected_until_ms, clock_ms() + 1000);
    atomic_store(&endpoints[0].target->drained, true);
    for (int i = 0; i < 6; i++)
        assert_true(pick() > 0);
    for (int i = 0; i < 3; i++)
        atomic_store(&endpoints[i].target->drained, true);
    struct target *t;
    assert_int_equal(upstream_pick(&up, balancer, 0, NULL, 0, &t), ERR_NO_TARGET);
}

static void a_retry_avoids_what_was_tried_while_others_are_left(void **state)
{
    struct target *tried[3];
    (void)state;

    make(BALANCE_HASH, 3, NULL, 0);
    for (uint64_t key = 0; key < 50; key++) {
        uint64_t hash = key * 0x9e3779b97f4a7c15u;
        int first = pick_avoiding(hash, NULL, 0);
        tried[0] = endpoints[first].target;
        int second = pick_avoiding(hash, tried, 1);
        tried[1] = endpoints[second].target;
        int third = pick_avoiding(hash, tried, 2);
        tried[2] = endpoints[third].target;
        assert_true(first != second && second != third && first != third);
        assert_int_equal(pick_avoiding(hash, tried, 3), first);
    }
    /* rather one that was tried than one that is ejected */
    atomic_store(&endpoints[1].target->ejected_until_ms, clock_ms() + 1000);
    atomic_store(&endpoints[2].target->ejected_until_ms, clock_ms() + 1000);
    tried[0] = endpoints[0].target;
    assert_int_equal(pick_avoiding(1, tried, 1), 0);
}

static void least_request_prefers_the_less_loaded_for_its_weight(void **state)
{
    const int weights[] = {2, 1};
    (void)state;

    make(BALANCE_LEAST_REQUEST, 2, weights, 0);
    atomic_store(&endpoints[0].target->active, 3);
    atomic_store(&endpoints[1].target->active, 1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(), 1); /* 1.5 against 1 */
    atomic_store(&endpoints[0].target->active, 1);
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
    atomic_store(&endpoints[0].target->active, 100);
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
        atomic_fetch_add(&endpoints[pick()].target->active, 1);
    for (int i = 0; i < 16; i++)
        assert_in_range(endpoints[i].target->active, 95, 105);
}

static uint64_t key_hash(int key)
{
    return hash_stable(slice_of((const char *)&key, sizeof(key)), 0);
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
    atomic_store(&endpoints[leaves].target->drained, true);
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
    atomic_store(&a->drained, true);
    target_unref(a);
    assert_true(atomic_load(&target_ref(SLICE("http1"), SLICE("orders.internal"), 80)->drained));
    target_unref(b);
    target_unref(b);
    target_unref(v6);
    target_unref(bare);
    target_unref(other);
    a = target_ref(SLICE("http1"), SLICE("orders.internal"), 80);
    assert_false(atomic_load(&a->drained)); /* nobody named it any more: it was forgotten */
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
        T(a_key_keeps_its_endpoint_in_every_worker),
        T(when_an_endpoint_leaves_only_its_keys_move),
        T(with_weights_too),
        T(a_target_is_found_again_by_identity),
    };
    return cmocka_run_group_tests_name("gate/balance", tests, NULL, NULL);
}
