/* SPDX-License-Identifier: Apache-2.0 */

/* Retry policies and their budgets, for Lua: made once at load, asked with one call per attempt. */

#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "gate/retry.h"
#include "script/api_find.h"
#include "script/api_traffic.h"
#include "script/core_hook.h"
#include "side/budget.h"
#include "side/sketch.h"

#define LONGEST_S (24.0 * 3600)

static uint32_t ms_of(double seconds)
{
    return (uint32_t)ceil(MIN(MAX(seconds, 0), LONGEST_S) * 1000);
}

/* --- budgets ------------------------------------------------------------------------------------------------------- */

struct budget *dml_budget_new(const char *name, size_t len, double window)
{
    return budget_ref(slice_of(name, len), MAX(ms_of(window), 1u));
}

void dml_budget_free(struct budget *b)
{
    budget_unref(b);
}

void dml_budget_count(struct budget *b)
{
    budget_count(b);
}

int dml_budget_take(struct budget *b, double share, double least)
{
    return budget_take(b, share, (uint32_t)MIN(MAX(least, 0), 1e9));
}

void dml_budget_counts(struct budget *b, double *asked, double *taken)
{
    struct budget_counts counts;

    budget_counts(b, &counts);
    *asked = (double)counts.asked;
    *taken = (double)counts.taken;
}

/* --- policies ------------------------------------------------------------------------------------------------------ */

struct dml_retry {
    struct dml_core_hook prepare, judge;
    struct retry_policy policy;
};

static bool run_prepare(const struct dml_core_hook *hook, struct exchange *x)
{
    retry_prepare(&container_of(hook, const struct dml_retry, prepare)->policy, x);
    return true;
}

static bool run_judge(const struct dml_core_hook *hook, struct exchange *x)
{
    return retry_is_well(&container_of(hook, const struct dml_retry, judge)->policy, x);
}

struct dml_retry *dml_retry_new(const char *name, size_t len, const struct dml_retry_options *o)
{
    struct dml_retry *r = calloc(1, sizeof(*r));

    REQUIRE(r != NULL);
    r->prepare.run = run_prepare;
    r->judge.run = run_judge;
    r->policy = (struct retry_policy){
        .attempts = (uint32_t)MIN(MAX(o->attempts, 1), RETRY_ATTEMPTS_MAX),
        .per_try_ms = ms_of(o->per_try),
        .base_ms = ms_of(o->base),
        .max_ms = ms_of(o->max),
        .share = o->share,
        .least = (uint32_t)MIN(MAX(o->least, 0), 1e9),
        .budget = budget_ref(slice_of(name, len), RETRY_WINDOW_MS),
    };
    if (o->hedge_percentile > 0) {
        r->policy.latency = sketch_ref(slice_of(name, len));
        r->policy.hedge_percentile = o->hedge_percentile / 100;
    }
    return r;
}

void dml_retry_free(struct dml_retry *r)
{
    if (r->policy.latency)
        sketch_unref(r->policy.latency);
    budget_unref(r->policy.budget);
    free(r);
}

int dml_retry_on(struct dml_retry *r, const char *word, size_t len)
{
    return failure_add(&r->policy.on, slice_of(word, len));
}

int dml_retry_method(struct dml_retry *r, const char *name, size_t len)
{
    enum method m = method_parse(slice_of(name, len));

    if (m == METHOD_UNKNOWN)
        return ERR_SYNTAX;
    r->policy.methods |= 1ull << m;
    return 0;
}

const struct dml_core_hook *dml_retry_hook(const struct dml_retry *r, int judges)
{
    return judges ? &r->judge : &r->prepare;
}

int dml_retry_prepare(struct gateway *g, double handle, const struct dml_retry *r)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    if (x->phase != PHASE_BALANCE || !x->attempt)
        return ERR_LIMIT;
    retry_prepare(&r->policy, x);
    return 0;
}

double dml_retry_judge(struct gateway *g, double handle, const struct dml_retry *r)
{
    struct exchange *x = api_find(g, handle);
    uint32_t delay_ms = 0;

    if (!x)
        return ERR_GONE;
    if (x->phase != PHASE_ATTEMPT || !x->attempt)
        return ERR_LIMIT;
    enum retry_verdict v = retry_judge(&r->policy, x, &delay_ms);
    return v == RETRY_GRANTED || v == RETRY_RIVAL ? delay_ms / 1000.0 : -1;
}
