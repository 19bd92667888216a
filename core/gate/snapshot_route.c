/* SPDX-License-Identifier: Apache-2.0 */

/* Routes: when each takes a request, and what it does with it. */

#include "base/text.h"
#include "gate/conf_keys.h"
#include "gate/path_pattern.h"
#include "gate/snapshot_build.h"
#include "http/uri.h"

/* A route that is being read. */
struct reading {
    struct build *b;
    struct route *route;
    const struct conf *place;
    struct slice *partial; /* path parameters that only some of its paths have */
    size_t npartial;
};

#define HERE(r, key) PATH((r)->b, "routes[%u]." key, (r)->route->index)
#define HERE_AT(r, key, i) PATH((r)->b, "routes[%u]." key "[%u]", (r)->route->index, i)

/* --- when ------------------------------------------------------------------------------------- */

static const char *read_host(struct build *b, struct slice text, struct slice *out)
{
    bool is_wild = slice_starts(text, SLICE("*."));
    struct slice host, name = is_wild ? slice_from_index(text, 2) : text;
    uint16_t port;

    if (slice_eq(text, SLICE("*")))
        return "for any host leave `hosts` out";
    if (slice_find_char(name, '*') >= 0)
        return "a star stands for whole labels at the front: *.example.com";
    if (uri_parse_host(name, b->a, &host, &port) < 0)
        return "no name of a host";
    if (port != 0)
        return "a host stands here without its port";
    if (host.len > 253)
        return "a host's name has at most 253 characters";
    *out = is_wild ? arena_printf(b->a, "*.%.*s", SLICE_ARG(host)) : arena_dup(b->a, host);
    return NULL;
}

static void read_hosts(struct reading *r)
{
    const struct conf *list = build_get(r->place, "hosts");
    struct route *route = r->route;
    uint32_t n = build_count(list);

    route->hosts = arena_alloc(r->b->a, n * sizeof(route->hosts[0]));
    for (uint32_t i = 0; i < n; i++) {
        struct slice text = build_text(list->items[i]), host = SLICE_NONE;
        if (!text.ptr)
            continue;
        const char *wrong = read_host(r->b, text, &host);
        for (uint32_t j = 0; !wrong && j < route->nhosts; j++)
            if (slice_eq(route->hosts[j], host))
                wrong = "stands here twice";
        if (wrong)
            fault_at(r->b->faults, list->items[i], HERE_AT(r, "hosts", i), "%s", wrong);
        else
            route->hosts[route->nhosts++] = host;
    }
    if (list && n == 0)
        fault_at(r->b->faults, list, HERE(r, "hosts"),
                 "an empty list takes no host; leave it out "
                 "for any");
}

static bool has_path(const struct route *route, const struct route_path *p)
{
    for (uint32_t i = 0; i < route->npaths; i++)
        if (route->paths[i].kind == p->kind && slice_eq(route->paths[i].pattern, p->pattern))
            return true;
    return false;
}

static void read_paths(struct reading *r)
{
    const struct conf *list = build_get(r->place, "paths");
    struct route *route = r->route;
    uint32_t n = build_count(list);
    struct slice error;

    route->paths = arena_alloc(r->b->a, n * sizeof(route->paths[0]));
    for (uint32_t i = 0; i < n; i++) {
        struct route_path *p = &route->paths[route->npaths];
        struct slice text = build_text(list->items[i]);
        if (!text.ptr)
            continue;
        if (!path_pattern_parse(text, r->b->a, p, &error))
            fault_at(r->b->faults, list->items[i], HERE_AT(r, "paths", i), "%.*s",
                     SLICE_ARG(error));
        else if (has_path(route, p))
            fault_at(r->b->faults, list->items[i], HERE_AT(r, "paths", i), "stands here twice");
        else
            route->npaths++;
    }
    if (list && n == 0)
        fault_at(r->b->faults, list, HERE(r, "paths"),
                 "an empty list takes no path; leave it out "
                 "for any");
}

