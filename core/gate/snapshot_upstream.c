/* SPDX-License-Identifier: Apache-2.0 */

/* Upstreams, named ones and those that a route gives as a URL. The live parts (targets, counts) are
 * found again by identity, so that what an upstream knows survives a reload. */

#include "gate/conf_keys.h"
#include "gate/snapshot_build.h"
#include "http/uri.h"

static const struct slice protocol = {"http1", 5};

/* --- endpoints -------------------------------------------------------------------------------- */

static bool is_unix(struct slice address)
{
    return slice_starts(address, SLICE("unix:"));
}

static void add_endpoint(struct build *b, struct upstream *u, struct slice address, int weight)
{
    struct slice host = address;
    uint16_t port = 0;

    if (!is_unix(address) && uri_parse_host(address, b->a, &host, &port) < 0)
        return;
    struct target *t = target_ref_tls(protocol, host, port, u->tls, u->sni);
    u->endpoints[u->nendpoints++] = (struct endpoint){
        .address = address,
        .weight = weight,
        .target = t,
        .live = endpoint_live_ref(u->live, t),
    };
}

static const char *wrong_socket(const struct upstream *u, struct slice text)
{
    struct addr addr;
    int rc = addr_parse(text, &addr);

    if (rc < 0)
        return build_unix_fault(text, rc);
    return u->tls && !u->sni.ptr
               ? "a socket has no name to check a certificate by: tls.sni is missing"
               : NULL;
}

static const char *wrong_host(struct build *b, struct slice text)
{
    struct slice host;
    uint16_t port;

    if (slice_find(text, SLICE("://")) >= 0)
        return "an endpoint is host:port, no URL";
    if (addr_has_zone(text))
        return ADDR_ZONE_FAULT;
    if (uri_parse_host(text, b->a, &host, &port) < 0)
        return "no host with a port, such as 127.0.0.1:9001 or orders.internal:80";
    return port == 0 ? "the port is missing" : NULL;
}

static const char *wrong_address(struct build *b, const struct upstream *u, struct slice text)
{
    const char *wrong = is_unix(text) ? wrong_socket(u, text) : wrong_host(b, text);

    if (wrong)
        return wrong;
    for (uint32_t i = 0; i < u->nendpoints; i++)
        if (slice_eq(u->endpoints[i].address, text))
            return "stands here twice; `weight` gives one endpoint a larger share";
    return NULL;
}

static void read_endpoints(struct build *b, struct upstream *u, uint32_t index)
{
    const struct conf *list = build_get(u->place, "endpoints");
    uint32_t n = build_count(list);

    u->endpoints = arena_zero(b->a, n * sizeof(u->endpoints[0]));
    for (uint32_t i = 0; i < n; i++) {
        const struct conf *item = list->items[i], *node = build_get(item, "address");
        struct slice text = build_text(node);
        if (!text.ptr)
            continue;
        const char *wrong = wrong_address(b, u, text);
        if (wrong)
            fault_at(b->faults, node, PATH(b, "upstreams[%u].endpoints[%u].address", index, i),
                     "%s", wrong);
        else
            add_endpoint(b, u, text, (int)conf_int(item, "endpoint", "weight"));
    }
    if (list && n == 0)
        fault_at(b->faults, list, PATH(b, "upstreams[%u].endpoints", index),
                 "an upstream needs an endpoint");
}

/* --- policy ----------------------------------------------------------------------------------- */

static void read_balance(struct build *b, struct upstream *u, uint32_t index)
{
    static const char *const names[] = {"round_robin", "least_request", "hash", "ewma", "random"};
    static const struct selector_scope scope = {.any_param = true};
    struct slice word = conf_text(u->place, "upstream", "balance"), error;
    const struct conf *node = build_get(u->place, "hash_on");

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (slice_eq(word, slice_from(names[i])))
            u->balance = (enum balance)i;
    if (u->balance == BALANCE_HASH && !node)
        fault_at(b->faults, u->place, PATH(b, "upstreams[%u].balance", index),
                 "hash needs hash_on, the selector that it looks at");
    if (u->balance != BALANCE_HASH && node)
        fault_at(b->faults, node, PATH(b, "upstreams[%u].hash_on", index),
                 "is used with balance: hash only");
    if (!node || !build_text(node).ptr)
        return;
    u->hash_on = selector_compile(node->text, &scope, b->a, &error);
    if (!u->hash_on)
        fault_at(b->faults, node, PATH(b, "upstreams[%u].hash_on", index), "%.*s",
                 SLICE_ARG(error));
}

