/* SPDX-License-Identifier: Apache-2.0 */

/* hash_keyed: SipHash-1-3 with a key drawn at process start; for tables that see foreign keys (hash
 * flooding). hash_stable: XXH64, the same on every machine and run; for consistent hashing,
 * never for tables. */

#ifndef DML_BASE_HASH_H
#define DML_BASE_HASH_H

#include "base/base.h"
#include "base/slice.h"

/* Draws the process's key; call once before threads start. Tests may call hash_set_key instead. */
void hash_init(void);
void hash_set_key(uint64_t k0, uint64_t k1);

uint64_t hash_keyed(struct slice s);
uint64_t hash_stable(struct slice s, uint64_t seed);

#endif
