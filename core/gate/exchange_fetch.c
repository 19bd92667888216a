/* SPDX-License-Identifier: Apache-2.0 */

/* What the upstream is read for when no client waits for it: the cache.
 *
 * A request that the gateway makes by itself, while the client it is made for has its answer already, is an exchange
 * without a client: it begins where the upstream is asked, no hook runs for it, and what comes is the cache's alone. One
 * whose client has left, or has all it wanted, stays until what is kept has come. */

#include "base/err.h"
#include "gate/cache.h"
#include "gate/exchange_steps.h"
#include "gate/flow.h"
#include "gate/forward.h"
#include "gate/gateway.h"

#define TIMEOUT_MS 60000 /* where the route has none */

static struct message *copy_request(struct exchange *x, struct arena *a)
{
    struct message m = {
        .method = METHOD_GET,
        .version = HTTP_11,
        .scheme = x->scheme,
        .authority = x->request->authority,
        .path = x->request->path,
        .query = x->request->query,
    };

    forward_headers(x, &m.headers);
    return message_dup(&m, a);
}

struct exchange *exchange_clone(struct exchange *x)
{
    struct gateway *g = x->gateway;

    if (g->draining || x->plan != g->plan || !x->upstream || !x->route || forward_path(x) < 0)
        return NULL;
    struct arena *a = arena_new(g->wire.arena_blocks);
    struct exchange *own = exchange_new(g, a, copy_request(x, a));
    if (!own) {
        arena_free(a);
        return NULL;
    }
    own->is_own = true;
    own->route = x->route;
    own->upstream = x->upstream;
    own->scheme = own->request->scheme;
    own->client_ip = arena_dup(a, x->client_ip);
    own->path = arena_dup(a, x->path);
    own->rewritten = arena_dup(a, x->rewritten.ptr ? x->rewritten : x->upstream_path);
    return own;
}

/* An upstream that trickles must not be read for ever. */
static void bound(struct exchange *x)
{
    timer_set(&x->slot->timer, x->route->timeout_ms ? x->route->timeout_ms : TIMEOUT_MS);
}

void exchange_fetch(struct exchange *own)
{
    bound(own);
    attempt_start(own);
}

void exchange_fetched(struct exchange *own)
{
    exchange_to(own, EXCHANGE_RESPONSE);
    exchange_to(own, EXCHANGE_RELAY);
    if (!cache_is_filling(own)) {
        exchange_finish(own);
        return;
    }
    own->flows[SIDE_RESPONSE].state = FLOW_RELAY;
    bound(own);
    wire_grant(own->attempt->wire, FLOW_WINDOW);
}

/* While the gateway ends: there is somebody to read what comes. */
static bool is_awaited(struct exchange *x)
{
    return !x->gateway->stopping && cache_has_readers(x);
}

bool exchange_stays(struct exchange *x)
{
    struct wire *down = x->down;

    if (!down || !cache_is_filling(x) || !x->attempt || !x->attempt->wire || !x->head_is_down ||
        (x->gateway->draining && !is_awaited(x)))
        return false;
    x->down = NULL;
    x->flows[SIDE_REQUEST].state = FLOW_CUT;
    x->flows[SIDE_RESPONSE].state = FLOW_RELAY;
    wire_release(down);
    bound(x);
    wire_grant(x->attempt->wire, FLOW_WINDOW);
    return true;
}

void exchanges_end_fetches(struct gateway *g)
{
    for (uint32_t i = 0; i < g->table.n; i++) {
        struct exchange *x = g->table.slots[i]->exchange;
        bool is_fetch =
            x && (x->is_own || (!x->down && x->state == EXCHANGE_RELAY && cache_is_filling(x)));
        if (is_fetch && !is_awaited(x))
            exchange_end_early(x);
    }
}
