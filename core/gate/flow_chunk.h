/* SPDX-License-Identifier: Apache-2.0 */

/* What flow.c needs of the body hooks, and they of it. flow.h has what others call. */

#ifndef DML_GATE_FLOW_CHUNK_H
#define DML_GATE_FLOW_CHUNK_H

#include "gate/exchange.h"

bool flow_has_body_hooks(const struct exchange *x);

/* x->response's head goes down, or is held back for its first body hook. 0 or a negative code, as wire_head. */
MUST_CHECK int flow_say_head(struct exchange *x, bool end);

/* Runs the body hooks over a chunk, which is borrowed for the call, and goes on when they are done. May end x. */
void flow_hook_chunk(struct exchange *x, struct slice chunk, bool last);

/* The same over what has gathered while the last one waited. */
void flow_pump_hooks(struct exchange *x);

/* In flow.c: `taken` bytes of upstream's have gone, rc is what the client's wire said to them. Asks for as many again,
 * now or when the client has room. */
void flow_regrant(struct exchange *x, int rc, size_t taken);

#endif
