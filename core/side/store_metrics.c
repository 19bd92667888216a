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

static const struct metric_row rows[] = {
    {"demilune_store_bytes", "Memory that the entries of a store take.", METRIC_GAUGE, bytes},
    {"demilune_store_limit_bytes", "The most that it may be.", METRIC_GAUGE, budget},
    {"demilune_store_entries", "Entries of a store.", METRIC_GAUGE, entries},
    {"demilune_store_evictions_total", "Entries that have made room for others before their time.",
     METRIC_COUNTER, evictions},
};

void store_show(struct store *s, bool is_shown)
{
    metric_show_rows(rows, COUNT_OF(rows), "store", store_name(s), s, is_shown);
}
