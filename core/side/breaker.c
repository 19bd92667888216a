/* SPDX-License-Identifier: Apache-2.0 */

/* All that decides is in one word: the state, how often in a row it has opened, a generation, and a time. A change of
 * state is one compare-and-swap, whoever makes it has seen what it changes, and each begins a new generation; who comes
 * back from an earlier one is not counted. The probes of a half-open generation are counted in a second word that has the
 * generation in it, so the first who sees that it is of an earlier one begins it anew. */

#include "side/breaker.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "side/breaker_parts.h"

#define STREAK_MAX 31u
#define RAMP_LEAST 0.1 /* of those who ask: the ramp begins with them */

/* --- the word: state 3 bits, streak 5, generation 16, time 40 -------------------------------------------------------- */

struct moment {
    enum breaker_state state;
    uint32_t streak;     /* times that it has opened and was not well in between, after the first */
    uint32_t generation; /* 16 bits */
    uint64_t
        until_ms; /* OPEN: when it becomes half-open; HALF_OPEN: when probes that did not come back are given up;
                            CLOSED: when the ramp ends, 0 = there is none */
};

#define UNTIL_MASK ((1ull << 40) - 1)

static struct moment read_word(unsigned long long word)
{
    return (struct moment){.state = (enum breaker_state)(word >> 61),
                           .streak = (uint32_t)(word >> 56) & STREAK_MAX,
                           .generation = (uint32_t)(word >> 40) & 0xffff,
                           .until_ms = word & UNTIL_MASK};
}

static unsigned long long word_of(struct moment m)
{
    return (unsigned long long)m.state << 61 | (unsigned long long)m.streak << 56 |
           (unsigned long long)(m.generation & 0xffff) << 40 | (m.until_ms & UNTIL_MASK);
}

static bool change(struct breaker *b, unsigned long long *seen, struct moment to)
{
    return atomic_compare_exchange_strong(&b->word, seen, word_of(to));
}

/* --- changes of state ------------------------------------------------------------------------------------------------ */

#define BREAKER_FIELDS(b, ms) \
    LOG_S("scope", (b)->scope), LOG_S("breaker", (b)->name), LOG_D("for", (double)(ms) / 1000)

static void breaker_open(struct breaker *b, unsigned long long seen, const char *why)
{
    struct moment m = read_word(seen);
    bool again = m.state == BREAKER_HALF_OPEN || m.until_ms != 0;
    uint32_t streak = again ? MIN(m.streak + 1, STREAK_MAX) : 0;
    uint64_t ms = MIN((uint64_t)b->rules.open_ms << streak, b->rules.open_max_ms);

    if (!change(b, &seen, (struct moment){BREAKER_OPEN, streak, m.generation + 1, clock_ms() + ms}))
        return;
    atomic_fetch_add(&b->opened, 1);
    LOG_WARN("breaker.opened", why, BREAKER_FIELDS(b, ms));
}

/* Who finds that its time is over. */
static bool breaker_half_open(struct breaker *b, unsigned long long *seen)
{
    struct moment m = read_word(*seen);
    uint64_t ms = b->rules.open_max_ms;

    if (!change(b, seen,
                (struct moment){BREAKER_HALF_OPEN, m.streak, m.generation + 1, clock_ms() + ms}))
        return false;
    if (m.state == BREAKER_OPEN)
        LOG_INFO("breaker.half_open", "the circuit is half-open: probes pass",
                 BREAKER_FIELDS(b, ms));
    return true;
}

static void breaker_close(struct breaker *b, unsigned long long seen)
{
    struct moment m = read_word(seen);
    uint64_t ramp = b->rules.ramp_ms;

    tally_clear(&b->tally); /* nobody counts in it yet */
    if (change(b, &seen,
               (struct moment){BREAKER_CLOSED, m.streak, m.generation + 1,
                               ramp ? clock_ms() + ramp : 0}))
        LOG_INFO("breaker.closed", "the circuit is closed: the probes were well",
                 BREAKER_FIELDS(b, ramp));
}

atomic_bool breakers_ordered;

