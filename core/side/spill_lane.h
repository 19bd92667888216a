/* SPDX-License-Identifier: Apache-2.0 */

/* A lane of the feeder: the events of one cluster on their way. All on the feeder's thread.
 *
 *     follows    what the feeder's scout reads is published at once
 *     lags       something stands in the way: it reads with a cursor of its own from there on, until it has caught up
 *     gathers    something failed, or its producer has begun anew: nothing is published before there is word of all
 *                that is under way; then it goes back to the first that was not delivered, and lags */

#ifndef DML_SIDE_SPILL_LANE_H
#define DML_SIDE_SPILL_LANE_H

#include "base/list.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "side/kafka_cluster.h"
#include "side/kafka_record.h"
#include "side/spill_cursor.h"

struct lane_counts {
    _Atomic(uint64_t) delivered, buried_topic, buried_file, buried_default, unburied,
        missing_topics, under_way;
};

struct lane {
    struct list link;
    /* owned */
    char *name;
    char *topic; /* a branch's (side/spill_branch.h): it carries this one only; NULL: all others */
    struct kafka_cluster *cluster; /* a reference; NULL: the configuration has none of that name */
    struct kafka_producer *producer; /* NULL: not yet used */
    struct spill_cursor cursor;      /* lags: where it reads */
    struct list flying;              /* struct flying, in the order of publishing */
    struct list unburied;       /* refused, waiting for another try at their dead-letter place */
    struct spill_place back_to; /* gathers: held, or segment NULL */
    /* borrowed */
    struct spill *spill;
    struct lane *trunk; /* a branch's; else NULL */
    struct list *lanes; /* all of them, struct lane */
    struct mailbox *home;
    struct lane_counts *counts;
    void (*on_change)(void *arg); /* it may go on */
    void *arg;
    /* state */
    uint64_t sent,
        back_number;     /* numbers of records that were published; of the one to go back to */
    uint64_t next_at_ms; /* lags: when what it stands at was added */
    size_t nflying, bytes, nunburied;
    int nbranches;
    uint64_t waits_for; /* a branch: the trunk's records up to this number go first; 0: they have */
    uint64_t missing_since; /* a branch: clock_ms; 0: its topic is there */
    uint32_t epoch;
    size_t suspects; /* gathers: refused with others of their batch */
    size_t group,
        group_left; /* so many go together and nothing else, of them may still go; 0: no matter */
    uint32_t failures;                  /* in a row */
    uint64_t pause_end, bury_pause_end; /* clock_ms; 0: none */
    bool lags, gathers, is_told, has_failed;
};

struct lane *lane_new(struct spill *s, struct slice name, struct mailbox *home);

/* Nothing may be under way. */
void lane_free(struct lane *l);

/* From now on these brokers; NULL: none. */
void lane_use(struct lane *l, struct kafka_cluster *c);

/* May it publish now? */
bool lane_is_open(struct lane *l);

/* What the scout has read: published, or the lane lags from there on. */
void lane_take(struct lane *l, const struct spill_record *r, struct spill_place place);

/* Lags: reads and publishes at most that many, until it stands where the scout does. True when there is more to do. */
bool lane_catch_up(struct lane *l, const struct spill_cursor *scout, int most);

/* Tries again what could not be buried; true when something is left. */
bool lane_bury_again(struct lane *l);

/* Of the oldest that is under way or waits here; 0: there is none. */
uint64_t lane_oldest_ms(const struct lane *l);

#endif
