/* SPDX-License-Identifier: Apache-2.0 */

/* demilune schema: the table of keys as JSON Schema, with what each plugin that is installed says of its configuration
 * and of consumers' credentials put in. */

#include <stdio.h>

#include "app/cli.h"
#include "app/load.h"
#include "base/err.h"
#include "gate/conf_keys.h"
#include "script/tool.h"

#define SCHEMA_MAX (64 * MIB)

static int print_schema(const struct conf_schema_parts *parts)
{
    struct json_writer w;
    struct buf out;

    buf_init(&out, SCHEMA_MAX);
    json_writer_init(&w, &out, 2);
    conf_keys_schema(&w, parts);
    int err = json_writer_end(&w);
    if (err < 0)
        fprintf(stderr, "demilune schema: the schema can't be written: %s\n", err_word(err));
    else
        printf("%.*s\n", SLICE_ARG(buf_slice(&out)));
    buf_deinit(&out);
    return err < 0 ? CLI_SYSTEM : CLI_FINE;
}

/* What plugins add, by the catalog's function of that name. */
static bool ask(struct load *load, const char *part, struct buf *out)
{
    if (tool_ask(load->vm, "demilune.catalog", part, NULL, 0, out) == 0)
        return true;
    fprintf(stderr, "demilune schema: %.*s\n", SLICE_ARG(buf_slice(out)));
    return false;
}

int cli_schema(const struct cli *cli)
{
    struct load load;
    struct buf plugin, credentials;
    int status = load_library(&load, cli->config);

    buf_init(&plugin, SCHEMA_MAX);
    buf_init(&credentials, SCHEMA_MAX);
    if (status == CLI_FINE &&
        !(ask(&load, "plugin_schema", &plugin) && ask(&load, "credentials_schema", &credentials)))
        status = CLI_FAULT;
    if (status == CLI_FINE)
        status = print_schema(&(struct conf_schema_parts){.plugin = buf_slice(&plugin),
                                                          .credentials = buf_slice(&credentials)});
    buf_deinit(&plugin);
    buf_deinit(&credentials);
    load_close(&load);
    return status;
}
