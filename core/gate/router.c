/* SPDX-License-Identifier: Apache-2.0 */

/* A rule holds what routes want of the paths under one host: a root in the tree that all rules
 * share, regular expressions in file order, and routes without paths. A request asks the rules of
 * its host in the order of precedence, and within one the candidates in theirs; the first that takes
 * method and headers too is the route. When nobody does, all whose host and path fit have been
 * asked: from them come 405 and its Allow. */

#include "gate/router.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"
#include "base/regex.h"
#include "base/vec.h"
#include "gate/path_pattern.h"
#include "gate/path_tree.h"

#define HOST_MAX 255
#define GROUPS_MAX 64
#define CONFLICTS_MAX 100

_Static_assert(METHOD_COUNT <= 64, "a set of methods is 64 bits");

struct rule {
    struct slice host; /* as the routes write it; absent = any */
    uint32_t root;
    VEC(struct candidate) regexes;
    VEC(struct candidate) pathless;
};

struct router {
    /* owned */
    struct path_tree *tree;
    struct map exact, wild; /* host, ".suffix" -> rule */
    VEC(struct rule *) rules;
    struct rule *any; /* or NULL */
    /* borrowed */
    struct arena *arena;
    const struct route *const *routes;
    /* state */
    size_t nroutes;
    uint32_t wild_dots; /* most dots of a suffix */
};

/* --- building --------------------------------------------------------------------------------- */

static void router_deinit(void *arg)
{
    struct router *r = arg;

    for (size_t i = 0; i < r->rules.n; i++) {
        vec_free(&r->rules.items[i]->regexes);
        vec_free(&r->rules.items[i]->pathless);
    }
    vec_free(&r->rules);
    map_deinit(&r->exact);
    map_deinit(&r->wild);
    path_tree_deinit(r->tree);
}

static struct rule *new_rule(struct router *r, struct slice host)
{
    struct rule *rule = arena_zero(r->arena, sizeof(*rule));

    rule->host = host;
    rule->root = path_tree_root(r->tree);
    vec_push(&r->rules, rule);
    return rule;
}

static uint32_t count_dots(struct slice s)
{
    uint32_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == '.';
    return n;
}

static struct rule *rule_of(struct router *r, struct slice host)
{
    bool is_wild = slice_starts(host, SLICE("*."));
    struct slice key = is_wild ? slice_from_index(host, 1) : host;
    struct map *map = is_wild ? &r->wild : &r->exact;

    if (!host.ptr)
        return r->any ? r->any : (r->any = new_rule(r, host));
    struct rule *rule = map_find(map, key);
    if (rule)
        return rule;
    rule = new_rule(r, host);
    map_set(map, key, rule);
    if (is_wild)
        r->wild_dots = MAX(r->wild_dots, count_dots(key));
    return rule;
}

static void add_to_rule(struct router *r, struct rule *rule, const struct route *route)
{
    struct candidate c = candidate_of(route);

    if (route->npaths == 0)
        vec_push(&rule->pathless, c);
    for (uint32_t i = 0; i < route->npaths; i++) {
        c.path = &route->paths[i];
        c.is_regex = c.path->kind == PATH_REGEX;
        if (c.is_regex)
            vec_push(&rule->regexes, c);
        else
            path_tree_add(r->tree, rule->root, route, c.path);
    }
}

static void add_route(struct router *r, const struct route *route)
{
    if (route->nhosts == 0)
        add_to_rule(r, rule_of(r, SLICE_NONE), route);
    for (uint32_t i = 0; i < route->nhosts; i++)
        add_to_rule(r, rule_of(r, route->hosts[i]), route);
}

/* --- ties ------------------------------------------------------------------------------------- */

struct ties {
    struct faults *faults;
    VEC(uint64_t) told; /* pairs of routes */
};

/* No request can have both: the same field with two values. */
static bool headers_exclude(const struct route *a, const struct route *b)
{
    for (uint32_t i = 0; i < a->nheaders; i++)
        for (uint32_t j = 0; j < b->nheaders; j++)
            if (slice_eq_nocase(a->headers[i].name, b->headers[j].name) &&
                !slice_eq(a->headers[i].value, b->headers[j].value))
                return true;
    return false;
}

