/* SPDX-License-Identifier: Apache-2.0 */

#ifndef DML_BASE_RAND_H
#define DML_BASE_RAND_H

#include "base/base.h"

/* Fast, per thread, seeded from the system; not for secrets. */
uint64_t rand_u64(void);

/* Uniform in [0, n), n > 0. */
uint32_t rand_below(uint32_t n);

/* Uniform in [0, 1). */
double rand_unit(void);

/* Bytes for keys and ids, from getrandom(2) through a per-thread buffer. Cannot fail. */
void rand_secure(void *out, size_t len);

#endif
