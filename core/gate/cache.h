/* SPDX-License-Identifier: Apache-2.0 */

/* A shared cache before the upstream (RFC 9111): what a place of the `cache` plugin asks for, done for an exchange.
 *
 *   access hook:  cache_lookup ---> CACHE_ANSWERED   fresh, or stale and allowed: the answer is there
 *                     |        ---> CACHE_WAITS      another request fetches it: cache_await, then cache_go_on
 *                     |        ---> CACHE_MISS       goes upstream, and what comes is kept
 *                     +------------ CACHE_PASS       goes upstream; nothing to do with the cache
 *   upstream:     cache_on_response, cache_on_body, cache_on_failure
 *
 * What is kept is upstream's response as it came, before the hooks of the route have seen it: they run for each answer,
 * so a hit goes through them as the first response did.
 *
 * A response is kept while it passes by, at upstream's pace: a slow client holds up nobody, and one that leaves does not
 * end what others wait for. The exchange lives until all has come. */

#ifndef DML_GATE_CACHE_H
#define DML_GATE_CACHE_H

#include <stdatomic.h>

#include "gate/exchange.h"
#include "http/cacheable.h"
#include "side/response_store.h"

struct selector;
struct template;

/* What one place asks for; made at load; counted, on any thread, for
 * exchanges outlive the place. */
struct cache_conf {
    /* owned */
    struct arena *arena;
    struct response_store *store; /* counted */
    struct cache_rules rules;
    const struct template *key; /* NULL: the URL */
    const struct selector *
        *vary; /* parts of the request that keep responses apart, whatever Vary says */
    uint32_t nvary;
    struct slice tag_header;
    size_t max_object;
    struct cache_tier *tier; /* cache_tier.h; in the arena; NULL: memory alone */
    bool coalesces;
    /* state */
    atomic_uint refs;
};

struct cache_conf *cache_conf_new(struct slice store, size_t bytes);
struct cache_conf *cache_conf_ref(struct cache_conf *c);
void cache_conf_unref(struct cache_conf *c);

enum cache_found { CACHE_PASS, CACHE_MISS, CACHE_ANSWERED, CACHE_WAITS };

/* In an access hook. Only the first place of a chain counts. */
enum cache_found cache_lookup(struct exchange *x, struct cache_conf *conf);

/* After CACHE_WAITS: fn(arg) once, from the loop; then cache_go_on says how it ended (CACHE_WAITS again at times). */
void cache_await(struct exchange *x, void (*fn)(void *arg), void *arg);
enum cache_found cache_go_on(struct exchange *x);

/* In a balance hook: upstream is not to be asked, and what is kept and stale answers instead, where the response itself
 * does not forbid that. False: there is none. */
bool cache_stand_in(struct exchange *x);

/* The wait is over before its time: it goes upstream by itself. */
void cache_give_up(struct exchange *x);

/* --- for exchange.c ------------------------------------------------------------------------------------------------ */

/* Upstream's final head, before anything has been changed on it. */
enum cache_verdict {
    CACHE_THEIRS, /* it is the answer */
    CACHE_OURS, /* the cache has made another, which lies ready in x->response; upstream's is not needed any more */
    CACHE_BOTH, /* ... but is to be read, for it is kept */
};
enum cache_verdict cache_on_response(struct exchange *x, struct message *response, bool end);

/* There will be no response. True: as CACHE_OURS. */
bool cache_on_failure(struct exchange *x, int err);

/* Bytes of the body that is kept. */
void cache_on_body(struct exchange *x, const struct slice *pieces, int n, bool end);

/* Is a response being kept, so that upstream is to be read on whatever the client does? */
bool cache_is_filling(const struct exchange *x);

/* The gateway ends: does another exchange read what is being kept? From now on none begins to. */
bool cache_has_readers(struct exchange *x);

/* Upstream has broken off, or the exchange ends: what is not whole is not kept, and who waits is told. */
void cache_end(struct exchange *x);

/* Is the answer's body still being filled by another? Then it is read here: what there is behind flows[].taken, and
 * whether it ends with that. ERR_AGAIN: exchange_on_cached is called when there is more; ERR_RESET: there will be no
 * more. */
bool cache_is_reading(const struct exchange *x);
MUST_CHECK int cache_read(struct exchange *x, struct slice *out, bool *last);

#endif
