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

/* After a reload: other bounds, other clusters. now has been used by spilling_start, or has a spill only if sp is there;
 * sp may be NULL. */
void spilling_follow(struct spilling *sp, const struct snapshot *now);

/* Warns of what only a restart can change. */
void spilling_warn(const struct spilling *sp, const struct snapshot *now, struct faults *faults);

/* Is all delivered? True of NULL. */
bool spilling_is_empty(struct spilling *sp);

/* Ends it, when nobody adds any more: what is under way is waited for, at most so long; the rest stays on disk.
 * Producers of all kinds are ended with it (kafka_end). NULL is fine. */
void spilling_stop(struct spilling *sp, uint32_t flush_ms);

#endif
