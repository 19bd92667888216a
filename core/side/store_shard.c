/* SPDX-License-Identifier: Apache-2.0 */

/* The table has room for as many buckets as the budget asks for (with entries of the smallest size
 * chains are then two long), and uses one for each entry: an insertion splits one bucket in two
 * ("linear hashing"), so no operation ever has to rebuild it, and few entries lie close together: in
 * a large empty table each would cost a cache line and a page of its own. What an entry costs is
 * what malloc gives for it. Expiry is lazy: an entry that is found expired goes, and each
 * insertion looks at the two that were not used for longest.
 *
 * Using an entry only marks it. When it has become the oldest, a marked one is young again and loses
 * its mark ("second chance"): the order is nearly that of use, and no request touches its neighbours.
 *
 * A shard that keeps evicts nothing. Its entries live for different times, so the oldest says nothing of the others:
 * each insertion looks at some in turn, takes away those that have expired, and puts the others behind all. */

#include "side/store_shard.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"

#define BYTES_PER_BUCKET 256u
#define BUCKETS_MIN 16u
#define MALLOC_OVERHEAD sizeof(size_t)
#define REAP_LOOKS 2
#define CHANCES 16     /* in a row: how long one insertion may take */
#define SWEEP_LOOKS 16 /* of a full shard that keeps, at each insertion */

