/* SPDX-License-Identifier: Apache-2.0 */

/* Answers that the gateway makes itself: errors (problem+json), `respond`, `redirect`, and the replies of plugins. */

#ifndef DML_GATE_REPLY_H
#define DML_GATE_REPLY_H

#include "gate/exchange.h"

/* A hook has called exchange_reply: that answer goes the way of all responses. May end x, as all of these. */
void reply_send(struct exchange *x);

/* It is not sent: the exchange goes on as if no hook had answered. */
void reply_take_back(struct exchange *x);

/* RFC 9457. The text says what the client may know: no address, no stack. */
void reply_error(struct exchange *x, int err);

/* The body of such an answer, in the exchange's arena; detail may be absent. */
#define REPLY_PROBLEM "application/problem+json"
struct slice reply_problem(struct exchange *x, int status, struct slice detail);

void reply_respond(struct exchange *x);
void reply_redirect(struct exchange *x);

/* Headers that hooks set before there was a response are laid over the one that is here now. */
void reply_lay_over(struct exchange *x);

#endif
