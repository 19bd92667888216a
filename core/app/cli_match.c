/* SPDX-License-Identifier: Apache-2.0 */

/* demilune match: asks the router as an exchange would, and says what it was told. */

#include <stdio.h>
#include <stdlib.h>

#include "app/cli.h"
#include "app/cli_table.h"
#include "app/describe.h"
#include "app/load.h"
#include "base/err.h"
#include "base/text.h"
#include "http/uri.h"

/* Most routes that are shown with the reason why they were not taken. */
#define MISSES_SHOWN 20

struct question {
    struct message request;
    struct slice host, path;
};

/* --- the request --------------------------------------------------------------------------------------------------- */

static int read_header(struct question *q, const char *text)
{
    struct slice s = slice_from(text);
    ssize_t colon = slice_find_char(s, ':');

    if (colon <= 0 || !text_is_token(slice_sub(s, 0, (size_t)colon)))
        return cli_misuse("match", "-H wants 'NAME: VALUE', not \"%s\"", text);
    struct slice name = slice_sub(s, 0, (size_t)colon);
    struct slice value = slice_trim(slice_from_index(s, (size_t)colon + 1));
    if (slice_eq_nocase(name, SLICE("host")))
        q->request.authority = value;
    else
        headers_add(&q->request.headers, name, value);
    return 0;
}

static int read_url(struct question *q, const char *text, struct arena *a)
{
    struct uri uri;

    if (uri_parse_target(slice_from(text), &uri) < 0)
        return cli_misuse("match", "\"%s\" is no URL: wanted is http://host/path or /path", text);
    q->request.scheme = uri.scheme.ptr ? uri.scheme : SLICE("http");
    if (uri.authority.ptr)
        q->request.authority = uri.authority;
    q->request.path = uri.path;
    q->request.query = uri.query;
    if (slice_eq(uri.path, SLICE("*")))
        q->path = uri.path;
    else if (uri_normalise_path(uri.path, a, &q->path) < 0)
        return cli_misuse(
            "match", "the path has an invalid escape, or climbs above /: a request like that is "
                     "answered with 400");
    return 0;
}

static int read_question(struct question *q, const struct cli *cli, struct arena *a)
{
    uint16_t port;

    *q = (struct question){.request = {.version = HTTP_11}};
    headers_init(&q->request.headers, a, 16);
    q->request.method = method_parse(slice_from(cli->args.items[0]));
    if (q->request.method == METHOD_UNKNOWN || q->request.method == METHOD_CONNECT ||
        q->request.method == METHOD_TRACE)
        return cli_misuse("match", "no route may have the method \"%s\": it is answered with 501",
                          cli->args.items[0]);
    for (size_t i = 0; i < cli->headers.n; i++)
        if (read_header(q, cli->headers.items[i]) != 0)
            return CLI_USAGE;
    if (read_url(q, cli->args.items[1], a) != 0)
        return CLI_USAGE;
    if (q->request.authority.len && uri_parse_host(q->request.authority, a, &q->host, &port) < 0)
        return cli_misuse("match", "\"%.*s\" is no host", SLICE_ARG(q->request.authority));
    return 0;
}

/* --- the answer ---------------------------------------------------------------------------------------------------- */

static void line(const char *what, struct slice value)
{
    if (value.len)
        printf("  %-10s %.*s\n", what, SLICE_ARG(value));
}

static struct slice params_of(const struct route_match *m, struct arena *a)
{
    struct slice list = SLICE("");

    for (uint32_t i = 0; i < m->nparams; i++)
        list = arena_printf(a, "%.*s%s%.*s = %.*s", SLICE_ARG(list), i ? ", " : "",
                            SLICE_ARG(m->path->params[i]), SLICE_ARG(m->params[i]));
    return list;
}

static struct slice endpoints_of(const struct upstream *u, struct arena *a)
{
    struct slice list = SLICE("");

    for (uint32_t i = 0; i < u->nendpoints; i++)
        list = arena_printf(a, "%.*s%s%.*s", SLICE_ARG(list), i ? ", " : "",
                            SLICE_ARG(u->endpoints[i].address));
    return list;
}

static void print_route(const struct route_match *m, struct arena *a)
{
    const struct route *r = m->route;
    struct conf *rewrite = conf_get(r->place, SLICE("rewrite"));

    printf("route %.*s (%.*s:%u)\n", SLICE_ARG(r->name), SLICE_ARG(r->place->file->name),
           r->place->line);
    line("hosts", describe_hosts(r, a));
    line("path", m->path ? m->path->text : SLICE("any"));
    line("parameters", params_of(m, a));
    line("methods", describe_methods(r->methods, a));
    line("taken as",
         m->is_preflight ? SLICE("a CORS preflight, which a plugin answers") : SLICE(""));
    line("headers", describe_headers(r, a));
    line("does", describe_action(r, a));
    if (r->action == ROUTE_PROXY)
        line("endpoints", endpoints_of(r->upstream, a));
    if (rewrite)
        line("rewrite",
             rewrite->is_secret || rewrite->is_from_env ? SLICE("(hidden)") : rewrite->text);
    line("without", r->strip_prefix);
}

