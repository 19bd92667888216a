/* SPDX-License-Identifier: Apache-2.0 */

/* One new connection to a target: its name is resolved, the addresses are tried one after
 * another, and all of it happens within one deadline. The deadline is shared out among the
 * addresses that are left, so that one which never answers does not take the time of the next. */

#ifndef DML_GATE_OPENING_H
#define DML_GATE_OPENING_H

#include "base/base.h"
#include "gate/target.h"

struct dns;
struct opening;
struct outbound;
struct wire_env;

/* From the loop, once; the opening is gone. o and 0, or NULL and the error of the addresses that
 * says most (opening_worst), ERR_DNS, ERR_TIMEOUT. */
typedef void (*opening_fn)(void *arg, struct outbound *o, int err);

/* turn: which of a name's addresses is tried first, counted round: connections are spread over
 * them. timeout_ms 0 = none. */
struct opening *opening_start(struct wire_env *wire, struct dns *dns, struct target *t,
                              uint32_t turn, uint64_t timeout_ms, opening_fn on_done, void *arg);

/* Of two addresses' errors the one that says more of what is wrong: who was there and is not believed
 * (ERR_TLS), before who was not reached; a way that does not exist (no IPv6 here) comes last. Of
 * equals the first. before: 0 for none. */
int opening_worst(int before, int err);

/* on_done is not called any more. */
void opening_cancel(struct opening *op);

#endif
