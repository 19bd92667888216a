/* SPDX-License-Identifier: Apache-2.0 */

/* The moment at which a configuration that was built takes the place of the one in use. */

#ifndef DML_APP_RELOAD_APPLY_H
#define DML_APP_RELOAD_APPLY_H

#include "base/base.h"

struct building;
struct control;
struct faults;
struct snapshot;

/* Opens what is new to listen on, hands each worker its part, and settles what is the process's own (limits, the log,
 * stores). False, with faults in b->load and nothing changed, when an address can't be had. Control thread. */
bool reload_apply(struct control *c, struct building *b);

#endif
