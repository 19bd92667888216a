/* SPDX-License-Identifier: Apache-2.0 */

/* What a breaker is: shared by its states (breaker.c) and the registry (breaker_registry.c), and nobody else's. */

#ifndef DML_SIDE_BREAKER_PARTS_H
#define DML_SIDE_BREAKER_PARTS_H

#include <stdatomic.h>

#include "side/breaker.h"
#include "side/tally.h"

enum { TALLY_REQUESTS, TALLY_FAILURES, TALLY_SLOW };

/* Has anybody ever forced one? */
extern atomic_bool breakers_ordered;

struct breaker {
    /* owned */
    struct slice key;         /* scope, name and rules, as bytes */
    struct slice scope, name; /* in key */
    struct breaker_rules rules;
    atomic_int refs;
    /* state, shared: what everybody reads and hardly anything changes */
    _Alignas(64) atomic_ullong word;
    atomic_ullong opened;
    /* state, shared: what requests change */
    _Alignas(64) atomic_ullong probes;
    atomic_ullong refused;
    struct tally tally;
};

#endif
