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

static const struct {
    const char *name, *help;
    enum metric_type type;
    metric_read_fn fn;
} metrics[] = {
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
    static const char *const labels[] = {"place"};
    struct slice place = place_of(s);

    for (size_t i = 0; i < COUNT_OF(metrics) && metric_is_ready(); i++) {
        struct metric_family *f = metric_family(metrics[i].name, metrics[i].help, metrics[i].type,
                                                labels, COUNT_OF(labels), NULL, 0);
        if (f)
            metric_gauge_fn(f, &place, is_shown ? metrics[i].fn : NULL, s);
    }
}
