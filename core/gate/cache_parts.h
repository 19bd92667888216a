/* SPDX-License-Identifier: Apache-2.0 */

/* The inside of the cache, for its files: cache.c decides what becomes of a request and cache_response.c what
 * of its response, cache_key.c tells requests apart, cache_head.c keeps heads, cache_answer.c makes answers, cache_fill.c
 * keeps what comes, cache_tier.c asks and tells Redis. */

#ifndef DML_GATE_CACHE_PARTS_H
#define DML_GATE_CACHE_PARTS_H

#include "gate/cache.h"
#include "gate/cache_tier.h"
#include "side/flight.h"

enum cache_role {
    ROLE_PASS,
    ROLE_INVALIDATE, /* an unsafe method: a success makes what is kept invalid (RFC 9111, 4.4) */
    ROLE_FETCH,      /* what comes is kept */
};

/* Conditions of the client's, taken out of the request that goes upstream. */
struct cache_conditions {
    struct slice none_match, modified_since;
};

/* What keeps this request's response apart from others' by these names of a Vary. */
struct cache_variant {
    struct cache_variant *next;
    struct slice vary, text;
};

/* One exchange and its cache, in its arena. */
struct cache_use {
    /* borrowed */
    struct exchange *x;
    struct cache_conf *conf; /* counted */
    /* owned */
    struct stored *stale;   /* to be validated, or to stand in for a failure; counted; or NULL */
    struct stored *reading; /* the answer's, while it is being filled; counted by the arena's end */
    struct stored *filling; /* what is being kept, or NULL; without a body while that is gathered */
    struct buf gathered;    /* a body whose length only its end tells */
    struct flight_seat *seat;
    struct response_wait *wait; /* for `reading` or `awaited` */
    struct stored *awaited;     /* has to be whole before it can be used */
    /* state */
    struct response_key key;
    struct slice apart;             /* what the place keeps apart: the begin of each variant */
    struct cache_variant *variants; /* that have been made, the latest first */
    struct cache_control asked;
    struct cache_conditions conditions;
    struct response_note note;
    struct cache_moment moment;
    struct cache_life life;
    struct cache_question question;
    size_t read_to;    /* of `reading` */
    size_t reserved;   /* of the budget, for `gathered` */
    struct slice says; /* of Cache-Status for what comes from upstream */
    enum cache_role role;
    bool is_personal;
    bool has_failed; /* the one that fetched for it */
    bool is_alone;   /* waits for nobody, and nobody waits for it */
    bool has_waited; /* for another's, once */
    bool validates;  /* upstream is asked whether `stale` still holds */
    bool is_from_tier;
    bool knows_url; /* something is kept of it, for whatever variant */
    void (*on_wait)(void *arg);
    void *arg;
};

/* --- cache_key.c --------------------------------------------------------------------------------------------------- */

/* False: too long, or empty. */
bool cache_make_key(struct cache_use *u);

/* What is kept of the request's URL for such a request; counted, or NULL. Sets u->knows_url. */
struct stored *cache_find(struct cache_use *u);

/* The request's values of the names in `vary`, behind what the place keeps apart. */
struct slice cache_variant(struct cache_use *u, struct slice vary);

/* The Vary that a response is likely to have: that of what is kept of the URL. */
struct slice cache_likely_vary(const struct cache_use *u);

/* The variants of another exchange, whose request is u's: `own` may lack what the selectors of the place look at. */
void cache_copy_variant(struct cache_use *own, struct cache_use *u, struct slice vary);

/* The names of a response's Vary: lower case, sorted, joined by ','. */
struct slice cache_vary_of(struct cache_use *u, const struct message *response);

/* Is a reference that a response gives the request's own URL? */
bool cache_is_own_url(const struct cache_use *u, struct slice ref);

/* What an unsafe request has made invalid: its own URL, and those that the response names on the same host. */
void cache_invalidate(struct cache_use *u, const struct message *response);

/* --- cache_head.c -------------------------------------------------------------------------------------------------- */

struct cached_head {
    struct cache_life life;
    int status;
    uint32_t nfields;
    struct field fields[];
};

static inline const struct cached_head *cached_head_of(const struct stored *r)
{
    return (const struct cached_head *)(const void *)r->head.ptr;
}

/* A response to be kept, with the fields that may be; takes over the body's reference. NULL: no memory. */
struct stored *cache_store_head(struct cache_use *u, const struct message *response,
                                const struct cache_life *life, struct response_body *body);

/* Does a 304 speak of r? By what it says of validators, if anything (RFC 9111, 4.3.4). */
bool cache_is_meant(const struct stored *r, const struct message *not_modified);

/* What is kept and what a 304 says of it, as one head in the exchange's arena (RFC 9111, 3.2). */
struct message *cache_freshen(struct cache_use *u, const struct stored *r,
                              const struct message *not_modified);

/* --- cache_answer.c ------------------------------------------------------------------------------------------------ */

/* The answer to the client from r, whose reference is taken over: conditions and a range of the request are kept. how: of
 * Cache-Status, "hit" or "fwd=stale; ...". */
void cache_answer(struct cache_use *u, struct stored *r, struct slice how);

/* Weak comparison (RFC 9110, 8.8.3.2). */
bool cache_same_etag(struct slice a, struct slice b);

/* Does one of the client's conditions say that it has this already (RFC 9110, 13.2.2)? */
bool cache_client_has(const struct cache_conditions *c, const struct headers *h);

/* --- cache_fill.c -------------------------------------------------------------------------------------------------- */

void cache_begin_fill(struct cache_use *u, const struct message *response, bool end);

/* It broke off: what is not whole is not kept. */
void cache_break_fill(struct cache_use *u);

/* Tells those that wait for this one: look again, go by yourselves, or it has failed. */
enum { LAND_LOOK = 'l', LAND_GO = 'g', LAND_FAILED = 'f' };
void cache_land(struct cache_use *u, char what);

#endif
