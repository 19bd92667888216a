/* SPDX-License-Identifier: Apache-2.0 */

/* Host, path, method and headers -> route. Built once from the routes of a snapshot, then immutable
 * and read by all threads. Hosts in a map (exact, then wildcards by the longest suffix, then any),
 * paths in a tree per host (path_tree.h), regular expressions in file order behind them, routes
 * without paths last. Precedence: contract.md, "Which route wins". */

#ifndef DML_GATE_ROUTER_H
#define DML_GATE_ROUTER_H

#include "base/arena.h"
#include "base/slice.h"
#include "gate/conf.h"
#include "gate/route.h"
#include "http/message.h"

#define ROUTE_PARAMS_MAX 16

struct router;

struct route_match {
    const struct route *route;     /* NULL: none */
    const struct route_path *path; /* the pattern that fit, or NULL */
    uint64_t allowed;  /* when none fits but for the method: methods of the routes whose host and
                         path fit, bit per method */
    bool is_preflight; /* OPTIONS that the route takes only for a plugin to answer */
    uint32_t nparams;
    struct slice params[ROUTE_PARAMS_MAX]; /* in the pattern's order, as they stood in the path */
};

/* Adds a fault for two routes that match the same requests with equal precedence, at the later one,
 * naming both. The router is freed with the arena. */
struct router *router_new(struct arena *a, const struct route *const *routes, size_t n,
                          struct faults *faults);

/* host: lower case, without port and trailing dot, may be absent; path: normalised. Takes about
 * 100 ns among 50,000 routes; no allocation. */
void router_match(const struct router *r, struct slice host, struct slice path,
                  const struct message *request, struct route_match *out);

/* Why a route does not take a request: for `demilune match`. */
enum route_miss {
    MISS_NONE,
    MISS_HOST,
    MISS_PATH,
    MISS_SCHEME,
    MISS_METHOD,
    MISS_HEADER,
    MISS_PRECEDENCE
};
enum route_miss router_explain(const struct router *r, const struct route *route, struct slice host,
                               struct slice path, const struct message *request);

/* All routes in match order (`demilune routes`): writes at most max pointers, returns how many there
 * are. A route with several hosts or paths stands where the first of them stands. */
size_t router_order(const struct router *r, const struct route **out, size_t max);

#endif
