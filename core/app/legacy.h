/* SPDX-License-Identifier: Apache-2.0 */

/* What a supervisor leaves to itself when it executes a new binary: which processes are its gateways, which descriptors
 * it holds under which names, what it has counted. It goes through a file in memory, whose descriptor is named in the
 * environment; the process, its children and its pending signals stay. */

#ifndef DML_APP_LEGACY_H
#define DML_APP_LEGACY_H

#include "app/supervisor.h"

#define LEGACY_VARIABLE "DEMILUNE_SUPERVISOR"

/* Executes s->program in place of this one. Returns only if that fails, which is logged: then nothing has changed. */
void legacy_exec(struct supervisor *s);

/* Takes over what was left, into a new supervisor. False: nothing was, this is a first start. Something that can't be
 * read ends the process. */
bool legacy_take(struct supervisor *s);

#endif
