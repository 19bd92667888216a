/* SPDX-License-Identifier: Apache-2.0 */

/* Names of the phases, as plugins and logs know them. */

#include "gate/phase.h"

const char *phase_name(enum phase p)
{
    static const char *const names[] = {
        [PHASE_CERTIFICATE] = "certificate",
        [PHASE_REWRITE] = "rewrite",
        [PHASE_ACCESS] = "access",
        [PHASE_BALANCE] = "balance",
        [PHASE_ATTEMPT] = "attempt",
        [PHASE_RESPONSE] = "response",
        [PHASE_BODY] = "body",
        [PHASE_LOG] = "log",
        [PHASE_START] = "start",
        [PHASE_STOP] = "stop",
    };
    return (unsigned)p < PHASE_COUNT ? names[p] : "none";
}
