/* SPDX-License-Identifier: Apache-2.0 */

/* demilune schema: the table of keys as JSON Schema, with the schema of each plugin that is installed put in. */

#include <stdio.h>

#include "app/cli.h"
#include "app/load.h"
#include "base/err.h"
#include "gate/conf_keys.h"
#include "script/tool.h"

#define SCHEMA_MAX (64 * MIB)

/* conf_keys_schema's callback: what stands for the definition of `plugin`. */
static void put_plugins(struct json_writer *w, void *arg)
{
    json_raw(w, *(struct slice *)arg);
}

static int print_schema(struct slice plugins)
{
    struct json_writer w;
    struct buf out;

    buf_init(&out, SCHEMA_MAX);
    json_writer_init(&w, &out, 2);
    conf_keys_schema(&w, put_plugins, &plugins);
    int err = json_writer_end(&w);
    if (err < 0)
        fprintf(stderr, "demilune schema: the schema can't be written: %s\n", err_word(err));
    else
        printf("%.*s\n", SLICE_ARG(buf_slice(&out)));
    buf_deinit(&out);
    return err < 0 ? CLI_SYSTEM : CLI_FINE;
}

int cli_schema(const struct cli *cli)
{
    struct load load;
    struct buf plugins;
    int status = load_library(&load, cli->config);

    buf_init(&plugins, SCHEMA_MAX);
    if (status == CLI_FINE &&
        tool_ask(load.vm, "demilune.catalog", "schema", NULL, 0, &plugins) < 0) {
        fprintf(stderr, "demilune schema: %.*s\n", SLICE_ARG(buf_slice(&plugins)));
        status = CLI_FAULT;
    }
    if (status == CLI_FINE)
        status = print_schema(buf_slice(&plugins));
    buf_deinit(&plugins);
    load_close(&load);
    return status;
}