static bool path_has_param(const struct route_path *p, struct slice name)
{
    for (uint32_t i = 0; i < p->nparams; i++)
        if (slice_eq(p->params[i], name))
            return true;
    return false;
}

static bool all_have_param(const struct route *route, struct slice name)
{
    for (uint32_t i = 0; i < route->npaths; i++)
        if (!path_has_param(&route->paths[i], name))
            return false;
    return true;
}

/* Which of its paths a request takes is not known when a template is compiled. */
static void sort_params(struct reading *r)
{
    struct route *route = r->route;
    size_t n = 0;

    for (uint32_t i = 0; i < route->npaths; i++)
        n += route->paths[i].nparams;
    route->params =
        n ? arena_alloc(r->b->a, route->paths[0].nparams * sizeof(r->partial[0])) : NULL;
    r->partial = n ? arena_alloc(r->b->a, n * sizeof(r->partial[0])) : NULL;
    for (uint32_t i = 0; i < route->npaths; i++) {
        for (uint32_t j = 0; j < route->paths[i].nparams; j++) {
            struct slice name = route->paths[i].params[j];
            if (!all_have_param(route, name))
                r->partial[r->npartial++] = name;
            else if (i == 0)
                route->params[route->nparams++] = name;
        }
    }
}

static const char *nearest_method(struct slice word)
{
    const char *names[METHOD_COUNT];
    size_t n = 0;

    for (int m = METHOD_UNKNOWN + 1; m < METHOD_COUNT; m++) {
        names[n++] = method_text((enum method)m);
        if (slice_eq_nocase(word, slice_from(names[n - 1])))
            return names[n - 1];
    }
    return text_nearest(word, names, n);
}

static void read_method(struct reading *r, const struct conf *node, uint32_t i)
{
    struct slice text = build_text(node);
    enum method m = text.ptr ? method_parse(text) : METHOD_UNKNOWN;

    if (!text.ptr)
        return;
    if (m == METHOD_CONNECT || m == METHOD_TRACE) {
        fault_at(r->b->faults, node, HERE_AT(r, "methods", i),
                 "%s never gets to a route: it is answered with 501", method_text(m));
    } else if (m == METHOD_UNKNOWN) {
        const char *near = nearest_method(text);
        fault_at(r->b->faults, node, HERE_AT(r, "methods", i), "no known method%s%s%s",
                 near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    } else {
        r->route->methods |= 1ull << m;
        if (m == METHOD_GET)
            r->route->methods |= 1ull << METHOD_HEAD;
    }
}

static void read_methods(struct reading *r)
{
    const struct conf *list = build_get(r->place, "methods");
    uint32_t n = build_count(list);

    for (uint32_t i = 0; i < n; i++)
        read_method(r, list->items[i], i);
    if (list && n == 0)
        fault_at(r->b->faults, list, HERE(r, "methods"),
                 "an empty list takes no method; leave it "
                 "out for any");
}

static bool has_header(const struct route *route, struct slice name)
{
    for (uint32_t i = 0; i < route->nheaders; i++)
        if (slice_eq_nocase(route->headers[i].name, name))
            return true;
    return false;
}

static void read_headers(struct reading *r)
{
    const struct conf *map = build_get(r->place, "headers");
    struct route *route = r->route;
    size_t n = map && map->type == CONF_MAP ? map->n : 0;

    route->headers = arena_alloc(r->b->a, n * sizeof(route->headers[0]));
    for (size_t i = 0; i < n; i++) {
        struct slice name = map->pairs[i].key, value = build_text(map->pairs[i].value);
        if (!value.ptr)
            continue;
        const char *wrong = !text_is_token(name)      ? "no name of a header"
                            : has_header(route, name) ? "stands here twice"
                            : !text_is_field_value(value) || slice_trim(value).len != value.len
                                ? "no value of a header"
                                : NULL;
        if (wrong)
            fault_at_key(r->b->faults, map, name,
                         PATH(r->b, "routes[%u].headers.%.*s", route->index, SLICE_ARG(name)), "%s",
                         wrong);
        else
            route->headers[route->nheaders++] =
                (struct route_header){name, value, map->pairs[i].value->is_secret};
    }
}

/* --- what ------------------------------------------------------------------------------------- */

/* NULL for what is not there, and with a fault. */
static const struct template *read_template(struct reading *r, const struct conf *node,
                                            const char *key)
{
    struct selector_scope scope = {.params = r->route->params,
                                   .nparams = r->route->nparams,
                                   .partial = r->partial,
                                   .npartial = r->npartial};
    struct slice text = build_text(node), error;

    if (!text.ptr)
        return NULL;
    const struct template *t = template_compile(text, &scope, r->b->a, &error);
    if (!t)
        fault_at(r->b->faults, node, PATH(r->b, "routes[%u].%s", r->route->index, key), "%.*s",
                 SLICE_ARG(error));
    return t;
}

/* What may never stand in a URL (RFC 3986, 2), but for the braces of a template. */
static bool has_foreign_byte(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"<>\\^`|", c))
            return true;
    }
    return false;
}

