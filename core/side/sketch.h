/* SPDX-License-Identifier: Apache-2.0 */

/* How long things take, of late: a histogram of the last 10 to 20 s that all workers share, fine enough to ask for a percentile
 * (a bucket is a fifth wide). Noting is an addition without a lock; who notes just as one half of it begins anew may get
 * lost. Sketches are found by name and counted. Any thread. */

#ifndef DML_SIDE_SKETCH_H
#define DML_SIDE_SKETCH_H

#include "base/base.h"
#include "base/slice.h"

struct sketch;

/* Takes a lock. */
struct sketch *sketch_ref(struct slice name);
void sketch_unref(struct sketch *s);

void sketch_note(struct sketch *s, uint64_t us);

/* The time, in microseconds, that this share (0 to 1) of what was noted took at most; 0 = fewer than SKETCH_LEAST are
 * known. It is found anew about every SKETCH_FRESH_MS: always ask for the same share. */
#define SKETCH_LEAST 20u
#define SKETCH_FRESH_MS 100u
uint64_t sketch_percentile(struct sketch *s, double share);

#endif
