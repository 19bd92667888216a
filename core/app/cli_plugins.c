/* SPDX-License-Identifier: Apache-2.0 */

/* demilune plugins: what can be enabled. The library knows it all; it is only asked here. */

#include <stdio.h>

#include "app/cli.h"
#include "app/load.h"
#include "script/tool.h"

#define TEXT_MAX (16 * MIB)

int cli_plugins(const struct cli *cli)
{
    struct load load;
    struct buf text;
    const char *function = cli->args.n ? "describe" : "list";
    int status = load_library(&load, cli->config);

    buf_init(&text, TEXT_MAX);
    if (status == CLI_FINE &&
        tool_ask(load.vm, "demilune.catalog", function, cli->args.items, cli->args.n, &text) < 0) {
        fprintf(stderr, "demilune plugins: %.*s\n", SLICE_ARG(buf_slice(&text)));
        status = CLI_FAULT;
    }
    if (status == CLI_FINE)
        fwrite(buf_slice(&text).ptr, 1, buf_len(&text), stdout);
    buf_deinit(&text);
    load_close(&load);
    return status;
}
