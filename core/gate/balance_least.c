/* SPDX-License-Identifier: Apache-2.0 */

/* Least requests by the power of two choices (Mitzenmacher): two different endpoints are drawn
 * by weight, and the one with fewer exchanges under way for its weight is taken. Nearly as even
 * as asking all of them, and unlike that it does not send every worker to the same endpoint at
 * once. On a tie the first drawn wins, so an idle upstream is used by weight. */

#include "base/err.h"
#include "base/rand.h"
#include "gate/balancer.h"

#define NOBODY UINT32_MAX

static uint32_t total_weight(const struct upstream *u, const bool *may_use)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < u->nendpoints; i++)
        if (may_use[i])
            sum += (uint32_t)u->endpoints[i].weight;
    return sum;
}

/* One of those that take part but `but`, by weight; their weights add up to total > 0. */
static uint32_t draw(const struct upstream *u, const bool *may_use, uint32_t but, uint32_t total)
{
    uint32_t at = rand_below(total), chosen = NOBODY;

    for (uint32_t i = 0; i < u->nendpoints; i++) {
        if (!may_use[i] || i == but)
            continue;
        chosen = i;
        if (at < (uint32_t)u->endpoints[i].weight)
            break;
        at -= (uint32_t)u->endpoints[i].weight;
    }
    return chosen;
}

static int64_t active(const struct endpoint *e)
{
    return atomic_load_explicit(&e->target->active, memory_order_relaxed);
}

static int least_pick(struct balancer *b, const struct upstream *u, const bool *may_use,
                      uint64_t hash, uint32_t *out)
{
    uint32_t total = total_weight(u, may_use);
    (void)b;
    (void)hash;

    if (total == 0)
        return ERR_NO_TARGET;
    uint32_t first = draw(u, may_use, NOBODY, total);
    const struct endpoint *e = &u->endpoints[first];
    *out = first;
    if (total == (uint32_t)e->weight)
        return 0; /* the only one */

    uint32_t second = draw(u, may_use, first, total - (uint32_t)e->weight);
    const struct endpoint *f = &u->endpoints[second];
    if (active(f) * e->weight < active(e) * f->weight)
        *out = second;
    return 0;
}

static const struct balancer_ops least_ops = {.name = "least_request", .pick = least_pick};

struct balancer *balance_least_new(struct arena *a, const struct upstream *u, uint32_t seed)
{
    struct balancer *b = arena_zero(a, sizeof(*b));
    (void)seed;

    balancer_init(b, &least_ops, a, u);
    return b;
}
