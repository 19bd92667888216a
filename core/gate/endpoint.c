/* SPDX-License-Identifier: Apache-2.0 */

/* The registry of endpoints' live parts, process-wide: (upstream, target) -> live. */

#include "gate/endpoint.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "base/refs.h"
#include "gate/target.h"
#include "gate/upstream.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map lives;

static struct slice key_slice(const void *const *key)
{
    return slice_of((const char *)key, 2 * sizeof(key[0]));
}

static struct endpoint_live *live_new(struct upstream_live *u, struct target *t)
{
    struct endpoint_live *l = aligned_alloc(_Alignof(struct endpoint_live), sizeof(*l));

    REQUIRE(l != NULL);
    memset(l, 0, sizeof(*l));
    l->upstream = upstream_live_hold(u);
    l->target = target_hold(t);
    l->key[0] = u;
    l->key[1] = t;
    return l;
}

struct endpoint_live *endpoint_live_ref(struct upstream_live *u, struct target *t)
{
    const void *key[2] = {u, t};

    pthread_mutex_lock(&lock);
    struct endpoint_live *l = map_find(&lives, key_slice(key));
    if (!l) {
        l = live_new(u, t);
        map_set(&lives, key_slice(l->key), l);
    }
    atomic_fetch_add(&l->refs, 1);
    pthread_mutex_unlock(&lock);
    return l;
}

struct endpoint_live *endpoint_live_hold(struct endpoint_live *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void endpoint_live_unref(struct endpoint_live *l)
{
    if (refs_drop_unless_last(&l->refs))
        return;

    pthread_mutex_lock(&lock);
    bool is_last = atomic_fetch_sub(&l->refs, 1) == 1;
    if (is_last) {
        map_remove(&lives, key_slice(l->key));
        if (lives.n == 0)
            map_deinit(&lives);
    }
    pthread_mutex_unlock(&lock);
    if (!is_last)
        return;
    target_unref(l->target);
    upstream_live_unref(l->upstream);
    free(l);
}

bool endpoint_is_drained(struct upstream_live *u, struct target *t)
{
    const void *key[2] = {u, t};

    pthread_mutex_lock(&lock);
    const struct endpoint_live *l = map_find(&lives, key_slice(key));
    bool is_drained = l && atomic_load_explicit(&l->drained, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    return is_drained;
}
