/* SPDX-License-Identifier: Apache-2.0 */

/* The registry of upstreams' live parts, and choosing an endpoint: this file says who may be
 * chosen, the balancer who of them. */

#include "gate/upstream.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/map.h"
#include "base/refs.h"
#include "gate/balancer.h"
#include "gate/health.h"
#include "gate/latency.h"
#include "gate/slot_queue.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map lives;

static struct upstream_live *live_new(struct slice name)
{
    struct upstream_live *l = calloc(1, sizeof(*l));

    REQUIRE(l != NULL);
    l->name = slice_of(slice_dup(name), name.len);
    l->queue = slot_queue_new(l);
    return l;
}

static void live_free(struct upstream_live *l)
{
    slot_queue_free(l->queue);
    free((char *)l->name.ptr);
    free(l);
}

struct upstream_live *upstream_live_ref(struct slice name)
{
    pthread_mutex_lock(&lock);
    struct upstream_live *l = map_find(&lives, name);
    if (!l) {
        l = live_new(name);
        map_set(&lives, l->name, l);
    }
    atomic_fetch_add(&l->refs, 1);
    pthread_mutex_unlock(&lock);
    return l;
}

struct upstream_live *upstream_live_hold(struct upstream_live *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void upstream_live_unref(struct upstream_live *l)
{
    if (refs_drop_unless_last(&l->refs))
        return;

    pthread_mutex_lock(&lock);
    bool is_last = atomic_fetch_sub(&l->refs, 1) == 1;
    if (is_last) {
        map_remove(&lives, l->name);
        if (lives.n == 0)
            map_deinit(&lives);
    }
    pthread_mutex_unlock(&lock);
    if (is_last)
        live_free(l);
}

/* Who fails quickly is not fast: without this, what refuses every connection would look best. */
#define ERROR_US_LEAST 1000000u

void upstream_report(const struct upstream *u, const struct endpoint *e,
                     enum attempt_outcome outcome, uint64_t us)
{
    struct endpoint_live *l = e->live;

    atomic_fetch_add_explicit(&l->requests, 1, memory_order_relaxed);
    if (outcome != OUTCOME_OK) {
        atomic_fetch_add_explicit(&l->failures, 1, memory_order_relaxed);
        us = MAX(us, ERROR_US_LEAST);
    }
    if (u->balance == BALANCE_EWMA)
        latency_note(&l->latency, us, clock_ms());
    health_report(u, e, outcome);
}

/* The ways to choose, the best first. */
struct choice {
    bool only_usable, only_untried;
};

static const struct choice choices[] = {{true, true}, {true, false}, {false, true}, {false, false}};

static bool was_tried(const struct endpoint *e, const struct endpoint *const *tried, size_t ntried)
{
    for (size_t i = 0; i < ntried; i++)
        if (tried[i]->live == e->live)
            return true;
    return false;
}

static bool may_use(const struct endpoint *e, struct choice c, const struct endpoint *const *tried,
                    size_t ntried)
{
    if (e->weight <= 0 || atomic_load_explicit(&e->live->drained, memory_order_relaxed))
        return false;
    return (!c.only_usable || endpoint_is_usable(e->live)) &&
           (!c.only_untried || !was_tried(e, tried, ntried));
}

int upstream_pick(const struct upstream *u, struct balancer *b, uint64_t hash,
                  const struct endpoint *const *tried, size_t ntried, const struct endpoint **out)
{
    for (size_t way = 0; way < COUNT_OF(choices); way++) {
        bool any = false;
        for (uint32_t i = 0; i < u->nendpoints; i++) {
            const struct endpoint *e = &u->endpoints[i];
            bool takes_part = may_use(e, choices[way], tried, ntried);
            b->weights[i] = takes_part ? health_weight(u, e) : 0;
            any |= takes_part;
        }
        if (!any)
            continue;

        uint32_t chosen;
        int rc = b->ops->pick(b, u, b->weights, hash, &chosen);
        if (rc == 0)
            *out = &u->endpoints[chosen];
        return rc;
    }
    return ERR_NO_TARGET;
}
