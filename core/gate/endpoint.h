/* SPDX-License-Identifier: Apache-2.0 */

/* An endpoint: a target as a member of one upstream. The configured part is immutable and belongs
 * to the snapshot; the live part is shared by all workers, found again by the pair (upstream,
 * target), and survives reloads for as long as the configuration names it.
 *
 * Verdicts and load belong to the pair and not to the target: two upstreams with the same server
 * may ask it for different things and probe it in different ways, and what one of them finds, or
 * what an operator drains in one, says nothing about the other. Connections are the target's. */

#ifndef DML_GATE_ENDPOINT_H
#define DML_GATE_ENDPOINT_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/clock.h"
#include "base/slice.h"

struct target;
struct upstream_live;

/* What the last probe said; written and read on the control thread alone. */
struct probe_news {
    enum probe_result { PROBE_NONE, PROBE_GOOD, PROBE_BAD, PROBE_SKIPPED } result;
    int status;          /* of the answer; 0 = there was none */
    int err;             /* why it is bad or was skipped, where there was no answer */
    uint64_t at_wall_ms; /* when it ended */
    uint32_t took_us;
    uint32_t in_row; /* as many in a row say the same */
};

struct endpoint_live {
    /* owned, fixed */
    struct upstream_live *upstream; /* a reference */
    struct target *target;          /* a reference */
    const void *key[2];             /* both, for the registry */
    /* state, shared: the verdicts, which every pick reads and hardly anything changes */
    atomic_int refs;
    atomic_bool drained;              /* by the admin endpoint */
    atomic_bool is_down;              /* by probes */
    atomic_ullong ejected_until_ms;   /* monotonic; 0 = not ejected */
    atomic_ullong slow_start_from_ms; /* monotonic; 0 = has its full share */
    atomic_ullong ejections;
    /* state, control thread */
    struct probe_news probe;
    uint64_t known_in; /* version of the last configuration in use that names it; 0 = none */
    /* state, shared: what each attempt changes */
    _Alignas(64) atomic_int active; /* attempts under way */
    atomic_uint errors_in_row;
    atomic_ullong latency;            /* latency.h */
    atomic_ullong requests, failures; /* attempts judged */
};

struct endpoint {
    struct slice address; /* as written */
    int weight;
    struct target *target;
    struct endpoint_live *live;
};

/* Finds the pair's live part or makes it. Takes a lock; control or builder thread. It holds
 * references on both. */
struct endpoint_live *endpoint_live_ref(struct upstream_live *u, struct target *t);

/* One more for who has one already. Any thread, no lock. */
struct endpoint_live *endpoint_live_hold(struct endpoint_live *l);

/* Any thread. */
void endpoint_live_unref(struct endpoint_live *l);

/* Is the pair named by a snapshot, and drained? Any thread; takes a lock. */
bool endpoint_is_drained(struct upstream_live *u, struct target *t);

static inline bool endpoint_is_ejected(const struct endpoint_live *l)
{
    uint64_t until = atomic_load_explicit(&l->ejected_until_ms, memory_order_relaxed);

    return UNLIKELY(until != 0) && until > clock_ms();
}

/* May get requests: neither drained, nor ejected now, nor down by its probes. */
static inline bool endpoint_is_usable(const struct endpoint_live *l)
{
    return !atomic_load_explicit(&l->drained, memory_order_relaxed) &&
           !atomic_load_explicit(&l->is_down, memory_order_relaxed) && !endpoint_is_ejected(l);
}

/* An attempt on it begins, and ends. */
static inline void endpoint_enter(struct endpoint_live *l)
{
    atomic_fetch_add_explicit(&l->active, 1, memory_order_relaxed);
}

static inline void endpoint_leave(struct endpoint_live *l)
{
    atomic_fetch_sub_explicit(&l->active, 1, memory_order_relaxed);
}

#endif
