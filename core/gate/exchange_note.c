/* SPDX-License-Identifier: Apache-2.0 */

/* A list in the exchange's arena, the latest first: hardly any exchange has one, and none has many. */

#include "gate/exchange_note.h"

#include "gate/exchange.h"

struct exchange_note {
    struct exchange_note *next;
    struct slice name, text;
};

void exchange_note(struct exchange *x, struct slice name, struct slice text)
{
    struct exchange_note *note = arena_alloc(x->arena, sizeof(*note));

    *note = (struct exchange_note){x->notes, arena_dup(x->arena, name), arena_dup(x->arena, text)};
    x->notes = note;
}

struct slice exchange_noted(const struct exchange *x, struct slice name)
{
    for (const struct exchange_note *note = x->notes; note; note = note->next)
        if (slice_eq(note->name, name))
            return note->text;
    return SLICE_NONE;
}
