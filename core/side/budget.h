/* SPDX-License-Identifier: Apache-2.0 */

/* How much may be asked in addition: a share of what was asked in a sliding window, over all workers. A
 * retry budget is one: retries can then never do more than that share to a service that is failing, while a
 * count of tries per request would multiply its load.
 *
 * Budgets are found by name and counted, so one survives a reload for as long as somebody names it. Any
 * thread; counting and taking need no lock. */

#ifndef DML_SIDE_BUDGET_H
#define DML_SIDE_BUDGET_H

#include "base/base.h"
#include "base/slice.h"

struct budget;

/* Finds it or makes it. Another window is another budget. Takes a lock. */
struct budget *budget_ref(struct slice name, uint64_t window_ms);
struct budget *budget_hold(struct budget *b); /* one more for who has one already; no lock */
void budget_unref(struct budget *b);

/* Something was asked. */
void budget_count(struct budget *b);

/* Takes one more, when those of the window come to no more than share * what was asked, or than `least`:
 * the larger of the two. However many threads take at a time, it is never more. */
bool budget_take(struct budget *b, double share, uint32_t least);

struct budget_counts {
    uint64_t asked, taken; /* in the window that ends now */
};
void budget_counts(const struct budget *b, struct budget_counts *out);

#endif
