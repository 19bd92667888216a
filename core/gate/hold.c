/* SPDX-License-Identifier: Apache-2.0 */

/* No body comes that nobody has asked for, so a head is all there is to keep. */

#include "gate/hold.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "gate/exchange.h"
#include "gate/gateway.h"

struct held {
    struct list link;
    struct wire *wire;
    struct message *head;
    bool end;
};

struct hold {
    struct list asked, next; /* struct held, in the arenas of their wires */
    struct gateway *gateway;
    void (*ask)(void *arg);
    void *arg;
    bool is_asking;
};

static void held_head(void *owner UNUSED, struct wire *w UNUSED, struct message *m UNUSED,
                      bool end UNUSED)
{
}

static void held_body(void *owner UNUSED, struct wire *w UNUSED, const struct slice *pieces UNUSED,
                      int n UNUSED, bool end)
{
    struct held *held = owner;

    held->end = held->end || end;
}

static void held_room(void *owner UNUSED, struct wire *w UNUSED)
{
}

/* The client has left. */
static void held_gone(void *owner, struct wire *w, int err UNUSED)
{
    struct held *held = owner;
    struct arena *arena = w->arena;

    list_remove(&held->link);
    wire_release(w);
    arena_free(arena);
}

static const struct wire_events held_events = {
    .on_head = held_head,
    .on_body = held_body,
    .on_room = held_room,
    .on_gone = held_gone,
};

struct hold *hold_new(struct gateway *g, void (*ask)(void *arg), void *arg)
{
    struct hold *h = calloc(1, sizeof(*h));

    REQUIRE(h != NULL);
    list_init(&h->asked);
    list_init(&h->next);
    h->gateway = g;
    h->ask = ask;
    h->arg = arg;
    return h;
}

void hold_free(struct hold *h)
{
    if (!h)
        return;
    (void)CHECK(list_is_empty(&h->asked) && list_is_empty(&h->next));
    free(h);
}

static void ask(struct hold *h)
{
    h->is_asking = true;
    list_splice(&h->asked, &h->next);
    h->ask(h->arg);
}

void hold_take(struct hold *h, struct wire *w, struct message *m, bool end)
{
    struct held *held = arena_alloc(w->arena, sizeof(*held));

    *held = (struct held){.wire = w, .head = m, .end = end};
    list_append(&h->next, &held->link);
    w->owner = held;
    w->events = &held_events;
    if (!h->is_asking)
        ask(h);
}

void hold_answered(struct hold *h)
{
    struct list *link;

    while ((link = list_pop(&h->asked))) {
        struct held *held = container_of(link, struct held, link);
        held->wire->owner = NULL;
        exchange_accept(h->gateway, held->wire, held->head, held->end);
    }
    h->is_asking = false;
    if (!list_is_empty(&h->next))
        ask(h);
}
