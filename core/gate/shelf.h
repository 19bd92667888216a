/* SPDX-License-Identifier: Apache-2.0 */

/* Idle upstream connections that change workers: one shelf per target, a lock and a short bounded list. What lies on
 * it is detached from every loop. */

#ifndef DML_GATE_SHELF_H
#define DML_GATE_SHELF_H

#include "base/base.h"

struct outbound;
struct shelf;

struct shelf *shelf_new(void);
void shelf_free(struct shelf *s); /* closes what is on it */

/* Detaches o and puts it up; the shelf owns it. False when it was not quiet, or the shelf is full: then it is closed. */
bool shelf_give(struct shelf *s, struct outbound *o, size_t max);

/* The latest given, or NULL. The taker attaches it (and must expect that it is not quiet any more). */
struct outbound *shelf_take(struct shelf *s);

/* Control thread: closes those that lie longer than max_idle_ms. Returns how many. */
size_t shelf_sweep(struct shelf *s, uint64_t max_idle_ms);
size_t shelf_count(struct shelf *s);

#endif
