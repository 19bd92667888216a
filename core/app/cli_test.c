/* SPDX-License-Identifier: Apache-2.0 */

/* demilune test: busted inside the runtime. A worker with no listeners and an empty configuration runs it in its loop, so
 * that specs may wait for whatever hooks may wait for. With --watch it is but the one who starts such processes. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/library.h"
#include "app/load.h"
#include "app/watchdog.h"
#include "app/worker.h"
#include "base/metric.h"
#include "script/tool.h"
#include "script/vm.h"

#define MESSAGE_MAX MIB

static struct snapshot *empty_snapshot(struct faults *faults)
{
    struct snapshot_source source = {
        .text = SLICE("workers: 1\n"), .name = "(none)", .dir = ".", .workers = 1};

    return snapshot_load(&source, faults);
}

static bool is_watching(const struct cli *cli)
{
    for (size_t i = 0; i < cli->args.n; i++)
        if (strcmp(cli->args.items[i], "--watch") == 0)
            return true;
    return false;
}

/* A hang that can't be stopped is left to whoever waits for the specs. */
static int run_specs(struct worker *w, const struct cli *cli, struct watchdog *watchdog)
{
    const char *module = is_watching(cli) ? "demilune.test.watch" : "demilune.test.run";
    struct buf message;
    int status = CLI_FAULT;

    w->vm->guest_watch = watchdog_watch(watchdog, 1);
    buf_init(&message, MESSAGE_MAX);
    if (tool_run(w->vm, w->loop, module, "main", cli->args.items, cli->args.n, &status, &message) <
        0)
        fprintf(stderr, "demilune test: %.*s\n", SLICE_ARG(buf_slice(&message)));
    buf_deinit(&message);
    watchdog_unwatch(watchdog, w->vm->guest_watch);
    return status == 0 ? CLI_FINE : CLI_FAULT;
}

int cli_test(const struct cli *cli)
{
    signal(SIGPIPE, SIG_IGN); /* as in run */
    struct arena *a = arena_new_heap(16 * KIB);
    struct faults faults;
    faults_init(&faults, a);
    struct snapshot *snapshot = empty_snapshot(&faults);
    REQUIRE(snapshot != NULL);
    metric_init(2, snapshot->metrics_max_series);
    struct worker *w =
        worker_new(&(struct worker_setup){.snapshot = snapshot, .needs_vm = true}, &faults);
    int status = CLI_SYSTEM;
    if (w) {
        struct watchdog *watchdog = watchdog_new(snapshot->script_time_budget_ms, 0);
        worker_adopt(w);
        status = run_specs(w, cli, watchdog);
        worker_free(w);
        watchdog_free(watchdog);
    }
    snapshot_unref(snapshot);
    metric_deinit();
    faults_deinit(&faults);
    arena_free(a);
    return status;
}
