/* SPDX-License-Identifier: Apache-2.0 */

/* One algorithm's state for one upstream in one worker. */

#ifndef DML_GATE_BALANCER_H
#define DML_GATE_BALANCER_H

#include "base/arena.h"
#include "gate/upstream.h"

struct balancer;

struct balancer_ops {
    const char *name;
    /* may_use[i] says which endpoints take part. ERR_NO_TARGET when none. */
    int (*pick)(struct balancer *b, const struct upstream *u, const bool *may_use, uint64_t hash,
                uint32_t *out);
};

struct balancer {
    const struct balancer_ops *ops;
    bool *may_use; /* one per endpoint: where upstream_pick writes what takes part */
};

/* For the algorithms: fills the common part. */
void balancer_init(struct balancer *b, const struct balancer_ops *ops, struct arena *a,
                   const struct upstream *u);

/* By u->balance; in the plan's arena. `seed` differs between workers so that they do not march
 * in step. */
struct balancer *balancer_new(struct arena *a, const struct upstream *u, uint32_t seed);

struct balancer *balance_rr_new(struct arena *a, const struct upstream *u, uint32_t seed);
struct balancer *balance_least_new(struct arena *a, const struct upstream *u, uint32_t seed);
struct balancer *balance_hash_new(struct arena *a, const struct upstream *u, uint32_t seed);

#endif
