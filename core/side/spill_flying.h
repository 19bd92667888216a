/* SPDX-License-Identifier: Apache-2.0 */

/* What a lane's files share: events that are on their way, or can be buried nowhere yet. Of an event itself nothing is
 * kept in memory; who needs it reads it again. */

#ifndef DML_SIDE_SPILL_FLYING_H
#define DML_SIDE_SPILL_FLYING_H

#include "base/list.h"
#include "side/kafka.h"
#include "side/spill_lane.h"

/* An event that was published and has no word yet, or waits for another try at its dead-letter place. */
struct flying {
    struct kafka_report report;
    struct list link;
    struct lane *lane;
    struct spill_place place; /* held */
    uint32_t index;
    uint64_t at_ms, number;
    size_t size;
    char *why;                  /* it was refused: this goes to its dead-letter place */
    bool is_unburied, is_alone; /* nothing else was under way with it */
};

/* On its way. */
void flying_take_off(struct flying *fl);

/* Out of the list of those that wait for another try. */
void flying_dig_up(struct flying *fl);

/* It is struck out, and freed. */
void flying_finish(struct flying *fl);

/* Nobody does any more with it now. */
void flying_free(struct flying *fl);

/* The event itself. *r is valid as long as the cursor, which the caller ends. False: c->is_short, or it can't be read. */
bool flying_read(const struct flying *fl, struct spill_cursor *c, struct spill_record *r);

/* It is refused for good: to its dead-letter place. */
void flying_refuse(struct flying *fl, const char *why);

/* What became of it in its dead-letter topic. */
void flying_on_burial(struct flying *fl);

#endif