void breaker_force(struct breaker *b, enum breaker_order order)
{
    static const enum breaker_state states[] = {[BREAKER_ORDER_OPEN] = BREAKER_FORCED_OPEN,
                                                [BREAKER_ORDER_CLOSE] = BREAKER_FORCED_CLOSED,
                                                [BREAKER_ORDER_AUTO] = BREAKER_CLOSED};
    unsigned long long seen = atomic_load(&b->word);
    struct moment to = {.state = states[order]};

    atomic_store(&breakers_ordered, true);
    tally_clear(&b->tally);
    do {
        to.generation = read_word(seen).generation + 1;
    } while (!change(b, &seen, to));
    LOG_WARN("breaker.ordered", breaker_word(to.state), BREAKER_FIELDS(b, 0));
}

/* --- going in -------------------------------------------------------------------------------------------------------- */

/* generation 16 bits, admitted 24, well 24 */
#define ONE_ADMITTED (1ull << 24)
#define PROBE_MASK 0xffffffull

static bool admit_probe(struct breaker *b, uint32_t generation)
{
    unsigned long long seen = atomic_load(&b->probes), next;

    do {
        uint64_t admitted = seen >> 24 & PROBE_MASK;
        if (seen >> 48 != generation)
            next = (unsigned long long)generation << 48 | ONE_ADMITTED;
        else if (admitted < b->rules.probes)
            next = seen + ONE_ADMITTED;
        else
            return false;
    } while (!atomic_compare_exchange_weak(&b->probes, &seen, next));
    return true;
}

static void forget_probe(struct breaker *b, uint32_t generation)
{
    unsigned long long seen = atomic_load(&b->probes);

    do {
        if (seen >> 48 != generation)
            return;
    } while (!atomic_compare_exchange_weak(&b->probes, &seen, seen - ONE_ADMITTED));
}

/* What part of those who ask passes, while it is closed. */
static double share_at(const struct breaker *b, const struct moment *m, uint64_t now)
{
    if (m->until_ms <= now)
        return 1;
    double share = 1 - (double)(m->until_ms - now) / b->rules.ramp_ms;
    return MAX(share, RAMP_LEAST);
}

static bool enter_closed(struct breaker *b, unsigned long long *seen, uint64_t now)
{
    struct moment m = read_word(*seen);

    if (m.until_ms > now)
        return rand_unit() < share_at(b, &m, now);
    m.until_ms = 0; /* it has been well for all of the ramp */
    m.streak = 0;
    (void)!change(b, seen, m);
    return true;
}

/* Neither closed for everybody nor forced closed. */
static NOINLINE bool enter_rarely(struct breaker *b, unsigned long long seen,
                                  struct breaker_pass *pass, uint64_t *wait_ms)
{
    uint64_t now = clock_ms();
    struct moment m;

    for (;;) {
        m = read_word(seen);
        bool is_over =
            m.until_ms <= now && (m.state == BREAKER_OPEN || m.state == BREAKER_HALF_OPEN);
        if (!is_over)
            break;
        if (breaker_half_open(b, &seen))
            seen = atomic_load(&b->word);
    }
    *pass = (struct breaker_pass){.generation = m.generation};
    *wait_ms = m.until_ms > now ? m.until_ms - now : 0;
    switch (m.state) {
    case BREAKER_CLOSED: return enter_closed(b, &seen, now);
    case BREAKER_FORCED_CLOSED: return true;
    case BREAKER_HALF_OPEN:
        *wait_ms = MIN(*wait_ms, b->rules.open_ms);
        pass->is_probe = admit_probe(b, m.generation);
        return pass->is_probe;
    default: return false;
    }
}

static bool enter_seen(unsigned long long seen, struct breaker_pass *pass)
{
    *pass = (struct breaker_pass){.generation = (uint32_t)(seen >> 40) & 0xffff};
    return (seen & (7ull << 61 | UNTIL_MASK)) == 0; /* CLOSED, no ramp */
}

bool breaker_enter_closed(struct breaker *b, struct breaker_pass *pass)
{
    return enter_seen(atomic_load_explicit(&b->word, memory_order_relaxed), pass);
}

bool breaker_enter(struct breaker *b, struct breaker_pass *pass, uint64_t *wait_ms)
{
    unsigned long long seen = atomic_load_explicit(&b->word, memory_order_relaxed);

    if (LIKELY(enter_seen(seen, pass)))
        return true;
    bool may_pass = enter_rarely(b, seen, pass, wait_ms);
    if (!may_pass)
        atomic_fetch_add_explicit(&b->refused, 1, memory_order_relaxed);
    return may_pass;
}

