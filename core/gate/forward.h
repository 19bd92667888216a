/* SPDX-License-Identifier: Apache-2.0 */

/* What a gateway must say of itself and of the client when it passes messages on: Via (RFC 9110, 7.6.3), Forwarded
 * (RFC 7239) and X-Forwarded-*, Host, the path that goes upstream. */

#ifndef DML_GATE_FORWARD_H
#define DML_GATE_FORWARD_H

#include "gate/exchange.h"

/* Received-by of Via, and the value of Server. */
#define FORWARD_PSEUDONYM "demilune"

/* Who the client is, and its scheme: from the connection, or, when the peer is trusted, from what it says. */
MUST_CHECK int forward_client(struct exchange *x);

/* The path that goes upstream, by the route's rewrite or strip_prefix; once, before the first attempt.
 * ERR_BAD_REQUEST: what the client put into it makes no path. */
MUST_CHECK int forward_path(struct exchange *x);

/* The request's fields as they go upstream, those about the client's way here included. */
void forward_headers(struct exchange *x, struct headers *out);

/* A request head that is written at once: memory that is warm, where the arena's next would not be. */
struct forward_scratch {
    struct message message;
    struct field fields[32];
};

/* The request head of an attempt: in `scratch`, or partly in the arena when it has many fields. */
struct message *forward_request(struct exchange *x, struct attempt *a,
                                struct forward_scratch *scratch);

/* Upstream's response head is to be the client's. */
void forward_response(struct exchange *x);

#endif
