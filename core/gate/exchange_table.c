/* SPDX-License-Identifier: Apache-2.0 */

/* Slots live for the worker's life and are reused last in, first out: the one that was just given back is warm, and its
 * timer is still registered with the loop. A generation never becomes 0, so that handle 0 finds nothing. */

#include "gate/exchange_table.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/vec.h"

void exchange_table_init(struct exchange_table *t, struct loop *l, timer_fn on_timer)
{
    *t = (struct exchange_table){.loop = l, .on_timer = on_timer};
}

void exchange_table_deinit(struct exchange_table *t)
{
    (void)CHECK(t->used == 0);
    for (uint32_t i = 0; i < t->n; i++) {
        timer_deinit(&t->slots[i]->timer);
        free(t->slots[i]);
    }
    free(t->slots);
    *t = (struct exchange_table){0};
}

static struct exchange_slot *slot_new(struct exchange_table *t)
{
    if (t->n == 1u << EXCHANGE_SLOT_BITS)
        return NULL;
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->slots = reallocarray(t->slots, t->cap, sizeof(struct exchange_slot *));
        REQUIRE(t->slots != NULL);
    }
    struct exchange_slot *s = calloc(1, sizeof(*s));
    REQUIRE(s != NULL);
    s->index = t->n;
    s->generation = 1;
    timer_init(&s->timer, t->loop, t->on_timer);
    t->slots[t->n++] = s;
    return s;
}

struct exchange_slot *exchange_table_take(struct exchange_table *t, struct exchange *x)
{
    struct exchange_slot *s = t->free;

    if (LIKELY(s != NULL))
        t->free = s->next_free;
    else if ((s = slot_new(t)) == NULL)
        return NULL;
    s->exchange = x;
    t->used++;
    return s;
}

void exchange_table_give(struct exchange_table *t, struct exchange_slot *s)
{
    timer_stop(&s->timer);
    s->exchange = NULL;
    if (++s->generation == 0)
        s->generation = 1;
    s->next_free = t->free;
    t->free = s;
    t->used--;
}