static void tell_tie(struct ties *t, const struct candidate *a, const struct candidate *b)
{
    const struct candidate *later = a->route->index > b->route->index ? a : b;
    const struct candidate *first = later == a ? b : a;
    const struct conf *place = first->route->place;
    struct arena *arena = t->faults->arena;
    uint64_t pair = (uint64_t)later->route->index << 32 | first->route->index;
    struct slice where = SLICE(""), path = later->path ? later->path->text : SLICE("any");

    for (size_t i = 0; i < t->told.n; i++)
        if (t->told.items[i] == pair)
            return;
    if (t->told.n == CONFLICTS_MAX)
        return;
    vec_push(&t->told, pair);
    if (place)
        where = arena_printf(arena, " (%.*s:%u)", SLICE_ARG(place->file->name), place->line);
    fault_at(t->faults, later->route->place, arena_printf(arena, "routes[%u]", later->route->index),
             "\"%.*s\" takes the same requests as \"%.*s\"%.*s, with equal precedence (path: %.*s)",
             SLICE_ARG(later->route->name), SLICE_ARG(first->route->name), SLICE_ARG(where),
             SLICE_ARG(path));
}

/* The group is in order: those of equal precedence stand together. */
static void find_ties(void *arg, const struct candidates *group)
{
    const struct candidate *c = group->items;
    const struct ties *t = arg;

    for (uint32_t i = 0; i < group->n && t->told.n < CONFLICTS_MAX; i++) {
        for (uint32_t j = i + 1; j < group->n; j++) {
            if (!c[i].methods != !c[j].methods || c[i].nheaders != c[j].nheaders ||
                c[i].is_http != c[j].is_http)
                break;
            if (c[i].methods && !(c[i].methods & c[j].methods))
                continue;
            if (c[i].route != c[j].route && !headers_exclude(c[i].route, c[j].route))
                tell_tie(arg, &c[i], &c[j]);
        }
    }
}

struct router *router_new(struct arena *a, const struct route *const *routes, size_t n,
                          struct faults *faults)
{
    struct router *r = arena_zero(a, sizeof(*r));
    struct ties ties = {.faults = faults};

    r->arena = a;
    r->tree = path_tree_new(a);
    r->routes = routes;
    r->nroutes = n;
    map_init(&r->exact);
    map_init(&r->wild);
    arena_on_free(a, router_deinit, r);
    for (size_t i = 0; i < n; i++)
        add_route(r, routes[i]);
    path_tree_finish(r->tree, find_ties, &ties);
    for (size_t i = 0; i < r->rules.n; i++) {
        struct rule *rule = r->rules.items[i];
        if (rule->pathless.n)
            qsort(rule->pathless.items, rule->pathless.n, sizeof(rule->pathless.items[0]),
                  candidate_compare);
        find_ties(&ties, &(struct candidates){rule->pathless.items, (uint32_t)rule->pathless.n});
    }
    vec_free(&ties.told);
    return r;
}

/* --- matching --------------------------------------------------------------------------------- */

struct asking {
    const struct message *request;
    uint64_t method;
    uint64_t preflight; /* of a CORS preflight: the method that it asks for */
    uint64_t allowed;   /* of all whose host and path fit */
    bool wrong_method;  /* somebody refused nothing but the method */
};

/* A field that stands there more than once has no one value. */
static bool headers_fit(const struct route *route, const struct message *request)
{
    for (uint32_t i = 0; i < route->nheaders; i++) {
        const struct field *f = headers_find_name(&request->headers, route->headers[i].name);
        if (!f || !slice_eq(f->value, route->headers[i].value) ||
            headers_next(&request->headers, f))
            return false;
    }
    return true;
}

/* A browser asks OPTIONS before it sends another method to another origin (Fetch, 3.2.2). */
static uint64_t preflight_of(const struct message *request)
{
    struct slice method = headers_get_id(&request->headers, HEADER_ACCESS_CONTROL_REQUEST_METHOD);

    if (request->method != METHOD_OPTIONS || !method.ptr ||
        !headers_get_id(&request->headers, HEADER_ORIGIN).ptr)
        return 0;
    enum method asked = method_parse(method);
    return asked == METHOD_UNKNOWN ? 0 : UINT64_C(1) << asked;
}

/* Where a plugin answers preflights, the route takes those of its methods. */
static bool method_fits(const struct route *route, uint64_t method, uint64_t preflight)
{
    return route->methods == 0 || (route->methods & method) != 0 ||
           (route->chain.answers_preflights && (route->methods & preflight) != 0);
}

static bool is_https(const struct message *request)
{
    return slice_eq_nocase(request->scheme, SLICE("https"));
}

static bool take(void *arg, const struct candidate *c)
{
    struct asking *q = arg;
    bool fits_method = c->methods == 0 || (c->methods & q->method) != 0 ||
                       (UNLIKELY(q->preflight) && method_fits(c->route, q->method, q->preflight));
    bool fits_headers = c->nheaders == 0 || headers_fit(c->route, q->request);

    if (UNLIKELY(c->is_http) && is_https(q->request))
        return false;
    if (LIKELY(fits_method && fits_headers))
        return true;
    q->allowed |= c->methods;
    q->wrong_method |= fits_headers;
    return false;
}

