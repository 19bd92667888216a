/* SPDX-License-Identifier: Apache-2.0 */

/* A lot for each request, by weight. No state: what one worker does cannot march in step with
 * another, and a short burst is as uneven as chance is. */

#include "base/err.h"
#include "gate/balancer.h"

static int random_pick(struct balancer *b UNUSED, const struct upstream *u, const uint32_t *weights,
                       uint64_t hash UNUSED, uint32_t *out)
{
    *out = balancer_draw(u, weights, BALANCER_NOBODY);
    return *out == BALANCER_NOBODY ? ERR_NO_TARGET : 0;
}

static const struct balancer_ops random_ops = {.name = "random", .pick = random_pick};

struct balancer *balance_random_new(struct arena *a, const struct upstream *u, uint32_t seed UNUSED)
{
    struct balancer *b = arena_zero(a, sizeof(*b));

    balancer_init(b, &random_ops, a, u);
    return b;
}
