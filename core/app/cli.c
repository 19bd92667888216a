/* SPDX-License-Identifier: Apache-2.0 */

/* Reads the command line by two tables, of options and of commands, and prints the help that they hold. Options may
 * stand before and behind arguments; `--` ends them. */

#include "app/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/slice.h"
#include "base/text.h"

#define WORKERS_MAX 1024

/* cli_commands.def four times: its texts, the options' names, the options, the commands. */
#define TEXT(id, text) static const char text_##id[] = text;
#define OPTION(...)
#define COMMAND(...)
#include "app/cli_commands.def"
#undef TEXT
#undef OPTION
#define TEXT(...)

enum option_id {
#define OPTION(id, ...) OPTION_##id,
#include "app/cli_commands.def"
#undef OPTION
    OPTION_COUNT
};

static const struct {
    char letter; /* 0: none */
    const char *name, *value, *text;
} options[OPTION_COUNT] = {
#define OPTION(id, ...) [OPTION_##id] = {__VA_ARGS__},
#include "app/cli_commands.def"
#undef OPTION
#undef COMMAND
#define OPTION(...)
};

struct command {
    const char *name, *usage, *brief;
    const char *about;                /* what else its help says, or NULL */
    int (*fn)(const struct cli *cli); /* NULL: not yet supported */
    unsigned options;
    int min_args, max_args;
    bool takes_all; /* everything behind the name is an argument */
};

#define TAKES(id) (1u << OPTION_##id)

static const struct command commands[] = {
#define COMMAND(title, ...) {.name = (title), __VA_ARGS__},
#include "app/cli_commands.def"
};

/* --- help ---------------------------------------------------------------------------------------------------------- */

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_all(FILE *out)
{
    fprintf(out, "Demilune, %s.\n\nusage: demilune COMMAND ...\n\n", text_summary);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(out, "  %-9s %s%s\n", commands[i].name, commands[i].brief,
                commands[i].fn ? "" : " (not yet supported)");
    fprintf(out, "\ndemilune COMMAND --help tells more. Exit status: %s.\n", text_status);
}

static void print_option(FILE *out, enum option_id id)
{
    char left[64];
    struct slice rest = slice_from(options[id].text), line;
    char letter[] = {'-', options[id].letter, ',', ' ', '\0'};

    snprintf(left, sizeof(left), "%s--%s %s", options[id].letter ? letter : "    ",
             options[id].name, options[id].value ? options[id].value : "");
    for (const char *begin = left; slice_split(&rest, '\n', &line); begin = "")
        fprintf(out, "  %-28s %.*s\n", begin, SLICE_ARG(line));
}

static void print_command(FILE *out, const struct command *c)
{
    fprintf(out, "usage: demilune %s%s%s\n\n%s%s\n", c->name, *c->usage ? " " : "", c->usage,
            c->brief, c->fn ? "" : " (not yet supported)");
    if (c->about)
        fprintf(out, "\n%s\n", c->about);
    if (c->takes_all)
        return;
    fputc('\n', out);
    for (enum option_id id = 0; id < OPTION_COUNT; id++)
        if ((c->options | TAKES(HELP)) & (1u << id))
            print_option(out, id);
}

int cli_misuse(const char *command, const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "demilune%s%s: ", command ? " " : "", command ? command : "");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, " (see: demilune %s%s--help)\n", command ? command : "", command ? " " : "");
    return CLI_USAGE;
}

static int unknown_command(const char *name)
{
    const char *names[COUNT_OF(commands)];

    for (size_t i = 0; i < COUNT_OF(commands); i++)
        names[i] = commands[i].name;
    const char *near = text_nearest(slice_from(name), names, COUNT_OF(names));
    return near ? cli_misuse(NULL, "unknown command \"%s\", did you mean \"%s\"?", name, near)
                : cli_misuse(NULL, "unknown command \"%s\"", name);
}

static int help(int argc, char **argv)
{
    const struct command *c = argc > 0 ? command_find(argv[0]) : NULL;

    if (argc > 0 && !c)
        return unknown_command(argv[0]);
    if (c)
        print_command(stdout, c);
    else
        print_all(stdout);
    return CLI_FINE;
}

/* --- options ------------------------------------------------------------------------------------------------------- */

/* The words that are still to be read. */
struct words {
    char **at, **end;
};

static int take_workers(const struct command *c, struct cli *cli, const char *value)
{
    uint64_t n;

    if (text_to_u64(slice_from(value), WORKERS_MAX, &n) < 0 || n == 0)
        return cli_misuse(c->name, "--workers wants a number from 1 to %d, not \"%s\"", WORKERS_MAX,
                          value);
    cli->workers = (int)n;
    return 0;
}

