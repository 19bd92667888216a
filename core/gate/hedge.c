/* SPDX-License-Identifier: Apache-2.0 */

/* Two attempts of one exchange. Hooks never overlap, so whose head comes while hooks of the other wait is put off; all else is a
 * matter of which of the two the exchange looks at. The list of attempts begins with that one, whatever its number. */

#include "gate/hedge.h"

#include "base/clock.h"
#include "gate/exchange_steps.h"
#include "gate/flow.h"
#include "side/budget.h"

/* Within the route's time; UINT64_MAX: for that alone. */
static void set_timer(struct exchange *x, uint64_t ms)
{
    uint64_t left = exchange_time_left_ms(x);

    if (MIN(ms, left) == UINT64_MAX)
        timer_stop(&x->slot->timer);
    else
        timer_set(&x->slot->timer, MIN(ms, left));
}

static void disarm(struct exchange *x)
{
    if (LIKELY(!x->hedge_at_us))
        return;
    x->hedge_at_us = 0;
    set_timer(x, UINT64_MAX);
}

void hedge_arm(struct attempt *a)
{
    struct exchange *x = a->exchange;
    uint64_t now = clock_us();

    if (LIKELY(!a->hedge) || x->rival || x->attempt != a)
        return;
    x->hedge_at_us = MAX(a->start_us + a->hedge->after_us, now + 1);
    set_timer(x, (x->hedge_at_us - now) / 1000 + 1);
}

static bool may_begin(const struct exchange *x)
{
    const struct attempt *a = x->attempt;

    return a && a->state == ATTEMPT_WAIT && a->hedge && !x->rival && !x->hook_waits &&
           flow_is_complete(x) && budget_take(a->hedge->budget, a->hedge->share, a->hedge->least);
}

bool hedge_on_timer(struct exchange *x)
{
    uint64_t now = clock_us();

    if (LIKELY(!x->hedge_at_us) || exchange_time_left_ms(x) == 0)
        return false;
    if (now < x->hedge_at_us) {
        set_timer(x, (x->hedge_at_us - now) / 1000 + 1);
        return true;
    }
    disarm(x);
    if (may_begin(x)) {
        x->rival = x->attempt;
        attempt_start(x);
    }
    return true;
}

/* To the head of the list. */
static void look_at(struct exchange *x, struct attempt *a)
{
    struct attempt **link = &x->attempt;

    while (*link != a)
        link = &(*link)->previous;
    *link = a->previous;
    a->previous = x->attempt;
    x->attempt = a;
}

bool hedge_takes_turn(struct attempt *a)
{
    struct exchange *x = a->exchange;

    disarm(x);
    if (LIKELY(a == x->attempt))
        return true;
    if (x->hook_waits) {
        a->is_ready = true;
        return false;
    }
    x->rival = x->attempt;
    look_at(x, a);
    return true;
}

void hedge_leave_to_rival(struct exchange *x)
{
    struct attempt *rival = x->rival;

    x->rival = NULL;
    look_at(x, rival);
    if (rival->is_ready) {
        rival->is_ready = false;
        attempt_ready(rival);
    }
}