static void read_host(struct build *b, struct upstream *u, uint32_t index)
{
    struct slice host, text = conf_text(u->place, "upstream", "host");
    uint16_t port;

    u->host_mode = slice_eq(text, SLICE("pass"))     ? HOST_PASS
                   : slice_eq(text, SLICE("target")) ? HOST_TARGET
                                                     : HOST_NAME;
    u->host = text;
    const struct conf *node = build_get(u->place, "host");
    if (u->host_mode == HOST_NAME && uri_parse_host(text, b->a, &host, &port) < 0)
        fault_at(b->faults, node, PATH(b, "upstreams[%u].host", index),
                 "expected pass, target or a host's name, got %.*s",
                 SLICE_ARG(conf_shown(node, b->faults->arena)));
}

static void read_tls(struct build *b, struct upstream *u, uint32_t index)
{
    const struct conf *tls = build_get(u->place, "tls"), *sni = build_get(tls, "sni");
    struct slice host;
    uint16_t port;

    if (!tls || tls->type != CONF_MAP)
        return;
    u->tls = build_upstream_tls(b, tls, PATH(b, "upstreams[%u].tls", index));
    u->sni = build_text(sni);
    if (u->sni.ptr && (uri_parse_host(u->sni, b->a, &host, &port) < 0 || port))
        fault_at(b->faults, sni, PATH(b, "upstreams[%u].tls.sni", index), "is no host's name");
    else if (u->sni.ptr)
        u->sni = host;
}

static void read_policy(struct upstream *u)
{
    const struct conf *c = u->place, *keep = build_get(c, "keepalive");
    const struct conf *passive = build_get(build_get(c, "health"), "passive");

    u->connect_timeout_ms = (uint32_t)conf_duration_ms(c, "upstream", "connect_timeout");
    u->timeout_ms = (uint32_t)conf_duration_ms(c, "upstream", "timeout");
    u->idle_timeout_ms = (uint32_t)conf_duration_ms(c, "upstream", "idle_timeout");
    u->max_connections = (uint32_t)conf_int(c, "upstream", "max_connections");
    u->max_pending = (uint32_t)conf_int(c, "upstream", "max_pending");
    u->keepalive.max_idle = (uint32_t)conf_int(keep, "keepalive", "max_idle");
    u->keepalive.idle_timeout_ms = (uint32_t)conf_duration_ms(keep, "keepalive", "idle_timeout");
    u->keepalive.max_requests = (uint32_t)conf_int(keep, "keepalive", "max_requests");
    u->passive.consecutive_errors =
        (uint32_t)conf_int(passive, "health_passive", "consecutive_errors");
    u->passive.eject_for_ms = (uint32_t)conf_duration_ms(passive, "health_passive", "eject_for");
    u->passive.max_ejected = conf_ratio(passive, "health_passive", "max_ejected");
    u->slow_start_ms = (uint32_t)conf_duration_ms(build_get(c, "health"), "health", "slow_start");
}

static void read_active(struct build *b, struct upstream *u, uint32_t index)
{
    static const char section[] = "health_active";
    const struct conf *active = build_get(build_get(u->place, "health"), "active");
    const struct conf *path = build_get(active, "path");
    struct uri uri;

    if (!active)
        return;
    u->active.interval_ms = (uint32_t)conf_duration_ms(active, section, "interval");
    u->active.timeout_ms = (uint32_t)conf_duration_ms(active, section, "timeout");
    u->active.healthy_after = (uint32_t)conf_int(active, section, "healthy_after");
    u->active.unhealthy_after = (uint32_t)conf_int(active, section, "unhealthy_after");
    if (!build_text(path).ptr)
        return;
    if (!slice_starts(path->text, SLICE("/")) || uri_parse_target(path->text, &uri) < 0) {
        fault_at(b->faults, path, PATH(b, "upstreams[%u].health.active.path", index),
                 "is no path, such as /health");
        return;
    }
    u->active.path = uri.path;
    u->active.query = uri.query;
}

