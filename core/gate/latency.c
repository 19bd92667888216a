/* SPDX-License-Identifier: Apache-2.0 */

/* Peak EWMA with the weight of what was known falling by time and not by the number of answers: a
 * busy endpoint is judged no faster than a quiet one. The millisecond is kept in 32 bits, whose
 * differences hold for 24 days either way; a note of another worker may be a little ahead of this
 * thread's clock. */

#include "gate/latency.h"

#include <math.h>
#include <string.h>

static float us_of(uint64_t word)
{
    uint32_t bits = (uint32_t)(word >> 32);
    float us;

    memcpy(&us, &bits, sizeof(us));
    return us;
}

static uint64_t word_of(float us, uint32_t now_ms)
{
    uint32_t bits;

    memcpy(&bits, &us, sizeof(bits));
    return (uint64_t)bits << 32 | now_ms;
}

/* How much of it still counts. */
static double share_left(uint64_t word, uint32_t now_ms)
{
    int32_t age = (int32_t)(now_ms - (uint32_t)word);

    return age <= 0 ? 1 : exp(-(double)age / LATENCY_DECAY_MS);
}

void latency_note(atomic_ullong *cell, uint64_t us, uint64_t now_ms)
{
    unsigned long long word = atomic_load_explicit(cell, memory_order_relaxed), next;
    uint32_t now = (uint32_t)now_ms;

    do {
        double known = us_of(word), new = (double)MAX(us, 1u);
        double left = share_left(word, now);
        next = word_of((float)(new > known ? new : known *left + new *(1 - left)), now);
    } while (!atomic_compare_exchange_weak_explicit(cell, &word, next, memory_order_relaxed,
                                                    memory_order_relaxed));
}

double latency_at(const atomic_ullong *cell, uint64_t now_ms)
{
    uint64_t word = atomic_load_explicit(cell, memory_order_relaxed);

    return us_of(word) * share_left(word, (uint32_t)now_ms);
}
