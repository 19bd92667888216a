/* SPDX-License-Identifier: Apache-2.0 */

/* Evictions are what to look at: each is a value, or a count of a limit, that was forgotten before its time. */

#include "side/store_metrics.h"

#include "base/metric.h"
#include "side/store.h"

static double bytes(void *arg)
{
    struct store_stats stats;

    store_stats(arg, &stats);
    return (double)stats.bytes;
}

static double budget(void *arg)
{
    struct store_stats stats;

    store_stats(arg, &stats);
    return (double)stats.budget;
}

static double entries(void *arg)
{
    struct store_stats stats;

    store_stats(arg, &stats);
    return (double)stats.entries;
}

static double evictions(void *arg)
{
    struct store_stats stats;

    store_stats(arg, &stats);
    return (double)stats.evictions;
}

static const struct {
    const char *name, *help;
    enum metric_type type;
    metric_read_fn fn;
} metrics[] = {
    {"demilune_store_bytes", "Memory that the entries of a store take.", METRIC_GAUGE, bytes},
    {"demilune_store_limit_bytes", "The most that it may be.", METRIC_GAUGE, budget},
    {"demilune_store_entries", "Entries of a store.", METRIC_GAUGE, entries},
    {"demilune_store_evictions_total", "Entries that have made room for others before their time.",
     METRIC_COUNTER, evictions},
};

void store_show(struct store *s, bool is_shown)
{
    static const char *const labels[] = {"store"};
    struct slice name = store_name(s);

    for (size_t i = 0; i < COUNT_OF(metrics) && metric_is_ready(); i++) {
        struct metric_family *f = metric_family(metrics[i].name, metrics[i].help, metrics[i].type,
                                                labels, COUNT_OF(labels), NULL, 0);
        if (f)
            metric_gauge_fn(f, &name, is_shown ? metrics[i].fn : NULL, s);
    }
}
