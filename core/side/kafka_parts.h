/* SPDX-License-Identifier: Apache-2.0 */

/* A producer, as the files see it that make one: kafka.c (which there are; publishing), kafka_reporter.c (its thread:
 * reports, errors, its end), kafka_count.c (metrics). */

#ifndef DML_SIDE_KAFKA_PARTS_H
#define DML_SIDE_KAFKA_PARTS_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "side/kafka.h"
#include "side/kafka_cluster.h"

/* Counts of a cluster, found by its name; they stay until the process ends. */
struct kafka_count {
    struct kafka_count *next;
    char *name;
    atomic_ullong records[KAFKA_OUTCOMES];
    atomic_ullong turned_away; /* at once: no room, too large */
    atomic_ullong anew;        /* times a producer was made anew after a fatal error */
    atomic_llong queued_records, queued_bytes;
    /* from librdkafka's statistics */
    atomic_ullong round_trips, round_trip_us, retries, sent_bytes;
    atomic_uint brokers_up;
};

struct kafka_count *kafka_count_of(struct slice cluster);

/* librdkafka's statistics of one interval. */
void kafka_count_statistics(struct kafka_count *c, struct slice json, uint64_t before[2]);

struct kafka_producer {
    /* owned */
    struct kafka_cluster *cluster;
    pthread_rwlock_t lock; /* of rk: publishers read, its thread writes */
    rd_kafka_t *rk;        /* NULL: it is being made anew */
    rd_kafka_queue_t *queue;
    /* borrowed */
    struct kafka_count *count;
    /* state */
    struct list link; /* all of them; under kafka_all.lock, as the next three */
    int users;
    uint64_t deadline_ms; /* when what is left is given up; 0: none */
    bool is_over;         /* its thread has ended */
    enum kafka_patience patience;
    atomic_uint epoch;
    atomic_bool is_closed;
    atomic_ullong published; /* orders what a publisher wrote before its report */
    /* its thread's */
    rd_kafka_t *aside; /* after a fatal error, until all that it has was reported */
    bool was_purged, has_gap;
    bool may_gap;      /* a batch was refused as a whole: a gap, if anything is behind it */
    uint64_t anew_ms;  /* when it was made anew last */
    uint64_t told[2];  /* totals of the statistics before */
    char trouble[160]; /* what went wrong last with the brokers; "": nothing since */
};

/* All producers of the process. */
struct kafka_all {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list producers;
    int nthreads;
    bool is_ending;
};
extern struct kafka_all kafka_all;

/* A librdkafka producer of this one's options, or NULL and why. */
rd_kafka_t *kafka_make_rk(struct kafka_producer *p, char *why, size_t size);

/* Its thread. */
void *kafka_reporter_main(void *producer);

/* Its thread looks at users and deadline_ms. Under kafka_all.lock. */
void kafka_reporter_wake(struct kafka_producer *p);

/* Monotonic, and not moved by tests: librdkafka's own time. */
uint64_t kafka_now_ms(void);

/* Until kafka_all has changed, or that time: then false. Under kafka_all.lock. */
bool kafka_wait_until(uint64_t end_ms);

/* When its thread has ended and nobody uses it. */
void kafka_free(struct kafka_producer *p);

/* An error for which the record is at fault: again is in vain. */
bool kafka_is_refusal(rd_kafka_resp_err_t err);

/* A refusal that is no fault of the record but of its topic. */
bool kafka_is_of_topic(const struct kafka_report *r, rd_kafka_resp_err_t err);

/* Gives its report to who has published it, alone. */
void kafka_report_send(struct kafka_report *r);

#endif
