/* SPDX-License-Identifier: Apache-2.0 */

/* Weighted round robin. Each pick raises every endpoint that takes part by its weight and takes
 * the highest, which then pays the sum back: an endpoint of weight 3 is spread among the others
 * instead of being used three times in a row. State is per worker, so no lock is needed; each
 * worker starts at another place of the cycle, or all of them would send their first requests to
 * the same endpoint. */

#include "base/err.h"
#include "gate/balancer.h"

struct rr {
    struct balancer base;
    int64_t credit[]; /* one per endpoint */
};

static int rr_pick(struct balancer *b, const struct upstream *u, const uint32_t *weights,
                   uint64_t hash UNUSED, uint32_t *out)
{
    struct rr *rr = container_of(b, struct rr, base);
    int64_t best = -1, sum = 0;

    for (uint32_t i = 0; i < u->nendpoints; i++) {
        if (weights[i] == 0)
            continue;
        sum += weights[i];
        rr->credit[i] += weights[i];
        if (best < 0 || rr->credit[i] > rr->credit[best])
            best = i;
    }
    if (best < 0)
        return ERR_NO_TARGET;

    rr->credit[best] -= sum;
    *out = (uint32_t)best;
    return 0;
}

static const struct balancer_ops rr_ops = {.name = "round_robin", .pick = rr_pick};

static void skip_ahead(struct rr *rr, const struct upstream *u, uint32_t seed)
{
    uint32_t unused;

    for (uint32_t i = 0; i < u->nendpoints; i++)
        rr->base.weights[i] = (uint32_t)u->endpoints[i].weight;
    for (uint32_t n = u->nendpoints ? seed % u->nendpoints : 0; n > 0; n--)
        if (rr_pick(&rr->base, u, rr->base.weights, 0, &unused) < 0)
            break;
}

struct balancer *balance_rr_new(struct arena *a, const struct upstream *u, uint32_t seed)
{
    struct rr *rr = arena_zero(a, sizeof(*rr) + u->nendpoints * sizeof(rr->credit[0]));

    balancer_init(&rr->base, &rr_ops, a, u);
    skip_ahead(rr, u, seed);
    return &rr->base;
}
