/* SPDX-License-Identifier: Apache-2.0 */

/* A Kafka cluster of the configuration: its brokers, and librdkafka's options by their own names. What is wrong with
 * them is found here, before anything starts. Immutable, counted, made on any thread. */

#ifndef DML_SIDE_KAFKA_CLUSTER_H
#define DML_SIDE_KAFKA_CLUSTER_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/slice.h"

struct rd_kafka_conf_s;

struct kafka_option {
    struct slice name, value;
    bool is_hidden; /* no fault may show the value */
};

struct kafka_cluster_source {
    struct slice name;
    struct slice brokers;    /* host:port,host:port */
    struct slice token_file; /* NUL-terminated; absent: no OAuth */
    const struct kafka_option *options;
    size_t noptions;
};

enum { KAFKA_FAULT_WHOLE = -1, KAFKA_FAULT_TOKEN = -2 };

/* option: its index; KAFKA_FAULT_WHOLE: they do not go together; KAFKA_FAULT_TOKEN: the token's file. */
typedef void (*kafka_fault_fn)(void *arg, ssize_t option, const char *text);

struct kafka_cluster {
    atomic_int refs;
    struct slice name;            /* NUL-terminated */
    char *token_file;             /* or NULL */
    struct slice identity;        /* the same for clusters whose producers may be shared */
    struct rd_kafka_conf_s *conf; /* what producers are made with */
    uint64_t message_max;         /* bytes of a record */
    uint32_t message_timeout_ms;  /* until a record is given up */
    bool is_idempotent;
};

/* NULL with at least one fault; all are told. Reads the files that the options name. */
struct kafka_cluster *kafka_cluster_new(const struct kafka_cluster_source *source,
                                        kafka_fault_fn on_fault, void *arg);

/* Any thread. */
struct kafka_cluster *kafka_cluster_ref(struct kafka_cluster *c);
void kafka_cluster_unref(struct kafka_cluster *c); /* NULL is fine */

/* Has librdkafka such an option? */
bool kafka_option_is_known(struct slice name);

/* Does the option name a file (ssl.ca.location)? */
bool kafka_option_is_file(struct slice name);

#endif
