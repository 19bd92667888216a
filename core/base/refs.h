/* SPDX-License-Identifier: Apache-2.0 */

/* Counting for what a locked registry finds by name. The last reference has to be dropped under
 * the registry's lock, or somebody could find the thing while it goes; all others are dropped
 * without it. */

#ifndef DML_BASE_REFS_H
#define DML_BASE_REFS_H

#include <stdatomic.h>

#include "base/base.h"

/* False, and nothing done, when it is the last one. */
static inline bool refs_drop_unless_last(atomic_int *refs)
{
    int n = atomic_load_explicit(refs, memory_order_relaxed);

    while (n > 1)
        if (atomic_compare_exchange_weak_explicit(refs, &n, n - 1, memory_order_acq_rel,
                                                  memory_order_relaxed))
            return true;
    return false;
}

#endif
