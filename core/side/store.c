/* SPDX-License-Identifier: Apache-2.0 */

/* Each operation hashes its key once: the upper bits choose the shard, the lower ones the
 * bucket. What it does under the shard's lock is short and copies; what an entry is and when it
 * goes is store_shard.c's. */

#include "side/store.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/vec.h"
#include "side/store_metrics.h"
#include "side/store_shard.h"

#define SHARDS 16u
#define RECORD_MAX 512u

struct store {
    struct shard shards[SHARDS];
    struct slice name;
    atomic_size_t budget;
    int named; /* by so many configurations; under all_lock */
};

/* A key on its way to its entry. */
struct where {
    struct shard *shard;
    struct slice key;
    uint64_t hash;
};

static bool is_key(struct slice key)
{
    return key.len > 0 && key.len <= STORE_KEY_MAX;
}

/* Locked until leave. */
static struct where enter(struct store *s, struct slice key)
{
    struct where at = {.key = key, .hash = hash_keyed(key)};

    at.shard = &s->shards[at.hash >> 60];
    pthread_mutex_lock(&at.shard->lock);
    return at;
}

static int leave(struct where at, int rc)
{
    pthread_mutex_unlock(&at.shard->lock);
    return rc;
}

static struct entry *find(struct where at)
{
    return shard_find(at.shard, at.key, at.hash);
}

static void set_ttl(struct entry *e, uint64_t ttl_ms)
{
    e->expires_ms = ttl_ms ? clock_ms() + ttl_ms : 0;
}

/* old: the present entry or NULL. */
static int put(struct where at, struct entry *old, struct slice value, uint8_t tag, uint64_t ttl_ms)
{
    if (!shard_fits(at.shard, old, at.key.len, value.len))
        return ERR_FULL;
    struct entry *e = shard_make_room(at.shard, old, at.key, at.hash, value.len);
    if (value.len > 0)
        memcpy(e->bytes, value.ptr, value.len);
    e->value_len = (uint32_t)value.len;
    e->tag = tag;
    set_ttl(e, ttl_ms);
    return 0;
}

int store_get(struct store *s, struct slice key, struct buf *out, uint8_t *tag)
{
    if (!is_key(key))
        return ERR_ARG;
    struct where at = enter(s, key);
    struct entry *e = find(at);

    if (!e) {
        at.shard->stats.misses++;
        return leave(at, ERR_NOT_FOUND);
    }
    at.shard->stats.hits++;
    *tag = e->tag;
    return leave(at, buf_add(out, entry_value(e)));
}

int store_set(struct store *s, struct slice key, struct slice value, uint8_t tag, uint64_t ttl_ms)
{
    if (!is_key(key))
        return ERR_ARG;
    struct where at = enter(s, key);

    return leave(at, put(at, find(at), value, tag, ttl_ms));
}

int store_add(struct store *s, struct slice key, struct slice value, uint8_t tag, uint64_t ttl_ms)
{
    if (!is_key(key))
        return ERR_ARG;
    struct where at = enter(s, key);

    return leave(at, find(at) ? ERR_EXISTS : put(at, NULL, value, tag, ttl_ms));
}

int store_cas(struct store *s, struct slice key, struct slice old, uint8_t old_tag,
              struct slice value, uint8_t tag, uint64_t ttl_ms)
{
    if (!is_key(key))
        return ERR_ARG;
    struct where at = enter(s, key);
    struct entry *e = find(at);

    if (!e)
        return leave(at, ERR_NOT_FOUND);
    if (e->tag != old_tag || !slice_eq(entry_value(e), old))
        return leave(at, ERR_EXISTS);
    return leave(at, put(at, e, value, tag, ttl_ms));
}

int store_incr(struct store *s, struct slice key, double by, double init, uint64_t ttl_ms,
               double *out)
{
    if (!is_key(key))
        return ERR_ARG;
    struct where at = enter(s, key);
    struct entry *e = find(at);
    double n = init;

    if (!e) {
        n += by;
        *out = n;
        return leave(at, put(at, NULL, slice_of((char *)&n, sizeof(n)), STORE_TAG_NUMBER, ttl_ms));
    }
    if (e->tag != STORE_TAG_NUMBER || e->value_len != sizeof(n))
        return leave(at, ERR_ARG);
    memcpy(&n, e->bytes, sizeof(n));
    n += by;
    memcpy(e->bytes, &n, sizeof(n));
    *out = n;
    return leave(at, 0);
}

int store_delete(struct store *s, struct slice key)
{
    if (!is_key(key))
        return ERR_NOT_FOUND;
    struct where at = enter(s, key);
    struct entry *e = find(at);

    if (e)
        shard_remove(at.shard, e);
    return leave(at, e ? 0 : ERR_NOT_FOUND);
}

static uint64_t ttl_left(const struct entry *e)
{
    return e->expires_ms ? e->expires_ms - clock_ms() : 0;
}

int64_t store_ttl(struct store *s, struct slice key)
{
    if (!is_key(key))
        return ERR_NOT_FOUND;
    struct where at = enter(s, key);
    struct entry *e = find(at);
    int64_t left = e ? (int64_t)ttl_left(e) : ERR_NOT_FOUND;

    leave(at, 0);
    return left;
}

