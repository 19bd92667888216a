/* SPDX-License-Identifier: Apache-2.0 */

/* Consistent hashing by weighted rendezvous (Thaler and Ravishankar; weights after Schindelhauer
 * and Schomaker): each endpoint gets a number in (0, 1) from the key and its own address, and
 * -ln(number) / weight is its distance; the nearest wins. When an endpoint leaves, its keys and
 * no others move, each to its second nearest, spread over all the rest by weight; when it comes
 * back they return. There is no ring to build, and all workers and machines agree.
 *
 * The weights are the configured ones: in slow start, too, each key keeps its endpoint.
 *
 * The logarithm is needed only where weights differ: among equal ones the largest number is the
 * nearest. */

#include <math.h>

#include "base/err.h"
#include "base/hash.h"
#include "gate/balancer.h"

struct rendezvous {
    struct balancer base;
    bool has_weights;
    uint64_t seed[]; /* one per endpoint, from its address */
};

/* The finaliser of MurmurHash3 (Appleby): every bit of the key reaches every bit of the number. */
static inline uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

static double distance(uint64_t number, int weight)
{
    return -log(((double)(number >> 11) + 0.5) * 0x1p-53) / weight;
}

static int pick_by_weight(const struct rendezvous *r, const struct upstream *u,
                          const uint32_t *weights, uint64_t hash, uint32_t *out)
{
    double nearest = INFINITY;

    for (uint32_t i = 0; i < u->nendpoints; i++) {
        if (weights[i] == 0)
            continue;
        double d = distance(mix(hash ^ r->seed[i]), u->endpoints[i].weight);
        if (d < nearest) {
            nearest = d;
            *out = i;
        }
    }
    return nearest < INFINITY ? 0 : ERR_NO_TARGET;
}

static int pick_equal(const struct rendezvous *r, const struct upstream *u, const uint32_t *weights,
                      uint64_t hash, uint32_t *out)
{
    uint64_t largest = 0;
    bool any = false;

    for (uint32_t i = 0; i < u->nendpoints; i++) {
        if (weights[i] == 0)
            continue;
        uint64_t number = mix(hash ^ r->seed[i]);
        if (!any || number > largest) {
            largest = number;
            any = true;
            *out = i;
        }
    }
    return any ? 0 : ERR_NO_TARGET;
}

static int hash_pick(struct balancer *b, const struct upstream *u, const uint32_t *weights,
                     uint64_t hash, uint32_t *out)
{
    const struct rendezvous *r = container_of(b, struct rendezvous, base);

    return r->has_weights ? pick_by_weight(r, u, weights, hash, out)
                          : pick_equal(r, u, weights, hash, out);
}

static const struct balancer_ops hash_ops = {.name = "hash", .pick = hash_pick};

struct balancer *balance_hash_new(struct arena *a, const struct upstream *u, uint32_t seed)
{
    struct rendezvous *r = arena_zero(a, sizeof(*r) + u->nendpoints * sizeof(r->seed[0]));
    (void)seed; /* workers must agree here */

    balancer_init(&r->base, &hash_ops, a, u);
    for (uint32_t i = 0; i < u->nendpoints; i++) {
        r->seed[i] = hash_stable(u->endpoints[i].address, 0);
        r->has_weights |= u->endpoints[i].weight != u->endpoints[0].weight;
    }
    return &r->base;
}
