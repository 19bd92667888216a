/* SPDX-License-Identifier: Apache-2.0 */

/* The upper half of a cell is the number of its slot since the clock's beginning, modulo 2^32: at a slot of
 * a millisecond it comes round after 49 days, and then only a cell that was not touched in all of that time
 * could be taken for a new one. Adding and looking are in one order for all threads, so that of two who add in
 * different cells and then look at least one sees the other. */

#include "side/tally.h"

#define COUNT_MASK 0xffffffffull

void tally_init(struct tally *t, uint64_t window_ms)
{
    t->slot_ms = (uint32_t)MAX((window_ms + TALLY_SLOTS - 1) / TALLY_SLOTS, 1u);
    tally_clear(t);
}

void tally_clear(struct tally *t)
{
    for (size_t i = 0; i < TALLY_SLOTS; i++)
        for (size_t kind = 0; kind < TALLY_KINDS; kind++)
            atomic_store_explicit(&t->cells[i][kind], 0, memory_order_relaxed);
}

static uint32_t slot_of(unsigned long long word)
{
    return (uint32_t)(word >> 32);
}

/* How many slots lie between: negative for one that is ahead of `now`. */
static int32_t age_of(unsigned long long word, uint32_t now)
{
    return (int32_t)(now - slot_of(word));
}

static uint32_t slot_at(const struct tally *t, uint64_t now_ms)
{
    return (uint32_t)(now_ms / t->slot_ms);
}

uint32_t tally_add(struct tally *t, unsigned kind, uint64_t now_ms)
{
    uint32_t now = slot_at(t, now_ms);
    atomic_ullong *cell = &t->cells[now % TALLY_SLOTS][kind];
    unsigned long long word = atomic_load(cell), next;

    do {
        next = age_of(word, now) > 0 ? (unsigned long long)now << 32 | 1 : word + 1;
    } while (!atomic_compare_exchange_weak(cell, &word, next));
    return slot_of(next);
}

void tally_take_back(struct tally *t, unsigned kind, uint32_t slot)
{
    atomic_ullong *cell = &t->cells[slot % TALLY_SLOTS][kind];
    unsigned long long word = atomic_load(cell);

    do {
        if (slot_of(word) != slot || (word & COUNT_MASK) == 0)
            return;
    } while (!atomic_compare_exchange_weak(cell, &word, word - 1));
}

uint64_t tally_sum(const struct tally *t, unsigned kind, uint64_t now_ms)
{
    uint32_t now = slot_at(t, now_ms);
    uint64_t sum = 0;

    for (size_t i = 0; i < TALLY_SLOTS; i++) {
        unsigned long long word = atomic_load(&t->cells[i][kind]);
        if (age_of(word, now) < (int32_t)TALLY_SLOTS)
            sum += word & COUNT_MASK;
    }
    return sum;
}