static struct upstream *new_upstream(struct build *b, struct slice name, const struct conf *place)
{
    struct upstream *u = arena_zero(b->a, sizeof(*u));

    u->name = arena_dup(b->a, name);
    u->index = (uint32_t)b->upstreams.n;
    u->place = place;
    u->live = upstream_live_ref(u->name);
    read_policy(u);
    vec_push(&b->upstreams, u);
    b->s->upstreams = b->upstreams.items;
    b->s->nupstreams = (uint32_t)b->upstreams.n;
    return u;
}

void build_upstreams(struct build *b)
{
    const struct conf *list = build_get(b->root, "upstreams");

    for (uint32_t i = 0; i < build_count(list); i++) {
        const struct conf *item = list->items[i];
        struct slice name = build_text(build_get(item, "name"));
        if (!name.ptr || item->type != CONF_MAP)
            continue;
        struct slice path = PATH(b, "upstreams[%u].name", i);
        if (!build_name(b, &b->s->upstreams_by_name, item, name, path))
            continue;
        struct upstream *u = new_upstream(b, name, item);
        map_set(&b->s->upstreams_by_name, u->name, u);
        read_tls(b, u, i);
        read_endpoints(b, u, i);
        read_balance(b, u, i);
        read_host(b, u, i);
        read_active(b, u, i);
    }
}

/* --- of a route ------------------------------------------------------------------------------- */

static const char *wrong_url(struct slice text, struct uri *uri)
{
    if (addr_has_zone(text))
        return ADDR_ZONE_FAULT;
    if (uri_parse_url(text, uri) < 0)
        return "no URL of a host, such as http://127.0.0.1:9001";
    if (!slice_eq(uri->path, SLICE("/")) || uri->query.ptr)
        return "a URL here is scheme, host and port; `rewrite` changes the path";
    return NULL;
}

static struct upstream *inline_upstream(struct build *b, const struct conf *node, uint32_t route)
{
    struct uri uri;
    const char *wrong = wrong_url(node->text, &uri);

    if (wrong) {
        fault_at(b->faults, node, PATH(b, "routes[%u].upstream", route), "%s", wrong);
        return NULL;
    }
    bool is_v6 = slice_find_char(uri.host, ':') >= 0,
         is_tls = slice_eq_nocase(uri.scheme, SLICE("https"));
    struct slice address = arena_printf(b->a, is_v6 ? "[%.*s]:%u" : "%.*s:%u", SLICE_ARG(uri.host),
                                        uri.port ? uri.port
                                        : is_tls ? 443
                                                 : 80);
    struct slice name =
        arena_printf(b->a, "%s://%.*s", is_tls ? "https" : "http", SLICE_ARG(address));
    struct upstream *u = map_find(&b->s->upstreams_by_name, name);
    if (u)
        return u;
    u = new_upstream(b, name, NULL);
    map_set(&b->s->upstreams_by_name, u->name, u);
    u->endpoints = arena_zero(b->a, sizeof(u->endpoints[0]));
    u->host_mode = HOST_PASS;
    if (is_tls)
        u->tls = build_upstream_tls(b, NULL, SLICE_NONE);
    add_endpoint(b, u, address, 1);
    return u;
}

struct upstream *build_upstream_of(struct build *b, const struct conf *node, uint32_t route)
{
    struct slice text = build_text(node);

    if (!text.ptr)
        return NULL;
    if (slice_find(text, SLICE("://")) >= 0)
        return inline_upstream(b, node, route);
    struct upstream *u = map_find(&b->s->upstreams_by_name, text);
    if (!u)
        fault_at(b->faults, node, PATH(b, "routes[%u].upstream", route),
                 "no upstream is named %.*s%s", SLICE_ARG(conf_shown(node, b->faults->arena)),
                 build_nearest(b, &b->s->upstreams_by_name, text));
    return u;
}
