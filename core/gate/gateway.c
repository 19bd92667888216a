/* SPDX-License-Identifier: Apache-2.0 */

/* Puts a worker's parts together: memory for the wires, the pool, the table of exchanges, the current plan. */

#include "gate/gateway.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "gate/exchange.h"
#include "gate/exchange_steps.h"
#include "gate/forward.h"
#include "gate/hold.h"
#include "gate/stats.h"
#include "net/dns.h"
#include "net/tls.h"
#include "side/redis.h"
#include "side/spill_port.h"

/* Blocks that an idle worker keeps for the next requests. */
#define SPARE_BLOCKS 256
#define ARENA_AHEAD 1024  /* bytes that a request is sure to write */
#define SPARE_ARENAS 1024 /* each request that is under way has one */

static void on_bad_head(void *owner, const struct wire_peer *peer, int err, const char *why,
                        struct slice id)
{
    struct gateway *g = owner;

    stats_bad_head(g, err);
    LOG_INFO("request.bad_head", "a request head was refused", LOG_S("client_ip", peer->ip),
             LOG_C("error", err_word(err)), LOG_C("why", why), LOG_I("status", err_status(err)),
             LOG_S("request_id", id));
}

static void on_hello(void *owner, const struct wire_peer *peer, struct tls_handshake *h,
                     const struct tls_hello *hello)
{
    const struct plan *p = ((struct gateway *)owner)->plan;
    const struct snapshot *s = p->snapshot;

    if (!p->host || !(s->global.hooks & PHASE_BIT(PHASE_CERTIFICATE))) {
        tls_go_on(h, NULL);
        return;
    }
    /* A reload may have taken the listener away, whose last connections go on. */
    bool is_there = (uint32_t)peer->listener < s->nlisteners;
    p->host->ops->certificate(p->host, h, hello, peer,
                              is_there ? s->listeners[peer->listener].text : SLICE(""));
}

/* What strangers do at the door is counted, and told at debug level only; a wrong certificate of an upstream is for the
 * operator to know. */
static void on_handshake(void *owner, const struct wire_peer *peer, struct slice upstream,
                         const struct tls_end *end)
{
    struct gateway *g = owner;

    stats_handshake(g, !peer, end);
    if (end->err == 0)
        return;
    if (peer)
        LOG_DEBUG("tls.handshake", "a client's handshake has failed", LOG_S("client_ip", peer->ip),
                  LOG_C("reason", end->reason), LOG_C("why", end->why));
    else
        LOG_WARN("upstream.tls", "a handshake with an endpoint has failed",
                 LOG_S("server_name", upstream), LOG_C("reason", end->reason),
                 LOG_C("why", end->why));
}

static bool is_trusted(void *owner, const struct addr *a)
{
    const struct gateway *g = owner;
    const struct snapshot *s = g->plan->snapshot;

    return addr_is_unix(a) ? s->trusts_unix
                           : cidr_list_has(s->trusted_proxies, s->ntrusted_proxies, a);
}

static void refuse_proxy(struct gateway *g, const struct addr *peer, const char *reason,
                         const char *why)
{
    char text[ADDR_TEXT];
    size_t len = addr_is_unix(peer) ? 0 : addr_print(peer, text, sizeof(text));

    stats_bad_proxy(g, slice_from(reason));
    LOG_WARN("proxy_protocol.refused",
             "a connection that should begin with a PROXY header was closed",
             LOG_S("peer", len ? slice_of(text, len) : SLICE("unix:")), LOG_C("reason", reason),
             LOG_C("why", why));
}

static void on_bad_proxy(void *owner, const struct addr *peer, int err, const char *why)
{
    if (!why)
        why = err == ERR_TIMEOUT ? "the header did not come within limits.header_timeout"
                                 : "the peer left in the middle of the header";
    refuse_proxy(owner, peer, err_word(err), why);
}

static bool is_denied(void *gateway, const struct addr *to)
{
    const struct plan *p = ((struct gateway *)gateway)->plan;
    const struct snapshot *s = p ? p->snapshot : NULL;

    return s && cidr_list_has(s->outbound_deny, s->noutbound_deny, to);
}

static struct blocks *new_blocks(size_t size, size_t max_free)
{
    struct blocks *b = calloc(1, sizeof(*b));

    REQUIRE(b != NULL);
    blocks_init(b, size, max_free);
    return b;
}

static void free_blocks(struct blocks *b)
{
    blocks_deinit(b);
    free(b);
}

