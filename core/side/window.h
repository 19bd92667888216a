/* SPDX-License-Identifier: Apache-2.0 */

/* Rate limits and counts over time on a store: exact over all workers, because each decision is
 * one update under the key's lock. Times are the process's monotonic clock in microseconds
 * (clock_us), limits and costs are whole numbers.
 *
 * GCRA: the virtual scheduling form of the leaky bucket (ITU-T I.371): one time stamp per key.
 * sliding_window: two counters, the previous window weighted by what is left of it.
 * fixed_window: one counter. Windows begin at multiples of their length. concurrent: a count of
 * those inside, taken and given back, with a lease so that a lost one ends.
 *
 * A key belongs to one kind of window: another kind under the same key starts anew, and so does
 * a fixed or sliding window whose length has changed. A changed limit keeps what was taken.
 * ERR_ARG: a limit, burst or length below 1, a negative cost, a bad key. */

#ifndef DML_SIDE_WINDOW_H
#define DML_SIDE_WINDOW_H

#include "base/base.h"
#include "base/slice.h"
#include "side/store.h"

struct window_verdict {
    bool allowed;
    int64_t limit;
    int64_t remaining;       /* after this one; >= 0 */
    uint64_t retry_after_us; /* refused: when the same cost could pass; 0 when allowed */
    uint64_t reset_us;       /* until all of the quota is there again */
};

/* limit per window_us, with up to `burst` at once. cost 0 looks without taking (and is always
 * allowed: see remaining). A cost above burst (or limit) is refused with retry_after_us =
 * UINT64_MAX. */
MUST_CHECK int window_gcra(struct store *s, struct slice key, int64_t limit, uint64_t window_us,
                           int64_t burst, int64_t cost, struct window_verdict *out);
MUST_CHECK int window_sliding(struct store *s, struct slice key, int64_t limit, uint64_t window_us,
                              int64_t cost, struct window_verdict *out);
MUST_CHECK int window_fixed(struct store *s, struct slice key, int64_t limit, uint64_t window_us,
                            int64_t cost, struct window_verdict *out);

/* Takes back what a key has allowed at this cost, where something else has refused it after all: as if it had not been
 * asked, but for those who were refused meanwhile. */
MUST_CHECK int window_gcra_undo(struct store *s, struct slice key, int64_t limit,
                                uint64_t window_us, int64_t cost);
MUST_CHECK int window_sliding_undo(struct store *s, struct slice key, uint64_t window_us,
                                   int64_t cost);
MUST_CHECK int window_fixed_undo(struct store *s, struct slice key, uint64_t window_us,
                                 int64_t cost);

/* enter: allowed while fewer than `limit` are inside; lease_us bounds one stay (to a fifteenth).
 * Refused: retry_after_us is when the oldest lease ends, at the latest. leave: gives one back;
 * ERR_NOT_FOUND when nobody is inside. since_us: the clock when who leaves has entered; when its
 * lease has ended since then, it has nothing to give back, and what is inside is others'. 0 = not
 * known: the youngest lease is given back, so that a lost one runs out however many come and go. */
MUST_CHECK int window_enter(struct store *s, struct slice key, int64_t limit, uint64_t lease_us,
                            struct window_verdict *out);
MUST_CHECK int window_leave(struct store *s, struct slice key, uint64_t since_us);

#endif
