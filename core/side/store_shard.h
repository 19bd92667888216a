/* SPDX-License-Identifier: Apache-2.0 */

/* The inside of a store, for store.c: one shard is a hash table with chains, a list of its entries
 * by age, and a budget. All functions are called under the shard's lock. */

#ifndef DML_SIDE_STORE_SHARD_H
#define DML_SIDE_STORE_SHARD_H

#include <pthread.h>

#include "base/base.h"
#include "base/list.h"
#include "base/slice.h"
#include "side/store.h"

struct entry {
    struct entry *next; /* in its chain */
    struct list age;    /* in the shard's list */
    uint64_t hash;
    uint64_t expires_ms; /* 0 = never */
    uint32_t key_len;
    uint32_t value_len;
    uint32_t room; /* for the value; the key lies behind it */
    uint8_t tag;
    bool was_used; /* since it came to the young end of the list */
    _Alignas(8) char bytes[];
};

struct shard {
    pthread_mutex_t lock;
    /* owned */
    struct entry **buckets; /* room for the most */
    /* state */
    uint64_t n;       /* buckets in use, */
    uint64_t mask;    /* the power of two above them - 1, */
    uint64_t most;    /* and how many there may be */
    struct list ages; /* owned: the youngest first */
    size_t bytes, budget;
    bool keeps;               /* what has not expired stays, come what may */
    struct store_stats stats; /* hits, misses, entries, evictions, expired */
} __attribute__((aligned(64)));

void shard_init(struct shard *s, size_t budget);
void shard_deinit(struct shard *s);

/* Evicts when it is smaller now, unless it keeps; of 0 bytes it is empty in any case. */
void shard_resize(struct shard *s, size_t budget);

/* What its table may come to take. */
size_t shard_table_bytes(const struct shard *s);

/* The entry, which counts as used now, or NULL. One that has expired is removed. */
struct entry *shard_find(struct shard *s, struct slice key, uint64_t hash);

/* The same, but one that has expired is returned too. */
struct entry *shard_find_any(struct shard *s, struct slice key, uint64_t hash);

bool shard_has_expired(const struct entry *e);

/* May a value of this size be put in, in the place of `old` (NULL: of none)? One that keeps looks for what has expired. */
bool shard_fits(struct shard *s, struct entry *old, size_t key_len, size_t value_len);

/* An entry with room for value_len bytes (value_len and bytes are set by the caller): `old` when
 * it suits, else a new one in its place. old: what shard_find or shard_find_any returned, gone afterwards unless
 * returned. The value's bytes are undefined, its tag and expiry 0 when it is new. */
struct entry *shard_make_room(struct shard *s, struct entry *old, struct slice key, uint64_t hash,
                              size_t value_len);

void shard_remove(struct shard *s, struct entry *e);

static inline struct slice entry_value(const struct entry *e)
{
    return slice_of(e->bytes, e->value_len);
}

#endif
