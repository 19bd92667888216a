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

enum option_id {
    OPTION_CONFIG,
    OPTION_WORKERS,
    OPTION_DEV,
    OPTION_HEADER,
    OPTION_DIR,
    OPTION_HELP,
    OPTION_COUNT
};

static const struct {
    char letter; /* 0: none */
    const char *name, *value, *text;
} options[OPTION_COUNT] = {
    [OPTION_CONFIG] = {'c', "config", "FILE",
                       "the configuration; otherwise demilune.yaml here, then\n"
                       "/etc/demilune/demilune.yaml"},
    [OPTION_WORKERS] = {0, "workers", "N", "threads that carry traffic, whatever the file says"},
    [OPTION_DEV] = {0, "dev", NULL,
                    "explain misuse of the plugin interface and take edited\n"
                    "plugins at the next request"},
    [OPTION_HEADER] = {'H', "header", "'NAME: VALUE'", "a header of the request; may be repeated"},
    [OPTION_DIR] = {0, "dir", "DIR", "where its folder is made; otherwise here"},
    [OPTION_HELP] = {'h', "help", NULL, "this text"},
};

#define OPTION(id) (1u << OPTION_##id)

struct command {
    const char *name, *usage, *brief;
    const char *about;                /* what else its help says, or NULL */
    int (*fn)(const struct cli *cli); /* NULL: not yet supported */
    unsigned options;
    int min_args, max_args;
    bool takes_all; /* everything behind the name is an argument */
};

static const struct command commands[] = {
    {.name = "run",
     .usage = "[-c FILE] [--workers N] [--dev]",
     .brief = "run the gateway in the foreground",
     .about =
         "Logs go to standard error. Signals: SIGTERM drains and ends (a second one ends at once),\n"
         "SIGINT ends at once, SIGHUP takes the configuration as it is now (a faulty one changes\n"
         "nothing), SIGUSR1 reopens log files, SIGUSR2 goes over to the program that now stands at the\n"
         "same path, without a connection refused or reset.\n"
         "The process that is started supervises: the gateway is its child, and after a crash it is\n"
         "started again with the same sockets.",
     .fn = cli_run,
     .options = OPTION(CONFIG) | OPTION(WORKERS) | OPTION(DEV)},
    {.name = "check",
     .usage = "[-c FILE]",
     .brief = "check all that run would load, and print every fault",
     .about =
         "A fault is one line, then the place in the file:\n\n"
         "  demilune.yaml:14:9: routes[2].plugins[0].config.limt: unknown key, did you mean \"limit\"?\n\n"
         "Plugins are loaded, certificates and secrets are read; nothing is listened on or connected to.\n"
         "With a fault it ends with 1, with 3 when all of them are files that can't be read; a warning\n"
         "is none.",
     .fn = cli_check,
     .options = OPTION(CONFIG)},
    {.name = "routes",
     .usage = "[-c FILE]",
     .brief = "the routing table, in the order in which routes are tried",
     .about = "The more exact comes first, whatever the order in the file. A dash: any, or none.",
     .fn = cli_routes,
     .options = OPTION(CONFIG)},
    {.name = "match",
     .usage = "[-c FILE] METHOD URL [-H 'NAME: VALUE']...",
     .brief = "which route takes this request, why others do not, which plugins run",
     .about =
         "URL is http://host/path or only /path?query; the host may also come by -H 'Host: ...'.\n"
         "Ends with 1 when no route takes the request.",
     .fn = cli_match,
     .options = OPTION(CONFIG) | OPTION(HEADER),
     .min_args = 2,
     .max_args = 2},
    {.name = "plugins",
     .usage = "[-c FILE] [NAME]",
     .brief = "the plugins that can be enabled; with NAME its hooks, options and README",
     .about =
         "Those of FILE's plugin_path (there need not be a FILE), of LuaRocks, and the shipped ones.",
     .fn = cli_plugins,
     .options = OPTION(CONFIG),
     .max_args = 1},
    {.name = "schema",
     .usage = "[-c FILE]",
     .brief = "a JSON Schema of the configuration with all plugins, for editors",
     .about =
         "Editors with a YAML language server complete and check a configuration that begins with\n\n"
         "  # yaml-language-server: $schema=demilune.schema.json\n\n"
         "when the schema is there: demilune schema >demilune.schema.json. The plugins in it are those\n"
         "of FILE's plugin_path (there need not be a FILE), of LuaRocks, and the shipped ones.",
     .fn = cli_schema,
     .options = OPTION(CONFIG)},
    {.name = "new",
     .usage = "plugin NAME [--dir DIR]",
     .brief = "a plugin to begin with",
     .about =
         "Makes the folder DIR/NAME with a plugin that works: code, schema, README, spec and rockspec.\n"
         "`demilune test .` passes there at once. What exists is never touched. Ends with 3 when the\n"
         "folder can't be made.",
     .fn = cli_new,
     .options = OPTION(DIR),
     .min_args = 2,
     .max_args = 2},
    {.name = "test",
     .usage = "[--watch] [BUSTED ARGUMENTS]",
     .brief = "run specs by busted inside the runtime",
     .about =
         "LuaJIT, the event loop and every demilune module are there, and specs may do I/O.\n"
         "--watch runs again what a change concerns, until Ctrl-C. All other arguments are busted's;\n"
         "demilune test --help lists them.",
     .fn = cli_test,
     .takes_all = true},
    {.name = "bench",
     .usage = "[-c FILE] METHOD URL [-H 'NAME: VALUE']...",
     .brief = "what one request costs, by phase and plugin",
     .about =
         "Runs the hooks of this request some 2,000 times in this process and tells the median CPU time,\n"
         "how long they waited, and the memory that they made garbage of. Nothing is sent upstream: an\n"
         "answer 200 stands for it. What plugins call by themselves (Redis, a service) is really called.\n"
         "What the gateway does around them is not in it, nor what plugins log beyond ten lines.\n"
         "Ends with 1 when no route takes the request.",
     .fn = cli_bench,
     .options = OPTION(CONFIG) | OPTION(HEADER),
     .min_args = 2,
     .max_args = 2},
    {.name = "health",
     .usage = "[-c FILE]",
     .brief = "ends with 0 when the gateway of this configuration is ready",
     .about =
         "Asks the admin address, so the configuration must have one. For health checks of containers.",
     .fn = cli_health,
     .options = OPTION(CONFIG)},
    {.name = "version",
     .usage = "",
     .brief = "the version of this program and of its libraries",
     .fn = cli_version},
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
    fprintf(out,
            "Demilune, an API gateway with plugins in Lua.\n\nusage: demilune COMMAND ...\n\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(out, "  %-9s %s%s\n", commands[i].name, commands[i].brief,
                commands[i].fn ? "" : " (not yet supported)");
    fprintf(
        out,
        "\ndemilune COMMAND --help tells more. Exit status: 0 fine, 1 the configuration or a test is at\n"
        "fault, 2 wrong usage, 3 the system refused.\n");
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
        if ((c->options | OPTION(HELP)) & (1u << id))
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
        if ((c->options | OPTION(HELP)) & (1u << id))
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

    if (id == OPTION_COUNT || !((c->options | OPTION(HELP)) & (1u << id)))
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
