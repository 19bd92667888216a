/* SPDX-License-Identifier: Apache-2.0 */

/* With scope endpoint an attempt is turned to another endpoint while there is one whose circuit lets it through. Breakers
 * are looked up once per upstream or route of the snapshot and kept in a table; endpoints of an upstream stand in a row. */

#include "gate/circuit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/vec.h"
#include "gate/exchange.h"
#include "gate/plan.h"
#include "gate/snapshot.h"

#define TURNS_MAX 16u /* endpoints that are asked for one attempt */

/* What a row is of; a route or an upstream of another snapshot has the same index. */
struct row {
    const void *of;
    struct breaker **breakers;
    uint32_t n;
};

struct circuit {
    /* owned */
    struct circuit_conf conf;
    struct failure_set failures;
    VEC(struct row) rows; /* by index of the upstream or route */
    /* state */
    atomic_int refs; /* the last may go on the thread that closes VMs */
};

static void row_clear(struct row *row)
{
    for (uint32_t i = 0; i < row->n; i++)
        if (row->breakers[i])
            breaker_unref(row->breakers[i]);
    free(row->breakers);
    *row = (struct row){0};
}

struct circuit *circuit_new(const struct circuit_conf *conf)
{
    struct circuit *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL);
    c->conf = *conf;
    if (conf->fallback.ptr)
        c->conf.fallback = slice_of(slice_dup(conf->fallback), conf->fallback.len);
    atomic_init(&c->refs, 1);
    return c;
}

void circuit_unref(struct circuit *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < c->rows.n; i++)
        row_clear(&c->rows.items[i]);
    vec_free(&c->rows);
    free((char *)c->conf.fallback.ptr);
    free(c);
}

int circuit_add_failure(struct circuit *c, struct slice word)
{
    return failure_add(&c->failures, word);
}

/* --- finding --------------------------------------------------------------------------------------------------------- */

static struct breaker **find_cell(struct circuit *c, uint32_t index, const void *of, uint32_t n,
                                  uint32_t at)
{
    while (c->rows.n <= index)
        vec_push(&c->rows, (struct row){0});
    struct row *row = &c->rows.items[index];
    if (UNLIKELY(row->of != of || row->n != n)) {
        row_clear(row);
        *row = (struct row){of, calloc(n, sizeof(row->breakers[0])), n};
        REQUIRE(row->breakers != NULL);
    }
    return &row->breakers[at];
}

static struct breaker *of_route(struct circuit *c, const struct route *r)
{
    struct breaker **cell = find_cell(c, r->index, r, 1, 0);

    if (!*cell)
        *cell = breaker_ref(SLICE("route"), r->name.len ? r->name : r->key, &c->conf.rules);
    return *cell;
}

static struct breaker *of_upstream(struct circuit *c, const struct upstream *u)
{
    struct breaker **cell = find_cell(c, u->index, u, 1, 0);

    if (!*cell)
        *cell = breaker_ref(SLICE("upstream"), u->name, &c->conf.rules);
    return *cell;
}

static struct breaker *of_endpoint(struct circuit *c, const struct upstream *u,
                                   const struct endpoint *e)
{
    struct breaker **cell = find_cell(c, u->index, u, u->nendpoints, (uint32_t)(e - u->endpoints));
    char *name = NULL;

    if (!*cell) {
        int len = asprintf(&name, "%.*s/%.*s", SLICE_ARG(u->name), SLICE_ARG(e->address));
        REQUIRE(len >= 0);
        *cell = breaker_ref(SLICE("endpoint"), slice_of(name, (size_t)len), &c->conf.rules);
        free(name);
    }
    return *cell;
}

static struct breaker *breaker_of(struct circuit *c, const struct attempt *a)
{
    switch (c->conf.scope) {
    case CIRCUIT_ROUTE: return of_route(c, a->exchange->route);
    case CIRCUIT_ENDPOINT: return of_endpoint(c, a->upstream, a->endpoint);
    default: return of_upstream(c, a->upstream);
    }
}

