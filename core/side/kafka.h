/* SPDX-License-Identifier: Apache-2.0 */

/* Producers: one for each Kafka cluster of the configuration, shared by all workers, on librdkafka and its own threads.
 *
 *   kafka_producer_use -> kafka_publish ... -> kafka_producer_unuse
 *
 * A record that was taken gets exactly one report: the broker's word, or why there will be none. It comes to the
 * mailbox of who has published it, in batches, with no thread that spins. Records of one partition reach the broker in
 * the order of their kafka_publish (idempotence and acks=all, unless the options say otherwise).
 *
 * Any thread may publish. */

#ifndef DML_SIDE_KAFKA_H
#define DML_SIDE_KAFKA_H

#include "base/base.h"
#include "base/slice.h"
#include "net/mailbox.h"

struct kafka_cluster; /* side/kafka_cluster.h: which brokers, with which options */
struct kafka_producer;

struct kafka_header {
    struct slice name, value; /* value absent: null */
};

/* Borrowed for the call: librdkafka takes a copy. */
struct kafka_record {
    struct slice topic;
    struct slice key, value; /* absent (ptr NULL) is Kafka's null, not the same as empty */
    int32_t partition;       /* -1: chosen by the key */
    uint32_t epoch;          /* kafka_epoch, for who must keep an order across failures; 0: any */
    int64_t timestamp_ms;    /* since 1970; 0: now */
    const struct kafka_header *headers;
    size_t nheaders;
};

enum { KAFKA_TOPIC_MAX = 249, KAFKA_HEADERS_MAX = 256 };

/* What becomes of a record. */
enum kafka_outcome {
    KAFKA_DELIVERED, /* partition and offset are known */
    KAFKA_REFUSED, /* never: the record itself is at fault (too large, no such topic, not allowed); again is in vain */
    KAFKA_FAILED,  /* certainly not delivered; may be published again */
    KAFKA_UNKNOWN, /* no word before the deadline, or the producer was ended: it may have arrived */
};
enum { KAFKA_OUTCOMES = KAFKA_UNKNOWN + 1 };

/* "delivered", "refused", "failed", "unknown" */
const char *kafka_outcome_word(enum kafka_outcome o);

struct kafka_report;

/* On the home mailbox's thread. Of a report that was left: on any thread, reader is NULL. */
typedef void (*kafka_report_fn)(struct kafka_report *r, void *reader);

/* Embedded by who publishes; must live until fn was called. */
struct kafka_report {
    /* set by the caller */
    struct mailbox *home;
    kafka_report_fn fn;
    /* filled in before fn */
    enum kafka_outcome outcome;
    int32_t partition;
    int64_t offset;
    char why[256]; /* for people; "" when delivered */
    bool
        is_shared; /* refused with all of its batch: another record in it may be the one at fault */
    bool is_of_topic; /* refused for what its topic is: not there, or not for us; that may change */
    /* state */
    struct mail mail;
    struct kafka_report *next; /* of one mail */
    bool was_left, is_placed;  /* its partition was chosen by who has published it */
};

/* How a producer treats time. */
enum kafka_patience {
    KAFKA_BOUNDED, /* a record without a broker's word within the cluster's message timeout is given up */
    KAFKA_ENDLESS, /* never given up, and so never overtaken: for the spill, which keeps what waits on disk */
};

/* The process's producer for that cluster, found by its identity or started; each use is given back. One that nobody
 * uses is flushed in the background and ended, so that a reload finds it. NULL: it can't be started (logged), or
 * kafka_end was called. Any thread but a worker: starting takes a millisecond. */
MUST_CHECK struct kafka_producer *kafka_producer_use(struct kafka_cluster *cluster,
                                                     enum kafka_patience patience);
void kafka_producer_unuse(struct kafka_producer *p); /* any thread */

/* 0 when a report will follow; or a code, and none follows: ERR_FULL (the producer's bound of records or bytes),
 * ERR_LIMIT (larger than message.max.bytes, or too many headers), ERR_SYNTAX (no topic's name), ERR_RESET (not of this
 * epoch), ERR_CLOSED (kafka_end was called). Never waits. */
MUST_CHECK int kafka_publish(struct kafka_producer *p, const struct kafka_record *record,
                             struct kafka_report *r);

/* A fatal error of librdkafka (the broker has lost the idempotent producer's state), and of an endless producer any record
 * that was neither delivered nor refused, makes the producer anew, and begins another epoch: what had no word yet is reported as failed or unknown, while others may publish already. Who must keep
 * an order publishes with its epoch: at ERR_RESET it collects the reports of all that it has published, takes the epoch
 * anew, and publishes again from the first one that was not delivered. Never 0. */
uint32_t kafka_epoch(struct kafka_producer *p);

/* What kafka_publish would say of the record itself: 0, ERR_LIMIT, ERR_SYNTAX; for who keeps it first. */
MUST_CHECK int kafka_check(const struct kafka_cluster *c, const struct kafka_record *record);

/* Nobody waits for this report any more: fn will be called all the same, to free it. On the home mailbox's thread; once
 * it was called for all reports that are due there, the mailbox may be freed. */
void kafka_report_leave(struct kafka_report *r);

/* What endless producers still have that nobody uses any more is given up now: each record gets its report soon, and they
 * end. Any thread. */
void kafka_hurry(void);

/* The end of the process: all producers are flushed for at most so long, what is left then gets its reports, and they
 * are ended. Waits for that. Afterwards nothing can be published. */
void kafka_end(uint32_t flush_ms);

#endif
