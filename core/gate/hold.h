/* SPDX-License-Identifier: Apache-2.0 */

/* run --dev: each request waits at the door until somebody has looked whether the configuration is still that of the
 * files, so that an edited plugin serves the next request. What waits has no exchange yet, and so no plan. */

#ifndef DML_GATE_HOLD_H
#define DML_GATE_HOLD_H

#include "base/base.h"

struct gateway;
struct hold;
struct message;
struct wire;

/* ask is called when somebody begins to wait; hold_answered has to follow, not from inside. Who comes meanwhile is asked
 * for after that. */
struct hold *hold_new(struct gateway *g, void (*ask)(void *arg), void *arg);

/* Nobody may wait any more. NULL is fine. */
void hold_free(struct hold *h);

/* Takes a head from its wire, with the wire's arena. */
void hold_take(struct hold *h, struct wire *w, struct message *m, bool end);

/* Those that were asked for go on, in the order in which they came. */
void hold_answered(struct hold *h);

#endif
