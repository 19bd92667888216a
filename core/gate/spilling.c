/* SPDX-License-Identifier: Apache-2.0 */

/* Metrics are read from the counters of both parts when somebody looks. */

#include "gate/spilling.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "gate/snapshot.h"
#include "side/spill.h"
#include "side/spill_feed.h"

#define END_MS 5000 /* all reports are there when it is to end, unless a thread hangs */

struct spilling {
    struct spill *spill;
    struct spill_feed *feed;
};

/* --- metrics --------------------------------------------------------------------------------------------------------- */

struct both {
    struct spill_count spill;
    struct spill_feed_count feed;
};

static struct both count(const struct spilling *sp)
{
    struct both b;

    spill_count(sp->spill, &b.spill);
    spill_feed_count(sp->feed, &b.feed);
    return b;
}

#define READER(name, value) \
    static double read_##name(void *arg) \
    { \
        struct both b = count(arg); \
        return (double)(value); \
    }
READER(bytes, b.spill.bytes)
READER(waiting, b.spill.waiting)
READER(under_way, b.feed.under_way)
READER(added, b.spill.added)
READER(recovered, b.spill.recovered)
READER(refused, b.spill.refused)
READER(failed, b.spill.failed)
READER(dropped, b.spill.dropped)
READER(damaged, b.spill.damaged)
READER(delivered, b.feed.delivered)
READER(buried_topic, b.feed.buried_topic)
READER(buried_file, b.feed.buried_file)
READER(buried_default, b.feed.buried_default)
READER(unburied, b.feed.unburied)
READER(missing_topics, b.feed.missing_topics)

static double read_age(void *arg)
{
    uint64_t oldest = count(arg).feed.oldest_ms, now = clock_wall_ms_now();

    return oldest && oldest < now ? (double)(now - oldest) / 1000 : 0;
}

static const struct {
    const char *name, *help;
    enum metric_type type;
    metric_read_fn fn;
    const char *label, *value; /* or NULL */
} metrics[] = {
    {"demilune_spill_bytes", "Bytes of the spill on disk.", METRIC_GAUGE, read_bytes, NULL, NULL},
    {"demilune_spill_events", "Events in the spill that no broker has acknowledged.", METRIC_GAUGE,
     read_waiting, NULL, NULL},
    {"demilune_spill_under_way", "Events of the spill that are on their way to a broker.",
     METRIC_GAUGE, read_under_way, NULL, NULL},
    {"demilune_spill_oldest_age_seconds", "Since when the oldest event waits.", METRIC_GAUGE,
     read_age, NULL, NULL},
    {"demilune_spill_accepted_total", "Events that were written to the spill.", METRIC_COUNTER,
     read_added, NULL, NULL},
    {"demilune_spill_recovered_total", "Events that an earlier process has left in the spill.",
     METRIC_COUNTER, read_recovered, NULL, NULL},
    {"demilune_spill_delivered_total", "Events of the spill that a broker has acknowledged.",
     METRIC_COUNTER, read_delivered, NULL, NULL},
    {"demilune_spill_refused_total", "Events for which the spill had no room.", METRIC_COUNTER,
     read_refused, NULL, NULL},
    {"demilune_spill_write_failures_total", "Events that the disk did not take.", METRIC_COUNTER,
     read_failed, NULL, NULL},
    {"demilune_spill_dropped_total", "Events that were given up for newer ones.", METRIC_COUNTER,
     read_dropped, NULL, NULL},
    {"demilune_spill_damaged_bytes_total",
     "Bytes of the spill that could not be read and were moved aside.", METRIC_COUNTER,
     read_damaged, NULL, NULL},
    {"demilune_spill_dead_letters_total",
     "Events that a broker has refused for good, by where they are kept.", METRIC_COUNTER,
     read_buried_topic, "place", "topic"},
    {"demilune_spill_dead_letters_total",
     "Events that a broker has refused for good, by where they are kept.", METRIC_COUNTER,
     read_buried_file, "place", "file"},
    {"demilune_spill_dead_letters_total",
     "Events that a broker has refused for good, by where they are kept.", METRIC_COUNTER,
     read_buried_default, "place", "default"},
    {"demilune_spill_unburied",
     "Events that a broker has refused for good, and that no dead-letter place takes for now.",
     METRIC_GAUGE, read_unburied, NULL, NULL},
    {"demilune_spill_missing_topics",
     "Topics that are not there or may not be written to, and for which events wait.", METRIC_GAUGE,
     read_missing_topics, NULL, NULL},
};