static const char *wrong_rewrite(struct slice text)
{
    if (!slice_starts(text, SLICE("/")))
        return "a path begins with a slash";
    if (slice_find_char(text, '?') >= 0 || slice_find_char(text, '#') >= 0)
        return "is a path alone: the query goes upstream as it came";
    return has_foreign_byte(text) ? "what may not stand in a path is written as %XX" : NULL;
}

static void read_rewrite(struct reading *r)
{
    const struct conf *node = build_get(r->place, "rewrite");

    r->route->rewrite = read_template(r, node, "rewrite");
    const char *wrong = r->route->rewrite ? wrong_rewrite(node->text) : NULL;
    if (wrong)
        fault_at(r->b->faults, node, HERE(r, "rewrite"), "%s", wrong);
}

static const char *wrong_prefix(struct reading *r, struct slice text, struct slice *out)
{
    const struct route *route = r->route;

    if (text.len < 2 || text.ptr[0] != '/' || text.ptr[text.len - 1] == '/')
        return "begins with a slash and does not end with one, such as /api";
    if (slice_find_char(text, '{') >= 0 || uri_normalise_path(text, r->b->a, out) < 0)
        return "no beginning of a path; it has no parameters";
    if (route->npaths == 0)
        return "needs `paths` that begin with it";
    for (uint32_t i = 0; i < route->npaths; i++)
        if (!path_pattern_begins(&route->paths[i], *out))
            return "all paths of the route must begin with it";
    return NULL;
}

static void read_strip_prefix(struct reading *r)
{
    const struct conf *node = build_get(r->place, "strip_prefix");
    struct slice text = build_text(node), prefix = SLICE_NONE;

    if (!text.ptr)
        return;
    const char *wrong = r->route->rewrite ? "stands beside `rewrite`, which says the whole path"
                                          : wrong_prefix(r, text, &prefix);
    if (wrong)
        fault_at(r->b->faults, node, HERE(r, "strip_prefix"), "%s", wrong);
    r->route->strip_prefix = prefix;
}

static void read_proxy(struct reading *r, const struct conf *node)
{
    r->route->action = ROUTE_PROXY;
    r->route->upstream = build_upstream_of(r->b, node, r->route->index);
    if (build_get(r->place, "rewrite"))
        read_rewrite(r);
    if (build_get(r->place, "strip_prefix"))
        read_strip_prefix(r);
    r->route->changes_path = r->route->rewrite || r->route->strip_prefix.len > 0;
}

static const char *wrong_answer_header(struct slice name, const struct template *value)
{
    struct slice constant = value ? template_constant(value) : SLICE_NONE;

    if (!text_is_token(name))
        return "no name of a header";
    if (header_flags(header_id(name)) & (HEADER_HOP | HEADER_FRAMING))
        return "the gateway sets this header by itself";
    if (constant.ptr && !text_is_field_value(constant))
        return "no value of a header";
    return NULL;
}

