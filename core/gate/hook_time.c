/* SPDX-License-Identifier: Apache-2.0 */

/* Times of hooks. A place has its counters in the order of its hooks' phases and none for those that it lacks: there may
 * be fifty thousand places. Plugins are few: their totals are a list that only grows. A reload has nothing to add up. */

#include "gate/hook_time.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rand.h"
#include "gate/route.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for who adds to it */
static struct hook_total *_Atomic totals;

/* --- which runs ---------------------------------------------------------------------------------------------------- */

void hook_sampler_init(struct hook_sampler *s)
{
    *s = (struct hook_sampler){.left = 1, .distance = 1};
}

/* Distances are drawn, so that a request's hooks, which come in a fixed order, are all met. */
uint32_t hook_sampler_next(struct hook_sampler *s)
{
    uint32_t weight = s->distance;

    if (s->ntimed < HOOK_TIME_FIRST)
        s->ntimed++;
    s->distance = s->ntimed < HOOK_TIME_FIRST ? 1 : 1 + rand_below(2 * HOOK_TIME_EVERY - 1);
    s->left = s->distance;
    return weight;
}

void hook_lap_begin(struct hook_lap *lap, struct plugin_use *const *uses, uint32_t nuses,
                    enum phase phase, uint32_t weight)
{
    *lap = (struct hook_lap){
        .uses = uses, .nuses = nuses, .weight = weight, .phase = phase, .since_ns = clock_ns_now()};
}

/* --- one run ------------------------------------------------------------------------------------------------------- */

static uint64_t step(struct hook_lap *lap)
{
    uint64_t now = clock_ns_now(), passed = now - lap->since_ns;

    lap->since_ns = now;
    return passed;
}

void hook_lap_pause(struct hook_lap *lap)
{
    lap->busy_ns += step(lap);
    lap->waits = true;
}

void hook_lap_resume(struct hook_lap *lap)
{
    uint64_t passed = step(lap);

    if (lap->waits)
        lap->waited_ns += passed;
    lap->waits = false;
}

static void add(atomic_ullong *sum, uint64_t n)
{
    atomic_fetch_add_explicit(sum, n, memory_order_relaxed);
}

static void count(struct hook_time *t, const struct hook_lap *lap, uint64_t busy_ns)
{
    add(&t->samples, 1);
    add(&t->runs, lap->weight);
    add(&t->busy_ns, busy_ns * lap->weight);
    add(&t->waited_ns, lap->waited_ns * lap->weight);
}

void hook_lap_end(struct hook_lap *lap, int use)
{
    uint64_t busy_ns = lap->busy_ns + step(lap);
    struct hook_time *t = NULL;

    if (use >= 0 && (uint32_t)use < lap->nuses)
        t = hook_time_of(lap->uses[use], lap->phase);
    if (t) {
        count(t, lap, busy_ns);
        count(&lap->uses[use]->total->times[lap->phase], lap, busy_ns);
    }
    lap->busy_ns = lap->waited_ns = 0;
}

/* --- where it is counted ------------------------------------------------------------------------------------------- */

uint32_t hook_times_count(uint32_t hooks)
{
    return (uint32_t)__builtin_popcount(hooks);
}

struct hook_time *hook_time_of(const struct plugin_use *use, enum phase p)
{
    if (!(use->hooks & PHASE_BIT(p)))
        return NULL;
    return &use->times[hook_times_count(use->hooks & (PHASE_BIT(p) - 1))];
}

static struct hook_total *find(struct slice plugin)
{
    struct hook_total *t = totals;

    while (t && !slice_eq(slice_from(t->plugin), plugin))
        t = t->next;
    return t;
}

struct hook_total *hook_total_of(struct slice plugin, uint32_t hooks)
{
    pthread_mutex_lock(&lock);
    struct hook_total *t = find(plugin);
    if (!t) {
        t = calloc(1, sizeof(*t));
        REQUIRE(t != NULL);
        t->plugin = slice_dup(plugin);
        t->next = totals;
        totals = t;
    }
    pthread_mutex_unlock(&lock);
    atomic_fetch_or(&t->hooks, hooks);
    return t;
}

struct hook_total *hook_total_next(struct hook_total *after)
{
    return after ? after->next : totals;
}
