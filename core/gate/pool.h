/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's upstream connections per target: connecting, busy, idle; each state is a list. Idle ones above the
 * worker's own share go to the target's shelf, where another worker may take them. Keeps max_connections and
 * max_pending over all workers: a claim that finds no slot waits in the upstream's queue; a freed slot wakes the
 * longest waiting claim of any worker (by mail). Resolves names (dns.h) and tries a name's addresses in turn. */

#ifndef DML_GATE_POOL_H
#define DML_GATE_POOL_H

#include "base/base.h"
#include "base/list.h"
#include "gate/upstream.h"
#include "http/outbound.h"

struct dns;
struct mailbox;
struct pool;

struct pool_env {
    struct wire_env *wire;
    struct dns *dns;
    struct mailbox *mailbox; /* of this worker */
    int nworkers;            /* the shelf's idle share */
    int writer;              /* metrics */
};

struct pool *pool_new(const struct pool_env *env);

/* Closes the idle ones; busy ones must be gone. */
void pool_free(struct pool *p);

/* A wish for a connection; a field of the attempt. */
struct pool_claim;
typedef void (*pool_claim_fn)(struct pool_claim *c, struct outbound *o, int err);

struct pool_claim {
    /* set by the caller */
    struct upstream *upstream;
    struct target *target;
    uint64_t connect_timeout_ms;
    bool wants_fresh;      /* no reused connection (after a stale one) */
    pool_claim_fn on_done; /* from the loop, once */
    /* the pool's */
    struct list link;
    struct pool *pool;
    struct outbound *connecting;
    void *waiting;
    uint8_t state;
};

/* 0: *out is ready (an idle one: the usual case, no system call). ERR_AGAIN: on_done will be called. ERR_OVERLOAD: the
 * pending limit. The connection is then the claimer's until it releases the wire opened on it; the pool hears of that
 * by itself. */
MUST_CHECK int pool_take(struct pool *p, struct pool_claim *c, struct outbound **out);
void pool_cancel(struct pool_claim *c);

/* Old configuration gone or draining: closes idle connections (of one target, or all with NULL). */
void pool_close_idle(struct pool *p, struct target *t);

size_t pool_idle_count(const struct pool *p);

#endif
