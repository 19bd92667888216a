/* SPDX-License-Identifier: Apache-2.0 */

/* A named set of endpoints with policy. The configured part is immutable and belongs to the
 * snapshot; the live part (upstream_live) is shared by all workers, found again by name, and
 * survives reloads. Each worker's plan holds a balancer per upstream. */

#ifndef DML_GATE_UPSTREAM_H
#define DML_GATE_UPSTREAM_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/slice.h"
#include "gate/endpoint.h"
#include "gate/target.h"

struct balancer;
struct conf;
struct exchange;
struct selector;

enum balance {
    BALANCE_ROUND_ROBIN,
    BALANCE_LEAST_REQUEST,
    BALANCE_HASH,
    BALANCE_EWMA,
    BALANCE_RANDOM
};
enum host_mode { HOST_PASS, HOST_TARGET, HOST_NAME };

struct upstream_live {
    struct slice name;
    atomic_int refs;
    atomic_int connections;   /* open or opening, over all workers */
    atomic_int pending;       /* waiting for a connection */
    atomic_int shelved;       /* idle ones on the shelves of its targets */
    struct slot_queue *queue; /* claims of all workers that wait for a freed slot */
};

struct upstream {
    struct slice name;
    uint32_t index; /* in the snapshot */
    const struct conf *place;
    struct endpoint *endpoints;
    uint32_t nendpoints;
    enum balance balance;
    const struct selector *hash_on;
    enum host_mode host_mode;
    struct slice host;
    struct tls_client *tls; /* a reference; NULL = plain */
    struct slice sni;       /* absent: the endpoint's name */
    uint32_t connect_timeout_ms, timeout_ms, idle_timeout_ms;
    struct {
        uint32_t max_idle, idle_timeout_ms, max_requests;
    } keepalive;
    uint32_t max_connections, max_pending;
    struct {
        uint32_t consecutive_errors, eject_for_ms;
        double max_ejected; /* share */
    } passive;
    struct {
        struct slice path, query;         /* path absent: a connection is all that is asked for */
        uint32_t interval_ms, timeout_ms; /* interval 0 = off */
        uint32_t healthy_after, unhealthy_after;
    } active;
    uint32_t slow_start_ms;
    struct upstream_live *live;
};

/* As target_ref, _hold and _unref; the identity is the name. */
struct upstream_live *upstream_live_ref(struct slice name);
struct upstream_live *upstream_live_hold(struct upstream_live *l);
void upstream_live_unref(struct upstream_live *l);

/* What an attempt's end means for the endpoint: its health (contract: health.passive; the judging
 * is health.h's), its latency (us, from the connection to the response head or the failure), its
 * counts. Once per attempt, any thread. */
enum attempt_outcome { OUTCOME_OK, OUTCOME_ERROR };
void upstream_report(const struct upstream *u, const struct endpoint *e,
                     enum attempt_outcome outcome, uint64_t us);

/* Chooses among the usable endpoints; with none usable (all ejected or down) among those not
 * drained: a wrong verdict must not turn into an outage. `tried`: endpoints of earlier attempts,
 * avoided while others are left. hash: for BALANCE_HASH. An endpoint of weight 0 is never chosen.
 * ERR_NO_TARGET. */
MUST_CHECK int upstream_pick(const struct upstream *u, struct balancer *b, uint64_t hash,
                             const struct endpoint *const *tried, size_t ntried,
                             const struct endpoint **out);

#endif
