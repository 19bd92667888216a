/* SPDX-License-Identifier: Apache-2.0 */

/* A watchdog of its own, for as long as something is built: that of the workers ends a process whose loop stands still,
 * and a loop that builds does. */

#include "app/build_guard.h"

#include "app/watchdog.h"
#include "base/base.h"
#include "gate/snapshot.h"

#define BUDGET_FACTOR 10
#define BUDGET_MIN_MS 2000

void build_guard_start(struct build_guard *g, const struct snapshot *snapshot)
{
    uint32_t ms = snapshot ? MIN(snapshot->script_time_budget_ms, UINT32_MAX / BUDGET_FACTOR) : 0;

    g->watchdog = watchdog_new(MAX(ms * BUDGET_FACTOR, (uint32_t)BUDGET_MIN_MS), 0);
    g->watch = watchdog_watch(g->watchdog, 0);
}

void build_guard_stop(struct build_guard *g)
{
    if (g->watchdog)
        watchdog_free(g->watchdog);
    *g = (struct build_guard){0};
}
