/* SPDX-License-Identifier: Apache-2.0 */

/* Passive health: what real attempts say about an endpoint. An endpoint with enough errors in a
 * row is ejected for a while; it comes back by itself when the time is over. At most a share of
 * an upstream's endpoints is ejected at one time, so that a fault of the gateway's own cannot
 * take a whole upstream away. */

#ifndef DML_GATE_HEALTH_H
#define DML_GATE_HEALTH_H

#include "gate/upstream.h"

/* Judges one attempt. An endpoint that works costs one load of a shared cell, no store. Any
 * thread. */
void health_report(const struct upstream *u, struct target *t, enum attempt_outcome outcome);

/* Endpoints of u that are ejected now (admin, metrics). */
uint32_t health_count_ejected(const struct upstream *u);

#endif
