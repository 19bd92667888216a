/* SPDX-License-Identifier: Apache-2.0 */

/* demilune run: the supervisor; and in the process that it starts, from the file to the control thread. */

#include "app/cli.h"
#include "app/control.h"
#include "app/lifeline.h"
#include "app/load.h"
#include "app/note.h"
#include "app/supervisor.h"
#include "app/worker.h"

static int run_gateway(const struct cli *cli, int fd)
{
    struct lifeline *lifeline = lifeline_open(fd);
    struct load load;

    if (!lifeline)
        return CLI_SYSTEM;
    const struct note_welcome *past = lifeline_welcome(lifeline);
    bool is_first = past->restarts == 0 && past->handovers == 0;
    struct worker *first = worker_room();
    int status =
        (is_first ? load_open : load_again)(&load, cli->config, cli->workers, &first->gateway);
    struct snapshot *snapshot = status == CLI_FINE ? snapshot_ref(load.snapshot) : NULL;
    if (snapshot)
        first->vm = load_take_vm(&load);
    load_close(&load);
    if (snapshot)
        status = control_run(snapshot, first, lifeline, cli);
    else
        worker_free(first);
    lifeline_close(lifeline);
    return status;
}

int cli_run(const struct cli *cli)
{
    int fd = lifeline_inherited();

    if (cli->dev)
        return cli_misuse("run", "--dev is not yet supported");
    return fd < 0 ? supervisor_run(cli->argv) : run_gateway(cli, fd);
}