static void read_answer_headers(struct reading *r, const struct conf *map)
{
    struct route *route = r->route;
    size_t n = map && map->type == CONF_MAP ? map->n : 0;

    route->respond_headers = arena_alloc(r->b->a, n * sizeof(route->respond_headers[0]));
    for (size_t i = 0; i < n; i++) {
        struct slice name = map->pairs[i].key;
        struct slice key = PATH(r->b, "respond.headers.%.*s", SLICE_ARG(name));
        const struct template *value = read_template(r, map->pairs[i].value, key.ptr);
        const char *wrong = wrong_answer_header(name, value);
        if (wrong)
            fault_at_key(r->b->faults, map, name,
                         PATH(r->b, "routes[%u].%s", route->index, key.ptr), "%s", wrong);
        else if (value)
            route->respond_headers[route->nrespond_headers++] =
                (struct route_header_template){name, value};
    }
}

/* RFC 9110, 15.3.5, 15.3.6 and 15.4.5. */
static bool has_no_content(int status)
{
    return status == 204 || status == 205 || status == 304;
}

static void read_respond(struct reading *r, const struct conf *node)
{
    r->route->action = ROUTE_RESPOND;
    r->route->status = (int)conf_int(node, "respond", "status");
    r->route->respond_body = read_template(r, build_get(node, "body"), "respond.body");
    if (has_no_content(r->route->status) && build_text(build_get(node, "body")).len)
        fault_at(r->b->faults, build_get(node, "body"), HERE(r, "respond.body"),
                 "an answer with status %d has no body", r->route->status);
    read_answer_headers(r, build_get(node, "headers"));
}

static void read_redirect(struct reading *r, const struct conf *node)
{
    struct route *route = r->route;

    route->action = ROUTE_REDIRECT;
    route->status = (int)conf_int(node, "redirect", "status");
    route->is_http = node->type != CONF_MAP; /* https: the same URL there */
    if (route->is_http)
        return;
    route->redirect_to = read_template(r, build_get(node, "to"), "redirect.to");
    if (route->status > 303 && route->status < 307)
        fault_at(r->b->faults, build_get(node, "status"), HERE(r, "redirect.status"),
                 "must be 301, 302, 303, 307 or 308");
    if (route->redirect_to && slice_eq(build_text(build_get(node, "to")), SLICE("")))
        fault_at(r->b->faults, node, HERE(r, "redirect.to"), "an empty target");
    else if (route->redirect_to && has_foreign_byte(build_get(node, "to")->text))
        fault_at(r->b->faults, build_get(node, "to"), HERE(r, "redirect.to"),
                 "what may not stand in a URL is written as %%XX");
}

/* It stands there, even where its value could not be had. */
static bool has(const struct reading *r, const char *key)
{
    const struct conf *node = conf_get(r->place, slice_from(key));

    return node && (node->is_broken || node->type != CONF_NULL);
}

static void fault_of_action(struct reading *r)
{
    fault_at(r->b->faults, r->place, PATH(r->b, "routes[%u]", r->route->index),
             "a route has exactly one of upstream, respond and redirect; or none, and a plugin "
             "that answers, such as kafka");
}

static void read_action(struct reading *r)
{
    static const char *const only_proxy[] = {"rewrite", "strip_prefix"};
    const struct conf *upstream = build_get(r->place, "upstream");
    const struct conf *respond = build_get(r->place, "respond");
    const struct conf *redirect = build_get(r->place, "redirect");
    int n = has(r, "upstream") + has(r, "respond") + has(r, "redirect");

    if (n > 1) {
        fault_of_action(r);
        return;
    }
    for (size_t i = 0; !has(r, "upstream") && i < COUNT_OF(only_proxy); i++)
        if (build_get(r->place, only_proxy[i]))
            fault_at_key(r->b->faults, r->place, slice_from(only_proxy[i]),
                         PATH(r->b, "routes[%u].%s", r->route->index, only_proxy[i]),
                         "is for routes with an upstream");
    if (upstream)
        read_proxy(r, upstream);
    else if (respond)
        read_respond(r, respond);
    else if (redirect)
        read_redirect(r, redirect);
    else if (n == 0)
        r->route->action = ROUTE_PLUGIN;
}

