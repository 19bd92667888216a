/* SPDX-License-Identifier: Apache-2.0 */

/* demilune bench: a worker of the configuration that listens to nothing and runs the hooks of one request; the library
 * measures and prints (lua/demilune/bench.lua). */

#include <signal.h>
#include <stdio.h>

#include "app/cli.h"
#include "app/load.h"
#include "app/worker.h"
#include "base/check.h"
#include "base/metric.h"
#include "script/hooks.h"
#include "script/tool.h"

#define MESSAGE_MAX MIB

/* Gives the exit status. */
static int measure(struct worker *w, const struct cli *cli)
{
    VEC(const char *) args = {0};
    struct buf message;
    int status = CLI_FAULT;

    for (size_t i = 0; i < cli->args.n; i++)
        vec_push(&args, cli->args.items[i]);
    for (size_t i = 0; i < cli->headers.n; i++)
        vec_push(&args, cli->headers.items[i]);
    buf_init(&message, MESSAGE_MAX);
    worker_adopt(w);
    if (w->gateway.plan->host)
        hooks_start(w->gateway.plan->host);
    if (tool_run(w->vm, w->loop, "demilune.bench", "main", args.items, args.n, &status, &message) <
        0)
        fprintf(stderr, "demilune bench: %.*s\n", SLICE_ARG(buf_slice(&message)));
    if (w->gateway.plan->host)
        hooks_stop(w->gateway.plan->host);
    buf_deinit(&message);
    vec_free(&args);
    return status;
}

static int run(struct load *load, const struct cli *cli)
{
    struct worker *w = worker_new(
        &(struct worker_setup){.snapshot = load->snapshot, .needs_vm = true}, &load->faults);
    int status = w ? measure(w, cli) : load_report(&load->faults);

    if (w)
        worker_free(w);
    metric_deinit();
    return status;
}

int cli_bench(const struct cli *cli)
{
    struct load load;

    signal(SIGPIPE, SIG_IGN); /* as in run */
    int status = load_open(&load, cli->config, 1, NULL);
    if (status == CLI_FINE)
        status = run(&load, cli);
    load_close(&load);
    return status;
}
