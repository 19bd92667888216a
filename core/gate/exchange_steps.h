/* SPDX-License-Identifier: Apache-2.0 */

/* How an exchange goes on: what the gate's own files (exchange.c, attempt.c, flow.c, reply.c) ask of each other. Hooks and
 * whoever starts a gateway need exchange.h only. A function that may end x is called last. */

#ifndef DML_GATE_EXCHANGE_STEPS_H
#define DML_GATE_EXCHANGE_STEPS_H

#include "gate/exchange.h"

/* The only place where x->state changes. */
void exchange_to(struct exchange *x, enum exchange_state state);

/* Ends it with the error answer of err, or, when the head has gone down already, by breaking the message off. */
void exchange_fail(struct exchange *x, int err);

/* Its plan goes, and it can't do without: cuts off the hook that waits, or the response. */
void exchange_end_early(struct exchange *x);

/* A final response head of the accepted attempt is here. */
void exchange_respond(struct exchange *x, struct message *response, bool end);

/* From the attempt: response body bytes; its wire has room for request bytes; the wire broke after the head. */
void exchange_on_response_body(struct exchange *x, const struct slice *pieces, int n, bool end,
                               const struct headers *trailers);
void exchange_on_upstream_room(struct exchange *x);
void exchange_on_cached(
    struct exchange *x); /* from the cache: there is more of the answer, or none any more */
void exchange_on_upstream_gone(struct exchange *x, int err);

/* It has its connection and has sent the head: let the request body flow to it. */
void exchange_send_request_body(struct exchange *x, struct attempt *a);

/* One for a request in its own arena, on the current plan; NULL: too many. The request belongs to nobody's wire yet. */
struct exchange *exchange_new(struct gateway *g, struct arena *arena, struct message *request);

/* Reads what the head says of the client and the path; 0 or why it is refused. */
MUST_CHECK int exchange_read_head(struct exchange *x);

/* The end of its memory: it is in no state any more. */
void exchange_free(struct exchange *x);

/* A request of the gateway's own: x's as it would go upstream now, for what its cache has to know anew. It has `cache_use`
 * set up by the caller before exchange_fetch begins it; it ends by itself. NULL: not now. */
struct exchange *exchange_clone(struct exchange *x);
void exchange_fetch(struct exchange *own);

/* What its response is: read on, or done with. Ends it, or leaves it to what still comes. */
void exchange_fetched(struct exchange *own);

/* The client has all of its answer, or has left. True: what the cache keeps has not come yet, so upstream is read on. */
bool exchange_stays(struct exchange *x);

/* Ends those that no client waits for. */
void exchanges_end_fetches(struct gateway *g);

/* Runs the hooks of p when there are any. True: they are done, go on. False: they wait, exchange_phase_done follows. */
bool exchange_run_phase(struct exchange *x, enum phase p);

/* The same for the hooks behind the one that has failed. */
bool exchange_run_rest(struct exchange *x, enum phase p);

/* Runs the hooks of p, now or when they have waited, then what follows that phase. May end x. */
void exchange_step(struct exchange *x, enum phase p);

/* x->response is ready, from whatever source: response hooks, then down with it. Each answer goes to all of them, but
 * the 500 of one that failed only to those behind it. May end x. */
void exchange_answer(struct exchange *x);

/* The response is over. Ends x, or leaves it to its log hooks. */
void exchange_finish(struct exchange *x);

/* What is left of the route's timeout; UINT64_MAX without one. */
uint64_t exchange_time_left_ms(const struct exchange *x);

#endif