static const struct candidate *ask_list(const struct candidate *items, size_t n, struct asking *q)
{
    for (size_t i = 0; i < n; i++)
        if (take(q, &items[i]))
            return &items[i];
    return NULL;
}

static const struct candidate *ask_regexes(const struct rule *rule, struct slice path,
                                           struct asking *q)
{
    for (size_t i = 0; i < rule->regexes.n; i++) {
        const struct candidate *c = &rule->regexes.items[i];
        if (regex_match(c->path->regex, path, 0, NULL, 0) > 0 && take(q, c))
            return c;
    }
    return NULL;
}

static const struct candidate *ask_rule(const struct router *r, const struct rule *rule,
                                        struct slice path, struct asking *q)
{
    const struct candidate *c = NULL;

    if (LIKELY(path.len && path.ptr[0] == '/')) {
        c = path_tree_match(r->tree, rule->root, path, take, q);
        if (!c && rule->regexes.n)
            c = ask_regexes(rule, path, q);
    }
    if (!c && rule->pathless.n)
        c = ask_list(rule->pathless.items, rule->pathless.n, q);
    return c;
}

/* Suffixes with more dots than any that was configured are not looked for: a host of nothing but
 * dots costs no more than another. */
static const struct candidate *ask_wildcards(const struct router *r, struct slice host,
                                             struct slice path, struct asking *q)
{
    uint8_t dots[HOST_MAX];
    size_t n = 0;

    for (size_t i = host.len; i-- > 1 && n < r->wild_dots;)
        if (host.ptr[i] == '.')
            dots[n++] = (uint8_t)i;
    while (n > 0) {
        const struct rule *rule = map_find(&r->wild, slice_from_index(host, dots[--n]));
        const struct candidate *c = rule ? ask_rule(r, rule, path, q) : NULL;
        if (c)
            return c;
    }
    return NULL;
}

static const struct candidate *ask_hosts(const struct router *r, struct slice host,
                                         struct slice path, struct asking *q)
{
    const struct candidate *c = NULL;

    if (host.len && host.len <= HOST_MAX) {
        const struct rule *rule = r->exact.n ? map_find(&r->exact, host) : NULL;
        if (rule)
            c = ask_rule(r, rule, path, q);
        if (!c && r->wild.n)
            c = ask_wildcards(r, host, path, q);
    }
    return !c && r->any ? ask_rule(r, r->any, path, q) : c;
}

static uint32_t regex_params(const struct route_path *p, struct slice path, struct slice *out)
{
    struct slice groups[GROUPS_MAX];
    char name[64];

    if (regex_match(p->regex, path, 0, groups, GROUPS_MAX) <= 0)
        return 0;
    for (uint32_t i = 0; i < p->nparams; i++) {
        memcpy(name, p->params[i].ptr, p->params[i].len);
        name[p->params[i].len] = '\0';
        int group = regex_group(p->regex, name);
        out[i] = group > 0 && group < GROUPS_MAX ? groups[group] : SLICE_NONE;
    }
    return p->nparams;
}

void router_match(const struct router *r, struct slice host, struct slice path,
                  const struct message *request, struct route_match *out)
{
    struct asking q = {.request = request,
                       .method = 1ull << request->method,
                       .preflight =
                           UNLIKELY(request->method == METHOD_OPTIONS) ? preflight_of(request) : 0};
    const struct candidate *c = ask_hosts(r, host, path, &q);

    out->route = c ? c->route : NULL;
    out->path = c ? c->path : NULL;
    out->allowed = !c && q.wrong_method ? q.allowed : 0;
    out->is_preflight = c && c->methods && !(c->methods & q.method);
    out->nparams = 0;
    if (!c || !c->path)
        return;
    if (c->is_regex)
        out->nparams = c->path->nparams ? regex_params(c->path, path, out->params) : 0;
    else if (c->param_bits || c->is_rest)
        out->nparams = candidate_params(c, path, out->params);
}

/* --- for people ------------------------------------------------------------------------------- */

static bool host_fits(struct slice pattern, struct slice host)
{
    if (!slice_starts(pattern, SLICE("*.")))
        return slice_eq(pattern, host);
    struct slice suffix = slice_from_index(pattern, 1);
    return host.len > suffix.len && slice_ends(host, suffix);
}

static bool any_host_fits(const struct route *route, struct slice host)
{
    for (uint32_t i = 0; i < route->nhosts; i++)
        if (host_fits(route->hosts[i], host))
            return true;
    return route->nhosts == 0;
}

