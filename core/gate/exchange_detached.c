/* SPDX-License-Identifier: Apache-2.0 */

/* Exchanges without wires, in which test.exchange runs one hook at a time. */

#include "base/check.h"
#include "gate/cache.h"
#include "gate/exchange_steps.h"
#include "gate/gateway.h"

struct exchange *exchange_new_detached(struct gateway *g, const struct message *request)
{
    struct arena *arena = arena_new(g->wire.arena_blocks);
    struct message *m = message_dup(request, arena);
    struct exchange *x = exchange_new(g, arena, m);
    REQUIRE(x != NULL);
    (void)!exchange_read_head(x); /* one that is refused has no client to hear of it */
    router_match(x->plan->snapshot->router, m->host, x->path, m, &x->match);
    x->route = x->match.route;
    if (x->route)
        x->upstream = x->route->upstream;
    return x;
}

void exchange_drop(struct exchange *x)
{
    if (x->cache)
        cache_end(x);
    x->state = EXCHANGE_DONE;
    exchange_free(x);
}
