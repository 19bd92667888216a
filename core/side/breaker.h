/* SPDX-License-Identifier: Apache-2.0 */

/* A circuit breaker: does what is behind it work well enough to be asked? Shared by all workers, without a lock:
 * who passes a closed one pays a load, and a count when it is known what came of it.
 *
 *              too many failures              its time is over
 *     CLOSED ----------------------> OPEN -----------------------> HALF_OPEN
 *       ^  ^                          ^  ^                           |  |
 *       |  +-- the ramp: a share      |  +--- a probe failed: longer +  |
 *       |      that grows             |                                 |
 *       +-----------------------------|------ all probes are well ------+
 *                                     +-- again within the ramp: longer
 *
 * Half-open lets a fixed number of probes through, however many ask, and counts no others. Closed again, it lets a share
 * through that grows with time: what has just recovered is not hit by all that has waited. An operator can force it
 * open or closed.
 *
 * Breakers are found by scope, name and rules, and counted: one survives a reload that leaves its rules as they are.
 * Each is in the metrics (demilune_breaker_*) by scope and name. Any thread; ref and unref take a lock. Times are those
 * of clock_ms. */

#ifndef DML_SIDE_BREAKER_H
#define DML_SIDE_BREAKER_H

#include "base/base.h"
#include "base/slice.h"

struct breaker;

struct breaker_rules {
    uint32_t window_ms;    /* what is judged */
    uint32_t min_requests; /* none is, before there were as many in it */
    double failure_ratio;  /* opens at this share of failures; above 1 = never */
    uint32_t slow_ms;      /* a call that takes longer is slow; 0 = none is */
    double slow_ratio;     /* opens at this share of slow ones */
    uint32_t open_ms;      /* how long it stays open, doubled each time that it opens again, */
    uint32_t open_max_ms;  /* at most */
    uint32_t probes;       /* in half-open, all in all; 1 to BREAKER_PROBES_MAX */
    uint32_t ramp_ms;      /* closed again: until all pass; 0 = at once */
};

#define BREAKER_PROBES_MAX 1000000u

/* scope: a word that is told with the name. */
struct breaker *breaker_ref(struct slice scope, struct slice name,
                            const struct breaker_rules *rules);
void breaker_unref(struct breaker *b);

/* What one that was let through has to bring back. */
struct breaker_pass {
    uint32_t generation;
    bool is_probe;
};

/* May one pass? If so it must come back with breaker_leave. *wait_ms: when another may, as far as is known. */
bool breaker_enter(struct breaker *b, struct breaker_pass *pass, uint64_t *wait_ms);

/* The same while all pass; else false, and nothing was done. */
bool breaker_enter_closed(struct breaker *b, struct breaker_pass *pass);

/* VOID: nothing is known of it (given up by the client); a probe's place is free again. took_ms: how long it has
 * taken. */
enum breaker_outcome { BREAKER_GOOD, BREAKER_FAILED, BREAKER_VOID };
void breaker_leave(struct breaker *b, struct breaker_pass pass, enum breaker_outcome outcome,
                   uint64_t took_ms);

/* --- for people ---------------------------------------------------------------------------------------------------- */

enum breaker_state {
    BREAKER_CLOSED,
    BREAKER_HALF_OPEN,
    BREAKER_OPEN,
    BREAKER_FORCED_CLOSED,
    BREAKER_FORCED_OPEN,
};

const char *breaker_word(enum breaker_state s);

struct breaker_view {
    struct slice scope, name;
    enum breaker_state state;
    uint64_t left_ms;                  /* of being open, or of the ramp */
    double share;                      /* that passes now */
    uint64_t requests, failures, slow; /* in the window */
    uint64_t opened, refused;          /* since it was made */
};

void breaker_look(const struct breaker *b, struct breaker_view *out);

/* Calls fn for all of them, under the registry's lock; name.ptr NULL: all, else those of this name. Returns how many. */
typedef void (*breaker_fn)(void *arg, struct breaker *b, const struct breaker_view *view);
size_t breakers_each(struct slice name, breaker_fn fn, void *arg);

/* From inside of fn as well. AUTO: closed, and judged by what comes. */
enum breaker_order { BREAKER_ORDER_OPEN, BREAKER_ORDER_CLOSE, BREAKER_ORDER_AUTO };
void breaker_force(struct breaker *b, enum breaker_order order);

#endif