static bool any_path_fits(const struct route *route, struct slice path)
{
    for (uint32_t i = 0; i < route->npaths; i++)
        if (path_pattern_fits(&route->paths[i], path))
            return true;
    return route->npaths == 0;
}

enum route_miss router_explain(const struct router *r, const struct route *route, struct slice host,
                               struct slice path, const struct message *request)
{
    struct route_match match;

    if (!any_host_fits(route, host))
        return MISS_HOST;
    if (!any_path_fits(route, path))
        return MISS_PATH;
    if (route->is_http && is_https(request))
        return MISS_SCHEME;
    if (!method_fits(route, UINT64_C(1) << request->method, preflight_of(request)))
        return MISS_METHOD;
    if (!headers_fit(route, request))
        return MISS_HEADER;
    router_match(r, host, path, request, &match);
    return match.route == route ? MISS_NONE : MISS_PRECEDENCE;
}

/* Exact before wildcards by their length before any; equal ones by the alphabet. */
static int compare_hosts(struct slice a, struct slice b)
{
    int rank_a = !a.ptr ? 2 : slice_starts(a, SLICE("*.")),
        rank_b = !b.ptr ? 2 : slice_starts(b, SLICE("*."));

    if (rank_a != rank_b)
        return rank_a - rank_b;
    if (rank_a == 1 && a.len != b.len)
        return a.len > b.len ? -1 : 1;
    return a.ptr && b.ptr ? slice_compare(a, b) : 0;
}

/* Where a path stands among the kinds: exact, {name}, prefix, regex, none. depth: of a prefix. */
static int path_rank(const struct route_path *p, int *depth)
{
    struct slice rest = p ? p->pattern : SLICE_NONE;
    struct segment s;
    int rank = 0;

    *depth = 0;
    if (!p || p->kind == PATH_REGEX)
        return p ? 3 : 4;
    while (path_pattern_next(&rest, &s)) {
        if (s.kind == SEGMENT_REST || s.kind == SEGMENT_BELOW)
            return 2;
        rank |= s.kind == SEGMENT_PARAM;
        ++*depth;
    }
    *depth = 0;
    return rank;
}

static int compare_segments(const struct route_path *a, const struct route_path *b)
{
    struct slice left = a->pattern, right = b->pattern;
    struct segment x, y;

    for (;;) {
        bool more_left = path_pattern_next(&left, &x), more_right = path_pattern_next(&right, &y);
        if (!more_left || !more_right)
            return more_left - more_right;
        if (x.kind != y.kind)
            return x.kind < y.kind ? -1 : 1;
        int order = x.kind == SEGMENT_TEXT ? slice_compare(x.text, y.text) : 0;
        if (order)
            return order;
    }
}

static int compare_paths(const struct route_path *a, const struct route_path *b)
{
    int depth_a, depth_b, rank_a = path_rank(a, &depth_a), rank_b = path_rank(b, &depth_b);

    if (rank_a != rank_b)
        return rank_a - rank_b;
    if (depth_a != depth_b)
        return depth_b - depth_a;
    return rank_a < 3 ? compare_segments(a, b) : 0;
}

struct ordered {
    const struct route *route;
    struct slice host; /* the best of its hosts, and of its paths */
    const struct route_path *path;
};

static int compare_ordered(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    const struct candidate cx = candidate_of(x->route), cy = candidate_of(y->route);
    int order = compare_hosts(x->host, y->host);

    if (!order)
        order = compare_paths(x->path, y->path);
    if (!order && x->path && x->path->kind == PATH_REGEX)
        order = x->route->index < y->route->index ? -1 : 1;
    return order ? order : candidate_compare(&cx, &cy);
}

static struct ordered best_of(const struct route *route)
{
    struct ordered o = {.route = route};

    for (uint32_t i = 0; i < route->nhosts; i++)
        if (i == 0 || compare_hosts(route->hosts[i], o.host) < 0)
            o.host = route->hosts[i];
    for (uint32_t i = 0; i < route->npaths; i++)
        if (i == 0 || compare_paths(&route->paths[i], o.path) < 0)
            o.path = &route->paths[i];
    return o;
}

size_t router_order(const struct router *r, const struct route **out, size_t max)
{
    struct ordered *all = calloc(r->nroutes + 1, sizeof(*all));

    REQUIRE(all != NULL);
    for (size_t i = 0; i < r->nroutes; i++)
        all[i] = best_of(r->routes[i]);
    qsort(all, r->nroutes, sizeof(*all), compare_ordered);
    for (size_t i = 0; i < r->nroutes && i < max; i++)
        out[i] = all[i].route;
    free(all);
    return r->nroutes;
}
