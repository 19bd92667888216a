/* SPDX-License-Identifier: Apache-2.0 */

/* Linear probing with the full hash kept in each entry, so that a probe compares bytes only when 64
 * bits agree. Removing shifts the followers back instead of leaving tombstones: a map that lives
 * for months and changes all the time does not get slower. At most three quarters are used. */

#include "base/map.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

#define MIN_SIZE 8

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_deinit(struct map *m)
{
    free(m->entries);
    *m = (struct map){0};
}

/* A key is told from a free entry by its pointer. */
static struct slice normal_key(struct slice key)
{
    return key.ptr ? key : SLICE("");
}

/* The entry of the key, or the free one where it belongs. The map has a free entry. */
static struct map_entry *probe(const struct map *m, struct slice key, uint64_t hash)
{
    size_t mask = m->size - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *e = &m->entries[i];
        if (!e->key.ptr || (e->hash == hash && slice_eq(e->key, key)))
            return e;
    }
}

void *map_find_hashed(const struct map *m, struct slice key, uint64_t hash)
{
    return m->n == 0 ? NULL : probe(m, normal_key(key), hash)->value;
}

void *map_find(const struct map *m, struct slice key)
{
    return m->n == 0 ? NULL : map_find_hashed(m, key, hash_keyed(normal_key(key)));
}

static void grow(struct map *m)
{
    struct map old = *m;

    m->size = old.size ? old.size * 2 : MIN_SIZE;
    m->entries = calloc(m->size, sizeof(m->entries[0]));
    REQUIRE(m->entries != NULL);
    for (size_t i = 0; i < old.size; i++)
        if (old.entries[i].key.ptr)
            *probe(m, old.entries[i].key, old.entries[i].hash) = old.entries[i];
    free(old.entries);
}

void *map_set(struct map *m, struct slice key, void *value)
{
    REQUIRE(value != NULL);
    key = normal_key(key);
    uint64_t hash = hash_keyed(key);

    if (m->n + 1 > m->size / 4 * 3)
        grow(m);
    struct map_entry *e = probe(m, key, hash);
    void *previous = e->value;
    if (!previous)
        m->n++;
    /* The key too: the owner of the new value keeps the new key alive, not the old one. */
    *e = (struct map_entry){.key = key, .value = value, .hash = hash};
    return previous;
}

/* Closes the gap at `hole`: each follower of the run moves back unless it would pass its home. */
static void shift_back(struct map *m, size_t hole)
{
    size_t mask = m->size - 1;

    for (size_t i = (hole + 1) & mask; m->entries[i].key.ptr; i = (i + 1) & mask) {
        size_t home = m->entries[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->entries[hole] = m->entries[i];
            hole = i;
        }
    }
    m->entries[hole] = (struct map_entry){0};
}

void *map_remove(struct map *m, struct slice key)
{
    if (m->n == 0)
        return NULL;
    key = normal_key(key);
    struct map_entry *e = probe(m, key, hash_keyed(key));
    void *value = e->value;
    if (!value)
        return NULL;
    m->n--;
    shift_back(m, (size_t)(e - m->entries));
    return value;
}

struct map_entry *map_next(const struct map *m, size_t *i)
{
    while (*i < m->size) {
        struct map_entry *e = &m->entries[(*i)++];
        if (e->key.ptr)
            return e;
    }
    return NULL;
}