static size_t round_up(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static size_t cost_of(struct entry *e)
{
    return malloc_usable_size(e) + MALLOC_OVERHEAD;
}

static struct slice key_of(const struct entry *e)
{
    return slice_of(e->bytes + e->room, e->key_len);
}

static struct entry *entry_of(struct list *age)
{
    return container_of(age, struct entry, age);
}

bool shard_has_expired(const struct entry *e)
{
    return e->expires_ms != 0 && e->expires_ms <= clock_ms();
}

static uint64_t buckets_for(size_t budget)
{
    uint64_t n = BUCKETS_MIN;

    while (n * BYTES_PER_BUCKET < budget)
        n *= 2;
    return n;
}

/* The buckets are part of the budget, but some of it is always for entries. */
static void set_budget(struct shard *s, size_t budget)
{
    size_t table = shard_table_bytes(s);

    s->budget = budget > 2 * table ? budget - table : budget / 2;
}

/* The system gives zeroed memory, page by page as it is used. */
static void make_buckets(struct shard *s, size_t budget)
{
    s->n = BUCKETS_MIN;
    s->mask = BUCKETS_MIN - 1;
    s->most = buckets_for(budget);
    s->buckets = calloc(s->most, sizeof(s->buckets[0]));
    REQUIRE(s->buckets != NULL);
}

void shard_init(struct shard *s, size_t budget)
{
    pthread_mutexattr_t attr;

    /* Waits are shorter than going to sleep. */
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&s->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    list_init(&s->ages);
    make_buckets(s, budget);
    set_budget(s, budget);
}

void shard_deinit(struct shard *s)
{
    struct list *age;

    while ((age = list_pop(&s->ages)))
        free(entry_of(age));
    free(s->buckets);
    pthread_mutex_destroy(&s->lock);
}

/* A bucket that is not in use yet is still one with the lower half's. */
static struct entry **bucket_of(struct shard *s, uint64_t hash)
{
    uint64_t i = hash & s->mask;

    return &s->buckets[i < s->n ? i : i & (s->mask >> 1)];
}

static void put_in_bucket(struct shard *s, struct entry *e)
{
    struct entry **bucket = bucket_of(s, e->hash);

    e->next = *bucket;
    *bucket = e;
}

/* One more bucket, and what belongs there now. */
static void split_bucket(struct shard *s)
{
    if (s->n > s->mask)
        s->mask = 2 * s->mask + 1;
    struct entry **from = &s->buckets[s->n & (s->mask >> 1)], *e = *from, *next;

    s->n++;
    *from = NULL;
    for (; e; e = next) {
        next = e->next;
        put_in_bucket(s, e);
    }
}

static void link_in(struct shard *s, struct entry *e)
{
    if (s->stats.entries >= s->n && s->n < s->most)
        split_bucket(s);
    put_in_bucket(s, e);
    list_push(&s->ages, &e->age);
    s->bytes += cost_of(e);
    s->stats.entries++;
}

void shard_remove(struct shard *s, struct entry *e)
{
    struct entry **at = bucket_of(s, e->hash);

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    list_remove(&e->age);
    s->bytes -= cost_of(e);
    s->stats.entries--;
    free(e);
}

/* Of a shard that is not empty: what is to go first. */
static struct entry *oldest(struct shard *s)
{
    struct entry *e = entry_of(list_last(&s->ages));

    for (int i = 0; i < CHANCES && e->was_used && !shard_has_expired(e); i++) {
        e->was_used = false;
        list_remove(&e->age);
        list_push(&s->ages, &e->age);
        e = entry_of(list_last(&s->ages));
    }
    return e;
}

static void make_space(struct shard *s, size_t bytes)
{
    while (s->bytes + bytes > s->budget && !list_is_empty(&s->ages)) {
        struct entry *e = oldest(s);
        if (shard_has_expired(e))
            s->stats.expired++;
        else
            s->stats.evictions++;
        shard_remove(s, e);
    }
}

/* old: stays. */
static void sweep(struct shard *s, const struct entry *old, int looks)
{
    for (int i = 0; i < looks && !list_is_empty(&s->ages); i++) {
        struct entry *e = entry_of(list_last(&s->ages));
        if (e != old && shard_has_expired(e)) {
            s->stats.expired++;
            shard_remove(s, e);
        } else {
            list_remove(&e->age);
            list_push(&s->ages, &e->age);
        }
    }
}

static void reap(struct shard *s)
{
    for (int i = 0; i < REAP_LOOKS && !list_is_empty(&s->ages); i++) {
        struct entry *e = oldest(s);
        if (!shard_has_expired(e))
            return;
        s->stats.expired++;
        shard_remove(s, e);
    }
}

void shard_resize(struct shard *s, size_t budget)
{
    free(s->buckets);
    make_buckets(s, budget);
    while (s->n < MIN(s->stats.entries, s->most))
        split_bucket(s);
    LIST_EACH (it, &s->ages)
        put_in_bucket(s, entry_of(it));
    set_budget(s, budget);
    if (!s->keeps || budget == 0)
        make_space(s, 0);
}

size_t shard_table_bytes(const struct shard *s)
{
    return s->most * sizeof(s->buckets[0]);
}

struct entry *shard_find_any(struct shard *s, struct slice key, uint64_t hash)
{
    struct entry *e = *bucket_of(s, hash);

    while (e && !(e->hash == hash && slice_eq(key_of(e), key)))
        e = e->next;
    if (e)
        e->was_used = true;
    return e;
}

struct entry *shard_find(struct shard *s, struct slice key, uint64_t hash)
{
    struct entry *e = shard_find_any(s, key, hash);

    if (UNLIKELY(e && shard_has_expired(e))) {
        s->stats.expired++;
        shard_remove(s, e);
        return NULL;
    }
    return e;
}

bool shard_fits(struct shard *s, struct entry *old, size_t key_len, size_t value_len)
{
    size_t bytes = sizeof(struct entry) + key_len + round_up(value_len) + MALLOC_OVERHEAD;
    size_t freed = old ? cost_of(old) : 0;

    if (bytes > s->budget / 8)
        return false;
    if (!s->keeps)
        return true;
    sweep(s, old, REAP_LOOKS);
    if (s->bytes + bytes > s->budget + freed)
        sweep(s, old, SWEEP_LOOKS);
    return s->bytes + bytes <= s->budget + freed;
}

static struct entry *entry_new(struct slice key, uint64_t hash, size_t room)
{
    struct entry *e = malloc(sizeof(*e) + room + key.len);

    REQUIRE(e != NULL);
    *e = (struct entry){.hash = hash, .key_len = (uint32_t)key.len, .room = (uint32_t)room};
    memcpy(e->bytes + room, key.ptr, key.len);
    return e;
}

struct entry *shard_make_room(struct shard *s, struct entry *old, struct slice key, uint64_t hash,
                              size_t value_len)
{
    size_t room = round_up(value_len);

    if (old && old->room >= room && old->room <= 2 * room + 64)
        return old;
    if (old)
        shard_remove(s, old);
    struct entry *e = entry_new(key, hash, room);
    if (!s->keeps) {
        reap(s);
        make_space(s, cost_of(e));
    }
    link_in(s, e);
    return e;
}
