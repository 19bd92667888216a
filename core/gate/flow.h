/* SPDX-License-Identifier: Apache-2.0 */

/* Bodies on their way through an exchange (struct flow in exchange.h). Credit is what moves them: a wire delivers only
 * what was granted, and what was delivered is granted again once the other side has taken it. So no more than one
 * window per direction is in memory, whatever the body's size, unless a hook asked to hold all of it. */

#ifndef DML_GATE_FLOW_H
#define DML_GATE_FLOW_H

#include "gate/exchange.h"

/* Credit under way per direction. */
#define FLOW_WINDOW ((size_t)64 * KIB)

void flow_init(struct exchange *x);
void flow_deinit(struct exchange *x);

/* Response hooks are done: the head goes down, and the body after it. May end x. */
void flow_send_head(struct exchange *x);

/* For an answer whose head is held back (exchange.h): a turn has passed, or the route's time (may end x). Or the head
 * was never said, and there will be another answer. */
void flow_on_timer(struct exchange *x);
void flow_take_head_back(struct exchange *x);

/* Body hooks are done with x->chunk, or have failed. May end x. */
void flow_chunk_done(struct exchange *x);

/* Events of the client's wire. */
void flow_on_request_body(void *owner, struct wire *w, const struct slice *pieces, int n, bool end);
void flow_on_client_room(void *owner, struct wire *w);

/* Could the request be sent again? Its body is absent, untouched, or held whole so far. */
bool flow_can_replay(const struct exchange *x);

/* Could it be sent once more at this moment, from its beginning to its end? */
bool flow_is_complete(const struct exchange *x);

/* Does the request go on without content, whatever it came with? */
bool flow_is_empty(const struct exchange *x);

/* For the head that goes upstream: the body's kind and length as they are now. */
void flow_describe_request(const struct exchange *x, struct message *m);

#endif