/* --- coming back ----------------------------------------------------------------------------------------------------- */

static bool is_too_many(uint64_t n, double ratio, uint64_t of)
{
    return n > 0 && (double)n >= ratio * (double)of;
}

static void judge(struct breaker *b, unsigned long long seen, uint64_t now)
{
    uint64_t requests = tally_sum(&b->tally, TALLY_REQUESTS, now);

    if (requests < b->rules.min_requests)
        return;
    if (is_too_many(tally_sum(&b->tally, TALLY_FAILURES, now), b->rules.failure_ratio, requests))
        breaker_open(b, seen, "the circuit is open: too many calls have failed");
    else if (b->rules.slow_ms &&
             is_too_many(tally_sum(&b->tally, TALLY_SLOW, now), b->rules.slow_ratio, requests))
        breaker_open(b, seen, "the circuit is open: too many calls were slow");
}

static void count_call(struct breaker *b, unsigned long long seen, bool has_failed, bool is_slow)
{
    uint64_t now = clock_ms();

    tally_add(&b->tally, TALLY_REQUESTS, now);
    if (LIKELY(!has_failed && !is_slow))
        return;
    if (has_failed)
        tally_add(&b->tally, TALLY_FAILURES, now);
    if (is_slow)
        tally_add(&b->tally, TALLY_SLOW, now);
    if (read_word(seen).state == BREAKER_CLOSED) /* and not by force */
        judge(b, seen, now);
}

static void count_probe(struct breaker *b, unsigned long long seen, uint32_t generation,
                        bool is_well)
{
    if (!is_well) {
        breaker_open(b, seen, "the circuit is open: a probe has failed");
        return;
    }
    unsigned long long probes = atomic_load(&b->probes);
    do {
        if (probes >> 48 != generation)
            return;
    } while (!atomic_compare_exchange_weak(&b->probes, &probes, probes + 1));
    if (((probes + 1) & PROBE_MASK) >= b->rules.probes)
        breaker_close(b, seen);
}

void breaker_leave(struct breaker *b, struct breaker_pass pass, enum breaker_outcome outcome,
                   uint64_t took_ms)
{
    unsigned long long seen = atomic_load_explicit(&b->word, memory_order_relaxed);
    struct moment m = read_word(seen);
    bool is_slow = b->rules.slow_ms && took_ms > b->rules.slow_ms;
    bool has_failed = outcome == BREAKER_FAILED;

    if (UNLIKELY(m.generation != pass.generation))
        return;
    if (UNLIKELY(outcome == BREAKER_VOID)) {
        if (pass.is_probe)
            forget_probe(b, pass.generation);
    } else if (LIKELY(!pass.is_probe)) {
        count_call(b, seen, has_failed, is_slow);
    } else {
        count_probe(b, seen, pass.generation, !has_failed && !is_slow);
    }
}

/* --- for people ---------------------------------------------------------------------------------------------------- */

const char *breaker_word(enum breaker_state s)
{
    static const char *const words[] = {[BREAKER_CLOSED] = "closed",
                                        [BREAKER_HALF_OPEN] = "half_open",
                                        [BREAKER_OPEN] = "open",
                                        [BREAKER_FORCED_CLOSED] = "forced_closed",
                                        [BREAKER_FORCED_OPEN] = "forced_open"};

    return words[s];
}

void breaker_look(const struct breaker *b, struct breaker_view *out)
{
    uint64_t now = clock_ms();
    struct moment m = read_word(atomic_load(&b->word));

    *out = (struct breaker_view){
        .scope = b->scope,
        .name = b->name,
        .state = m.state,
        .left_ms = m.until_ms > now ? m.until_ms - now : 0,
        .requests = tally_sum(&b->tally, TALLY_REQUESTS, now),
        .failures = tally_sum(&b->tally, TALLY_FAILURES, now),
        .slow = tally_sum(&b->tally, TALLY_SLOW, now),
        .opened = atomic_load(&b->opened),
        .refused = atomic_load(&b->refused),
    };
    if (m.state == BREAKER_CLOSED)
        out->share = share_at(b, &m, now);
    else
        out->share = m.state == BREAKER_FORCED_CLOSED;
}
