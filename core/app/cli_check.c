/* SPDX-License-Identifier: Apache-2.0 */

/* demilune check: loads all that run would, each plugin's instances too, and leaves it at that. */

#include <stdio.h>

#include "app/cli.h"
#include "app/load.h"
#include "gate/snapshot.h"

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
    int status = load_open(&load, cli->config, 0, NULL);

    if (status == CLI_FINE)
        print_fine(load.snapshot);
    load_close(&load);
    return status;
}
