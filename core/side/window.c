/* SPDX-License-Identifier: Apache-2.0 */

/* All is whole-number arithmetic, so that "100 per 7 seconds" is exactly that for ever: instead
 * of dividing the window by the limit, times are multiplied by the limit (GCRA) and counts by
 * the window (sliding), in 128 bits.
 *
 * Threads read their clocks once per turn, so one may be a little behind another: time that
 * seems to go back is taken for no time. */

#include "side/window.h"

#include "base/clock.h"
#include "base/err.h"

enum kind { KIND_GCRA = 1, KIND_FIXED, KIND_SLIDING, KIND_INSIDE };

#define AT_MOST ((int64_t)1 << 53) /* of limits and costs: what a number of Lua holds */

struct ask {
    enum kind kind; /* of what is undone */
    int64_t limit, burst, cost;
    uint64_t window_us;
    uint64_t now_us;
    uint64_t since_us; /* who leaves has entered then; 0 = not known */
    struct window_verdict *out;
    int rc;
};

static bool is_sane(const struct ask *a)
{
    return a->limit >= 1 && a->limit <= AT_MOST && a->burst >= 1 && a->burst <= AT_MOST &&
           a->cost >= 0 && a->cost <= AT_MOST && a->window_us >= 1 &&
           a->window_us <= (uint64_t)AT_MOST;
}

/* Most quotients fit in 64 bits, where a division takes a third of the time. What does not is longer than any time. */
static uint64_t divide(__uint128_t n, uint64_t by)
{
    if (LIKELY(n >> 64 == 0))
        return (uint64_t)n / by;
    return (uint64_t)MIN(n / by, (__uint128_t)UINT64_MAX);
}

static uint64_t divide_up(__uint128_t n, uint64_t by)
{
    return divide(n + by - 1, by);
}

/* So that the record outlives what it says. */
static uint64_t ttl_of(uint64_t us)
{
    return us / 1000 + 1;
}

/* The time at which all that was taken will have come back ("theoretical arrival time"), times
 * limit. */
struct gcra {
    uint64_t kind;
    uint64_t limit;
    uint64_t tat[2];
};

static __uint128_t gcra_tat(const struct gcra *g, uint64_t limit, uint64_t now_us)
{
    __uint128_t now = (__uint128_t)now_us * limit, tat;

    if (g->kind != KIND_GCRA)
        return now;
    memcpy(&tat, g->tat, sizeof(tat));
    if (UNLIKELY(g->limit != limit))
        tat = tat / g->limit * limit;
    return MAX(tat, now);
}

static void gcra(void *record, bool is_new UNUSED, uint64_t *ttl_ms, void *arg)
{
    struct gcra *g = record;
    struct ask *a = arg;
    uint64_t limit = (uint64_t)a->limit;
    __uint128_t tat = gcra_tat(g, limit, a->now_us);
    __uint128_t taken = tat - (__uint128_t)a->now_us * limit;
    __uint128_t cost = (__uint128_t)(uint64_t)a->cost * a->window_us;
    __uint128_t capacity = (__uint128_t)(uint64_t)a->burst * a->window_us;
    struct window_verdict *v = a->out;

    v->limit = a->limit;
    v->allowed = a->cost == 0 || taken + cost <= capacity;
    v->retry_after_us = 0;
    if (v->allowed) {
        tat += cost;
        taken += cost;
    } else {
        v->retry_after_us =
            cost > capacity ? UINT64_MAX : divide_up(taken + cost - capacity, limit);
    }
    v->remaining = taken < capacity ? (int64_t)divide(capacity - taken, a->window_us) : 0;
    v->reset_us = divide_up(taken, limit);

    g->kind = KIND_GCRA;
    g->limit = limit;
    memcpy(g->tat, &tat, sizeof(tat));
    *ttl_ms = ttl_of(v->reset_us);
}