/* sp NULL: not any more. */
static void show(struct spilling *sp)
{
    for (size_t i = 0; metric_is_ready() && i < COUNT_OF(metrics); i++) {
        struct slice value = slice_from(metrics[i].value);
        struct metric_family *f =
            metric_family(metrics[i].name, metrics[i].help, metrics[i].type, &metrics[i].label,
                          metrics[i].label ? 1 : 0, NULL, 0);
        if (f)
            metric_gauge_fn(f, &value, sp ? metrics[i].fn : NULL, sp);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

struct spilling *spilling_start(const struct snapshot *s, struct faults *faults)
{
    const char *fault = NULL;

    if (!s->spill_dir.ptr)
        return NULL;
    struct spill *spill = spill_open(s->spill_dir, &s->spill, &fault);
    if (!spill) {
        fault_system(faults, conf_get(conf_get(s->conf, SLICE("spill")), SLICE("dir")),
                     SLICE("spill.dir"), "can't keep events in %s: %s", s->spill_dir.ptr, fault);
        return NULL;
    }
    struct spilling *sp = calloc(1, sizeof(*sp));
    REQUIRE(sp != NULL);
    sp->spill = spill;
    sp->feed = spill_feed_start(spill);
    spilling_follow(sp, s);
    show(sp);
    spill_share(spill);
    return sp;
}

void spilling_follow(struct spilling *sp, const struct snapshot *now)
{
    struct kafka_cluster **clusters;

    if (!sp)
        return;
    clusters = calloc(now->nkafka + 1, sizeof(clusters[0]));
    REQUIRE(clusters != NULL);
    for (uint32_t i = 0; i < now->nkafka; i++)
        clusters[i] = now->kafka[i].cluster;
    spill_feed_use(sp->feed, clusters, now->nkafka);
    free(clusters);
    if (now->spill_dir.ptr)
        spill_configure(sp->spill, &now->spill);
}

void spilling_warn(const struct spilling *sp, const struct snapshot *now, struct faults *faults)
{
    const struct conf *spill = conf_get(now->conf, SLICE("spill"));

    if (sp && !slice_eq(spill_path(sp->spill), now->spill_dir))
        warn_at(faults, spill ? spill : now->conf, SLICE("spill"),
                "until the next restart events are kept in %.*s", SLICE_ARG(spill_path(sp->spill)));
}

bool spilling_is_empty(struct spilling *sp)
{
    return !sp || count(sp).spill.waiting == 0;
}

void spilling_quit(struct spilling *sp)
{
    if (!sp)
        return;
    show(NULL);
    spill_share(NULL);
    spill_feed_quit(sp->feed);
}

void spilling_free(struct spilling *sp)
{
    struct spill_count n;

    if (!sp)
        return;
    bool has_ended = spill_feed_free(sp->feed, END_MS);
    spill_count(sp->spill, &n);
    if (n.waiting > 0)
        LOG_INFO("spill.left", "events stay in the spill for the next start",
                 LOG_S("dir", spill_path(sp->spill)), LOG_I("events", n.waiting));
    if (has_ended) {
        spill_close(sp->spill);
        free(sp);
    } else {
        LOG_ERROR(
            "spill.end",
            "the delivery of events does not end: the process goes without it; what has no word "
            "yet is delivered by the next one",
            LOG_S("dir", spill_path(sp->spill)), LOG_I("under_way", count(sp).feed.under_way));
    }
}
