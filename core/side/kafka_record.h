/* SPDX-License-Identifier: Apache-2.0 */

/* An event as it lies in the spill: a record for Kafka, for which cluster, and what is to become of it when that refuses
 * it. A version, then texts with their lengths before them, then numbers, all little-endian; read with each length
 * checked. */

#ifndef DML_SIDE_KAFKA_RECORD_H
#define DML_SIDE_KAFKA_RECORD_H

#include "base/base.h"
#include "base/slice.h"
#include "side/kafka.h"

struct kafka_event {
    struct slice cluster;           /* its name in the configuration */
    struct slice id;                /* the same for each delivery of this event */
    struct slice dead_letter_topic; /* absent: none; so the file */
    struct slice dead_letter_file;
    struct kafka_record record; /* its headers: at most KAFKA_HEADERS_MAX */
};

/* Bytes that kafka_event_write writes. */
size_t kafka_event_size(const struct kafka_event *e);
void kafka_event_write(const struct kafka_event *e, char *out);

/* What was written; its texts are in bytes, its headers in `headers`. ERR_SYNTAX: it was not. */
MUST_CHECK int kafka_event_read(struct slice bytes, struct kafka_event *out,
                                struct kafka_header headers[KAFKA_HEADERS_MAX]);

/* The cluster alone, the topic alone. */
MUST_CHECK int kafka_event_cluster(struct slice bytes, struct slice *cluster);
MUST_CHECK int kafka_event_topic(struct slice bytes, struct slice *topic);

#endif
