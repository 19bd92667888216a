/* SPDX-License-Identifier: Apache-2.0 */

/* An exchange that outlives the configuration it began with. For plan.c and exchange.c. */

#ifndef DML_GATE_EXCHANGE_MOVE_H
#define DML_GATE_EXCHANGE_MOVE_H

struct exchange;

/* To the gateway's current plan, from one that retires: what is still said of its route, upstreams and consumer is looked
 * up there by name, and kept as a copy in its own arena where it is gone. Hooks of the new plan may run from now on, those
 * of the old one have forgotten it. No hook may wait, and nothing be under way upstream but the response. */
void exchange_move(struct exchange *x);

/* The time of its plan is over (plan.h, "left"). May end x. */
void exchange_leave_plan(struct exchange *x);

#endif
