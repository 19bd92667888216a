/* SPDX-License-Identifier: Apache-2.0 */

/* demilune run: from the file to the control thread. */

#include "app/cli.h"
#include "app/control.h"
#include "app/load.h"

int cli_run(const struct cli *cli)
{
    struct load load;

    if (cli->dev)
        return cli_misuse("run", "--dev is not yet supported");
    int status = load_open(&load, cli->config, cli->workers);
    struct snapshot *snapshot = status == CLI_FINE ? snapshot_ref(load.snapshot) : NULL;
    load_close(&load);
    return snapshot ? control_run(snapshot, load_file(cli->config), cli->workers) : status;
}
