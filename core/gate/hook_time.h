/* SPDX-License-Identifier: Apache-2.0 */

/* What hooks take, measured on a sample of their runs so that it costs nothing: every run of a chain of hooks while a
 * worker is young, then one in about HOOK_TIME_EVERY, at random distances. A sampled run reads the clock behind each of its
 * hooks (25 ns, which count as the hook's), and counts for itself and for those that were left out since the one before.
 *
 *   begin --busy--> end (a hook has ended) --busy--> pause (one waits) --waited--> resume --busy--> end ...
 *
 * The sums lie with the place where the plugin is enabled, one for all workers, and end with its snapshot; those of all
 * places of a plugin together stay as long as the process. */

#ifndef DML_GATE_HOOK_TIME_H
#define DML_GATE_HOOK_TIME_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/slice.h"
#include "gate/phase.h"

struct plugin_use;

#define HOOK_TIME_FIRST 128 /* runs that are all timed */
#define HOOK_TIME_EVERY 64

/* Of one hook of one place. Any thread. */
struct hook_time {
    atomic_ullong samples; /* runs that were timed */
    atomic_ullong runs;    /* that these stand for: about as many as there were */
    atomic_ullong busy_ns; /* of all those runs: Lua running */
    atomic_ullong waited_ns;
};

/* Of all places of a plugin that there have been. Any thread. */
struct hook_total {
    /* owned */
    char *plugin;
    /* state */
    atomic_uint hooks; /* bit per enum phase: those that a place has had */
    struct hook_time times[PHASE_START];
    struct hook_total *_Atomic next;
};

/* Which runs are timed. A worker's. */
struct hook_sampler {
    uint32_t left;     /* until the next one, 1 = the next run; 0 = not begun */
    uint32_t distance; /* of that one from the one before */
    uint32_t ntimed;   /* up to HOOK_TIME_FIRST */
};

/* One timed run of a chain while it is under way. */
struct hook_lap {
    /* borrowed */
    struct plugin_use *const *uses; /* the snapshot's; NULL: this run is not timed */
    /* state */
    uint32_t nuses, weight;
    enum phase phase;
    bool waits;
    uint64_t since_ns, busy_ns, waited_ns; /* of the hook that runs */
};

void hook_sampler_init(struct hook_sampler *s);

/* The slow half of hook_sampler_due. */
uint32_t hook_sampler_next(struct hook_sampler *s);

/* Called once per run: 0, or the number of runs that this one stands for. */
static inline uint32_t hook_sampler_due(struct hook_sampler *s)
{
    return LIKELY(--s->left > 0) ? 0 : hook_sampler_next(s);
}

void hook_lap_begin(struct hook_lap *lap, struct plugin_use *const *uses, uint32_t nuses,
                    enum phase phase, uint32_t weight);

/* Around each stretch in which Lua runs. */
void hook_lap_pause(struct hook_lap *lap);
void hook_lap_resume(struct hook_lap *lap);

/* The hook of this place has ended; the next one begins. */
void hook_lap_end(struct hook_lap *lap, int use);

/* Where a place's hook of p is counted; NULL when it has none. */
struct hook_time *hook_time_of(const struct plugin_use *use, enum phase p);

/* That of a plugin with these hooks, found or made; it is never freed. */
struct hook_total *hook_total_of(struct slice plugin, uint32_t hooks);

/* One after the other; after NULL the first. NULL: that was the last. */
struct hook_total *hook_total_next(struct hook_total *after);

/* How many a place needs with these hooks. */
uint32_t hook_times_count(uint32_t hooks);

#endif
