/* SPDX-License-Identifier: Apache-2.0 */

/* Lists are built piece by piece in the arena: they are short, and the arena dies soon. */

#include "app/describe.h"

#include "gate/phase.h"
#include "gate/upstream.h"
#include "http/message.h"

static void add(struct slice *list, struct slice item, struct arena *a)
{
    *list = list->len ? arena_printf(a, "%.*s, %.*s", SLICE_ARG(*list), SLICE_ARG(item)) : item;
}

struct slice describe_hosts(const struct route *r, struct arena *a)
{
    struct slice list = SLICE("");

    for (uint32_t i = 0; i < r->nhosts; i++)
        add(&list, r->hosts[i], a);
    return list;
}

struct slice describe_paths(const struct route *r, struct arena *a)
{
    struct slice list = SLICE("");

    for (uint32_t i = 0; i < r->npaths; i++)
        add(&list, r->paths[i].text, a);
    return list;
}

struct slice describe_methods(uint64_t methods, struct arena *a)
{
    struct slice list = SLICE("");

    for (int m = METHOD_UNKNOWN + 1; m < METHOD_COUNT; m++)
        if (methods >> m & 1)
            add(&list, slice_from(method_text((enum method)m)), a);
    return list;
}

struct slice describe_value(const struct route_header *h)
{
    return h->is_secret ? SLICE("(hidden)") : h->value;
}

struct slice describe_headers(const struct route *r, struct arena *a)
{
    struct slice list = SLICE("");

    for (uint32_t i = 0; i < r->nheaders; i++)
        add(&list,
            arena_printf(a, "%.*s: %.*s", SLICE_ARG(r->headers[i].name),
                         SLICE_ARG(describe_value(&r->headers[i]))),
            a);
    return list;
}

struct slice describe_action(const struct route *r, struct arena *a)
{
    switch (r->action) {
    case ROUTE_RESPOND: return arena_printf(a, "responds %d", r->status);
    case ROUTE_REDIRECT:
        return r->redirect_to ? arena_printf(a, "redirects with %d", r->status)
                              : SLICE("redirects to https");
    case ROUTE_PLUGIN: return SLICE("a plugin answers");
    default: return arena_printf(a, "upstream %.*s", SLICE_ARG(r->upstream->name));
    }
}

struct slice describe_chain(const struct chain *c, uint32_t hooks, bool reverse, struct arena *a)
{
    struct slice list = SLICE("");

    for (uint32_t i = 0; i < c->n; i++) {
        const struct plugin_use *use = c->uses[reverse ? c->n - 1 - i : i];
        if (use->hooks & hooks)
            add(&list, use->name, a);
    }
    return list;
}

struct slice describe_hooks(uint32_t hooks, struct arena *a)
{
    struct slice list = SLICE("");

    for (enum phase p = 0; p < PHASE_COUNT; p++)
        if (hooks & PHASE_BIT(p))
            add(&list, slice_from(phase_name(p)), a);
    return list;
}