void gateway_init(struct gateway *g, struct snapshot *first)
{
    g->wire = (struct wire_env){
        .loop = g->loop,
        .recv_blocks = new_blocks(WIRE_RECV_BLOCK, SPARE_BLOCKS),
        .head_blocks = new_blocks(WIRE_HEAD_BLOCK, SPARE_BLOCKS),
        .arena_blocks = new_blocks(WIRE_ARENA_BLOCK, SPARE_ARENAS),
        .scratch = malloc(WIRE_SCRATCH),
        .limits = &first->limits,
        .on_bad_head = on_bad_head,
        .on_hello = on_hello,
        .on_handshake = on_handshake,
        .is_trusted = is_trusted,
        .on_bad_proxy = on_bad_proxy,
        .owner = g,
        .server_name = SLICE(FORWARD_PSEUDONYM),
    };
    REQUIRE(g->wire.scratch != NULL);
    g->wire.arena_blocks->ahead = ARENA_AHEAD;
    list_init(&g->at_end);
    list_init(&g->retired);
    timer_init(&g->mover, g->loop, plans_on_timer);
    exchange_table_init(&g->table, g->loop, exchange_on_timer);
    g->dns = dns_new(g->loop, &first->dns);
    g->redis = redis_new(&(struct redis_env){.loop = g->loop,
                                             .dns = g->dns,
                                             .writer = g->writer,
                                             .is_denied = is_denied,
                                             .denied_arg = g});
    g->stats = stats_new(g->writer);
    struct pool_env env = {.wire = &g->wire,
                           .dns = g->dns,
                           .mailbox = g->mailbox,
                           .nworkers = g->nworkers,
                           .writer = g->writer};
    g->pool = pool_new(&env);
    g->inbound = inbound_set_new(&g->wire, &exchange_acceptor, g);
}

void gateway_at_end(struct gateway *g, struct later *d)
{
    list_append(&g->at_end, &d->link);
}

static void run_at_end(struct gateway *g)
{
    struct list *link;

    while ((link = list_pop(&g->at_end))) {
        struct later *d = container_of(link, struct later, link);
        d->fn(d);
    }
}

/* First what tasks have under way, which may hold plans, claims on the pool and questions to the resolver. */
void gateway_deinit(struct gateway *g)
{
    struct plan *plan = g->plan;

    inbound_set_free(g->inbound);
    hold_free(g->hold);
    (void)CHECK(g->table.used == 0);
    run_at_end(g);
    g->plan = NULL;
    if (plan)
        plan_retire(plan, 0);
    (void)CHECK(list_is_empty(&g->retired));
    timer_deinit(&g->mover);
    pool_free(g->pool);
    redis_free(g->redis);
    if (g->spill)
        spill_port_free(g->spill);
    dns_free(g->dns);
    exchange_table_deinit(&g->table);
    stats_free(g->stats);
    free(g->wire.scratch);
    free_blocks(g->wire.recv_blocks);
    free_blocks(g->wire.head_blocks);
    free_blocks(g->wire.arena_blocks);
}

static bool trusts_alike(const struct snapshot *a, const struct snapshot *b)
{
    return a->ntrusted_proxies == b->ntrusted_proxies &&
           (a->ntrusted_proxies == 0 ||
            memcmp(a->trusted_proxies, b->trusted_proxies,
                   a->ntrusted_proxies * sizeof(a->trusted_proxies[0])) == 0);
}

struct spill_port *gateway_spill(struct gateway *g)
{
    struct spill *s = g->spill ? NULL : spill_shared();

    if (s)
        g->spill = spill_port_new(s, g->loop, g->mailbox);
    return g->spill;
}

void gateway_use(struct gateway *g, struct plan *plan)
{
    struct plan *old = g->plan;

    g->plan = plan;
    g->wire.limits = &plan->snapshot->limits;
    if (!old)
        return;
    dns_configure(g->dns, &plan->snapshot->dns);
    if (!trusts_alike(old->snapshot, plan->snapshot))
        inbound_judge(g->inbound);
    g->looked_at = 0;
    timer_set(&g->mover, 0);
    plan_retire(old, plan->snapshot->drain_timeout_ms);
}

void gateway_accept(struct gateway *g, struct listener *ln, int listener_index, int fd,
                    const struct addr *peer, const struct addr *local)
{
    const struct listener_conf *l = &g->plan->snapshot->listeners[listener_index];
    bool trusted = is_trusted(g, peer);

    if (l->proxy_protocol && !trusted) {
        refuse_proxy(g, peer, "untrusted", "the peer is not in trusted_proxies");
        close(fd);
        listener_released(ln);
        return;
    }
    inbound_accept(g->inbound, &(struct inbound_from){
                                   .listener = ln,
                                   .listener_index = listener_index,
                                   .fd = fd,
                                   .peer = peer,
                                   .local = local,
                                   .tls = l->tls,
                                   .is_trusted = trusted,
                                   .has_proxy_header = l->proxy_protocol,
                               });
}

void gateway_drain(struct gateway *g)
{
    g->draining = true;
    g->wire.draining = true;
    exchanges_end_fetches(g);
    inbound_drain(g->inbound);
    pool_close_idle(g->pool, NULL);
}

void gateway_stop(struct gateway *g)
{
    g->draining = g->stopping = true;
    exchanges_end_fetches(g);
    inbound_abort_all(g->inbound);
}

void gateway_hurry(struct gateway *g)
{
    for (uint32_t i = 0; i < g->table.n; i++) {
        struct exchange_slot *slot = g->table.slots[i];
        if (slot->exchange && slot->exchange->state == EXCHANGE_LOG)
            exchange_on_timer(&slot->timer);
    }
}

size_t gateway_exchanges(const struct gateway *g)
{
    return g->table.used;
}