static void print_chain(const struct snapshot *s, const struct chain *chain, struct arena *a)
{
    static const struct slice heading[] = {{"HOOK", 4}, {"PLUGINS, FIRST TO LAST", 22}};
    struct table t = {0};
    uint32_t hooks = chain->hooks | s->global.hooks;

    if (!hooks)
        return;
    table_row(&t, heading, COUNT_OF(heading));
    for (enum phase p = PHASE_REWRITE; p <= PHASE_LOG; p++) {
        const struct chain *c = p == PHASE_REWRITE ? &s->global : chain;
        bool reverse = p == PHASE_RESPONSE || p == PHASE_BODY;
        struct slice cells[] = {slice_from(phase_name(p)),
                                describe_chain(c, PHASE_BIT(p), reverse, a)};
        if (cells[1].len)
            table_row(&t, cells, COUNT_OF(cells));
    }
    printf("\nplugins (a consumer's own, if it has any, run inside of these)\n");
    table_print(&t, stdout, 2);
    table_deinit(&t);
}

static struct slice why_not(enum route_miss miss, const struct route *r, struct arena *a)
{
    static const char *const reasons[] = {
        [MISS_HOST] = "its hosts are",
        [MISS_PATH] = "its paths are",
        [MISS_METHOD] = "its methods are",
        [MISS_HEADER] = "it wants",
    };
    struct slice list;

    switch (miss) {
    case MISS_SCHEME: return SLICE("it redirects to https, and this request came by it");
    case MISS_HOST: list = describe_hosts(r, a); break;
    case MISS_PATH: list = describe_paths(r, a); break;
    case MISS_METHOD: list = describe_methods(r->methods, a); break;
    case MISS_HEADER: list = describe_headers(r, a); break;
    default: return SLICE("it fits too, but the other is more exact");
    }
    return arena_printf(a, "%s %.*s", reasons[miss], SLICE_ARG(list));
}

/* Two kinds are worth telling: first those that fit but for one thing, then the more exact ones, which were asked
 * before. */
enum nearness { NEAR, ASKED_BEFORE, FAR };

static enum nearness nearness_of(enum route_miss miss, bool comes_before)
{
    if (miss == MISS_SCHEME || miss == MISS_METHOD || miss == MISS_HEADER ||
        miss == MISS_PRECEDENCE)
        return NEAR;
    return comes_before ? ASKED_BEFORE : FAR;
}

/* Adds those of one kind to the table; returns how many there are. */
static size_t add_misses(struct table *t, const struct route **routes, size_t n, enum nearness kind,
                         const struct question *q, const struct route *taken,
                         const struct snapshot *s, struct arena *a)
{
    bool before = true;
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        before = before && routes[i] != taken;
        enum route_miss miss = router_explain(s->router, routes[i], q->host, q->path, &q->request);
        if (routes[i] == taken || nearness_of(miss, before) != kind)
            continue;
        struct slice cells[] = {routes[i]->name, why_not(miss, routes[i], a)};
        if (t->cells.n < MISSES_SHOWN * COUNT_OF(cells))
            table_row(t, cells, COUNT_OF(cells));
        found++;
    }
    return found;
}

static void print_misses(const struct snapshot *s, const struct question *q,
                         const struct route *taken, struct arena *a)
{
    const struct route **routes = calloc(s->nroutes + 1, sizeof(*routes));
    struct table t = {0};

    REQUIRE(routes != NULL);
    size_t n = router_order(s->router, routes, s->nroutes);
    size_t found = add_misses(&t, routes, n, NEAR, q, taken, s, a);
    found += add_misses(&t, routes, n, ASKED_BEFORE, q, taken, s, a);
    if (found > 0) {
        printf("\nnot taken\n");
        table_print(&t, stdout, 2);
        if (found > MISSES_SHOWN)
            printf("  and %zu more\n", found - MISSES_SHOWN);
    }
    table_deinit(&t);
    free(routes);
}

static int answer(const struct snapshot *s, const struct question *q, struct arena *a)
{
    struct route_match m = {0};

    router_match(s->router, q->host, q->path, &q->request, &m);
    if (m.route) {
        print_route(&m, a);
        print_chain(s, &m.route->chain, a);
    } else if (m.allowed) {
        struct slice allowed = describe_methods(m.allowed, a);
        printf("no route takes this method: 405, Allow: %.*s\n", SLICE_ARG(allowed));
    } else {
        printf("no route: 404\n");
    }
    print_misses(s, q, m.route, a);
    return m.route ? CLI_FINE : CLI_FAULT;
}

int cli_match(const struct cli *cli)
{
    struct arena *a = arena_new_heap(16 * KIB);
    struct question question;
    struct load load;
    int status = read_question(&question, cli, a);

    if (status == 0) {
        status = load_open(&load, cli->config, 0, NULL);
        if (status == CLI_FINE)
            status = answer(load.snapshot, &question, a);
        load_close(&load);
    }
    arena_free(a);
    return status;
}
