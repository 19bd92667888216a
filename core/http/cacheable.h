/* SPDX-License-Identifier: Apache-2.0 */

/* What a shared cache may keep, and how long it is good for (RFC 9111, 3 and 4.2; RFC 5861; RFC 9213). Pure functions
 * of heads and times; nothing here knows of a store.
 *
 * Ages are in seconds of the monotonic clock, so that a clock that is set does not make responses older or younger;
 * the wall clock is only held against the dates that an origin writes. */

#ifndef DML_HTTP_CACHEABLE_H
#define DML_HTTP_CACHEABLE_H

#include "base/base.h"
#include "http/cache_control.h"
#include "http/message.h"

/* What the operator says. */
struct cache_rules {
    int64_t
        ttl_s; /* of responses with neither explicit nor heuristic freshness; -1: those are not kept */
    bool keeps_set_cookie;
    const uint16_t
        *statuses; /* the only ones that are kept; NULL: all that RFC 9110, 15.1 lets be */
    uint32_t nstatuses;
};

/* When a response came. */
struct cache_moment {
    uint64_t asked_ms;   /* monotonic: when its request was sent */
    uint64_t came_ms;    /* ... and its head had come */
    int64_t came_wall_s; /* the same, since 1970 */
};

/* How a stored response ages. */
struct cache_life {
    uint64_t came_ms;
    int64_t initial_age_s;                              /* RFC 9111, 4.2.3 */
    int64_t lifetime_s;                                 /* 4.2.1 */
    int64_t stale_while_revalidate_s, stale_if_error_s; /* 0: none */
    bool always_validate;                               /* no-cache */
    bool never_stale;                                   /* must-revalidate, proxy-revalidate */
    bool
        is_shared; /* s-maxage: stale only by the response's own leave, not by a client's (5.2.2.10) */
};

/* Names in a Vary. */
#define CACHE_VARY_MAX 32

enum cache_refusal {
    CACHE_KEPT,
    CACHE_BY_METHOD,  /* neither GET nor POST */
    CACHE_BY_STATUS,  /* partial, not modified, or not among those that are kept */
    CACHE_BY_REQUEST, /* no-store in the request */
    CACHE_NO_STORE,
    CACHE_PRIVATE,
    CACHE_IDENTITY, /* the request was somebody's, and the response does not say that others may have it (3.5) */
    CACHE_VARY, /* Vary: *, or more than CACHE_VARY_MAX names */
    CACHE_COOKIE,
    CACHE_NO_LIFE, /* nothing says how long */
};

/* "kept", "no-store", ...: the word for Cache-Status' detail. */
const char *cache_refusal_text(enum cache_refusal r);

/* May the response to this request be kept, and for how long? is_personal: the request had Authorization, or the gateway
 * knows whose it is in another way. *life is set when it may (CACHE_KEPT). */
enum cache_refusal cache_judge(const struct message *request, const struct message *response,
                               bool is_personal, const struct cache_rules *rules,
                               const struct cache_moment *moment, struct cache_life *life);

/* Seconds that it is old now, by clock_ms; 0 or more. */
int64_t cache_age_s(const struct cache_life *life, uint64_t now_ms);

enum cache_state {
    CACHE_FRESH,      /* as it is */
    CACHE_REVALIDATE, /* stale-while-revalidate: as it is, and ask in the background */
    CACHE_STALE,      /* ask first */
};

/* May it be used for a request that says `asked`? max-age, min-fresh, max-stale and no-cache of the request count
 * (RFC 9111, 5.2.1). */
enum cache_state cache_usable(const struct cache_life *life, const struct cache_control *asked,
                              uint64_t now_ms);

/* ... when the origin can't be reached or fails (RFC 5861, 4). */
bool cache_usable_on_error(const struct cache_life *life, const struct cache_control *asked,
                           uint64_t now_ms);

#endif
