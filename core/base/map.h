/* SPDX-License-Identifier: Apache-2.0 */

/* Hash map from text to pointer (open addressing, keyed hash). Keys are borrowed: the owner of the
 * map keeps their bytes alive as long as the entry. Not thread-safe; safe for many readers when
 * nobody writes. */

#ifndef DML_BASE_MAP_H
#define DML_BASE_MAP_H

#include "base/base.h"
#include "base/slice.h"

struct map_entry {
    struct slice key; /* ptr NULL = free */
    void *value;
    uint64_t hash;
};

struct map {
    /* owned */
    struct map_entry *entries;
    /* state */
    size_t n, size; /* size is 0 or a power of two */
};

void map_init(struct map *m);
void map_deinit(struct map *m);

/* NULL when absent. */
void *map_find(const struct map *m, struct slice key);
void *map_find_hashed(const struct map *m, struct slice key, uint64_t hash); /* hash_keyed(key) */

/* Sets or replaces; returns the previous value or NULL. value is not NULL. */
void *map_set(struct map *m, struct slice key, void *value);

/* Returns the removed value or NULL. */
void *map_remove(struct map *m, struct slice key);

/* for (size_t i = 0; (e = map_next(m, &i)); ) ...; the body must not change the map. */
struct map_entry *map_next(const struct map *m, size_t *i);

#endif
