/* SPDX-License-Identifier: Apache-2.0 */

/* Circuit breakers for Lua: single ones for what a plugin asks by itself, and those of a place, which attempts pass with
 * one call each. */

#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "gate/circuit.h"
#include "script/api_find.h"
#include "script/api_traffic.h"
#include "script/core_hook.h"
#include "side/breaker.h"

#define LONGEST_S (24.0 * 3600)

static uint32_t ms_of(double seconds)
{
    return (uint32_t)ceil(MIN(MAX(seconds, 0), LONGEST_S) * 1000);
}

static uint32_t count_of(double n, double most)
{
    return (uint32_t)MIN(MAX(n, 1), most);
}

static struct breaker_rules rules_of(const struct dml_breaker_options *o)
{
    struct breaker_rules r = {
        .window_ms = MAX(ms_of(o->window), 1u),
        .min_requests = count_of(o->min_requests, 1e9),
        .failure_ratio = o->failure_ratio,
        .slow_ms = ms_of(o->slow_over),
        .slow_ratio = o->slow_ratio,
        .open_ms = MAX(ms_of(o->open_for), 1u),
        .probes = count_of(o->probes, BREAKER_PROBES_MAX),
        .ramp_ms = ms_of(o->ramp),
    };

    r.open_max_ms = MAX(ms_of(o->open_for_max), r.open_ms);
    return r;
}

/* --- one by name ----------------------------------------------------------------------------------------------------- */

struct breaker *dml_breaker_new(const char *name, size_t len, const struct dml_breaker_options *o)
{
    struct breaker_rules rules = rules_of(o);

    return breaker_ref(SLICE("plugin"), slice_of(name, len), &rules);
}

void dml_breaker_free(struct breaker *b)
{
    breaker_unref(b);
}

double dml_breaker_enter(struct breaker *b)
{
    struct breaker_pass pass;
    uint64_t wait_ms = 0;

    if (!breaker_enter(b, &pass, &wait_ms))
        return -1 - (double)wait_ms;
    return pass.generation * 2.0 + pass.is_probe;
}

void dml_breaker_leave(struct breaker *b, double pass, int good, double seconds)
{
    uint32_t number = (uint32_t)pass;
    struct breaker_pass back = {.generation = number / 2, .is_probe = number % 2};

    breaker_leave(b, back,
                  good > 0    ? BREAKER_GOOD
                  : good == 0 ? BREAKER_FAILED
                              : BREAKER_VOID,
                  ms_of(seconds));
}

const char *dml_breaker_state(struct breaker *b)
{
    struct breaker_view view;

    breaker_look(b, &view);
    return breaker_word(view.state);
}

/* --- of a place ------------------------------------------------------------------------------------------------------ */

struct dml_circuit {
    struct dml_core_hook hook;
    struct circuit *circuit;
};

static bool run_circuit(const struct dml_core_hook *hook, struct exchange *x)
{
    const struct dml_circuit *c = container_of(hook, const struct dml_circuit, hook);

    return !x->attempt->endpoint || circuit_enter_closed(c->circuit, x->attempt);
}

struct dml_circuit *dml_circuit_new(int scope, const struct dml_breaker_options *o,
                                    const char *fallback, size_t len)
{
    struct circuit_conf conf = {.scope = (enum circuit_scope)scope, .rules = rules_of(o)};
    struct dml_circuit *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL);
    if (fallback)
        conf.fallback = slice_of(fallback, len);
    c->hook.run = run_circuit;
    c->circuit = circuit_new(&conf);
    return c;
}

void dml_circuit_free(struct dml_circuit *c)
{
    circuit_unref(c->circuit);
    free(c);
}

int dml_circuit_on(struct dml_circuit *c, const char *word, size_t len)
{
    return circuit_add_failure(c->circuit, slice_of(word, len));
}

void dml_circuit_hold(struct gateway *g, struct dml_circuit *c, const char *scope, size_t len)
{
    circuit_hold(c->circuit, g->plan->snapshot, slice_of(scope, len));
}

const struct dml_core_hook *dml_circuit_hook(const struct dml_circuit *c)
{
    return &c->hook;
}

double dml_circuit_enter(struct gateway *g, double handle, struct dml_circuit *c)
{
    struct exchange *x = api_find(g, handle);
    uint64_t wait_ms = 0;

    if (!x || x->phase != PHASE_BALANCE || !x->attempt || !x->attempt->endpoint)
        return -1;
    return circuit_enter(c->circuit, x->attempt, &wait_ms) ? -1 : (double)wait_ms / 1000;
}
