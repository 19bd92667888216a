/* SPDX-License-Identifier: Apache-2.0 */

/* From the configured word to the algorithm. */

#include "gate/balancer.h"

#include "base/check.h"

typedef struct balancer *(*make_fn)(struct arena *a, const struct upstream *u, uint32_t seed);

static const make_fn make[] = {
    [BALANCE_ROUND_ROBIN] = balance_rr_new,
    [BALANCE_LEAST_REQUEST] = balance_least_new,
    [BALANCE_HASH] = balance_hash_new,
};

void balancer_init(struct balancer *b, const struct balancer_ops *ops, struct arena *a,
                   const struct upstream *u)
{
    b->ops = ops;
    b->may_use = arena_zero(a, u->nendpoints * sizeof(b->may_use[0]));
}

struct balancer *balancer_new(struct arena *a, const struct upstream *u, uint32_t seed)
{
    /* The check of the configuration has refused what is not here. */
    REQUIRE((size_t)u->balance < COUNT_OF(make) && make[u->balance]);
    return make[u->balance](a, u, seed);
}