static void undo_gcra(void *record, bool is_new UNUSED, uint64_t *ttl_ms, void *arg)
{
    struct gcra *g = record;
    struct ask *a = arg;
    __uint128_t now = (__uint128_t)a->now_us * g->limit;
    __uint128_t cost = (__uint128_t)(uint64_t)a->cost * a->window_us, tat;

    if (g->kind != KIND_GCRA || g->limit != (uint64_t)a->limit) {
        *ttl_ms = *ttl_ms ? *ttl_ms : 1; /* it has gone meanwhile, or is another's */
        return;
    }
    memcpy(&tat, g->tat, sizeof(tat));
    tat = tat > now + cost ? tat - cost : MIN(tat, now);
    memcpy(g->tat, &tat, sizeof(tat));
}

struct windows {
    uint64_t kind;
    uint64_t length_us;
    uint64_t index; /* the current window begins at index * length */
    uint64_t current, previous;
};

/* Turns to the window of now; returns the time that is left of it. */
static uint64_t turn_to(struct windows *w, enum kind kind, const struct ask *a)
{
    uint64_t length = a->window_us, index = a->now_us / length;

    if (w->kind != kind || w->length_us != length) {
        *w = (struct windows){.kind = kind, .length_us = length, .index = index};
    } else if (index > w->index) {
        w->previous = index == w->index + 1 ? w->current : 0;
        w->current = 0;
        w->index = index;
    }
    return a->now_us > w->index * length ? (w->index + 1) * length - a->now_us : length;
}

static void fixed(void *record, bool is_new UNUSED, uint64_t *ttl_ms, void *arg)
{
    struct windows *w = record;
    struct ask *a = arg;
    uint64_t left_us = turn_to(w, KIND_FIXED, a);
    uint64_t limit = (uint64_t)a->limit, cost = (uint64_t)a->cost;
    struct window_verdict *v = a->out;

    v->limit = a->limit;
    v->allowed = cost == 0 || w->current + cost <= limit;
    v->retry_after_us = 0;
    if (v->allowed)
        w->current += cost;
    else
        v->retry_after_us = cost > limit ? UINT64_MAX : left_us;
    v->remaining = w->current < limit ? (int64_t)(limit - w->current) : 0;
    v->reset_us = w->current > 0 ? left_us : 0;
    *ttl_ms = ttl_of(left_us);
}

/* When would the refused cost pass, if nobody else came? */
static uint64_t sliding_wait(const struct windows *w, uint64_t left_us, uint64_t limit,
                             uint64_t cost)
{
    uint64_t length = w->length_us;

    if (cost > limit)
        return UINT64_MAX;
    if (w->current + cost <= limit) /* when enough of the previous window has slid out */
        return left_us - divide((__uint128_t)(limit - w->current - cost) * length, w->previous);
    /* when the current one has become the previous, and enough of it has slid out */
    uint64_t may_be_left = divide((__uint128_t)(limit - cost) * length, w->current);
    return left_us + length - MIN(may_be_left, length);
}

static void sliding(void *record, bool is_new UNUSED, uint64_t *ttl_ms, void *arg)
{
    struct windows *w = record;
    struct ask *a = arg;
    uint64_t left_us = turn_to(w, KIND_SLIDING, a), length = a->window_us;
    uint64_t limit = (uint64_t)a->limit, cost = (uint64_t)a->cost;
    __uint128_t capacity = (__uint128_t)limit * length;
    __uint128_t taken = (__uint128_t)w->previous * left_us + (__uint128_t)w->current * length;
    struct window_verdict *v = a->out;

    v->limit = a->limit;
    v->allowed = cost == 0 || taken + (__uint128_t)cost * length <= capacity;
    v->retry_after_us = 0;
    if (v->allowed) {
        w->current += cost;
        taken += (__uint128_t)cost * length;
    } else {
        v->retry_after_us = sliding_wait(w, left_us, limit, cost);
    }
    v->remaining = taken < capacity ? (int64_t)divide(capacity - taken, length) : 0;
    v->reset_us = w->current > 0 ? left_us + length : w->previous > 0 ? left_us : 0;
    *ttl_ms = ttl_of(left_us + length);
}

