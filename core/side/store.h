/* SPDX-License-Identifier: Apache-2.0 */

/* Named memory shared by all workers: sharded hash tables with a lock each, LRU by bytes, a
 * budget per store, TTL. Values are bytes with a small tag that belongs to the caller (Lua keeps
 * string, number, boolean apart by it). All operations are atomic for one key, take one lock,
 * and copy; none waits for anything but that lock. Any thread. Counters and windows are records
 * of fixed size and are updated in place, with no allocation. */

#ifndef DML_SIDE_STORE_H
#define DML_SIDE_STORE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/slice.h"

struct store;

#define STORE_KEY_MAX 4096

/* bytes: the budget, entries' overhead included; at the budget those go that were not used for long. Each
 * of the 16 shards has its part of it. */
struct store *store_new(struct slice name, size_t bytes);
void store_free(struct store *s);

/* Before its first use: nothing is evicted that has not expired. At the budget what is new is refused (ERR_FULL), and a
 * smaller budget waits until there is room; only a budget of 0 empties it. */
void store_keep(struct store *s);
struct slice store_name(const struct store *s);
void store_resize(struct store *s, size_t bytes); /* reload; evicts when smaller */

/* The one for what must not happen twice (nonces, states, what was ended): it keeps. */
#define STORE_MARKS "marks"

/* The process's stores, by name, which live until the process ends: whoever has found one may keep it. What is in one goes
 * when nobody names it any more. stores_find: NULL when there is none. */
struct store *stores_find(struct slice name);
struct store *stores_make(struct slice name,
                          size_t bytes); /* finds and resizes, or makes; in /metrics */
void stores_free_all(void);

/* A configuration names it: it is made, or filled anew where none did. One that has a name already keeps its size. */
void stores_name(struct slice name, size_t bytes);
/* That configuration is gone: with the last one all entries and their memory are. */
void stores_unname(struct slice name);

/* Appends the value to out. ERR_NOT_FOUND; ERR_FULL when out's cap is too small. */
MUST_CHECK int store_get(struct store *s, struct slice key, struct buf *out, uint8_t *tag);

/* ttl_ms 0 = none. ERR_FULL: larger than an eighth of a shard, or it keeps and is full, and what was there stays;
 * ERR_ARG: key empty or too long. */
MUST_CHECK int store_set(struct store *s, struct slice key, struct slice value, uint8_t tag,
                         uint64_t ttl_ms);

/* Only when absent: ERR_EXISTS. */
MUST_CHECK int store_add(struct store *s, struct slice key, struct slice value, uint8_t tag,
                         uint64_t ttl_ms);

/* Only when the present value and its tag equal the old ones: ERR_EXISTS otherwise, ERR_NOT_FOUND. */
MUST_CHECK int store_cas(struct store *s, struct slice key, struct slice old, uint8_t old_tag,
                         struct slice value, uint8_t tag, uint64_t ttl_ms);

/* Adds to a number (a double under STORE_TAG_NUMBER); made with `init` and ttl_ms when absent,
 * in the same step: a counter never lives without its TTL. ERR_ARG when the value is no number. */
#define STORE_TAG_NUMBER 1
MUST_CHECK int store_incr(struct store *s, struct slice key, double by, double init,
                          uint64_t ttl_ms, double *out);

int store_delete(struct store *s, struct slice key); /* 0 or ERR_NOT_FOUND */

/* Milliseconds left; 0 = no TTL; ERR_NOT_FOUND. */
int64_t store_ttl(struct store *s, struct slice key);

/* For records updated in place (windows): finds or makes a zeroed record of `size` bytes (at
 * most 512, aligned to 8) and runs fn on it under the lock; *ttl_ms is what is left of the TTL
 * (0 = none) and may be set by fn to a new one. fn must not call the store. A record of another
 * size is made anew; ERR_ARG when the value is no record. */
#define STORE_TAG_RECORD 255
typedef void (*store_update_fn)(void *record, bool is_new, uint64_t *ttl_ms, void *arg);
MUST_CHECK int store_update(struct store *s, struct slice key, size_t size, store_update_fn fn,
                            void *arg);

struct store_stats {
    uint64_t entries, bytes, budget, hits, misses, evictions, expired;
};
void store_stats(struct store *s, struct store_stats *out);

#endif
