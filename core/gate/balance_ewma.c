/* SPDX-License-Identifier: Apache-2.0 */

/* The least loaded by latency: two different endpoints are drawn by weight, and the one with the
 * lower cost is taken, which is its latency (latency.h) times the requests that it would then have
 * under way, for its weight. So a slow endpoint gets few requests, and one that has become slow
 * gets none while its old ones still wait.
 *
 * Of an endpoint that nobody has asked yet nothing is known: it is taken at once, but for no
 * second request until the first is answered. */

#include <math.h>

#include "base/err.h"
#include "gate/balancer.h"
#include "gate/latency.h"

static double cost(const struct endpoint *e, uint32_t weight, uint64_t now_ms)
{
    double latency = latency_at(&e->live->latency, now_ms);
    int active = atomic_load_explicit(&e->live->active, memory_order_relaxed);

    if (latency == 0 && active > 0)
        return INFINITY;
    return latency * (active + 1) / weight;
}

static int ewma_pick(struct balancer *b UNUSED, const struct upstream *u, const uint32_t *weights,
                     uint64_t hash UNUSED, uint32_t *out)
{
    uint32_t first, second;
    uint64_t now = clock_ms();

    if (!balancer_draw_two(u, weights, &first, &second))
        return ERR_NO_TARGET;
    *out = first;
    if (second != BALANCER_NOBODY && cost(&u->endpoints[second], weights[second], now) <
                                         cost(&u->endpoints[first], weights[first], now))
        *out = second;
    return 0;
}

static const struct balancer_ops ewma_ops = {.name = "ewma", .pick = ewma_pick};

struct balancer *balance_ewma_new(struct arena *a, const struct upstream *u, uint32_t seed UNUSED)
{
    struct balancer *b = arena_zero(a, sizeof(*b));

    balancer_init(b, &ewma_ops, a, u);
    return b;
}
