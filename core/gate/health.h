/* SPDX-License-Identifier: Apache-2.0 */

/* Who of an upstream's endpoints may get requests, and how many. Three things take an endpoint out:
 *
 *   ejected   attempts failed several times in a row (passive health). It comes back by itself
 *             when its time is over. At most a share of the endpoints is ejected at one time, and
 *             never the last one that may be used: a fault of the gateway's own must not take a
 *             whole upstream away.
 *   down      its probes say so (active health); they decide when it comes back, too.
 *   drained   an operator said so, until an operator says otherwise.
 *
 * With none left, upstream_pick uses all that are not drained. What comes back, and what a reload
 * adds, gets its share little by little where the upstream has slow_start. */

#ifndef DML_GATE_HEALTH_H
#define DML_GATE_HEALTH_H

#include "gate/upstream.h"

struct snapshot;

/* Judges one attempt. An endpoint that works costs one load of a shared cell, no store. Any
 * thread. */
void health_report(const struct upstream *u, const struct endpoint *e,
                   enum attempt_outcome outcome);

/* Is an attempt that ended with this error one against the endpoint? Full limits, a lack of
 * descriptors, and what the gateway broke off itself, say nothing about it. */
bool health_is_fault(int err);

/* Endpoints of u that are ejected now. */
uint32_t health_count_ejected(const struct upstream *u);

/* One word for people, the strongest reason first. */
enum health_state {
    HEALTH_HEALTHY,
    HEALTH_SLOW_START,
    HEALTH_EJECTED,
    HEALTH_DOWN,
    HEALTH_DRAINED
};
enum health_state health_state(const struct upstream *u, const struct endpoint *e);
const char *health_word(enum health_state s);

/* What part of its weight it has now: 1, or less in slow start. */
double health_share(const struct upstream *u, const struct endpoint *e);

/* The same in the unit of balancers, see upstream_pick. */
uint32_t health_weight(const struct upstream *u, const struct endpoint *e);

/* The rest: control thread. */

/* The verdict of its probes has changed, or there are none any more (down = false). */
void health_set_down(const struct upstream *u, const struct endpoint *e, bool down,
                     const char *why);

/* By an operator. */
void health_set_drained(const struct upstream *u, const struct endpoint *e, bool drained);

/* Another configuration is in use. Endpoints that it adds start slowly (but those of the first one
 * do not: before is NULL), and what was found of those that it has no more is forgotten, however
 * long requests to them may still take. */
void health_follow(const struct snapshot *now, const struct snapshot *before);

/* Logs which ejections are over. To be called about every second. */
void health_sweep(const struct snapshot *s);

#endif