/* Once its chain is known. Where a plugin could not be had, nobody knows whether it would have answered. */
static void check_answerer(struct reading *r)
{
    const struct route *route = r->route;
    uint32_t own = route->chain.n - r->b->s->global.n;

    if (route->action == ROUTE_PLUGIN && !route->chain.answers &&
        own == build_count(build_get(r->place, "plugins")))
        fault_of_action(r);
}

/* Its own where it has one, else what holds for all. */
static void read_limits(struct reading *r)
{
    const struct conf *c = r->place;
    const struct snapshot *s = r->b->s;
    struct route *route = r->route;

    route->timeout_ms = (uint32_t)conf_duration_ms(c, "route", "timeout");
    route->request_body =
        build_get(c, "request_body") ? conf_size(c, "route", "request_body") : s->request_body;
    route->buffered_body =
        build_get(c, "buffered_body") ? conf_size(c, "route", "buffered_body") : s->buffered_body;
    route->body_timeout_ms = build_get(c, "body_timeout")
                                 ? (uint32_t)conf_duration_ms(c, "route", "body_timeout")
                                 : s->limits.body_timeout_ms;
    route->log_timeout_ms = build_get(c, "log_timeout")
                                ? (uint32_t)conf_duration_ms(c, "route", "log_timeout")
                                : s->log_timeout_ms;
}

/* No name begins with a line feed. */
static struct slice key_of(struct build *b, const struct route *r)
{
    if (r->name.len)
        return r->name;
    return arena_printf(b->a, "\n%.*s\n%.*s", SLICE_ARG(r->nhosts ? r->hosts[0] : SLICE("")),
                        SLICE_ARG(r->npaths ? r->paths[0].text : SLICE("")));
}

static struct route *read_route(struct build *b, const struct conf *item, uint32_t index)
{
    struct route *route = arena_zero_line(b->a, sizeof(*route));
    struct reading r = {.b = b, .route = route, .place = item};

    route->index = index;
    route->place = item;
    route->name = build_text(build_get(item, "name"));
    if (!route->name.ptr)
        route->name = SLICE("");
    read_hosts(&r);
    read_paths(&r);
    sort_params(&r);
    read_methods(&r);
    read_headers(&r);
    read_action(&r);
    read_limits(&r);
    build_route_chain(b, route);
    check_answerer(&r);
    route->key = key_of(b, route);
    return route;
}

void build_routes(struct build *b)
{
    const struct conf *list = build_get(b->root, "routes");
    uint32_t n = build_count(list), ngood = 0;
    const struct route **good = arena_alloc(b->a, n * sizeof(good[0]));
    struct snapshot *s = b->s;
    struct map names;

    map_init(&names);
    s->routes = arena_alloc(b->a, n * sizeof(s->routes[0]));
    for (uint32_t i = 0; i < n; i++) {
        size_t before = b->faults->nerrors;
        if (list->items[i]->type != CONF_MAP)
            continue;
        struct route *route = read_route(b, list->items[i], i);
        if (route->name.len)
            build_name(b, &names, route->place, route->name, PATH(b, "routes[%u].name", i));
        s->routes[s->nroutes++] = route;
        if (!map_find(&s->routes_by_key, route->key))
            map_set(&s->routes_by_key, route->key, route);
        /* One that is half read would seem to take what it does not. */
        if (b->faults->nerrors == before)
            good[ngood++] = route;
    }
    s->router = router_new(b->a, good, ngood, b->faults);
    map_deinit(&names);
}
