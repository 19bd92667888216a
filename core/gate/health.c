/* SPDX-License-Identifier: Apache-2.0 */

/* Ejecting is rare, so one lock for the process makes it exact: between counting the ejected and
 * ejecting one more, no other thread can eject. The end of an ejection needs nobody: it is a
 * time that has passed, and the slow start behind it begins at that time. */

#include "gate/health.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "gate/balancer.h"
#include "gate/snapshot.h"

#define SLOW_START_LEAST 0.1

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* --- ejection --------------------------------------------------------------------------------- */

uint32_t health_count_ejected(const struct upstream *u)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < u->nendpoints; i++)
        n += endpoint_is_ejected(u->endpoints[i].live);
    return n;
}

static bool is_last_usable(const struct upstream *u, const struct endpoint_live *l)
{
    for (uint32_t i = 0; i < u->nendpoints; i++) {
        const struct endpoint *e = &u->endpoints[i];
        if (e->live != l && e->weight > 0 && endpoint_is_usable(e->live))
            return false;
    }
    return true;
}

static void eject(const struct upstream *u, const struct endpoint *e)
{
    struct endpoint_live *l = e->live;
    bool ejects;

    pthread_mutex_lock(&lock);
    ejects = !endpoint_is_ejected(l) &&
             health_count_ejected(u) + 1 <= u->passive.max_ejected * (double)u->nendpoints &&
             !is_last_usable(u, l);
    if (ejects) {
        uint64_t until = clock_ms() + u->passive.eject_for_ms;
        atomic_store(&l->ejected_until_ms, until);
        atomic_store(&l->slow_start_from_ms, until);
        atomic_store(&l->errors_in_row, 0);
        atomic_fetch_add(&l->ejections, 1);
    }
    pthread_mutex_unlock(&lock);

    if (ejects)
        LOG_WARN("upstream.ejected", "endpoint ejected after errors in a row",
                 LOG_S("upstream", u->name), LOG_S("endpoint", e->address),
                 LOG_I("errors", u->passive.consecutive_errors),
                 LOG_I("for_ms", u->passive.eject_for_ms));
}

void health_report(const struct upstream *u, const struct endpoint *e, enum attempt_outcome outcome)
{
    struct endpoint_live *l = e->live;

    if (LIKELY(outcome == OUTCOME_OK)) {
        if (UNLIKELY(atomic_load_explicit(&l->errors_in_row, memory_order_relaxed) != 0))
            atomic_store_explicit(&l->errors_in_row, 0, memory_order_relaxed);
        return;
    }
    if (endpoint_is_ejected(l))
        return; /* an attempt from before: it comes back with a clean slate */
    uint32_t errors = atomic_fetch_add_explicit(&l->errors_in_row, 1, memory_order_relaxed) + 1;
    if (u->passive.consecutive_errors > 0 && errors >= u->passive.consecutive_errors)
        eject(u, e);
}

bool health_is_fault(int err)
{
    return err != ERR_OVERLOAD && err != ERR_NO_TARGET && err != ERR_CANCELLED &&
           err != ERR_LIMIT && err != ERR_SYSTEM && err != ERR_NOMEM && err != ERR_ARG;
}

/* Whoever finds it over says so; a new ejection meanwhile has another time. */
static void end_ejection(const struct upstream *u, const struct endpoint *e)
{
    unsigned long long until = atomic_load(&e->live->ejected_until_ms);

    if (until == 0 || until > clock_ms() ||
        !atomic_compare_exchange_strong(&e->live->ejected_until_ms, &until, 0))
        return;
    LOG_INFO("upstream.returned", "endpoint is back from its ejection", LOG_S("upstream", u->name),
             LOG_S("endpoint", e->address));
}

void health_sweep(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->nupstreams; i++) {
        const struct upstream *u = s->upstreams[i];
        for (uint32_t k = 0; k < u->nendpoints; k++)
            end_ejection(u, &u->endpoints[k]);
    }
}

/* --- slow start ------------------------------------------------------------------------------- */

