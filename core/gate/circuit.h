/* SPDX-License-Identifier: Apache-2.0 */

/* The breakers of one place where circuit-breaker is enabled, in one worker: it finds the one that an attempt has to
 * pass, by what the place's scope is, and tells it what came of the attempt. The breakers themselves (side/breaker.h)
 * are shared by all workers.
 *
 * Counted, because an attempt may outlive the Lua object that it was let through by. */

#ifndef DML_GATE_CIRCUIT_H
#define DML_GATE_CIRCUIT_H

#include "base/base.h"
#include "gate/failure.h"
#include "side/breaker.h"

struct attempt;
struct circuit;
struct snapshot;

enum circuit_scope { CIRCUIT_UPSTREAM, CIRCUIT_ENDPOINT, CIRCUIT_ROUTE };

struct circuit_conf {
    enum circuit_scope scope;
    struct breaker_rules rules;
    struct slice fallback; /* name of the upstream that takes what is refused; or absent */
};

/* Copies what it is given. */
struct circuit *circuit_new(const struct circuit_conf *conf);
void circuit_unref(struct circuit *c);

/* Another outcome that counts as a failure (failure.h), before it is used. */
MUST_CHECK int circuit_add_failure(struct circuit *c, struct slice word);

/* Holds the breakers that it may need for this snapshot from now on, so that they are seen, can be ordered about, and
 * survive a reload before anybody asks. scope: the place's (struct plugin_use). */
void circuit_hold(struct circuit *c, const struct snapshot *s, struct slice scope);

/* In balance hooks. True: the attempt may go where it is to go, and its circuit is closed for all. False: nothing was done;
 * ask circuit_enter. */
bool circuit_enter_closed(struct circuit *c, struct attempt *a);

/* In balance hooks. True: the attempt may go, to another endpoint or upstream perhaps. False: *wait_ms until it is
 * worth to ask again, as far as is known. */
bool circuit_enter(struct circuit *c, struct attempt *a, uint64_t *wait_ms);

#endif
