/* SPDX-License-Identifier: Apache-2.0 */

/* The sums lie with the places where plugins are enabled (gate/hook_time.h), and end with their snapshot. Here those of one
 * plugin and hook are added up when somebody looks, on top of what earlier snapshots had, so that they never go back. What
 * requests add that go on in an earlier one is not seen any more. */

#include "app/plugin_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"
#include "base/metric.h"
#include "base/vec.h"
#include "gate/hook_time.h"
#include "gate/snapshot.h"

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

struct entry;

/* What a metric is read by. */
struct reading {
    const struct entry *entry;
    enum figure figure;
};

struct entry {
    char *key; /* plugin and hook */
    double before[FIGURES];
    VEC(const struct hook_time *) times; /* of the current snapshot's places */
    struct reading readings[FIGURES];
};

struct plugin_metrics {
    struct map entries; /* key -> struct entry */
};

static double read_one(const struct hook_time *t, enum figure f)
{
    const atomic_ullong *sum = f == RUNS ? &t->runs : f == BUSY ? &t->busy_ns : &t->waited_ns;

    return (double)atomic_load_explicit(sum, memory_order_relaxed) / figures[f].unit;
}

static double read_figure(void *arg)
{
    const struct reading *r = arg;
    double sum = r->entry->before[r->figure];

    for (size_t i = 0; i < r->entry->times.n; i++)
        sum += read_one(r->entry->times.items[i], r->figure);
    return sum;
}

static void set(struct entry *e, struct slice plugin, struct slice hook, metric_read_fn fn)
{
    static const char *const labels[] = {"plugin", "hook"};
    const struct slice values[] = {plugin, hook};

    for (enum figure f = 0; f < FIGURES; f++) {
        struct metric_family *family = metric_family(
            figures[f].name, figures[f].help, METRIC_COUNTER, labels, COUNT_OF(labels), NULL, 0);
        REQUIRE(family != NULL);
        e->readings[f] = (struct reading){e, f};
        metric_gauge_fn(family, values, fn, &e->readings[f]);
    }
}

static struct entry *entry_of(struct plugin_metrics *m, struct slice plugin, enum phase p)
{
    char key[256];

    snprintf(key, sizeof(key), "%.*s %s", SLICE_ARG(plugin), phase_name(p));
    struct entry *e = map_find(&m->entries, slice_from(key));
    if (e)
        return e;
    e = calloc(1, sizeof(*e));
    REQUIRE(e != NULL);
    e->key = slice_dup(slice_from(key));
    map_set(&m->entries, slice_from(e->key), e);
    set(e, plugin, slice_from(phase_name(p)), read_figure);
    return e;
}

static void keep(struct entry *e)
{
    for (enum figure f = 0; f < FIGURES; f++)
        e->before[f] = read_figure(&e->readings[f]);
    e->times.n = 0;
}

void plugin_metrics_follow(struct plugin_metrics *m, const struct snapshot *s)
{
    struct map_entry *at;

    for (size_t i = 0; (at = map_next(&m->entries, &i));)
        keep(at->value);
    for (uint32_t i = 0; i < s->nuses; i++)
        for (enum phase p = PHASE_REWRITE; p < PHASE_START; p++) {
            const struct hook_time *t = hook_time_of(s->uses[i], p);
            if (t)
                vec_push(&entry_of(m, s->uses[i]->name, p)->times, t);
        }
}

struct plugin_metrics *plugin_metrics_new(void)
{
    struct plugin_metrics *m = calloc(1, sizeof(*m));

    REQUIRE(m != NULL);
    map_init(&m->entries);
    return m;
}

static void hide(struct entry *e)
{
    struct slice hook = slice_from(e->key), plugin;

    slice_split(&hook, ' ', &plugin);
    set(e, plugin, hook, NULL);
    vec_free(&e->times);
    free(e->key);
    free(e);
}

void plugin_metrics_free(struct plugin_metrics *m)
{
    struct map_entry *at;

    for (size_t i = 0; (at = map_next(&m->entries, &i));)
        hide(at->value);
    map_deinit(&m->entries);
    free(m);
}
