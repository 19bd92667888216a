/* SPDX-License-Identifier: Apache-2.0 */

/* Idle upstream connections that change workers: one shelf per target, a lock and a short
 * bounded list. What lies on it is detached from every loop, keeps its slot, and belongs to the
 * upstream it was opened for: two upstreams that name the same target do not take each other's.
 * Any thread. */

#ifndef DML_GATE_SHELF_H
#define DML_GATE_SHELF_H

#include "base/base.h"

struct outbound;
struct shelf;
struct upstream_live;

struct shelf *shelf_new(void);
void shelf_free(struct shelf *s); /* closes what is on it */

/* Detaches o and puts it up; the shelf owns it. False when it was not quiet, or the shelf is
 * full: then it is closed, and its slot is still the caller's. */
bool shelf_give(struct shelf *s, struct outbound *o, struct upstream_live *l, size_t max);

/* The latest given, or NULL. The taker attaches it (and must expect that it is not quiet any
 * more); its slot comes with it. */
struct outbound *shelf_take(struct shelf *s, struct upstream_live *l);

/* Closes those of l (NULL: of all) that lie for max_idle_ms or longer, and frees their slots.
 * Returns how many. */
size_t shelf_sweep(struct shelf *s, struct upstream_live *l, uint64_t max_idle_ms);
size_t shelf_count(struct shelf *s, struct upstream_live *l);

#endif
