/* SPDX-License-Identifier: Apache-2.0 */

/* One try against one target: PICK -> CONNECT -> SEND -> WAIT -> VERDICT -> DONE (or BACKOFF, then a new attempt).
 * It owns the client wire until the response is over. */

#ifndef DML_GATE_ATTEMPT_H
#define DML_GATE_ATTEMPT_H

#include "base/base.h"
#include "gate/pool.h"
#include "http/wire.h"

struct attempt;
struct exchange;
struct hedge;

/* Told once of what becomes of an attempt: its head or failure is known (judged; the route's time is over: that is a
 * failure, too), or it was given up before that. In the exchange's arena. */
struct attempt_watch {
    struct attempt_watch *next;
    void (*on_end)(struct attempt_watch *w, const struct attempt *a, bool is_judged);
};

enum attempt_state {
    ATTEMPT_PICK,    /* balance hooks, target */
    ATTEMPT_CONNECT, /* waiting for a connection */
    ATTEMPT_SEND,    /* the request goes out */
    ATTEMPT_WAIT,    /* for the response head */
    ATTEMPT_VERDICT, /* attempt hooks */
    ATTEMPT_RELAY,   /* its response is the exchange's */
    ATTEMPT_BACKOFF, /* delay before the next attempt */
    ATTEMPT_DONE,
};

struct attempt {
    /* borrowed */
    struct exchange *exchange;
    struct upstream *upstream;
    const struct endpoint *endpoint; /* NULL until picked */
    struct wire *wire;               /* NULL without connection */
    struct message *response;        /* head, when it came */
    struct attempt *previous;        /* earlier ones of the exchange, the latest first */
    /* owned */
    struct pool_claim claim;
    /* state */
    enum attempt_state state;
    int number;     /* 1, 2, ... */
    int err;        /* 0, or why it failed: ERR_REFUSED, ERR_RESET, ERR_TIMEOUT, ERR_PROTOCOL... */
    bool claimed;   /* a pool claim is open */
    bool is_active; /* counted in the endpoint's load */
    bool
        is_fresh; /* second try on a fresh connection after a stale one: the same attempt to all outside */
    bool head_sent;
    bool ends_on_head; /* the response has no body */
    bool retry;        /* verdict of an attempt hook */
    bool
        is_ready; /* its head or failure is known, and waits for the hooks of the other one (hedge.h) */
    uint32_t retry_delay_ms;
    uint64_t backoff_until_us;
    uint32_t connect_timeout_ms, timeout_ms; /* may be set by a balance hook */
    uint32_t
        try_ms; /* all of it, to the response head, by a balance hook; 0 = the two above alone */
    struct attempt_watch *watches;
    const struct hedge
        *hedge;            /* set by a balance hook: another one may be made beside it; or NULL */
    struct headers *extra; /* headers of this attempt alone, set by a balance hook; or NULL */
    uint64_t start_us, connected_us, head_us;
};

/* Begins the first or next attempt of x. */
void attempt_start(struct exchange *x);

/* In balance hooks: chooses anew, but none of these while others are left. ERR_NO_TARGET. */
MUST_CHECK int attempt_pick_but(struct attempt *a, const struct endpoint *const *but, size_t n);

/* In balance hooks: the exchange goes to another upstream. ERR_NO_TARGET: that has no endpoint to be used, and nothing has
 * changed. */
MUST_CHECK int attempt_turn_to(struct attempt *a, struct upstream *u);

/* w->on_end is set. */
void attempt_watch(struct attempt *a, struct attempt_watch *w);

/* How long it has taken to its head or failure, or so far. */
uint64_t attempt_us(const struct attempt *a);

/* After balance hooks / attempt hooks have run. */
void attempt_picked(struct attempt *a);
void attempt_judged(struct attempt *a);

/* Is its wire ready for the request's body? */
static inline bool attempt_takes_body(const struct attempt *a)
{
    return a->head_sent && a->wire;
}

/* The hooks that its verdict has waited for have finished. */
void attempt_ready(struct attempt *a);

/* All of them of x: cut off. */
void attempts_abort(struct exchange *x, int why);

/* ATTEMPT_BACKOFF: has its delay passed? (Else the timer is set again.) */
bool attempt_backoff_over(struct attempt *a);

/* Cuts it off: connection closed, claim cancelled, counted. */
void attempt_abort(struct attempt *a, int why);

/* The response is over: the connection goes back to its pool. */
void attempt_release(struct attempt *a);

/* The word that Lua and logs see for a->err: "connect", "reset", "timeout", "protocol", or "cancelled" where
 * nobody waits for it any longer; NULL when 0. */
const char *attempt_error_word(const struct attempt *a);

#endif
