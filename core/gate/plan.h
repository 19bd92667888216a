/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's view of one snapshot: the hooks' functions (in the phase host) and the balancers. Made on the building
 * thread, then used by its worker alone; exchanges count on it without atomics.
 *
 *   current --gateway_use(next)--> retired --drain.timeout--> left --> ended
 *
 * retired: its exchanges go on with it; tunnels, which may live for days, move to the current plan at once.
 * left:    no hook of it runs any more and its host goes. A response that is being sent moves to the current plan,
 *          where its log hooks run; one that body hooks would have to see, or that waits in a hook, is ended; one that
 *          waits for its upstream goes on, and moves when there is an answer.
 * ended:   its last exchange has. What is left of it is memory that any thread may free. */

#ifndef DML_GATE_PLAN_H
#define DML_GATE_PLAN_H

#include "base/base.h"
#include "base/list.h"
#include "gate/stats.h"

struct arena;
struct balancer;
struct gateway;
struct phase_host;
struct snapshot;
struct target;
struct upstream_live;

/* An endpoint that the snapshot before had: its idle connections are to be closed. References. */
struct plan_gone {
    struct upstream_live *live;
    struct target *target;
};

struct plan {
    /* owned */
    struct arena *arena;
    struct snapshot *snapshot;         /* one reference */
    struct phase_host *host;           /* or NULL: no hooks */
    struct balancer **balancers;       /* by upstream index */
    struct stats_memo *upstream_stats; /* the same */
    struct stats_memo *route_stats;    /* by route index */
    struct stats_memo no_route_stats;
    struct plan_gone *gone;
    uint32_t ngone;
    /* borrowed */
    struct gateway *gateway;
    /* state */
    struct list link;                  /* gateway.retired */
    size_t exchanges;                  /* under way; calls of plugins count too */
    size_t nwaiting;                   /* exchanges that the last look has found in a hook */
    uint64_t leave_by_ms;              /* once retired */
    uint32_t ngone_closed;             /* of `gone`, in this order */
    bool is_retired, is_left, is_over; /* over: its host has gone */
};

/* Takes the snapshot's reference and the host over. before: the snapshot that it follows, or NULL. Any thread; of g only
 * what never changes is looked at. */
struct plan *plan_new(struct gateway *g, struct snapshot *snapshot, struct phase_host *host,
                      const struct snapshot *before);

/* One that was never used, or has ended. Any thread. */
void plan_free(struct plan *p);

static inline void plan_enter(struct plan *p)
{
    p->exchanges++;
}
void plan_leave(struct plan *p);

/* --- for gateway.c ------------------------------------------------------------------------------------------------- */

/* Another one is current now. In leave_ms it is left; it may end at once. */
void plan_retire(struct plan *p, uint32_t leave_ms);

/* Timer of the gateway: moves what is to leave retired plans, some exchanges in each turn. */
struct timer;
void plans_on_timer(struct timer *t);

#endif
