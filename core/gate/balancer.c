/* SPDX-License-Identifier: Apache-2.0 */

/* From the configured word to the algorithm, and what those that draw lots have in common. */

#include "gate/balancer.h"

#include "base/rand.h"

typedef struct balancer *(*make_fn)(struct arena *a, const struct upstream *u, uint32_t seed);

static const make_fn make[] = {
    [BALANCE_ROUND_ROBIN] = balance_rr_new, [BALANCE_LEAST_REQUEST] = balance_least_new,
    [BALANCE_HASH] = balance_hash_new,      [BALANCE_EWMA] = balance_ewma_new,
    [BALANCE_RANDOM] = balance_random_new,
};

void balancer_init(struct balancer *b, const struct balancer_ops *ops, struct arena *a,
                   const struct upstream *u)
{
    b->ops = ops;
    b->weights = arena_zero(a, u->nendpoints * sizeof(b->weights[0]));
}

struct balancer *balancer_new(struct arena *a, const struct upstream *u, uint32_t seed)
{
    return make[u->balance](a, u, seed);
}

uint32_t balancer_draw(const struct upstream *u, const uint32_t *weights, uint32_t but)
{
    uint32_t chosen = BALANCER_NOBODY;
    uint64_t total = 0;

    for (uint32_t i = 0; i < u->nendpoints; i++)
        total += i == but ? 0 : weights[i];
    uint64_t at = (uint64_t)(rand_unit() * (double)total);
    for (uint32_t i = 0; i < u->nendpoints; i++) {
        if (weights[i] == 0 || i == but)
            continue;
        chosen = i;
        if (at < weights[i])
            break;
        at -= weights[i];
    }
    return chosen;
}

bool balancer_draw_two(const struct upstream *u, const uint32_t *weights, uint32_t *first,
                       uint32_t *second)
{
    *first = balancer_draw(u, weights, BALANCER_NOBODY);
    if (*first == BALANCER_NOBODY)
        return false;
    *second = balancer_draw(u, weights, *first);
    return true;
}
