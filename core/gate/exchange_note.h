/* SPDX-License-Identifier: Apache-2.0 */

/* What a place where a plugin is enabled keeps about an exchange for as long as that lives: other than what Lua keeps
 * (exchange.ctx), it is there still when a reload has given the exchange to another VM. Worker's thread. */

#ifndef DML_GATE_EXCHANGE_NOTE_H
#define DML_GATE_EXCHANGE_NOTE_H

#include "base/slice.h"

struct exchange;

/* Copies both. name: whose it is; an earlier one of that name is forgotten. */
void exchange_note(struct exchange *x, struct slice name, struct slice text);

/* Absent where there is none; else valid until the exchange ends. */
struct slice exchange_noted(const struct exchange *x, struct slice name);

#endif
