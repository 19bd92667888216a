/* SPDX-License-Identifier: Apache-2.0 */

/* The feeder: takes events from the spill to their Kafka clusters, and strikes out what the brokers have acknowledged. A
 * thread of its own with a loop.
 *
 *     spill_feed_start -> spill_feed_use (at the start and at each reload) -> ... -> spill_feed_quit -> kafka_end
 *                      -> spill_feed_free
 *
 * Each cluster is a lane: its events go out in the order in which they were added, at most FEED_RECORDS and FEED_BYTES of
 * them under way, and a lane that can't go on holds up no other. What the broker refuses for good goes to the event's
 * dead-letter topic or file, else to the spill's own file, with the reason. Events of a cluster that the configuration no longer has
 * wait until it has it again. */

#ifndef DML_SIDE_SPILL_FEED_H
#define DML_SIDE_SPILL_FEED_H

#include "base/base.h"
#include "side/spill.h"

enum { FEED_RECORDS = 10000, FEED_BYTES = 16 * 1024 * 1024 };

struct kafka_cluster;
struct spill_feed;

struct spill_feed_count {
    uint64_t delivered;
    /* refused for good, and where they went; "default" is the spill's own file */
    uint64_t buried_topic, buried_file, buried_default;
    uint64_t unburied;       /* that no such place takes for now: they wait in the spill */
    uint64_t missing_topics; /* for which events wait */
    uint64_t under_way;
    uint64_t
        oldest_ms; /* when the oldest event was added that waits or is under way, since 1970; 0: there is none */
};

struct spill_feed *spill_feed_start(struct spill *s);

/* The clusters of the configuration from now on, found by their names. Keeps references. Any thread. */
void spill_feed_use(struct spill_feed *f, struct kafka_cluster *const *clusters, size_t n);

/* Publishes no more and gives its producers back. Any thread. */
void spill_feed_quit(struct spill_feed *f);

/* After spill_feed_quit: waits for the reports of all that is under way, for at most so long. False: they have not come,
 * or its thread hangs in a write; then nothing is freed, and it may be called again. */
MUST_CHECK bool spill_feed_free(struct spill_feed *f, uint32_t ms);

void spill_feed_count(const struct spill_feed *f, struct spill_feed_count *out); /* any thread */

#endif
