/* SPDX-License-Identifier: Apache-2.0 */

/* The inside of a pool, for the pool's own files: a lane is one worker's connections to one
 * target for one upstream, a group all lanes of one upstream. A connection is in one place of
 * its lane at a time; its owner pointer names the place, and conn_to is the only function that
 * changes it.
 *
 * Each connection holds one slot of its upstream from before it is opened: whoever ends a
 * connection releases the slot, or uses it for another one. */

#ifndef DML_GATE_POOL_LANE_H
#define DML_GATE_POOL_LANE_H

#include "base/map.h"
#include "gate/pool.h"
#include "gate/slot_queue.h"
#include "net/loop.h"

struct place {
    struct list conns; /* the latest first */
    uint32_t n;
    struct pool_lane *lane;
};

/* This worker's share of one upstream. */
struct pool_group {
    /* owned */
    struct slot_seat seat;
    struct upstream_live *live; /* a reference */
    struct list lanes;
    struct later settle; /* pool_rest.h */
    /* borrowed */
    struct pool *pool; /* NULL: gone, only a nudge is still to come */
    /* state */
    struct list link;
    uint32_t nidle;
    uint32_t max_idle, idle_timeout_ms, max_requests; /* as last configured */
};

/* Its connections to one target. */
struct pool_lane {
    /* owned */
    struct place idle, busy, leaving;
    struct target *target; /* a reference */
    /* borrowed */
    struct pool_group *group;
    /* state */
    struct list link;
    const void *key[2]; /* of pool->lanes: live, target */
    uint32_t nclaims;   /* openings and waiters */
    uint32_t turn;      /* for opening_start */
    bool is_left;       /* no configuration has it now: nothing is kept */
};

#define POOL_RECENT 16

struct pool {
    /* owned */
    struct map lanes;
    struct pool_lane *recent[POOL_RECENT]; /* some of them, where lane_get looks first; or NULL */
    struct list groups, waiters;
    struct timer sweeper;
    /* borrowed */
    struct pool_env env;
    /* state */
    size_t nidle;
};

/* NULL: there is none. */
struct pool_lane *lane_find(struct pool *p, const struct upstream_live *live,
                            const struct target *target);

/* The lane of the claim, made when there is none; takes over the limits of the claim's upstream. */
struct pool_lane *lane_get(struct pool *p, const struct upstream *u, struct target *t);

/* Frees lanes and groups that hold nothing; all of them, with the idle connections, when the
 * pool goes. */
void lanes_tidy(struct pool *p);
void lanes_free(struct pool *p);

static inline struct pool_lane *lane_of(struct list *link)
{
    return container_of(link, struct pool_lane, link);
}

static inline struct pool_group *group_of(struct list *link)
{
    return container_of(link, struct pool_group, link);
}

static inline struct outbound *conn_of(struct list *link)
{
    return container_of(link, struct outbound, link);
}

/* To a place, or (NULL) out of this worker's hands. */
void conn_to(struct outbound *o, struct place *to);

/* Closes one that carries nothing, but for its slot, or with it. */
void conn_close_for_slot(struct pool_lane *lane, struct outbound *o);
void conn_close(struct pool_lane *lane, struct outbound *o);

/* A connection has ended whose slot is another's now. */
static inline void conn_count_closed(struct target *t)
{
    atomic_fetch_sub_explicit(&t->connections, 1, memory_order_relaxed);
}

#endif
