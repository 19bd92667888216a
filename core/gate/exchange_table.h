/* SPDX-License-Identifier: Apache-2.0 */

/* Handle (slot + generation) <-> exchange, per worker. A handle is a whole number below 2^52, so that Lua holds it as a
 * plain number. Slots are never freed, only reused: a stale handle finds nothing instead of another's exchange. The
 * slot also holds the exchange's timer, which so stays registered from one exchange to the next. */

#ifndef DML_GATE_EXCHANGE_TABLE_H
#define DML_GATE_EXCHANGE_TABLE_H

#include "base/base.h"
#include "net/loop.h"

struct exchange;

struct exchange_slot {
    struct exchange *exchange; /* NULL = free */
    struct timer timer;
    uint32_t index;
    uint32_t generation;
    struct exchange_slot *next_free;
};

struct exchange_table {
    /* owned */
    struct exchange_slot **slots;
    /* state */
    struct exchange_slot *free;
    uint32_t n, cap;
    uint32_t used;
    struct loop *loop;
    timer_fn on_timer;
};

#define EXCHANGE_SLOT_BITS 20
#define EXCHANGE_GENERATION_MASK 0xffffffffu

void exchange_table_init(struct exchange_table *t, struct loop *l, timer_fn on_timer);
void exchange_table_deinit(struct exchange_table *t);

/* NULL when 2^20 exchanges are under way. */
struct exchange_slot *exchange_table_take(struct exchange_table *t, struct exchange *x);
void exchange_table_give(struct exchange_table *t, struct exchange_slot *s);

static inline double exchange_slot_handle(const struct exchange_slot *s)
{
    return (double)(((uint64_t)s->generation << EXCHANGE_SLOT_BITS) | s->index);
}

/* NULL: gone. */
static inline struct exchange *exchange_table_find(const struct exchange_table *t, double handle)
{
    uint64_t h = (uint64_t)handle;
    uint32_t index = h & ((1u << EXCHANGE_SLOT_BITS) - 1);
    if (UNLIKELY(index >= t->n))
        return NULL;
    struct exchange_slot *s = t->slots[index];
    return LIKELY(s->generation == (uint32_t)(h >> EXCHANGE_SLOT_BITS)) ? s->exchange : NULL;
}

#endif
