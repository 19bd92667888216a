/* SPDX-License-Identifier: Apache-2.0 */

/* Headers whose names were checked when a plugin was loaded: the way that most changes take, at a fraction of what
 * exchange_header costs. */

#ifndef DML_GATE_EDIT_H
#define DML_GATE_EDIT_H

#include "gate/exchange.h"

struct header_name {
    struct slice text;
    enum header_id id;
};

/* Borrows the text. ERR_ARG: not allowed by RFC 9110, or the core's own. */
MUST_CHECK int header_name_init(struct header_name *out, struct slice text);

/* As exchange_header. Copies name and value, and checks the value. ERR_ARG, ERR_GONE. The Host of a request is its host,
 * by which it is routed: it can be set to one, and not removed or doubled (ERR_ARG). */
MUST_CHECK int exchange_header_named(struct exchange *x, enum side side, enum header_op op,
                                     const struct header_name *name, struct slice value);

/* The same for a value that is allowed, without blanks around it (HEADER_REMOVE: absent): it and the name live as long as
 * the exchange. ERR_GONE, and ERR_ARG for what can't be done to Host. */
MUST_CHECK int exchange_header_put(struct exchange *x, enum side side, enum header_op op,
                                   const struct header_name *name, struct slice value);

#endif
