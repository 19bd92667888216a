/* SPDX-License-Identifier: Apache-2.0 */

/* Redis behind the memory of a place: what one gateway has fetched, others find there. Asked before upstream is, by the
 * one who fetches; told when a response is whole. A server that is slow, gone or full costs its timeout, and nothing once
 * the breaker has seen that.
 *
 * There is a hash for each URL, with its variants as fields, and `g`, which each purge of the URL changes; a list has the
 * latest purges by prefix and tag. Who reads is told both, and what he fetches then is kept only while they are as they
 * were: so nothing that a purge means outlives it there, however the gateways race. The purges themselves are told by
 * plugins/cache/tier.lua, which listens to others' as well. */

#ifndef DML_GATE_CACHE_TIER_H
#define DML_GATE_CACHE_TIER_H

#include "base/base.h"
#include "base/slice.h"
#include "net/loop.h"
#include "side/breaker.h"

struct cache_conf;
struct cache_use;
struct gateway;
struct redis_request;
struct redis_server;
struct stored;

/* One exchange's question. */
struct cache_question {
    /* owned */
    struct redis_request *request; /* under way, or NULL */
    struct stored *found;          /* counted; or NULL */
    struct later back;
    struct timer patience;
    /* state, in the exchange's arena */
    struct slice generation,
        purges;        /* as they were when it was asked; absent: it was not, or did not answer */
    struct slice vary; /* whose variant is asked for */
    struct breaker_pass pass;
    uint64_t asked_ms;
    bool was_asked, was_asked_twice;
    bool is_back; /* cache_tier_take is due */
};

/* At load. server: a reference is taken; prefix: of all its keys there. */
void cache_tier_set(struct cache_conf *c, struct redis_server *server, uint32_t timeout_ms,
                    struct slice server_name, struct slice prefix);
void cache_tier_free(struct cache_conf *c);

/* On the worker's thread: it is asked between these two only. */
void cache_tier_enter(struct gateway *g, struct cache_conf *c);
void cache_tier_leave(struct cache_conf *c);

/* True: u->on_wait is called, from the loop, and cache_tier_take is due then. False: there is nobody to ask. */
bool cache_tier_ask(struct cache_use *u);

/* What was found, which is in the store now, or NULL. The caller's reference. */
struct stored *cache_tier_take(struct cache_use *u);

/* Gives the question up. */
void cache_tier_forget(struct cache_use *u);

/* r is whole, and for others. */
void cache_tier_keep(struct cache_use *u, const struct stored *r);

#endif
