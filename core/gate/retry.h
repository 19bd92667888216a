/* SPDX-License-Identifier: Apache-2.0 */

/* Should an attempt that failed be followed by another? What the retry plugin's hooks ask. The rules that keep
 * a retry from doing harm are here and not in Lua:
 *
 *   - never two effects: a method that is not idempotent is sent again only when no connection was had, so
 *     that nothing of it can have been written; unless its policy names the method
 *   - never without the body: only while all of it that was read is held (limits.buffered_body)
 *   - never beyond the route's time: a wait that would end behind it is not begun
 *   - never more than the budget: a share of the requests of the last while, over all workers
 */

#ifndef DML_GATE_RETRY_H
#define DML_GATE_RETRY_H

#include "base/base.h"
#include "gate/failure.h"

struct attempt;
struct budget;
struct exchange;
struct sketch;

#define RETRY_ATTEMPTS_MAX 10

struct retry_policy {
    struct failure_set on;
    uint64_t methods;    /* bit per enum method; 0 = the idempotent ones */
    uint32_t attempts;   /* all in all, 1..RETRY_ATTEMPTS_MAX */
    uint32_t per_try_ms; /* an attempt to its response head; 0 = the upstream's timeouts alone */
    uint32_t base_ms,
        max_ms;     /* before the n-th retry: a random time up to base * 2^(n-1), at most max */
    double share;   /* of the budget */
    uint32_t least; /* retries that it has in any case */
    struct budget *budget;
    struct sketch *latency; /* of attempts that were well; NULL = no hedging */
    double
        hedge_percentile; /* a share; when an attempt has taken longer than that part of them, another begins */
};

/* What the budget's share is of: this long. */
#define RETRY_WINDOW_MS 10000u

enum retry_verdict {
    RETRY_NOT_NEEDED, /* the attempt is none that the policy is for */
    RETRY_GRANTED,
    RETRY_ATTEMPTS, /* they are used up */
    RETRY_METHOD,   /* it may have had an effect */
    RETRY_BODY,     /* its body is not held any more */
    RETRY_TIME,   /* it would wait for too long: the route's time, or a Retry-After beyond max_ms */
    RETRY_RIVAL,  /* the other attempt of a hedge goes on */
    RETRY_BUDGET, /* other requests have used it up */
};

/* In balance hooks: gives the latest attempt its time, and lets another be made beside it when it is late. */
void retry_prepare(const struct retry_policy *p, struct exchange *x);

/* In attempt hooks. True: the attempt is none that the policy is for, and the request is counted. False: nothing was done;
 * judge it. */
bool retry_is_well(const struct retry_policy *p, struct exchange *x);

/* In attempt hooks, once per attempt: counts the request, and takes from the budget where it grants. delay_ms: to
 * be waited before the next one. */
enum retry_verdict retry_judge(const struct retry_policy *p, struct exchange *x,
                               uint32_t *delay_ms);

/* Another word than "retried" and why there was no other, for metrics. */
const char *retry_word(enum retry_verdict v);

#endif
