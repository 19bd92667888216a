/* SPDX-License-Identifier: Apache-2.0 */

/* Certificate hooks: who chooses what a client is shown, before there is a request. */

#ifndef DML_SCRIPT_CALL_HANDSHAKE_H
#define DML_SCRIPT_CALL_HANDSHAKE_H

#include "base/slice.h"
#include "script/vm.h"

struct tls_handshake;
struct tls_hello;

/* Runs a chain's function (a registry ref); the handshake goes on, or is refused, when it has ended. The texts of the
 * peer live until then; listener: as the configuration names it. */
void handshake_choose(struct vm *vm, int function, struct tls_handshake *shaking,
                      const struct tls_hello *hello, struct slice client_ip, struct slice listener);

#endif
