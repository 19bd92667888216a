/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's share of the gateway: what its exchanges run in. One per worker thread, never shared. It outlives every
 * VM, so it is the one pointer that Lua may hold (as a number, given to each dml_ function first). What changes with a
 * reload is the current plan (plan.h). */

#ifndef DML_GATE_GATEWAY_H
#define DML_GATE_GATEWAY_H

#include "base/base.h"
#include "gate/exchange_table.h"
#include "gate/phase.h"
#include "gate/plan.h"
#include "gate/pool.h"
#include "gate/snapshot.h"
#include "gate/stats.h"
#include "http/inbound.h"
#include "http/wire.h"

struct gate_stats;
struct hold;
struct hook_lap;
struct spill_port;

struct gateway {
    /* owned */
    struct wire_env wire;
    struct exchange_table table;
    struct inbound_set *inbound;
    struct pool *pool;
    struct dns *dns;
    struct redis *redis;
    struct spill_port *spill; /* made when it is first needed */
    struct gate_stats *stats; /* this worker's handles on its metric cells */
    struct plan *plan;        /* the current one */
    struct list retired;      /* those that have exchanges still */
    struct timer mover;       /* looks at what is to leave them */
    struct list at_end;       /* struct later: see gateway_at_end */
    struct hold *hold;        /* where requests wait first (run --dev), or NULL */
    /* borrowed */
    struct loop *loop;
    struct mailbox *mailbox;
    void *script;         /* the script floor's per-worker part, or NULL */
    struct hook_lap *lap; /* of the hooks that run now, when they are timed */
    void (*on_plan_end)(void *arg,
                        struct plan *p); /* to free it elsewhere; NULL: it is freed at once */
    void *plan_end_arg;
    /* state */
    int writer; /* index of this worker's metric cells, 1... */
    int nworkers;
    uint32_t looked_at; /* slots of the table, by the mover */
    bool draining;
    bool stopping;
};

/* Sets up what lies in the struct; loop, mailbox, writer and nworkers are set before. snapshot: for limits and DNS. */
void gateway_init(struct gateway *g, struct snapshot *first);

/* No exchange may be left. */
void gateway_deinit(struct gateway *g);

/* d runs as gateway_deinit begins, unless cancelled before: for what lives on the thread and uses its pool, resolver or
 * plans, however old. */
void gateway_at_end(struct gateway *g, struct later *d);

/* This worker's door to the process's spill; NULL when there is none. */
struct spill_port *gateway_spill(struct gateway *g);

/* Makes it the current one, with its limits; the one before retires. */
void gateway_use(struct gateway *g, struct plan *plan);

/* Accepts one connection for the current plan (trusted_proxies are looked up here). On a listener with
 * proxy_protocol a peer that is not trusted is closed at once. */
void gateway_accept(struct gateway *g, struct listener *ln, int listener_index, int fd,
                    const struct addr *peer, const struct addr *local);

/* No new requests on open connections after the ones under way. */
void gateway_drain(struct gateway *g);

/* Nothing is waited for any more: the clients' connections are closed, and what is fetched for the cache alone ends. */
void gateway_stop(struct gateway *g);

/* The worker stops: log hooks that still wait are told that their time is over. */
void gateway_hurry(struct gateway *g);

/* Exchanges under way over all plans. */
size_t gateway_exchanges(const struct gateway *g);

#endif