/* What was counted just before a window ended stands in the previous one. */
static void undo_count(void *record, bool is_new UNUSED, uint64_t *ttl_ms, void *arg)
{
    struct windows *w = record;
    struct ask *a = arg;
    uint64_t cost = (uint64_t)a->cost;

    if (w->kind != (uint64_t)a->kind || w->length_us != a->window_us) {
        *ttl_ms = *ttl_ms ? *ttl_ms : 1; /* it has gone meanwhile, or is another's */
        return;
    }
    turn_to(w, (enum kind)w->kind, a);
    uint64_t *count = w->current >= cost ? &w->current : &w->previous;
    *count -= MIN(*count, cost);
}

static int decide(struct store *s, struct slice key, size_t size, store_update_fn fn, struct ask *a)
{
    a->now_us = clock_us();
    if (!is_sane(a))
        return ERR_ARG;
    int rc = store_update(s, key, size, fn, a);
    return rc < 0 ? rc : a->rc;
}

int window_gcra(struct store *s, struct slice key, int64_t limit, uint64_t window_us, int64_t burst,
                int64_t cost, struct window_verdict *out)
{
    struct ask a = {
        .limit = limit, .burst = burst, .cost = cost, .window_us = window_us, .out = out};

    return decide(s, key, sizeof(struct gcra), gcra, &a);
}

int window_sliding(struct store *s, struct slice key, int64_t limit, uint64_t window_us,
                   int64_t cost, struct window_verdict *out)
{
    struct ask a = {.limit = limit, .burst = 1, .cost = cost, .window_us = window_us, .out = out};

    return decide(s, key, sizeof(struct windows), sliding, &a);
}

int window_fixed(struct store *s, struct slice key, int64_t limit, uint64_t window_us, int64_t cost,
                 struct window_verdict *out)
{
    struct ask a = {.limit = limit, .burst = 1, .cost = cost, .window_us = window_us, .out = out};

    return decide(s, key, sizeof(struct windows), fixed, &a);
}

int window_gcra_undo(struct store *s, struct slice key, int64_t limit, uint64_t window_us,
                     int64_t cost)
{
    struct ask a = {.limit = limit, .burst = 1, .cost = cost, .window_us = window_us};

    return decide(s, key, sizeof(struct gcra), undo_gcra, &a);
}

static int undo_counted(struct store *s, struct slice key, enum kind kind, uint64_t window_us,
                        int64_t cost)
{
    struct ask a = {.kind = kind, .limit = 1, .burst = 1, .cost = cost, .window_us = window_us};

    return decide(s, key, sizeof(struct windows), undo_count, &a);
}

int window_sliding_undo(struct store *s, struct slice key, uint64_t window_us, int64_t cost)
{
    return undo_counted(s, key, KIND_SLIDING, window_us, cost);
}

int window_fixed_undo(struct store *s, struct slice key, uint64_t window_us, int64_t cost)
{
    return undo_counted(s, key, KIND_FIXED, window_us, cost);
}

/* Those inside, by the slot of time in which they entered: the ring holds the latest slots, and
 * who entered in one that falls out of it has had the whole lease. */
#define SLOTS 16u

struct inside {
    uint64_t kind;
    uint64_t width_us; /* of a slot */
    uint64_t slot;     /* the latest */
    uint32_t count[SLOTS];
};

static uint64_t count_inside(const struct inside *in)
{
    uint64_t n = 0;

    for (size_t i = 0; i < SLOTS; i++)
        n += in->count[i];
    return n;
}

static void move_on(struct inside *in, uint64_t now_us)
{
    uint64_t slot = now_us / in->width_us;

    for (size_t i = 0; i < SLOTS && in->slot < slot; i++)
        in->count[++in->slot % SLOTS] = 0;
    in->slot = MAX(in->slot, slot);
}

