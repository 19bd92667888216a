/* SPDX-License-Identifier: Apache-2.0 */

/* demilune routes: the table in the order in which routes are tried. */

#include <stdio.h>
#include <stdlib.h>

#include "app/cli.h"
#include "app/cli_table.h"
#include "app/describe.h"
#include "app/load.h"

static void add_route(struct table *t, const struct route *r, struct arena *a)
{
    struct slice cells[] = {
        r->name,
        describe_hosts(r, a),
        describe_paths(r, a),
        describe_methods(r->methods, a),
        describe_headers(r, a),
        describe_action(r, a),
        describe_chain(&r->chain, UINT32_MAX, false, a),
    };

    table_row(t, cells, COUNT_OF(cells));
}

static void print_routes(const struct snapshot *s)
{
    static const struct slice heading[] = {
        {"ROUTE", 5},   {"HOSTS", 5}, {"PATHS", 5},   {"METHODS", 7},
        {"HEADERS", 7}, {"DOES", 4},  {"PLUGINS", 7},
    };
    const struct route **routes = calloc(s->nroutes + 1, sizeof(*routes));
    struct arena *a = arena_new_heap(64 * KIB);
    struct table t = {0};

    REQUIRE(routes != NULL);
    size_t n = router_order(s->router, routes, s->nroutes);
    table_row(&t, heading, COUNT_OF(heading));
    for (size_t i = 0; i < n; i++)
        add_route(&t, routes[i], a);
    table_print(&t, stdout, 0);
    table_deinit(&t);
    arena_free(a);
    free(routes);
}

int cli_routes(const struct cli *cli)
{
    struct load load;
    int status = load_open(&load, cli->config, 0, NULL);

    if (status == CLI_FINE)
        print_routes(load.snapshot);
    load_close(&load);
    return status;
}
