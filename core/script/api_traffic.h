/* SPDX-License-Identifier: Apache-2.0 */

/* A part of api.h, under the same rules: what decides about an upstream's traffic, beside the limiters of api_lib.h. What
 * lies behind it is shared by all workers; the objects that Lua has are references and policies, which its collector
 * frees. */

#ifndef DML_SCRIPT_API_TRAFFIC_H
#define DML_SCRIPT_API_TRAFFIC_H

#include "script/api_lib.h"

struct breaker;
struct budget;
struct dml_circuit;
struct dml_core_hook;
struct dml_retry;

/* --- api_limit.c: hooks without Lua, and limiters whose counts other processes share -------------------------------------------------------- */

/* Its access hook while it does not refuse; cost as for dml_limiter_take. Once for each limiter. */
DML_API const struct dml_core_hook *dml_limiter_hook(struct dml_limiter *l, double cost);

/* The key of one policy about a request, which others make alike; what it takes; and
 * a decision that was made there told to the client. */
DML_API int dml_limiter_shared_key(struct gateway *g, double handle, const struct dml_limiter *l,
                                   int policy, struct dml_slice *out);
DML_API double dml_limiter_cost_of(struct gateway *g, double handle, const struct dml_limiter *l);
DML_API int dml_limiter_tell(struct gateway *g, double handle, const struct dml_limiter *l,
                             const struct dml_verdict *v);

/* --- api_exchange.c: what a place keeps about an exchange until its end, whatever becomes of this VM ------------------------- */

DML_API int dml_exchange_note(struct gateway *g, double handle, const char *name, size_t len,
                              const char *text, size_t text_len);
/* ERR_NOT_FOUND: nothing. */
DML_API int dml_exchange_noted(struct gateway *g, double handle, const char *name, size_t len,
                               struct dml_slice *out);

/* --- api_retry.c: budgets, and attempts after attempts ---------------------------------------------------------------- */

/* By name, shared by all workers; least: what it has in any case. Each one that Lua has is a reference. */
DML_API struct budget *dml_budget_new(const char *name, size_t len, double window);
DML_API void dml_budget_free(struct budget *b);
DML_API void dml_budget_count(struct budget *b);
DML_API int dml_budget_take(struct budget *b, double share, double least); /* 1: it is had; 0 */

/* asked and taken in the window that ends now. */
DML_API void dml_budget_counts(struct budget *b, double *asked, double *taken);

struct dml_retry_options {
    int32_t attempts;
    double per_try;   /* seconds; 0 = none */
    double base, max; /* of the backoff, seconds */
    double share, least;
    double hedge_percentile; /* 0 = no hedging */
};

/* name: of its budget. */
DML_API struct dml_retry *dml_retry_new(const char *name, size_t len,
                                        const struct dml_retry_options *o);
DML_API void dml_retry_free(struct dml_retry *r);

/* ERR_SYNTAX: no word of failure.h; no method that is known. */
DML_API int dml_retry_on(struct dml_retry *r, const char *word, size_t len);
DML_API int dml_retry_method(struct dml_retry *r, const char *name, size_t len);

/* What the core does of its balance hook (judges: of its attempt hook) without Lua. It lives as long as r; so do the others
 * of their objects. */
DML_API const struct dml_core_hook *dml_retry_hook(const struct dml_retry *r, int judges);

/* In balance hooks: the attempt gets the time for a try. */
DML_API int dml_retry_prepare(struct gateway *g, double handle, const struct dml_retry *r);

/* In attempt hooks: seconds to wait before another one; negative: there is to be none. */
DML_API double dml_retry_judge(struct gateway *g, double handle, const struct dml_retry *r);

/* --- api_breaker.c: circuit breakers ------------------------------------------------------------------------------- */

/* Seconds, shares (a ratio above 1 = never). */
struct dml_breaker_options {
    double window, min_requests;
    double failure_ratio;
    double slow_over, slow_ratio; /* slow_over 0 = none is slow */
    double open_for, open_for_max;
    double probes;
    double ramp;
};

/* One by name, shared by all workers. Each one that Lua has is a reference. */
DML_API struct breaker *dml_breaker_new(const char *name, size_t len,
                                        const struct dml_breaker_options *o);
DML_API void dml_breaker_free(struct breaker *b);

/* A pass (>= 0) that dml_breaker_leave gives back, or -1 - milliseconds until it is worth to ask again. */
DML_API double dml_breaker_enter(struct breaker *b);

/* good: 1, 0, or -1 when it is not known. */
DML_API void dml_breaker_leave(struct breaker *b, double pass, int good, double seconds);

/* What it is now: a word. */
DML_API const char *dml_breaker_state(struct breaker *b);

/* The breakers of a place that attempts have to pass. fallback: an upstream's name, or NULL. */
enum dml_circuit_scope { DML_CIRCUIT_UPSTREAM, DML_CIRCUIT_ENDPOINT, DML_CIRCUIT_ROUTE };
DML_API struct dml_circuit *dml_circuit_new(int scope, const struct dml_breaker_options *o,
                                            const char *fallback, size_t len);
DML_API void dml_circuit_free(struct dml_circuit *c);
DML_API int dml_circuit_on(struct dml_circuit *c, const char *word, size_t len);

/* In start hooks; scope: context.scope. */
DML_API void dml_circuit_hold(struct gateway *g, struct dml_circuit *c, const char *scope,
                              size_t len);

/* Its balance hook while the circuit is closed. */
DML_API const struct dml_core_hook *dml_circuit_hook(const struct dml_circuit *c);

/* In balance hooks. Negative: the attempt may go; else seconds until it is worth to ask again. */
DML_API double dml_circuit_enter(struct gateway *g, double handle, struct dml_circuit *c);

#endif
