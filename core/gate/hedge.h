/* SPDX-License-Identifier: Apache-2.0 */

/* Hedging: when the response head is late, another attempt is made beside the one that waits, at another endpoint where
 * there is one; the first answer that is none to be tried again wins, and the other attempt is cut off.
 *
 *   x->attempt   the one that hooks are about, and whose response is the exchange's in the end
 *   x->rival     the other one. When its head or failure comes first it takes the other's place; while hooks of the other
 *                run, it waits (is_ready).
 *
 * A hedge begins only where the whole request can be sent once more, and where its budget has one left. */

#ifndef DML_GATE_HEDGE_H
#define DML_GATE_HEDGE_H

#include "base/base.h"

struct attempt;
struct budget;
struct exchange;

/* What a balance hook wants; it lives as long as the exchange. */
struct hedge {
    uint64_t after_us; /* from the attempt's beginning */
    struct budget *budget;
    double share;
    uint32_t least;
};

/* a has sent its head and waits. */
void hedge_arm(struct attempt *a);

/* The exchange's timer. False: it was for something else. */
bool hedge_on_timer(struct exchange *x);

/* The verdict of a is due. True: it is the turn of its hooks, and x->attempt is a. False: it waits. */
bool hedge_takes_turn(struct attempt *a);

/* Only the other one is left: it becomes x->attempt. */
void hedge_leave_to_rival(struct exchange *x);

#endif
