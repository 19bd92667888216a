/* SPDX-License-Identifier: Apache-2.0 */

/* What the gate counts: requests and their durations per route, attempts per upstream, refused heads. Each worker keeps
 * the series it has used, so that a request costs a few plain adds and no lock. */

#ifndef DML_GATE_STATS_H
#define DML_GATE_STATS_H

#include "base/base.h"
#include "base/slice.h"
#include "gate/retry.h"

struct attempt;
struct exchange;
struct gateway;
struct gate_stats;
struct metric_cells;
struct tls_end;

/* What a plan keeps for each route and each upstream: the worker's cells of the series that were used last. */
struct stats_memo {
    struct metric_cells *duration;
    struct metric_cells *result; /* NULL, or that of `code` */
    int code;
};

struct gate_stats *stats_new(int writer);
void stats_free(struct gate_stats *s);

/* At the end of an exchange, of an attempt. */
void stats_exchange(const struct exchange *x);
void stats_attempt(const struct attempt *a);

/* What retry has made of a failed one. */
void stats_retry(const struct attempt *a, enum retry_verdict v);

/* A head that was refused before there was an exchange. */
void stats_bad_head(struct gateway *g, int err);

/* At the end of a TLS handshake. */
void stats_handshake(struct gateway *g, bool is_upstream, const struct tls_end *end);

/* A connection closed for want of a PROXY header that can be believed. */
void stats_bad_proxy(struct gateway *g, struct slice reason);

#endif
