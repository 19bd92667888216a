/* SPDX-License-Identifier: Apache-2.0 */

/* The figures of a store are read when somebody looks; its name, "cache/" and the place, is their label. */

#include "side/response_store_metrics.h"

#include "base/metric.h"
#include "side/response_store.h"

static double bytes(void *arg)
{
    struct response_store_stats stats;

    response_store_stats(arg, &stats);
    return (double)stats.bytes;
}

static double budget(void *arg)
{
    struct response_store_stats stats;

    response_store_stats(arg, &stats);
    return (double)stats.budget;
}

static double responses(void *arg)
{
    struct response_store_stats stats;

    response_store_stats(arg, &stats);
    return (double)stats.responses;
}

static double evictions(void *arg)
{
    struct response_store_stats stats;

    response_store_stats(arg, &stats);
    return (double)stats.evictions;
}

static const struct metric_row rows[] = {
    {"demilune_cache_bytes", "Memory that kept responses take, and those that are on their way.",
     METRIC_GAUGE, bytes},
    {"demilune_cache_limit_bytes", "The most that it may be.", METRIC_GAUGE, budget},
    {"demilune_cache_responses", "Responses that are kept.", METRIC_GAUGE, responses},
    {"demilune_cache_evictions_total", "Responses that have made room for others.", METRIC_COUNTER,
     evictions},
};

static struct slice place_of(const struct response_store *s)
{
    struct slice name = response_store_name(s), prefix = SLICE("cache/");

    return slice_starts(name, prefix) ? slice_from_index(name, prefix.len) : name;
}

void response_store_show(struct response_store *s, bool is_shown)
{
    metric_show_rows(rows, COUNT_OF(rows), "place", place_of(s), s, is_shown);
}