/* -1: the help was asked for and printed. */
static int take_option(const struct command *c, struct cli *cli, enum option_id id,
                       const char *value)
{
    switch (id) {
    case OPTION_CONFIG: cli->config = value; return 0;
    case OPTION_WORKERS: return take_workers(c, cli, value);
    case OPTION_DEV: cli->dev = true; return 0;
    case OPTION_DIR: cli->dir = value; return 0;
    case OPTION_HEADER: vec_push(&cli->headers, value); return 0;
    default: print_command(stdout, c); return -1;
    }
}

/* Which option the word is; *value is set when it holds one ("--config=x", "-cx"). OPTION_COUNT: none. */
static enum option_id option_of(const char *word, const char **value)
{
    *value = NULL;
    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        size_t len = strlen(options[id].name);
        if (word[1] != '-') {
            if (word[1] != options[id].letter)
                continue;
            *value = word[2] ? word + 2 : NULL;
            return id;
        }
        if (strncmp(word + 2, options[id].name, len) != 0 ||
            (word[2 + len] && word[2 + len] != '='))
            continue;
        *value = word[2 + len] ? word + 3 + len : NULL;
        return id;
    }
    return OPTION_COUNT;
}

static int unknown_option(const struct command *c, const char *word)
{
    struct slice rest = slice_from(word), name = SLICE("");
    const char *names[OPTION_COUNT];
    size_t n = 0;

    slice_split(&rest, '=', &name);
    for (enum option_id id = 0; id < OPTION_COUNT; id++)
        if ((c->options | TAKES(HELP)) & (1u << id))
            names[n++] = options[id].name;
    const char *near = word[1] == '-' ? text_nearest(slice_from_index(name, 2), names, n) : NULL;
    return near ? cli_misuse(c->name, "unknown option %.*s, did you mean --%s?", SLICE_ARG(name),
                             near)
                : cli_misuse(c->name, "unknown option %s", word);
}

static int read_option(const struct command *c, struct cli *cli, struct words *words)
{
    const char *word = *words->at++, *value;
    enum option_id id = option_of(word, &value);

    if (id == OPTION_COUNT || !((c->options | TAKES(HELP)) & (1u << id)))
        return unknown_option(c, word);
    if (!options[id].value && value)
        return cli_misuse(c->name, "--%s takes no value", options[id].name);
    if (options[id].value && !value) {
        if (words->at == words->end)
            return cli_misuse(c->name, "--%s wants a value: %s", options[id].name,
                              options[id].value);
        value = *words->at++;
    }
    return take_option(c, cli, id, value);
}

static int read_words(const struct command *c, struct cli *cli, struct words words)
{
    bool only_args = c->takes_all;
    int rc = 0;

    while (rc == 0 && words.at < words.end) {
        const char *word = *words.at;
        if (only_args || word[0] != '-' || word[1] == '\0') {
            vec_push(&cli->args, word);
            words.at++;
        } else if (strcmp(word, "--") == 0) {
            only_args = true;
            words.at++;
        } else {
            rc = read_option(c, cli, &words);
        }
    }
    if (rc != 0 || c->takes_all)
        return rc;
    if (cli->args.n < (size_t)c->min_args)
        return cli_misuse(c->name, "something is missing; usage: demilune %s %s", c->name,
                          c->usage);
    if (cli->args.n > (size_t)c->max_args)
        return cli_misuse(c->name, "unexpected \"%s\"", cli->args.items[c->max_args]);
    return 0;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int run_command(const struct command *c, int argc, char **argv)
{
    struct cli cli = {.argv = argv};
    struct words words = {argv + 2, argv + argc};

    if (c->takes_all && argc > 2 && is_help(argv[2])) {
        print_command(stdout, c);
        fflush(stdout);
        words.end = words.at + 1; /* the rest of the help is busted's */
    }
    if (!c->fn)
        return cli_misuse(c->name, "not yet supported");
    int rc = read_words(c, &cli, words);
    if (rc == 0)
        rc = c->fn(&cli);
    vec_free(&cli.headers);
    vec_free(&cli.args);
    return MAX(rc, 0);
}

int cli_main(int argc, char **argv)
{
    if (argc < 2) {
        print_all(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || is_help(argv[1]))
        return help(argc - 2, argv + 2);
    if (strcmp(argv[1], "--version") == 0)
        return cli_version(NULL);
    log_configure(LOG_WARN, LOG_TEXT); /* run has its own settings */
    const struct command *c = command_find(argv[1]);
    return c ? run_command(c, argc, argv) : unknown_command(argv[1]);
}