/* The record that is there, or a zeroed one; NULL when something else is there, or a record does
 * not fit. One that has expired is begun anew where it is: records of short windows do so all the time. */
static struct entry *find_record(struct where at, size_t size, bool *is_new)
{
    struct entry *e = shard_find_any(at.shard, at.key, at.hash);
    bool has_expired = e && shard_has_expired(e);

    if (e && !has_expired && e->tag != STORE_TAG_RECORD)
        return NULL;
    *is_new = !e || has_expired || e->value_len != size;
    if (LIKELY(!*is_new))
        return e;
    if (!shard_fits(at.shard, e, at.key.len, size))
        return NULL;
    at.shard->stats.expired += has_expired;
    e = shard_make_room(at.shard, e, at.key, at.hash, size);
    memset(e->bytes, 0, size);
    e->value_len = (uint32_t)size;
    e->tag = STORE_TAG_RECORD;
    e->expires_ms = 0;
    return e;
}

int store_update(struct store *s, struct slice key, size_t size, store_update_fn fn, void *arg)
{
    bool is_new;

    if (!is_key(key) || size > RECORD_MAX)
        return ERR_ARG;
    struct where at = enter(s, key);
    struct entry *e = find_record(at, size, &is_new);
    if (!e)
        return leave(at, ERR_ARG);

    uint64_t before = ttl_left(e), ttl_ms = before;
    fn(e->bytes, is_new, &ttl_ms, arg);
    if (ttl_ms != before)
        set_ttl(e, ttl_ms);
    return leave(at, 0);
}

struct store *store_new(struct slice name, size_t bytes)
{
    struct store *s = aligned_alloc(_Alignof(struct store), sizeof(*s));

    REQUIRE(s != NULL);
    memset(s, 0, sizeof(*s));
    s->name = slice_of(slice_dup(name), name.len);
    atomic_init(&s->budget, bytes);
    for (size_t i = 0; i < SHARDS; i++)
        shard_init(&s->shards[i], bytes / SHARDS);
    return s;
}

void store_free(struct store *s)
{
    for (size_t i = 0; i < SHARDS; i++)
        shard_deinit(&s->shards[i]);
    free((char *)s->name.ptr);
    free(s);
}

void store_keep(struct store *s)
{
    for (size_t i = 0; i < SHARDS; i++)
        s->shards[i].keeps = true;
}

struct slice store_name(const struct store *s)
{
    return s->name;
}

void store_resize(struct store *s, size_t bytes)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &s->shards[i];
        pthread_mutex_lock(&shard->lock);
        shard_resize(shard, bytes / SHARDS);
        pthread_mutex_unlock(&shard->lock);
    }
    atomic_store(&s->budget, bytes);
}

void store_stats(struct store *s, struct store_stats *out)
{
    *out = (struct store_stats){.budget = atomic_load(&s->budget)};
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &s->shards[i];
        pthread_mutex_lock(&shard->lock);
        out->entries += shard->stats.entries;
        out->bytes += shard->bytes + shard_table_bytes(shard);
        out->hits += shard->stats.hits;
        out->misses += shard->stats.misses;
        out->evictions += shard->stats.evictions;
        out->expired += shard->stats.expired;
        pthread_mutex_unlock(&shard->lock);
    }
}

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static VEC(struct store *) all;

/* Under the lock. */
static struct store *find_named(struct slice name)
{
    for (size_t i = 0; i < all.n; i++)
        if (slice_eq(all.items[i]->name, name))
            return all.items[i];
    return NULL;
}

struct store *stores_find(struct slice name)
{
    pthread_mutex_lock(&all_lock);
    struct store *s = find_named(name);
    pthread_mutex_unlock(&all_lock);
    return s;
}

/* Under the lock. */
static struct store *make_named(struct slice name, size_t bytes)
{
    struct store *s = store_new(name, bytes);

    if (slice_eq(name, SLICE(STORE_MARKS)))
        store_keep(s);
    vec_push(&all, s);
    return s;
}

struct store *stores_make(struct slice name, size_t bytes)
{
    pthread_mutex_lock(&all_lock);
    struct store *s = find_named(name);
    if (!s) {
        s = make_named(name, bytes);
    } else if (atomic_load(&s->budget) != bytes) {
        store_resize(s, bytes);
    }
    store_show(s, true);
    pthread_mutex_unlock(&all_lock);
    return s;
}

void stores_name(struct slice name, size_t bytes)
{
    pthread_mutex_lock(&all_lock);
    struct store *s = find_named(name);
    if (!s) {
        s = make_named(name, bytes);
    } else if (s->named == 0) {
        store_resize(s, bytes);
    }
    s->named++;
    pthread_mutex_unlock(&all_lock);
}

void stores_unname(struct slice name)
{
    pthread_mutex_lock(&all_lock);
    struct store *s = find_named(name);
    if (s && --s->named == 0)
        store_resize(s, 0);
    pthread_mutex_unlock(&all_lock);
}

void stores_free_all(void)
{
    for (size_t i = 0; i < all.n; i++) {
        store_show(all.items[i], false);
        store_free(all.items[i]);
    }
    vec_free(&all);
}
