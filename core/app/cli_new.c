/* SPDX-License-Identifier: Apache-2.0 */

/* demilune new: the library has the files and knows what a name may be; it is only asked here. */

#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/load.h"
#include "script/tool.h"

#define TEXT_MAX (64 * KIB)

static int make_plugin(struct load *load, const char *name, const char *dir)
{
    const char *args[] = {name, dir ? dir : "."};
    struct buf text;
    int status = CLI_FINE;

    buf_init(&text, TEXT_MAX);
    if (tool_ask(load->vm, "demilune.new", "check", args, 1, &text) < 0) {
        status = cli_misuse("new", "%.*s", SLICE_ARG(buf_slice(&text)));
    } else if (tool_ask(load->vm, "demilune.new", "plugin", args, COUNT_OF(args), &text) < 0) {
        fprintf(stderr, "demilune new: %.*s\n", SLICE_ARG(buf_slice(&text)));
        status = CLI_SYSTEM;
    } else {
        fwrite(buf_slice(&text).ptr, 1, buf_len(&text), stdout);
    }
    buf_deinit(&text);
    return status;
}

int cli_new(const struct cli *cli)
{
    struct load load;

    if (strcmp(cli->args.items[0], "plugin") != 0)
        return cli_misuse("new", "nothing of the kind \"%s\" can be made, only a plugin",
                          cli->args.items[0]);
    int status = load_bare(&load);
    if (status == CLI_FINE)
        status = make_plugin(&load, cli->args.items[1], cli->dir);
    load_close(&load);
    return status;
}
