/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's upstream connections, per target and upstream: idle and busy, each state a list;
 * those being opened are openings (opening.h). Idle ones above the worker's own share go to the
 * target's shelf, where another worker may take them; each upstream has its own, since limits
 * and keep-alive are its own.
 *
 * Keeps max_connections and max_pending over all workers: a claim that finds no slot waits in
 * the upstream's queue (slot_queue.h). A freed slot wakes the longest waiting claim of any
 * worker, by mail; a connection that gets idle, or lies idle in any worker, goes to a waiting
 * claim before anything else. Where only connections to other targets are idle, one is closed
 * for its slot. */

#ifndef DML_GATE_POOL_H
#define DML_GATE_POOL_H

#include "base/base.h"
#include "base/list.h"
#include "gate/upstream.h"
#include "http/outbound.h"

struct dns;
struct mailbox;
struct opening;
struct pool;
struct pool_waiter;

struct pool_env {
    struct wire_env *wire;
    struct dns *dns;
    struct mailbox *mailbox; /* of this worker */
    int nworkers;            /* the idle share: max_idle / nworkers, at least 1 */
    int writer;              /* metrics */
};

struct pool *pool_new(const struct pool_env *env);

/* Closes the idle ones; busy ones must be gone and claims ended. Before the mailbox is freed, in
 * which grants may still lie: those find their way to other workers. */
void pool_free(struct pool *p);

/* A wish for a connection; a field of the attempt. */
struct pool_claim;
typedef void (*pool_claim_fn)(struct pool_claim *c, struct outbound *o, int err);

struct pool_claim {
    /* set by the caller */
    struct upstream *upstream;
    struct target *target;
    uint64_t connect_timeout_ms; /* name and all addresses, from when there is a slot; 0 = none */
    bool wants_fresh;            /* no reused connection (after a stale one) */
    pool_claim_fn on_done;       /* from the loop, once */
    /* the pool's */
    struct pool *pool;
    struct pool_lane *lane;
    struct opening *opening;    /* or */
    struct pool_waiter *waiter; /* or neither: the claim is at rest */
};

/* 0: *out is ready (an idle one: the usual case, no system call). ERR_AGAIN: on_done will be
 * called, with a connection, or with what connecting failed with (ERR_REFUSED, ERR_TIMEOUT,
 * ERR_DNS...), or ERR_OVERLOAD: no connection came free within the upstream's `timeout`, which
 * bounds the wait in the queue. ERR_OVERLOAD at once: the pending limit. The connection is then
 * the claimer's, who opens a wire on it at once; when that is released the pool hears of it by
 * itself. */
MUST_CHECK int pool_take(struct pool *p, struct pool_claim *c, struct outbound **out);

/* on_done is not called any more. Harmless for a claim at rest (zeroed, or done). */
void pool_cancel(struct pool_claim *c);

/* Old configuration gone or draining: closes idle connections (of one target, or all with NULL),
 * those on the shelf too. */
void pool_close_idle(struct pool *p, struct target *t);

/* The configuration of this upstream has lost that endpoint: its idle connections are closed, on the shelf too, and those
 * in use when they are not needed any more (unless it is claimed again). */
void pool_leave(struct pool *p, struct upstream_live *live, struct target *t);

/* This worker's own, without the shelves. */
size_t pool_idle_count(const struct pool *p);

#endif
