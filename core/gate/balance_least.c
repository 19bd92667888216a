/* SPDX-License-Identifier: Apache-2.0 */

/* Least requests by the power of two choices (Mitzenmacher): two different endpoints are drawn
 * by weight, and the one with fewer exchanges under way for its weight is taken. Nearly as even
 * as asking all of them, and unlike that it does not send every worker to the same endpoint at
 * once. On a tie the first drawn wins, so an idle upstream is used by weight. */

#include "base/err.h"
#include "gate/balancer.h"

static int64_t active(const struct endpoint *e)
{
    return atomic_load_explicit(&e->live->active, memory_order_relaxed);
}

static int least_pick(struct balancer *b UNUSED, const struct upstream *u, const uint32_t *weights,
                      uint64_t hash UNUSED, uint32_t *out)
{
    const struct endpoint *e = u->endpoints;
    uint32_t first, second;

    if (!balancer_draw_two(u, weights, &first, &second))
        return ERR_NO_TARGET;
    *out = first;
    if (second != BALANCER_NOBODY &&
        active(&e[second]) * weights[first] < active(&e[first]) * weights[second])
        *out = second;
    return 0;
}

static const struct balancer_ops least_ops = {.name = "least_request", .pick = least_pick};

struct balancer *balance_least_new(struct arena *a, const struct upstream *u, uint32_t seed UNUSED)
{
    struct balancer *b = arena_zero(a, sizeof(*b));

    balancer_init(b, &least_ops, a, u);
    return b;
}