/* Lease has changed: all inside get a new one. */
static void change_width(struct inside *in, uint64_t width_us, uint64_t now_us)
{
    uint64_t n = count_inside(in), slot = now_us / width_us;

    *in = (struct inside){.kind = KIND_INSIDE, .width_us = width_us, .slot = slot};
    in->count[slot % SLOTS] = (uint32_t)n;
}

/* Until who entered in this slot has to be out. */
static uint64_t lease_left(const struct inside *in, uint64_t slot, uint64_t now_us)
{
    uint64_t end = (slot + SLOTS) * in->width_us;

    return end > now_us ? end - now_us : 0;
}

/* The youngest first, age 0 = the latest slot. */
static uint32_t *at_age(struct inside *in, uint64_t age)
{
    return &in->count[(in->slot + SLOTS - age) % SLOTS];
}

static void describe_leases(struct inside *in, const struct ask *a)
{
    uint64_t oldest = 0, youngest = SLOTS;

    for (uint64_t age = 0; age < SLOTS; age++) {
        if (*at_age(in, age) == 0)
            continue;
        oldest = age;
        youngest = MIN(youngest, age);
    }
    bool any = youngest < SLOTS;
    a->out->retry_after_us = a->out->allowed ? 0 : lease_left(in, in->slot - oldest, a->now_us);
    a->out->reset_us = any ? lease_left(in, in->slot - youngest, a->now_us) : 0;
}

static void enter_one(void *record, bool is_new UNUSED, uint64_t *ttl_ms, void *arg)
{
    struct inside *in = record;
    struct ask *a = arg;
    uint64_t width_us = (a->window_us + SLOTS - 2) / (SLOTS - 1);

    if (in->kind == KIND_INSIDE)
        move_on(in, a->now_us);
    else
        *in = (struct inside){0};
    if (in->width_us != width_us)
        change_width(in, width_us, a->now_us);

    uint64_t n = count_inside(in), limit = (uint64_t)a->limit;
    a->out->limit = a->limit;
    a->out->allowed = n < limit;
    if (a->out->allowed) {
        ++*at_age(in, 0);
        n++;
    }
    a->out->remaining = n < limit ? (int64_t)(limit - n) : 0;
    describe_leases(in, a);
    *ttl_ms = ttl_of(SLOTS * width_us);
}

/* The place of who entered at that time, or the youngest's; NULL: it has gone with its lease, or nobody is inside. */
static uint32_t *place_of(struct inside *in, uint64_t since_us)
{
    uint64_t slot = since_us / in->width_us;

    if (since_us && slot + SLOTS <= in->slot)
        return NULL;
    if (since_us && in->count[slot % SLOTS] > 0)
        return &in->count[slot % SLOTS];
    for (uint64_t age = 0; age < SLOTS; age++)
        if (*at_age(in, age) > 0)
            return at_age(in, age);
    return NULL;
}

static void leave_one(void *record, bool is_new UNUSED, uint64_t *ttl_ms, void *arg)
{
    struct inside *in = record;
    struct ask *a = arg;

    a->rc = ERR_NOT_FOUND;
    if (in->kind != KIND_INSIDE) {
        *ttl_ms = *ttl_ms ? *ttl_ms : 1; /* it has gone meanwhile, or is another's */
        return;
    }
    move_on(in, a->now_us);
    uint32_t *place = place_of(in, a->since_us);
    if (place) {
        --*place;
        a->rc = 0;
    }
}

int window_enter(struct store *s, struct slice key, int64_t limit, uint64_t lease_us,
                 struct window_verdict *out)
{
    struct ask a = {.limit = limit, .burst = 1, .cost = 1, .window_us = lease_us, .out = out};

    return decide(s, key, sizeof(struct inside), enter_one, &a);
}

int window_leave(struct store *s, struct slice key, uint64_t since_us)
{
    struct ask a = {.limit = 1, .burst = 1, .cost = 1, .window_us = 1, .since_us = since_us};

    return decide(s, key, sizeof(struct inside), leave_one, &a);
}
