/* SPDX-License-Identifier: Apache-2.0 */

/* A branch: the lane of one topic whose events wait because the brokers say that it is not there, or may not be written
 * to. It leaves the lane of its cluster, the trunk, with the topic's first event that was refused so, tries that one again
 * and again, and joins the trunk when all that has waited is gone. So the topic's events keep their order, and hold up no
 * others. All on the feeder's thread. */

#ifndef DML_SIDE_SPILL_BRANCH_H
#define DML_SIDE_SPILL_BRANCH_H

#include "side/spill_lane.h"

enum { BRANCHES_MAX = 64 }; /* of a trunk: clients may choose topics */

/* The one that carries this event; NULL: none does, but the trunk. */
struct lane *branch_of(const struct lane *trunk, struct slice event);

/* Does this lane, trunk or branch, publish this event? */
bool lane_carries(const struct lane *l, struct slice event);

/* A new one for the event's topic; NULL: there are too many, or it is no event. */
struct lane *branch_new(struct lane *trunk, struct slice event, const char *why);

/* Its events from that place on wait. */
void branch_reach(struct lane *b, struct spill_place place, uint64_t number, uint64_t at_ms);

/* The trunk goes back to a record of that number: it may be of any topic. */
void branches_reach(const struct lane *trunk, struct spill_place place, uint64_t number,
                    uint64_t at_ms);

/* Its topic is there. */
void branch_found(struct lane *b);

/* Its topic is missing: since when, and is that too long? */
bool branch_misses(struct lane *b);

/* Joins the trunk when nothing of it waits any more. */
void branch_join(struct lane *b);

#endif