static void hold_upstream(struct circuit *c, const struct upstream *u)
{
    if (c->conf.scope == CIRCUIT_UPSTREAM)
        of_upstream(c, u);
    for (uint32_t i = 0; c->conf.scope == CIRCUIT_ENDPOINT && i < u->nendpoints; i++)
        of_endpoint(c, u, &u->endpoints[i]);
}

static bool is_in(struct slice scope, const struct route *r)
{
    for (uint32_t i = 0; i < r->chain.n; i++)
        if (slice_eq(r->chain.uses[i]->scope, scope))
            return true;
    return false;
}

void circuit_hold(struct circuit *c, const struct snapshot *s, struct slice scope)
{
    bool is_for_all = !slice_starts(scope, SLICE("route:"));

    for (uint32_t i = 0; i < s->nroutes; i++) {
        const struct route *r = s->routes[i];
        if (r->action != ROUTE_PROXY || !(is_for_all || is_in(scope, r)))
            continue;
        if (c->conf.scope == CIRCUIT_ROUTE)
            of_route(c, r);
        else
            hold_upstream(c, r->upstream);
    }
}

/* --- coming back ----------------------------------------------------------------------------------------------------- */

struct circuit_watch {
    struct attempt_watch watch;
    struct circuit *circuit; /* a reference */
    struct breaker *breaker; /* in it */
    struct breaker_pass pass;
};

static void circuit_on_end(struct attempt_watch *watch, const struct attempt *a, bool is_judged)
{
    struct circuit_watch *w = container_of(watch, struct circuit_watch, watch);
    enum breaker_outcome outcome = BREAKER_VOID;

    if (is_judged && !failure_is_own(a))
        outcome = failure_has(&w->circuit->failures, a) ? BREAKER_FAILED : BREAKER_GOOD;
    breaker_leave(w->breaker, w->pass, outcome, attempt_us(a) / 1000);
    circuit_unref(w->circuit);
}

static void circuit_follow(struct circuit *c, struct attempt *a, struct breaker *b,
                           struct breaker_pass pass)
{
    struct circuit_watch *w = arena_alloc(a->exchange->arena, sizeof(*w));

    *w = (struct circuit_watch){{NULL, circuit_on_end}, c, b, pass};
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    attempt_watch(a, &w->watch);
}

/* --- going in -------------------------------------------------------------------------------------------------------- */

static bool enter_one(struct circuit *c, struct attempt *a, uint64_t *wait_ms)
{
    struct breaker *b = breaker_of(c, a);
    struct breaker_pass pass;

    if (!breaker_enter(b, &pass, wait_ms))
        return false;
    circuit_follow(c, a, b, pass);
    return true;
}

bool circuit_enter_closed(struct circuit *c, struct attempt *a)
{
    struct breaker *b = breaker_of(c, a);
    struct breaker_pass pass;

    if (UNLIKELY(!breaker_enter_closed(b, &pass)))
        return false;
    circuit_follow(c, a, b, pass);
    return true;
}

static bool is_among(const struct endpoint *e, const struct endpoint *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == e)
            return true;
    return false;
}

/* Another endpoint, while there is one that has not refused it. */
static bool enter_another(struct circuit *c, struct attempt *a, uint64_t *wait_ms)
{
    const struct endpoint *refused[TURNS_MAX];
    uint64_t wait;

    for (size_t n = 0; n < TURNS_MAX; n++) {
        refused[n] = a->endpoint;
        if (attempt_pick_but(a, refused, n + 1) < 0 || is_among(a->endpoint, refused, n + 1))
            break;
        if (enter_one(c, a, &wait))
            return true;
        *wait_ms = MIN(*wait_ms, wait);
    }
    return false;
}

static bool fall_back(const struct circuit *c, struct attempt *a)
{
    struct upstream *u = c->conf.fallback.ptr
                             ? snapshot_upstream(a->exchange->plan->snapshot, c->conf.fallback)
                             : NULL;

    return u && u != a->upstream && attempt_turn_to(a, u) == 0;
}

bool circuit_enter(struct circuit *c, struct attempt *a, uint64_t *wait_ms)
{
    if (LIKELY(enter_one(c, a, wait_ms)))
        return true;
    if (c->conf.scope == CIRCUIT_ENDPOINT && enter_another(c, a, wait_ms))
        return true;
    return fall_back(c, a);
}