double health_share(const struct upstream *u, const struct endpoint *e)
{
    uint64_t from = atomic_load_explicit(&e->live->slow_start_from_ms, memory_order_relaxed);

    if (LIKELY(from == 0 || u->slow_start_ms == 0))
        return 1;
    uint64_t now = clock_ms();
    /* One that is still out may be used when all are; then it has no less than the others. */
    if (now < from || now - from >= u->slow_start_ms)
        return 1;
    return SLOW_START_LEAST +
           (1 - SLOW_START_LEAST) * (double)(now - from) / (double)u->slow_start_ms;
}

uint32_t health_weight(const struct upstream *u, const struct endpoint *e)
{
    uint32_t full = (uint32_t)e->weight * BALANCER_WEIGHT;

    if (LIKELY(u->slow_start_ms == 0))
        return full;
    return (uint32_t)(full * health_share(u, e));
}

static void begin_slow_start(const struct endpoint *e)
{
    uint64_t until = atomic_load(&e->live->ejected_until_ms);

    atomic_store(&e->live->slow_start_from_ms, MAX(clock_ms(), until));
    atomic_store(&e->live->errors_in_row, 0);
}

/* --- verdicts of the control thread ----------------------------------------------------------- */

void health_set_down(const struct upstream *u, const struct endpoint *e, bool down, const char *why)
{
    if (atomic_exchange(&e->live->is_down, down) == down)
        return;
    if (down) {
        LOG_WARN("upstream.down", "endpoint is down: its probes fail", LOG_S("upstream", u->name),
                 LOG_S("endpoint", e->address), LOG_C("why", why));
        return;
    }
    begin_slow_start(e);
    LOG_INFO("upstream.up", "endpoint is up again", LOG_S("upstream", u->name),
             LOG_S("endpoint", e->address), LOG_C("why", why));
}

void health_set_drained(const struct upstream *u, const struct endpoint *e, bool drained)
{
    if (atomic_exchange(&e->live->drained, drained) == drained)
        return;
    if (!drained)
        begin_slow_start(e);
    LOG_INFO(drained ? "upstream.drained" : "upstream.enabled",
             drained ? "endpoint gets no new requests" : "endpoint gets requests again",
             LOG_S("upstream", u->name), LOG_S("endpoint", e->address));
}

static void admit(const struct upstream *u, const struct snapshot *now, bool is_first)
{
    for (uint32_t i = 0; i < u->nendpoints; i++) {
        struct endpoint_live *l = u->endpoints[i].live;
        if (l->known_in == 0 && !is_first)
            begin_slow_start(&u->endpoints[i]);
        l->known_in = now->version;
    }
}

static void forget(struct endpoint_live *l)
{
    atomic_store(&l->drained, false);
    atomic_store(&l->is_down, false);
    atomic_store(&l->ejected_until_ms, 0);
    atomic_store(&l->slow_start_from_ms, 0);
    atomic_store(&l->errors_in_row, 0);
    atomic_store(&l->latency, 0);
    l->probe = (struct probe_news){0};
    l->known_in = 0;
}

void health_follow(const struct snapshot *now, const struct snapshot *before)
{
    for (uint32_t i = 0; i < now->nupstreams; i++)
        admit(now->upstreams[i], now, before == NULL);
    for (uint32_t i = 0; before && i < before->nupstreams; i++) {
        const struct upstream *u = before->upstreams[i];
        for (uint32_t k = 0; k < u->nendpoints; k++)
            if (u->endpoints[k].live->known_in != now->version)
                forget(u->endpoints[k].live);
    }
}

/* --- in words --------------------------------------------------------------------------------- */

enum health_state health_state(const struct upstream *u, const struct endpoint *e)
{
    if (atomic_load(&e->live->drained))
        return HEALTH_DRAINED;
    if (atomic_load(&e->live->is_down))
        return HEALTH_DOWN;
    if (endpoint_is_ejected(e->live))
        return HEALTH_EJECTED;
    return health_share(u, e) < 1 ? HEALTH_SLOW_START : HEALTH_HEALTHY;
}

const char *health_word(enum health_state s)
{
    static const char *const words[] = {
        [HEALTH_HEALTHY] = "healthy", [HEALTH_SLOW_START] = "slow_start",
        [HEALTH_EJECTED] = "ejected", [HEALTH_DOWN] = "down",
        [HEALTH_DRAINED] = "drained",
    };

    return words[s];
}
