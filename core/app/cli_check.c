/* SPDX-License-Identifier: Apache-2.0 */

/* demilune check: loads all that run would, and makes each plugin's instances once, as a worker does. */

#include <stdio.h>

#include "app/cli.h"
#include "app/load.h"
#include "app/worker.h"
#include "base/metric.h"

int cli_check(const struct cli *cli)
{
    struct load load;
    int status = load_open(&load, cli->config, 0);

    if (status == CLI_FINE) {
        metric_init(2, load.snapshot->metrics_max_series);
        struct worker_setup setup = {.snapshot = load.snapshot, .guard = load.guard.watch};
        struct worker *w = worker_new(&setup, &load.faults);
        status = w ? CLI_FINE : MAX(load_report(&load.faults), CLI_FAULT);
        if (w)
            worker_free(w);
        metric_deinit();
    }
    if (status == CLI_FINE)
        printf("%.*s: fine: %u routes, %u upstreams, %u places where a plugin is enabled\n",
               SLICE_ARG(load.snapshot->conf->file->name), load.snapshot->nroutes,
               load.snapshot->nupstreams, load.snapshot->nuses);
    load_close(&load);
    return status;
}
