/* SPDX-License-Identifier: Apache-2.0 */

/* All breakers of the process, and their metrics. Two places whose rules differ have breakers of their own for the same
 * upstream; the series of that name are then those of the one that was made last. */

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"
#include "base/metric.h"
#include "base/refs.h"
#include "side/breaker_parts.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map breakers;

/* --- metrics --------------------------------------------------------------------------------------------------------- */

static double state_of(void *arg)
{
    struct breaker_view view;

    breaker_look(arg, &view);
    switch (view.state) {
    case BREAKER_CLOSED:
    case BREAKER_FORCED_CLOSED: return 0;
    case BREAKER_HALF_OPEN: return 1;
    default: return 2;
    }
}

static double opened(void *arg)
{
    return (double)atomic_load(&((const struct breaker *)arg)->opened);
}

static double refused(void *arg)
{
    return (double)atomic_load(&((const struct breaker *)arg)->refused);
}

static const struct {
    const char *name, *help;
    enum metric_type type;
    metric_read_fn fn;
} metrics[] = {
    {"demilune_breaker_state", "Circuit breakers: 0 closed, 1 half-open, 2 open.", METRIC_GAUGE,
     state_of},
    {"demilune_breaker_opened_total", "How often the circuit was opened by failures.",
     METRIC_COUNTER, opened},
    {"demilune_breaker_refused_total", "Attempts that found the circuit open.", METRIC_COUNTER,
     refused},
};

/* shows: the breaker that the series of this name are of from now on; NULL: none. */
static void set_metrics(const struct breaker *named, struct breaker *shows)
{
    static const char *const labels[] = {"scope", "breaker"};
    const struct slice values[] = {named->scope, named->name};

    for (size_t i = 0; i < COUNT_OF(metrics) && metric_is_ready(); i++) {
        struct metric_family *f = metric_family(metrics[i].name, metrics[i].help, metrics[i].type,
                                                labels, COUNT_OF(labels), NULL, 0);
        if (f)
            metric_gauge_fn(f, values, shows ? metrics[i].fn : NULL, shows);
    }
}

/* Another one of the same name. */
static struct breaker *namesake(const struct breaker *b)
{
    struct map_entry *e;

    for (size_t i = 0; (e = map_next(&breakers, &i));) {
        struct breaker *other = e->value;
        if (slice_eq(other->name, b->name) && slice_eq(other->scope, b->scope))
            return other;
    }
    return NULL;
}

/* What somebody has ordered holds for all of a name, whatever their rules: a reload that changes them does not lift it. */
static void take_order(struct breaker *b)
{
    const struct breaker *other = atomic_load(&breakers_ordered) ? namesake(b) : NULL;
    struct breaker_view view;

    if (!other)
        return;
    breaker_look(other, &view);
    if (view.state == BREAKER_FORCED_OPEN || view.state == BREAKER_FORCED_CLOSED)
        breaker_force(b,
                      view.state == BREAKER_FORCED_OPEN ? BREAKER_ORDER_OPEN : BREAKER_ORDER_CLOSE);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

/* The rules as bytes: their struct has gaps. */
static size_t key_size(struct slice scope, struct slice name)
{
    return 7 * sizeof(uint32_t) + 2 * sizeof(double) + scope.len + 1 + name.len;
}

static char *put_bytes(char *out, const void *from, size_t len)
{
    return slice_put(out, slice_of(from, len));
}

static void put_key(char *out, struct slice scope, struct slice name, const struct breaker_rules *r)
{
    const uint32_t numbers[] = {r->window_ms,   r->min_requests, r->slow_ms, r->open_ms,
                                r->open_max_ms, r->probes,       r->ramp_ms};
    const double ratios[] = {r->failure_ratio, r->slow_ratio};

    out = put_bytes(out, numbers, sizeof(numbers));
    out = put_bytes(out, ratios, sizeof(ratios));
    out = slice_put(out, scope);
    *out++ = '\0';
    slice_put(out, name);
}

/* Takes the key. */
static struct breaker *breaker_new(struct slice key, struct slice scope, struct slice name,
                                   const struct breaker_rules *rules)
{
    struct breaker *b = aligned_alloc(64, (sizeof(*b) + 63) / 64 * 64);

    REQUIRE(b != NULL);
    memset(b, 0, sizeof(*b));
    b->key = key;
    b->name = slice_from_index(key, key.len - name.len);
    b->scope = slice_sub(key, key.len - name.len - 1 - scope.len, scope.len);
    b->rules = *rules;
    tally_init(&b->tally, rules->window_ms);
    take_order(b);
    map_set(&breakers, b->key, b);
    set_metrics(b, b);
    return b;
}

struct breaker *breaker_ref(struct slice scope, struct slice name,
                            const struct breaker_rules *rules)
{
    size_t len = key_size(scope, name);
    char *text = malloc(len);

    REQUIRE(text != NULL);
    put_key(text, scope, name, rules);
    pthread_mutex_lock(&lock);
    struct breaker *b = map_find(&breakers, slice_of(text, len));
    if (b)
        free(text);
    else
        b = breaker_new(slice_of(text, len), scope, name, rules);
    atomic_fetch_add(&b->refs, 1);
    pthread_mutex_unlock(&lock);
    return b;
}

void breaker_unref(struct breaker *b)
{
    if (refs_drop_unless_last(&b->refs))
        return;

    pthread_mutex_lock(&lock);
    bool is_last = atomic_fetch_sub(&b->refs, 1) == 1;
    if (is_last) {
        map_remove(&breakers, b->key);
        set_metrics(b, namesake(b));
        if (breakers.n == 0)
            map_deinit(&breakers);
    }
    pthread_mutex_unlock(&lock);
    if (is_last) {
        free((char *)b->key.ptr);
        free(b);
    }
}

size_t breakers_each(struct slice name, breaker_fn fn, void *arg)
{
    struct map_entry *e;
    size_t n = 0;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; (e = map_next(&breakers, &i));) {
        struct breaker *b = e->value;
        struct breaker_view view;
        if (name.ptr && !slice_eq(b->name, name))
            continue;
        breaker_look(b, &view);
        fn(arg, b, &view);
        n++;
    }
    pthread_mutex_unlock(&lock);
    return n;
}
