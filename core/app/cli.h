/* SPDX-License-Identifier: Apache-2.0 */

/* The command line: demilune COMMAND [OPTIONS] [ARGUMENTS]. One table says which commands there are, which options
 * each takes and what its help says (cli.c); each command has a file of its own, cli_NAME.c. */

#ifndef DML_APP_CLI_H
#define DML_APP_CLI_H

#include "base/base.h"
#include "base/vec.h"

/* What the program ends with. */
enum { CLI_FINE = 0, CLI_FAULT = 1, CLI_USAGE = 2, CLI_SYSTEM = 3 };

/* A command line that has been understood. Borrows argv. */
struct cli {
    char **argv;               /* as the program got it */
    const char *config;        /* -c, or NULL: the default files */
    const char *dir;           /* --dir, or NULL */
    int workers;               /* --workers, or 0 */
    bool dev;                  /* --dev */
    VEC(const char *) headers; /* -H, each "name: value" */
    VEC(const char *) args;    /* what is no option */
};

/* Runs the command that argv names. Returns the exit status. */
int cli_main(int argc, char **argv);

/* The commands. Each prints for a person and returns the exit status. */
int cli_run(const struct cli *cli);
int cli_check(const struct cli *cli);
int cli_routes(const struct cli *cli);
int cli_match(const struct cli *cli);
int cli_plugins(const struct cli *cli);
int cli_schema(const struct cli *cli);
int cli_health(const struct cli *cli);
int cli_new(const struct cli *cli);
int cli_bench(const struct cli *cli);
int cli_test(const struct cli *cli);
int cli_version(const struct cli *cli);

/* Says on standard error what is wrong with the usage of a command, and where its help is; returns CLI_USAGE. */
int cli_misuse(const char *command, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
