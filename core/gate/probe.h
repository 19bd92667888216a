/* SPDX-License-Identifier: Apache-2.0 */

/* Active health checks: one probe at a time for each endpoint of an upstream that has
 * health.active, made on the control thread, whatever the number of workers. A probe connects as
 * the pool does (the endpoint's name is resolved each time, its addresses are tried in turn, with
 * TLS where the target has it), on a connection of its own. With a path it asks for it and judges
 * the status; without one the connection is the answer.
 *
 * Probes of many endpoints are spread over the interval, at most PROBES_AT_ONCE are under way at
 * one time, and one that could not be made for want of descriptors says nothing about its
 * endpoint. The first probe of an endpoint decides at once; after that it takes as many in a row
 * as configured. */

#ifndef DML_GATE_PROBE_H
#define DML_GATE_PROBE_H

#include "base/base.h"

struct loop;
struct probes;
struct snapshot;

#define PROBES_AT_ONCE 64

/* On the control thread's loop; after metric_init. Nothing is probed yet. */
struct probes *probes_new(struct loop *l);

/* This configuration is in use from now on (a reference is taken): what it has and the one before
 * had not is probed, what it has no more is left and forgotten (health_follow), the rest goes on as
 * it stands. */
void probes_follow(struct probes *ps, struct snapshot *s);

/* Breaks off what is under way. */
void probes_free(struct probes *ps);

#endif
