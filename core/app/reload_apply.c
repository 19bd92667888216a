/* SPDX-License-Identifier: Apache-2.0 */

/* All that may fail comes first: the addresses. After that nothing does. */

#include "app/reload_apply.h"

#include <stdlib.h>

#include "app/admin.h"
#include "app/builder.h"
#include "app/closer.h"
#include "app/control.h"
#include "app/listening.h"
#include "app/plugin_metrics.h"
#include "app/sockets.h"
#include "app/stragglers.h"
#include "app/upstream_metrics.h"
#include "app/watchdog.h"
#include "app/worker.h"
#include "base/metric.h"
#include "gate/probe.h"
#include "gate/snapshot.h"
#include "gate/spilling.h"
#include "side/store.h"

static void give_parts(struct control *c, struct building *b, struct listening *l)
{
    for (int n = 0; n < c->nworkers; n++) {
        struct worker_swap *swap = worker_swap_new(l->nlisteners);
        int *fds = listening_fds(l, n);
        for (uint32_t i = 0; i < l->nlisteners; i++) {
            swap->fds[i] = fds[i];
            swap->old[i] = l->old[i];
            fds[i] = -1;
        }
        swap->plan = b->parts[n].plan;
        swap->vm = b->parts[n].vm;
        b->parts[n].plan = NULL;
        worker_swap(c->workers[n], swap);
    }
}

static void unref_snapshot(void *snapshot)
{
    snapshot_unref(snapshot);
}

/* A store that gets smaller loses what is too much, which takes its time. */
static void size_stores(void *snapshot)
{
    const struct snapshot *s = snapshot;

    for (uint32_t i = 0; i < s->nstores; i++)
        stores_make(s->stores[i].name, s->stores[i].bytes);
    snapshot_unref(snapshot);
}

static void settle(struct control *c, struct snapshot *now)
{
    struct snapshot *before = c->snapshot;

    upstream_metrics_hide(before);
    upstream_metrics_show(now);
    plugin_metrics_follow(c->plugin_metrics);
    log_configure(now->log_level, now->log_format);
    metric_set_max_series(now->metrics_max_series);
    watchdog_set(c->watchdog, now->script_time_budget_ms, now->script_hang_timeout_ms);
    control_limit_connections(c, now->connections);
    probes_follow(c->probes, now);
    spilling_follow(c->spilling, now);
    closer_give(c->closer, size_stores, snapshot_ref(now));
    c->snapshot = snapshot_ref(now);
    closer_give(c->closer, unref_snapshot, before);
}

/* What only a restart can change. */
static void warn_of_rest(const struct control *c, struct building *b)
{
    const struct snapshot *now = b->load.snapshot;
    const struct conf *workers = conf_get(now->conf, SLICE("workers"));

    if (now->workers != c->nworkers)
        warn_at(&b->load.faults, workers ? workers : now->conf, SLICE("workers"),
                "%d threads carry traffic until the next restart, not %d", c->nworkers,
                now->workers);
    spilling_warn(c->spilling, now, &b->load.faults);
}

/* Whom the stragglers' sockets still bring comes to the old listeners, until the workers have swapped. */
static void keep_sockets(struct control *c)
{
    stragglers_end(c->stragglers);
    stragglers_free(c->stragglers);
    sockets_keep(c->sockets);
    c->stragglers = stragglers_start(c);
}

/* A file that was read while it was empty is more likely than somebody who wants that. */
static bool is_cut_off(const struct control *c, struct building *b)
{
    const struct snapshot *now = b->load.snapshot;

    if (now->nlisteners > 0 || c->snapshot->nlisteners == 0)
        return false;
    fault_at(&b->load.faults, now->conf, SLICE("listeners"),
             "there are none, and nobody could connect any more");
    return true;
}

bool reload_apply(struct control *c, struct building *b)
{
    struct snapshot *now = b->load.snapshot;
    struct faults *faults = &b->load.faults;
    struct listening l;
    int admin_fd = -1;

    if (is_cut_off(c, b))
        return false;
    sockets_begin(c->sockets);
    bool is_open = listening_open(&l, c->sockets, c->nworkers, now, c->snapshot, faults) &&
                   admin_open(c, now, &admin_fd, faults);
    if (is_open && !c->spilling) {
        c->spilling = spilling_start(now, faults);
        is_open = c->spilling || !now->spill_dir.ptr;
    }
    if (is_open) {
        warn_of_rest(c, b);
        keep_sockets(c);
        settle(c, now);
        c->admin = admin_change(c->admin, c, admin_fd);
        free(c->listening);
        c->listening = listening_take_text(&l);
        give_parts(c, b, &l);
    } else {
        sockets_undo(c->sockets);
    }
    listening_deinit(&l);
    return is_open;
}
