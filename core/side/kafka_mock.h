/* SPDX-License-Identifier: Apache-2.0 */

/* librdkafka's mock cluster, for tests: brokers that listen on free loopback ports and fail on command, on a thread of
 * their own. And a reader that reads back what a cluster, mock or real, was given. Neither is ever part of a gateway that
 * serves requests. */

#ifndef DML_SIDE_KAFKA_MOCK_H
#define DML_SIDE_KAFKA_MOCK_H

#include "base/base.h"
#include "base/slice.h"

struct kafka_mock;

/* NULL when they can't be started. Brokers are numbered from 1. */
struct kafka_mock *kafka_mock_new(int brokers);
void kafka_mock_free(struct kafka_mock *m);

/* host:port,host:port */
const char *kafka_mock_brokers(const struct kafka_mock *m);

/* An error by the Kafka protocol's name ("UNKNOWN_TOPIC_OR_PART", or "_TRANSPORT": the connection is closed); false:
 * there is none of it. */
bool kafka_mock_error(struct slice name, int *error);

/* False: librdkafka refuses. */
bool kafka_mock_make_topic(struct kafka_mock *m, const char *topic, int partitions);

/* Metadata has this error for the topic from now on; 0: none. */
void kafka_mock_fail_topic(struct kafka_mock *m, const char *topic, int error);

/* The next n requests of the kind are answered with these errors, 0 for none. Kinds by name: "Produce", "Metadata",
 * "InitProducerId"; false: none of that name. */
bool kafka_mock_fail(struct kafka_mock *m, struct slice kind, const int *errors, size_t n);

/* False: there is no such broker. A broker that is down closes its connections and takes none. */
bool kafka_mock_set_down(struct kafka_mock *m, int broker, bool is_down);
bool kafka_mock_set_delay(struct kafka_mock *m, int broker, int ms);

struct kafka_reader;

/* Reads all partitions of the topic from their beginnings. brokers: as above; options: further ones of librdkafka, name,
 * value, ..., NULL. Waits for the cluster's word how many partitions there are. NULL and why. */
struct kafka_reader *kafka_reader_new(const char *brokers, const char *topic,
                                      const char *const *options, char *why, size_t size);
void kafka_reader_free(struct kafka_reader *r);

/* Valid until the next read. */
struct kafka_read {
    int32_t partition;
    int64_t offset, timestamp_ms;
    struct slice key, value; /* absent: null */
    void *message;           /* librdkafka's */
};

/* True: *out is the next record. False: none is there yet. Never waits. */
bool kafka_reader_next(struct kafka_reader *r, struct kafka_read *out);

/* Header i of it; false: there are no more. */
bool kafka_read_header(const struct kafka_read *read, size_t i, const char **name,
                       struct slice *value);

#endif
