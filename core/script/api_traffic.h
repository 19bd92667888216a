/* SPDX-License-Identifier: Apache-2.0 */

/* A part of api.h, under the same rules: what decides about an upstream's traffic, beside the limiters of api_lib.h. What
 * lies behind it is shared by all workers; the objects that Lua has are references and policies, which its collector
 * frees. */

#ifndef DML_SCRIPT_API_TRAFFIC_H
#define DML_SCRIPT_API_TRAFFIC_H

#include "script/api.h"

struct budget;
struct dml_retry;

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
};

/* name: of its budget. */
DML_API struct dml_retry *dml_retry_new(const char *name, size_t len,
                                        const struct dml_retry_options *o);
DML_API void dml_retry_free(struct dml_retry *r);

/* ERR_SYNTAX: no word of failure.h; no method that is known. */
DML_API int dml_retry_on(struct dml_retry *r, const char *word, size_t len);
DML_API int dml_retry_method(struct dml_retry *r, const char *name, size_t len);

/* In balance hooks: the attempt gets the time for a try. */
DML_API int dml_retry_prepare(struct gateway *g, double handle, const struct dml_retry *r);

/* In attempt hooks: seconds to wait before another one; negative: there is to be none. */
DML_API double dml_retry_judge(struct gateway *g, double handle, const struct dml_retry *r);

#endif
