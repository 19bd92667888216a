/* SPDX-License-Identifier: Apache-2.0 */

/* The spill of a configuration at work: the queue on disk, and the feeder that takes it to the brokers. One for the whole
 * process, kept over reloads. On the control thread. */

#ifndef DML_GATE_SPILLING_H
#define DML_GATE_SPILLING_H

#include "base/base.h"

struct faults;
struct snapshot;
struct spilling;

/* Opens it and begins to deliver what was left; from now on events can be added (spill_shared). NULL when the
 * configuration has none, or with a fault. */
struct spilling *spilling_start(const struct snapshot *s, struct faults *faults);

/* After a reload: other bounds, other clusters. NULL is fine. */
void spilling_follow(struct spilling *sp, const struct snapshot *now);

/* Warns of what only a restart can change. */
void spilling_warn(const struct spilling *sp, const struct snapshot *now, struct faults *faults);

/* Is all delivered? True of NULL. */
bool spilling_is_empty(struct spilling *sp);

/* Nothing is added any more, and nothing is published. NULL is fine. */
void spilling_quit(struct spilling *sp);

/* After that and kafka_end, which have brought word of all that was under way. The rest stays on disk. NULL is fine. */
void spilling_free(struct spilling *sp);

#endif
