/* SPDX-License-Identifier: Apache-2.0 */

/* The sums are counted by gate/hook_time.h, and read when somebody looks. A plugin stays in sight once a configuration has
 * named it. */

#include "app/plugin_metrics.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/metric.h"
#include "base/vec.h"
#include "gate/hook_time.h"

enum figure { RUNS, BUSY, WAITED, FIGURES };

static const struct {
    const char *name, *help;
    double unit;
} figures[FIGURES] = {
    [RUNS] = {"demilune_plugin_runs_total", "Runs of plugins' hooks, estimated from a sample.", 1},
    [BUSY] = {"demilune_plugin_busy_seconds_total",
              "Time in which plugins' hooks were running, estimated from a sample.", 1e9},
    [WAITED] = {"demilune_plugin_waiting_seconds_total",
                "Time in which plugins' hooks were waiting, estimated from a sample.", 1e9},
};

/* What a metric is read by. */
struct reading {
    const struct hook_time *time;
    enum figure figure;
};

struct shown {
    struct hook_total *total;
    uint32_t hooks; /* of them */
    struct reading readings[PHASE_START][FIGURES];
};

struct plugin_metrics {
    VEC(struct shown *) all;
};

static double read_figure(void *arg)
{
    const struct reading *r = arg;
    const struct hook_time *t = r->time;
    const atomic_ullong *sums[] = {
        [RUNS] = &t->runs, [BUSY] = &t->busy_ns, [WAITED] = &t->waited_ns};

    return (double)atomic_load_explicit(sums[r->figure], memory_order_relaxed) /
           figures[r->figure].unit;
}

static void set(struct shown *s, enum phase p, metric_read_fn fn)
{
    static const char *const labels[] = {"plugin", "hook"};
    const struct slice values[] = {slice_from(s->total->plugin), slice_from(phase_name(p))};

    for (enum figure f = 0; f < FIGURES; f++) {
        struct metric_family *family = metric_family(
            figures[f].name, figures[f].help, METRIC_COUNTER, labels, COUNT_OF(labels), NULL, 0);
        REQUIRE(family != NULL);
        s->readings[p][f] = (struct reading){&s->total->times[p], f};
        metric_gauge_fn(family, values, fn, &s->readings[p][f]);
    }
}

/* Those of these hooks. */
static void set_all(struct shown *s, uint32_t hooks, metric_read_fn fn)
{
    for (enum phase p = PHASE_REWRITE; p < PHASE_START; p++)
        if (hooks & PHASE_BIT(p))
            set(s, p, fn);
}

static struct shown *shown_of(struct plugin_metrics *m, struct hook_total *total)
{
    for (size_t i = 0; i < m->all.n; i++)
        if (m->all.items[i]->total == total)
            return m->all.items[i];
    struct shown *s = calloc(1, sizeof(*s));
    REQUIRE(s != NULL);
    s->total = total;
    vec_push(&m->all, s);
    return s;
}

void plugin_metrics_follow(struct plugin_metrics *m)
{
    for (struct hook_total *t = NULL; (t = hook_total_next(t));) {
        struct shown *s = shown_of(m, t);
        uint32_t hooks = t->hooks;
        set_all(s, hooks & ~s->hooks, read_figure);
        s->hooks = hooks;
    }
}

struct plugin_metrics *plugin_metrics_new(void)
{
    struct plugin_metrics *m = calloc(1, sizeof(*m));

    REQUIRE(m != NULL);
    return m;
}

void plugin_metrics_free(struct plugin_metrics *m)
{
    for (size_t i = 0; i < m->all.n; i++) {
        set_all(m->all.items[i], m->all.items[i]->hooks, NULL);
        free(m->all.items[i]);
    }
    vec_free(&m->all);
    free(m);
}
