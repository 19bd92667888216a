/* SPDX-License-Identifier: Apache-2.0 */

/* The wait is drawn from all of the time up to the backoff's step ("full jitter"): clients that failed together do not
 * come back together. A Retry-After moves that time on, so that those who were told the same do not either. */

#include "gate/retry.h"

#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/text.h"
#include "gate/exchange_steps.h"
#include "gate/flow.h"
#include "gate/hedge.h"
#include "gate/stats.h"
#include "side/budget.h"
#include "side/sketch.h"

#define NEVER_MS UINT32_MAX

const char *retry_word(enum retry_verdict v)
{
    static const char *const words[] = {[RETRY_NOT_NEEDED] = "not_needed",
                                        [RETRY_GRANTED] = "retried",
                                        [RETRY_ATTEMPTS] = "attempts",
                                        [RETRY_METHOD] = "method",
                                        [RETRY_BODY] = "body",
                                        [RETRY_TIME] = "time",
                                        [RETRY_RIVAL] = "rival",
                                        [RETRY_BUDGET] = "budget"};

    return words[v];
}

static bool takes_method(const struct retry_policy *p, const struct exchange *x)
{
    enum method m = x->request->method;

    return p->methods ? (p->methods >> m & 1) != 0 : method_is_idempotent(m);
}

static bool may_repeat(const struct retry_policy *p, const struct exchange *x)
{
    const struct attempt *a = x->attempt;

    return (a->err && !a->connected_us) || takes_method(p, x); /* the first: nobody has seen it */
}

static void give_budget_back(void *budget)
{
    budget_unref(budget);
}

/* The policy may be gone before the attempt. */
static struct hedge *hedge_of(const struct retry_policy *p, struct exchange *x, uint64_t after_us)
{
    struct hedge *h = arena_alloc(x->arena, sizeof(*h));

    *h = (struct hedge){after_us, budget_hold(p->budget), p->share, p->least};
    arena_on_free(x->arena, give_budget_back, p->budget);
    return h;
}

void retry_prepare(const struct retry_policy *p, struct exchange *x)
{
    x->attempt->try_ms = p->per_try_ms;
    if (!p->latency || x->attempts > 1 || p->attempts < 2 || !takes_method(p, x))
        return;
    uint64_t after_us = sketch_percentile(p->latency, p->hedge_percentile);
    if (after_us)
        x->attempt->hedge = hedge_of(p, x, after_us);
}

static uint32_t backoff_ms(const struct retry_policy *p, int retry)
{
    uint64_t step = (uint64_t)p->base_ms << MIN(retry - 1, 31);

    return rand_below((uint32_t)MIN(step, p->max_ms) + 1);
}

/* What a response asks to wait: seconds or a date (RFC 9110, 10.2.3). */
static uint32_t asked_ms(const struct attempt *a)
{
    struct slice text =
        a->response ? headers_get_id(&a->response->headers, HEADER_RETRY_AFTER) : SLICE_NONE;
    uint64_t seconds;
    time_t when;

    if (!text.len)
        return 0;
    if (text_to_u64(text, NEVER_MS / 1000 - 1, &seconds) == 0)
        return (uint32_t)seconds * 1000;
    if (text_to_http_date(text, &when) < 0)
        return text.ptr[0] >= '0' && text.ptr[0] <= '9' ? NEVER_MS : 0;
    int64_t left = (int64_t)when * 1000 - (int64_t)clock_wall_ms();
    return left <= 0 ? 0 : (uint32_t)MIN(left, NEVER_MS);
}

static bool wait_fits(const struct retry_policy *p, struct exchange *x, uint32_t *delay_ms)
{
    uint32_t asked = asked_ms(x->attempt);
    uint64_t wait = (uint64_t)asked + backoff_ms(p, x->attempts);

    *delay_ms = (uint32_t)MIN(wait, NEVER_MS);
    return asked <= p->max_ms && wait < exchange_time_left_ms(x);
}

static enum retry_verdict judge(const struct retry_policy *p, struct exchange *x,
                                uint32_t *delay_ms)
{
    if ((uint32_t)x->attempts >= p->attempts)
        return RETRY_ATTEMPTS;
    if (!may_repeat(p, x))
        return RETRY_METHOD;
    if (!flow_can_replay(x))
        return RETRY_BODY;
    if (!wait_fits(p, x, delay_ms))
        return RETRY_TIME;
    return budget_take(p->budget, p->share, p->least) ? RETRY_GRANTED : RETRY_BUDGET;
}

/* Once per request, with the first verdict on it. */
static void count_request(const struct retry_policy *p, const struct exchange *x)
{
    if (x->attempts == 1 || x->rival)
        budget_count(p->budget);
}

bool retry_is_well(const struct retry_policy *p, struct exchange *x)
{
    const struct attempt *a = x->attempt;

    if (UNLIKELY(failure_has(&p->on, a)))
        return false;
    count_request(p, x);
    if (p->latency && !a->err)
        sketch_note(p->latency, attempt_us(a));
    return true;
}

enum retry_verdict retry_judge(const struct retry_policy *p, struct exchange *x, uint32_t *delay_ms)
{
    const struct attempt *a = x->attempt;

    if (retry_is_well(p, x))
        return RETRY_NOT_NEEDED;
    count_request(p, x);
    enum retry_verdict v = x->rival ? RETRY_RIVAL : judge(p, x, delay_ms);
    stats_retry(a, v);
    LOG_INFO("retry.judged", "attempt failed", LOG_S("request_id", exchange_id(x)),
             LOG_S("upstream", a->upstream->name), LOG_I("attempt", a->number),
             LOG_C("verdict", retry_word(v)));
    return v;
}
