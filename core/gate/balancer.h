/* SPDX-License-Identifier: Apache-2.0 */

/* One algorithm's state for one upstream in one worker. */

#ifndef DML_GATE_BALANCER_H
#define DML_GATE_BALANCER_H

#include "base/arena.h"
#include "gate/upstream.h"

struct balancer;

struct balancer_ops {
    const char *name;
    /* weights[i]: what share endpoint i has now, in 1/BALANCER_WEIGHT of a configured weight of 1;
     * 0 = it takes no part. ERR_NO_TARGET when none does. */
    int (*pick)(struct balancer *b, const struct upstream *u, const uint32_t *weights,
                uint64_t hash, uint32_t *out);
};

struct balancer {
    const struct balancer_ops *ops;
    uint32_t *weights; /* one per endpoint: where upstream_pick writes what takes part */
};

/* Fine enough for the first share of a slow start. */
#define BALANCER_WEIGHT 256u

/* For the algorithms: fills the common part. */
void balancer_init(struct balancer *b, const struct balancer_ops *ops, struct arena *a,
                   const struct upstream *u);

/* By u->balance; in the plan's arena. `seed` differs between workers so that they do not march
 * in step. */
struct balancer *balancer_new(struct arena *a, const struct upstream *u, uint32_t seed);

struct balancer *balance_rr_new(struct arena *a, const struct upstream *u, uint32_t seed);
struct balancer *balance_least_new(struct arena *a, const struct upstream *u, uint32_t seed);
struct balancer *balance_hash_new(struct arena *a, const struct upstream *u, uint32_t seed);
struct balancer *balance_ewma_new(struct arena *a, const struct upstream *u, uint32_t seed);
struct balancer *balance_random_new(struct arena *a, const struct upstream *u, uint32_t seed);

/* For those that draw: an endpoint by weight, but not the one of index `but`. BALANCER_NOBODY when
 * no other takes part. */
#define BALANCER_NOBODY UINT32_MAX
uint32_t balancer_draw(const struct upstream *u, const uint32_t *weights, uint32_t but);

/* Two different ones, each by weight; the second is BALANCER_NOBODY when only one takes part.
 * False: none does. */
bool balancer_draw_two(const struct upstream *u, const uint32_t *weights, uint32_t *first,
                       uint32_t *second);

#endif
