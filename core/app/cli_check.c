/* SPDX-License-Identifier: Apache-2.0 */

/* demilune check: loads all that run would, and makes each plugin's instances once, as a worker does. */

#include <stdio.h>

#include "app/cli.h"
#include "app/load.h"
#include "app/worker.h"

static const char *plural(uint32_t n)
{
    return n == 1 ? "" : "s";
}

static void print_fine(const struct snapshot *s)
{
    printf("%.*s: fine: %u route%s, %u upstream%s, %u place%s where a plugin is enabled\n",
           SLICE_ARG(s->conf->file->name), s->nroutes, plural(s->nroutes), s->nupstreams,
           plural(s->nupstreams), s->nuses, plural(s->nuses));
}

int cli_check(const struct cli *cli)
{
    struct load load;
    int status = load_open(&load, cli->config, 0);

    if (status == CLI_FINE) {
        struct worker_setup setup = {.snapshot = load.snapshot, .guard = load.guard.watch};
        struct worker *w = worker_new(&setup, &load.faults);
        status = w ? CLI_FINE : MAX(load_report(&load.faults), CLI_FAULT);
        if (w)
            worker_free(w);
    }
    if (status == CLI_FINE)
        print_fine(load.snapshot);
    load_close(&load);
    return status;
}
