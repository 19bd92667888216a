/* SPDX-License-Identifier: Apache-2.0 */

/* Why an address can't be listened on, and what to do about it. */

#ifndef DML_APP_LISTEN_FAULT_H
#define DML_APP_LISTEN_FAULT_H

#include "gate/conf.h"
#include "net/addr.h"

/* A fault of the system at the node that names the address. error: of listener_open. */
void listen_fault(struct faults *faults, const struct conf *node, struct slice path,
                  const struct addr *a, int error);

#endif
