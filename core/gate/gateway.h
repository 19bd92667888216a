/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's share of the gateway: what its exchanges run in. One per worker thread, never shared. It outlives every
 * VM, so it is the one pointer that Lua may hold (as a number, given to each dml_ function first).
 *
 * A plan is this worker's view of one snapshot: the hooks' functions (in the phase host) and the balancers. Exchanges
 * count on it without atomics; the last one of a retired plan frees it. */

#ifndef DML_GATE_GATEWAY_H
#define DML_GATE_GATEWAY_H

#include "base/base.h"
#include "gate/exchange_table.h"
#include "gate/phase.h"
#include "gate/pool.h"
#include "gate/snapshot.h"
#include "gate/stats.h"
#include "http/inbound.h"
#include "http/wire.h"

struct balancer;
struct gate_stats;
struct hook_lap;
struct plan;

struct gateway {
    /* owned */
    struct wire_env wire;
    struct exchange_table table;
    struct inbound_set *inbound;
    struct pool *pool;
    struct dns *dns;
    struct gate_stats *stats; /* this worker's handles on its metric cells */
    struct plan *plan;        /* the current one */
    struct list at_end;       /* struct later: see gateway_at_end */
    /* borrowed */
    struct loop *loop;
    struct mailbox *mailbox;
    void *script;         /* the script floor's per-worker part, or NULL */
    struct hook_lap *lap; /* of the hooks that run now, when they are timed */
    /* state */
    int writer; /* index of this worker's metric cells, 1... */
    int nworkers;
    bool draining;
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
    /* borrowed */
    struct gateway *gateway;
    /* state */
    size_t exchanges; /* under way */
    bool is_retired;
};

/* Sets up what lies in the struct; loop, mailbox, writer and nworkers are set before. snapshot: for limits and DNS. */
void gateway_init(struct gateway *g, struct snapshot *first);

/* No exchange may be left. */
void gateway_deinit(struct gateway *g);

/* d runs as gateway_deinit begins, unless cancelled before: for what lives on the thread and uses its pool, resolver or
 * plans, however old. */
void gateway_at_end(struct gateway *g, struct later *d);

/* Takes the snapshot's reference and the host over. */
struct plan *plan_new(struct gateway *g, struct snapshot *snapshot, struct phase_host *host);

/* Makes it the current one; the old one is freed when its last exchange has ended. */
void gateway_use(struct gateway *g, struct plan *plan);

static inline void plan_enter(struct plan *p)
{
    p->exchanges++;
}
void plan_leave(struct plan *p);

/* Accepts one connection for the current plan (trusted_proxies are looked up here). */
void gateway_accept(struct gateway *g, struct listener *ln, int listener_index, int fd,
                    const struct addr *peer, const struct addr *local);

/* No new requests on open connections after the ones under way. */
void gateway_drain(struct gateway *g);

/* The worker stops: log hooks that still wait are told that their time is over. */
void gateway_hurry(struct gateway *g);

/* Exchanges under way over all plans. */
size_t gateway_exchanges(const struct gateway *g);

#endif
