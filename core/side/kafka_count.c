/* SPDX-License-Identifier: Apache-2.0 */

/* Metrics of Kafka clusters: what the gateway counts itself, and what librdkafka's statistics say of the brokers (JSON,
 * every few seconds). */

#include <stdlib.h>

#include "base/check.h"
#include "base/json.h"
#include "base/metric.h"
#include "side/kafka_parts.h"

#define DEPTH_MAX 16

static struct kafka_count *counts; /* under the lock */
static pthread_mutex_t counts_lock = PTHREAD_MUTEX_INITIALIZER;

/* --- metrics ------------------------------------------------------------------------------------------------------- */

static double read_counter(void *arg)
{
    return (double)atomic_load_explicit((atomic_ullong *)arg, memory_order_relaxed);
}

static double read_gauge(void *arg)
{
    return (double)atomic_load_explicit((atomic_llong *)arg, memory_order_relaxed);
}

static double read_seconds(void *arg)
{
    return read_counter(arg) / 1e6;
}

static double read_brokers(void *arg)
{
    return atomic_load_explicit((atomic_uint *)arg, memory_order_relaxed);
}

static const struct {
    const char *name, *help;
    enum metric_type type;
    metric_read_fn fn;
    size_t at; /* in struct kafka_count */
} metrics[] = {
    {"demilune_kafka_turned_away_total",
     "Records that were not taken, for want of room or for their size.", METRIC_COUNTER,
     read_counter, offsetof(struct kafka_count, turned_away)},
    {"demilune_kafka_queue_records", "Records without a broker's word yet.", METRIC_GAUGE,
     read_gauge, offsetof(struct kafka_count, queued_records)},
    {"demilune_kafka_queue_bytes", "Bytes of their keys and values.", METRIC_GAUGE, read_gauge,
     offsetof(struct kafka_count, queued_bytes)},
    {"demilune_kafka_brokers_up", "Brokers with a connection.", METRIC_GAUGE, read_brokers,
     offsetof(struct kafka_count, brokers_up)},
    {"demilune_kafka_round_trips_total", "Requests that a broker has answered.", METRIC_COUNTER,
     read_counter, offsetof(struct kafka_count, round_trips)},
    {"demilune_kafka_round_trip_seconds_total", "Time that these took together.", METRIC_COUNTER,
     read_seconds, offsetof(struct kafka_count, round_trip_us)},
    {"demilune_kafka_retries_total", "Requests that were sent again.", METRIC_COUNTER, read_counter,
     offsetof(struct kafka_count, retries)},
    {"demilune_kafka_sent_bytes_total", "Bytes sent to brokers.", METRIC_COUNTER, read_counter,
     offsetof(struct kafka_count, sent_bytes)},
    {"demilune_kafka_producers_anew_total", "Producers that were made anew after a fatal error.",
     METRIC_COUNTER, read_counter, offsetof(struct kafka_count, anew)},
};

static void show_outcomes(struct kafka_count *c)
{
    static const char *const labels[] = {"cluster", "outcome"};
    struct metric_family *f =
        metric_family("demilune_kafka_records_total", "Records, by what became of them.",
                      METRIC_COUNTER, labels, 2, NULL, 0);

    for (int i = 0; i < KAFKA_OUTCOMES; i++) {
        struct slice values[] = {slice_from(c->name),
                                 slice_from(kafka_outcome_word((enum kafka_outcome)i))};
        if (f)
            metric_gauge_fn(f, values, read_counter, &c->records[i]);
    }
}

static void show(struct kafka_count *c)
{
    static const char *const labels[] = {"cluster"};
    struct slice name = slice_from(c->name);

    if (!metric_is_ready())
        return;
    show_outcomes(c);
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        struct metric_family *f =
            metric_family(metrics[i].name, metrics[i].help, metrics[i].type, labels, 1, NULL, 0);
        if (f)
            metric_gauge_fn(f, &name, metrics[i].fn, (char *)c + metrics[i].at);
    }
}

struct kafka_count *kafka_count_of(struct slice cluster)
{
    pthread_mutex_lock(&counts_lock);
    struct kafka_count *c = counts;
    while (c && !slice_eq(slice_from(c->name), cluster))
        c = c->next;
    if (!c) {
        c = calloc(1, sizeof(*c));
        REQUIRE(c != NULL);
        c->name = slice_dup(cluster);
        c->next = counts;
        counts = c;
        show(c);
    }
    pthread_mutex_unlock(&counts_lock);
    return c;
}

/* --- statistics ---------------------------------------------------------------------------------------------------- */

/* What is looked for, over all brokers. rtt is of the interval, the others since the start. */
struct totals {
    double rtt_sum, rtt_cnt, retries, sent;
    unsigned up;
};

/* Where the reader stands. */
struct place {
    int depth;
    bool is_brokers, is_rtt,
        is_state; /* below brokers; below brokers.NAME.rtt; at brokers.NAME.state */
};

static void take_number(struct totals *t, const struct place *at, struct slice key, double n)
{
    if (!at->is_brokers)
        return;
    if (at->depth == 4 && at->is_rtt) {
        if (slice_eq(key, SLICE("sum")))
            t->rtt_sum += n;
        else if (slice_eq(key, SLICE("cnt")))
            t->rtt_cnt += n;
    } else if (at->depth == 3) {
        if (slice_eq(key, SLICE("txretries")))
            t->retries += n;
        else if (slice_eq(key, SLICE("txbytes")))
            t->sent += n;
    }
}

static void take_key(struct place *at, struct slice key)
{
    if (at->depth == 1)
        at->is_brokers = slice_eq(key, SLICE("brokers"));
    if (at->depth == 3) {
        at->is_rtt = slice_eq(key, SLICE("rtt"));
        at->is_state = at->is_brokers && slice_eq(key, SLICE("state"));
    }
}

static void read_totals(struct totals *t, struct slice json)
{
    struct place at = {.depth = 0};
    struct slice key = SLICE_NONE;
    struct json_reader r;
    int event;

    json_reader_init(&r, json, DEPTH_MAX);
    while ((event = json_read(&r)) > 0 && event != JSON_END) {
        switch (event) {
        case JSON_OBJECT:
        case JSON_ARRAY: at.depth++; break;
        case JSON_OBJECT_END:
        case JSON_ARRAY_END: at.depth--; break;
        case JSON_KEY: take_key(&at, key = r.string); break;
        case JSON_NUMBER: take_number(t, &at, key, r.number); break;
        case JSON_STRING:
            t->up += at.depth == 3 && at.is_state && slice_eq(r.string, SLICE("UP"));
            break;
        default: break;
        }
    }
    json_reader_deinit(&r);
}

static void add_since(atomic_ullong *counter, double total, uint64_t *before)
{
    uint64_t n = (uint64_t)total;

    if (n > *before)
        atomic_fetch_add_explicit(counter, n - *before, memory_order_relaxed);
    *before = n;
}

void kafka_count_statistics(struct kafka_count *c, struct slice json, uint64_t before[2])
{
    struct totals t = {.up = 0};

    read_totals(&t, json);
    atomic_fetch_add_explicit(&c->round_trips, (unsigned long long)t.rtt_cnt, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->round_trip_us, (unsigned long long)t.rtt_sum,
                              memory_order_relaxed);
    atomic_store_explicit(&c->brokers_up, t.up, memory_order_relaxed);
    add_since(&c->retries, t.retries, &before[0]);
    add_since(&c->sent_bytes, t.sent, &before[1]);
}
