/* SPDX-License-Identifier: Apache-2.0 */

/* Counts of the last while: a sliding window of slots that all threads add to, without a lock. What retry
 * budgets and circuit breakers judge by.
 *
 * Each cell is one word, the number of its slot of time above the count, so a cell that is met again one
 * window later begins anew in the same step in which it is added to: nothing is lost and nothing counts
 * twice. Threads read their clocks once per turn, so one may be a little behind another; what it adds then
 * counts in the slot that the cell is at.
 *
 * Times are milliseconds of the process's monotonic clock (clock_ms). Any thread. */

#ifndef DML_SIDE_TALLY_H
#define DML_SIDE_TALLY_H

#include <stdatomic.h>

#include "base/base.h"

#define TALLY_SLOTS 10u
#define TALLY_KINDS 3u

struct tally {
    uint32_t slot_ms;
    atomic_ullong cells[TALLY_SLOTS][TALLY_KINDS];
};

/* window_ms: at least 1; a tenth of it is the grain. */
void tally_init(struct tally *t, uint64_t window_ms);

/* Forgets all. What others add meanwhile may stay. */
void tally_clear(struct tally *t);

/* Returns the slot, by which it can be taken back. */
uint32_t tally_add(struct tally *t, unsigned kind, uint64_t now_ms);

/* Undoes one tally_add, unless its slot has left the window. */
void tally_take_back(struct tally *t, unsigned kind, uint32_t slot);

/* How many of a kind there were in the window that ends now: its last slot is under way still. */
uint64_t tally_sum(const struct tally *t, unsigned kind, uint64_t now_ms);

#endif
