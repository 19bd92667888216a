/* SPDX-License-Identifier: Apache-2.0 */

/* Buckets are powers of two in four steps each, from 64 us to over a minute. Two halves take turns; the one whose turn comes is
 * emptied by whoever sees that first. */

#include "side/sketch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/refs.h"

#define FIRST_BITS 6u /* 64 us */
#define STEPS 4u
#define BUCKETS (21u * STEPS)
#define TURN_MS 10000u

struct half {
    atomic_ullong turn;
    atomic_uint counts[BUCKETS];
};

struct sketch {
    struct slice name;
    atomic_int refs;
    atomic_ullong fresh_until_ms, found_us;
    struct half halves[2];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map sketches;

struct sketch *sketch_ref(struct slice name)
{
    pthread_mutex_lock(&lock);
    struct sketch *s = map_find(&sketches, name);
    if (!s) {
        s = calloc(1, sizeof(*s));
        REQUIRE(s != NULL);
        s->name = slice_of(slice_dup(name), name.len);
        map_set(&sketches, s->name, s);
    }
    atomic_fetch_add(&s->refs, 1);
    pthread_mutex_unlock(&lock);
    return s;
}

void sketch_unref(struct sketch *s)
{
    if (refs_drop_unless_last(&s->refs))
        return;

    pthread_mutex_lock(&lock);
    bool is_last = atomic_fetch_sub(&s->refs, 1) == 1;
    if (is_last) {
        map_remove(&sketches, s->name);
        if (sketches.n == 0)
            map_deinit(&sketches);
    }
    pthread_mutex_unlock(&lock);
    if (is_last) {
        free((char *)s->name.ptr);
        free(s);
    }
}

static uint32_t bucket_of(uint64_t us)
{
    if (us < 1u << FIRST_BITS)
        return 0;
    uint32_t bits = 63 - (uint32_t)__builtin_clzll(us);
    uint32_t step = (uint32_t)(us >> (bits - 2)) & (STEPS - 1);
    return MIN((bits - FIRST_BITS) * STEPS + step, BUCKETS - 1);
}

/* The upper end. */
static uint64_t end_of(uint32_t bucket)
{
    uint32_t bits = bucket / STEPS + FIRST_BITS;

    return (uint64_t)(STEPS + bucket % STEPS + 1) << (bits - 2);
}

static uint64_t turn_at(uint64_t now_ms)
{
    return now_ms / TURN_MS + 1;
}

static void begin_turn(struct half *h, unsigned long long turn)
{
    unsigned long long seen = atomic_load_explicit(&h->turn, memory_order_relaxed);

    if (LIKELY(seen >= turn) || !atomic_compare_exchange_strong(&h->turn, &seen, turn))
        return;
    for (uint32_t i = 0; i < BUCKETS; i++)
        atomic_store_explicit(&h->counts[i], 0, memory_order_relaxed);
}

void sketch_note(struct sketch *s, uint64_t us)
{
    uint64_t turn = turn_at(clock_ms());
    struct half *h = &s->halves[turn % 2];

    begin_turn(h, turn);
    atomic_fetch_add_explicit(&h->counts[bucket_of(us)], 1, memory_order_relaxed);
}

static uint64_t find(const struct sketch *s, double share, uint64_t turn)
{
    uint64_t counts[BUCKETS] = {0}, total = 0, sum = 0;

    for (int half = 0; half < 2; half++) {
        const struct half *h = &s->halves[half];
        if (atomic_load_explicit(&h->turn, memory_order_relaxed) + 1 < turn)
            continue;
        for (uint32_t i = 0; i < BUCKETS; i++)
            counts[i] += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
    }
    for (uint32_t i = 0; i < BUCKETS; i++)
        total += counts[i];
    if (total < SKETCH_LEAST)
        return 0;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        sum += counts[i];
        if ((double)sum >= share * (double)total)
            return end_of(i);
    }
    return end_of(BUCKETS - 1);
}

uint64_t sketch_percentile(struct sketch *s, double share)
{
    uint64_t now = clock_ms(), found;

    if (LIKELY(now < atomic_load_explicit(&s->fresh_until_ms, memory_order_acquire)))
        return atomic_load_explicit(&s->found_us, memory_order_relaxed);
    found = find(s, share, turn_at(now));
    atomic_store_explicit(&s->found_us, found, memory_order_relaxed);
    if (found)
        atomic_store_explicit(&s->fresh_until_ms, now + SKETCH_FRESH_MS, memory_order_release);
    return found;
}
