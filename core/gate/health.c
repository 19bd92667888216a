/* SPDX-License-Identifier: Apache-2.0 */

/* Ejecting is rare, so one lock for the process makes it exact: between counting the ejected and
 * ejecting one more, no other thread can eject. The end of an ejection needs nobody: it is a
 * time that has passed. */

#include "gate/health.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_ejected(const struct target *t)
{
    return atomic_load_explicit(&t->ejected_until_ms, memory_order_relaxed) > clock_ms();
}

uint32_t health_count_ejected(const struct upstream *u)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < u->nendpoints; i++)
        n += is_ejected(u->endpoints[i].target);
    return n;
}

static void eject(const struct upstream *u, struct target *t)
{
    bool ejects;

    pthread_mutex_lock(&lock);
    ejects = !is_ejected(t) &&
             health_count_ejected(u) + 1 <= u->passive.max_ejected * (double)u->nendpoints;
    if (ejects) {
        atomic_store(&t->ejected_until_ms, clock_ms() + u->passive.eject_for_ms);
        atomic_store(&t->errors_in_row, 0);
    }
    pthread_mutex_unlock(&lock);

    if (ejects)
        LOG_WARN("upstream.ejected", "endpoint ejected after errors in a row",
                 LOG_S("upstream", u->name), LOG_S("endpoint", t->identity),
                 LOG_I("errors", u->passive.consecutive_errors),
                 LOG_I("for_ms", u->passive.eject_for_ms));
}

void health_report(const struct upstream *u, struct target *t, enum attempt_outcome outcome)
{
    if (LIKELY(outcome == OUTCOME_OK)) {
        if (UNLIKELY(atomic_load_explicit(&t->errors_in_row, memory_order_relaxed) != 0))
            atomic_store_explicit(&t->errors_in_row, 0, memory_order_relaxed);
        return;
    }
    if (is_ejected(t))
        return; /* an attempt from before: it comes back with a clean slate */
    uint32_t errors = atomic_fetch_add_explicit(&t->errors_in_row, 1, memory_order_relaxed) + 1;
    if (u->passive.consecutive_errors > 0 && errors >= u->passive.consecutive_errors)
        eject(u, t);
}
