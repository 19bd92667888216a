/* SPDX-License-Identifier: Apache-2.0 */

/* Whole configurations: what the gateway gets from a good one, and which faults a bad one has. */

#include "gate/snapshot.h"

#include "base/hash.h"
#include "gate/selector.h"
#include "side/redis_server.h"
#include "support/config.h"
#include "support/expect.h"
#include "support/fake_plugins.h"

#define BIT(p) PHASE_BIT(PHASE_##p)

static const struct fake_plugin plugins[] = {
    {"request-id", BIT(REWRITE) | BIT(RESPONSE), NULL, false, false},
    {"access-log", BIT(LOG), NULL, false, false},
    {"rate-limit", BIT(ACCESS) | BIT(RESPONSE), NULL, false, false},
    {"oauth2", BIT(ACCESS), NULL, true, false},
    {"acl", BIT(ACCESS), "oauth2", true, false},
    {"normalise", BIT(REWRITE) | BIT(START), NULL, false, false},
    {"headers", BIT(ACCESS) | BIT(RESPONSE) | BIT(BODY), NULL, false, false},
    {"key-auth", BIT(ACCESS), NULL, true, false},
    {"cors", BIT(ACCESS) | BIT(RESPONSE), NULL, false, true},
};

struct loaded {
    struct config config;
    struct fake_plugins plugins;
    struct snapshot *snapshot;
};

static struct snapshot *load_from(struct loaded *l, const struct snapshot_source *given)
{
    struct snapshot_source source = *given;

    config_init(&l->config);
    fake_plugins_init(&l->plugins, plugins, COUNT_OF(plugins));
    source.plugin_host = fake_plugins_host;
    source.arg = &l->plugins;
    l->snapshot = snapshot_load(&source, &l->config.faults);
    assert_int_equal(l->snapshot != NULL, l->config.faults.nerrors == 0);
    return l->snapshot;
}

static void unload(struct loaded *l)
{
    if (l->snapshot)
        snapshot_unref(l->snapshot);
    config_deinit(&l->config);
}

/* A listener is put in front, lest each text get the warning. */
#define LISTENERS "listeners: [{address: 127.0.0.1:0}]\n"

static struct snapshot *load(struct loaded *l, const char *text)
{
    static char whole[64 * 1024];

    snprintf(whole, sizeof(whole), "%s%s", LISTENERS, text);
    return load_from(l, &(struct snapshot_source){.text = slice_from(whole), .name = "t"});
}

static struct snapshot *load_good(struct loaded *l, const char *text)
{
    struct snapshot *s = load(l, text);

    assert_string_equal(config_faults(&l->config), "");
    assert_non_null(s);
    return s;
}

#define UPSTREAM "upstreams: [{name: up, endpoints: [{address: 127.0.0.1:9001}]}]\n"
#define ROUTE(text) UPSTREAM "routes: [{name: r, " text "}]\n"

/* --- the documented whole --------------------------------------------------------------------- */

static void test_the_whole_example_names_what_is_not_there_yet(void **state UNUSED)
{
    static const char *const missing[] = {
        "user: this machine has no user",
        "listeners[1].tls.certificates[0].cert: can't read",
        "listeners[1].tls.certificates[0].key: can't read",
        "listeners[1].tls.client_ca: can't read",
        "listeners[1].http2: true is not yet",
        "kafka: not yet",
        "spill: not yet",
        "upstreams[0].tls.ca: can't read",
        "upstreams[0].tls.cert: can't read",
        "upstreams[0].tls.key: can't read",
    };
    struct loaded l;

    setenv("REDIS_PASSWORD", "hidden", 1);
    setenv("ACME_KEY", "hidden", 1);
    setenv("DML_TOKEN", "hidden", 1);
    load_from(&l, &(struct snapshot_source){.path = "spec/core/gate/data/whole.yaml"});
    const char *text = config_faults(&l.config);
    for (size_t i = 0; i < COUNT_OF(missing); i++)
        expect_text(text, missing[i]);
    assert_int_equal(l.config.faults.nerrors, COUNT_OF(missing));
    expect_no_text(text, "hidden");
    unload(&l);
}

/* Lines from the first with `begin` on, to one with `end` or only that one, are taken out. */
static void cut(char *text, const char *begin, const char *end)
{
    char *from = strstr(text, begin);

    assert_non_null(from);
    while (from > text && from[-1] != '\n')
        from--;
    char *to = strchr(end ? strstr(from, end) : from, '\n') + 1;
    memmove(from, to, strlen(to) + 1);
}

static void test_the_rest_of_the_whole_example_loads(void **state UNUSED)
{
    char text[16384];
    struct loaded l;
    FILE *f = fopen("spec/core/gate/data/whole.yaml", "r");

    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    cut(text, "user:", NULL);
    cut(text, "    tls:\n", "session_resumption");
    cut(text, "http2: true", NULL);
    cut(text, "kafka:", "spill:");
    cut(text, "    tls: { verify", NULL);
    struct snapshot *s =
        load_from(&l, &(struct snapshot_source){.text = slice_from(text), .name = "t"});
    assert_string_equal(config_faults(&l.config), "");
    assert_int_equal(s->nlisteners, 2);
    assert_int_equal(addr_port(&s->listeners[1].addr), 8443);
    expect_slice(s->admin_address, "127.0.0.1:9901");
    expect_slice(s->admin_token, "hidden");
    expect_slice(snapshot_redis(s, SLICE("main"))->password, "hidden");
    assert_int_equal(s->nupstreams, 1);
    assert_int_equal(s->upstreams[0]->nendpoints, 2);
    assert_int_equal(s->upstreams[0]->max_connections, 1024);
    assert_int_equal(s->upstreams[0]->slow_start_ms, 30000);
    expect_slice(s->upstreams[0]->active.path, "/health");
    assert_int_equal(s->upstreams[0]->active.interval_ms, 5000);
    assert_int_equal(s->global.n, 2);
    assert_int_equal(s->nroutes, 3);
    assert_int_equal(s->routes[0]->chain.n, 3);
    assert_int_equal(s->routes[0]->timeout_ms, 5000);
    assert_ptr_equal(s->routes[0]->upstream, s->upstreams[0]);
    assert_non_null(s->routes[0]->rewrite);
    assert_int_equal(s->routes[1]->action, ROUTE_RESPOND);
    expect_slice(template_constant(s->routes[1]->respond_body), "hello\n");
    assert_int_equal(s->routes[2]->action, ROUTE_REDIRECT);
    assert_null(s->routes[2]->redirect_to);
    assert_int_equal(s->routes[2]->status, 308);
    struct consumer *acme = snapshot_consumer(s, SLICE("acme"));
    expect_slice(acme->groups[0], "gold");
    assert_int_equal(conf_get(acme->credentials, SLICE("key-auth"))->n, 1);
    assert_int_equal(s->ntrusted_proxies, 1);
    assert_int_equal(s->noutbound_deny, 2);
    expect_slice(s->plugin_path[0], "/etc/demilune/plugins");
    unload(&l);
}

/* --- settings --------------------------------------------------------------------------------- */

static void test_an_empty_configuration_has_the_defaults(void **state UNUSED)
{
    struct loaded l;
    struct snapshot *s = load_from(&l, &(struct snapshot_source){.text = SLICE(""), .name = "t"});

    expect_text(config_faults(&l.config), "t:1:1: warning: listeners: ");
    assert_true(s->workers >= 1);
    assert_int_equal(s->log_level, LOG_INFO);
    assert_int_equal(s->log_format, LOG_JSON);
    assert_int_equal(s->drain_timeout_ms, 30000);
    assert_int_equal(s->limits.request_head, 32 * KIB);
    assert_int_equal(s->limits.idle_timeout_ms, 60000);
    assert_int_equal(s->request_body, 10 * MIB);
    assert_int_equal(s->connections, 65536);
    assert_int_equal(s->nstores, 1);
    expect_slice(s->stores[0].name, "default");
    assert_int_equal(s->stores[0].bytes, 64 * MIB);
    assert_int_equal(s->dns.max_ttl_ms, 300000);
    assert_int_equal(s->dns.nservers, 0);
    assert_null(s->admin_address.ptr);
    struct addr metadata, other;
    assert_int_equal(addr_parse_ip(SLICE("169.254.169.254"), 0, &metadata), 0);
    assert_int_equal(addr_parse_ip(SLICE("10.0.0.1"), 0, &other), 0);
    assert_true(cidr_list_has(s->outbound_deny, s->noutbound_deny, &metadata));
    assert_false(cidr_list_has(s->outbound_deny, s->noutbound_deny, &other));
    unload(&l);
}

static void test_settings_are_read(void **state UNUSED)
{
    struct loaded l;
    struct snapshot *s = load_good(
        &l, "workers: 3\nlog: {level: debug, format: text}\nadmin: {address: \"localhost:9901\"}\n"
            "stores: [{name: mine, size: 1MiB}]\ndns: {servers: [10.0.0.2, \"10.0.0.3:5353\"]}\n"
            "outbound: {deny: []}\nplugin_path: [a, /b]\nlimits: {buffered_body: 2MiB}\n"
            "metrics: {max_series: 7}\nscript: {time_budget: 50ms, memory: 16MiB}\n");

    assert_int_equal(s->workers, 3);
    assert_int_equal(s->log_level, LOG_DEBUG);
    assert_int_equal(s->log_format, LOG_TEXT);
    assert_true(addr_is_loopback(&s->admin_addr));
    assert_int_equal(s->nstores, 2);
    assert_int_equal(s->stores[0].bytes, 1 * MIB);
    assert_int_equal(s->dns.nservers, 2);
    assert_string_equal(s->dns.servers[1], "10.0.0.3:5353");
    assert_int_equal(s->noutbound_deny, 0);
    assert_int_equal(s->buffered_body, 2 * MIB);
    assert_int_equal(s->script_time_budget_ms, 50);
    assert_int_equal(s->metrics_max_series, 7);
    expect_slice(s->plugin_path[0], "a");
    unload(&l);

    load_from(&l,
              &(struct snapshot_source){.text = SLICE("workers: 3"), .name = "t", .workers = 5});
    assert_int_equal(l.snapshot->workers, 5);
    unload(&l);
}

static void test_relative_plugin_paths_are_relative_to_the_file(void **state UNUSED)
{
    struct folder f;
    struct loaded l;
    char expected[128];

    folder_init(&f);
    const char *path = folder_write(&f, "d.yaml", LISTENERS "plugin_path: [mine]\n");
    struct snapshot *s = load_from(&l, &(struct snapshot_source){.path = path});
    snprintf(expected, sizeof(expected), "%s/mine", f.path);
    expect_slice(s->plugin_path[0], expected);
    unload(&l);
    folder_deinit(&f);
}

/* --- upstreams and routes --------------------------------------------------------------------- */

static void test_upstreams(void **state UNUSED)
{
    struct loaded l;
    struct snapshot *s = load_good(
        &l, "upstreams:\n"
            "  - name: a\n"
            "    endpoints: [{address: \"127.0.0.1:1\", weight: 3}, {address: \"Name.x:2\"}]\n"
            "    balance: hash\n    hash_on: header:x-user\n    host: target\n"
            "    health: {passive: {max_ejected: 20%}}\n    keepalive: {max_idle: 7}\n"
            "  - {name: b, endpoints: [{address: \"[::1]:3\"}], host: example.com}\n"
            "routes:\n"
            "  - {name: r1, paths: [/1], upstream: a}\n"
            "  - {name: r2, paths: [/2], upstream: http://127.0.0.1:7}\n"
            "  - {name: r3, paths: [/3], upstream: \"http://127.0.0.1:7/\"}\n"
            "  - {name: r4, paths: [/4], upstream: http://example.com}\n");
    struct upstream *a = snapshot_upstream(s, SLICE("a"));

    assert_int_equal(s->nupstreams, 4);
    assert_int_equal(a->endpoints[0].weight, 3);
    assert_int_equal(a->endpoints[1].weight, 1);
    assert_int_equal(a->endpoints[0].target->port, 1);
    assert_true(a->endpoints[1].target->is_name);
    assert_int_equal(a->balance, BALANCE_HASH);
    assert_non_null(a->hash_on);
    assert_int_equal(a->host_mode, HOST_TARGET);
    assert_int_equal(a->keepalive.max_idle, 7);
    assert_true(a->passive.max_ejected > 0.19 && a->passive.max_ejected < 0.21);
    assert_int_equal(snapshot_upstream(s, SLICE("b"))->host_mode, HOST_NAME);
    assert_ptr_equal(s->routes[0]->upstream, a);
    assert_ptr_equal(s->routes[1]->upstream, s->routes[2]->upstream);
    expect_slice(s->routes[1]->upstream->name, "http://127.0.0.1:7");
    assert_int_equal(s->routes[1]->upstream->timeout_ms, 15000);
    assert_int_equal(s->routes[3]->upstream->endpoints[0].target->port, 80);
    for (uint32_t i = 0; i < s->nupstreams; i++)
        assert_int_equal(s->upstreams[i]->index, i);
    unload(&l);
}

static void test_what_upstreams_know_survives_a_reload(void **state UNUSED)
{
    struct loaded first, second;
    struct snapshot *a = load_good(&first, ROUTE("upstream: up"));
    struct snapshot *b = load_good(&second, ROUTE("upstream: up, paths: [/x]"));

    assert_ptr_equal(a->upstreams[0]->live, b->upstreams[0]->live);
    assert_ptr_equal(a->upstreams[0]->endpoints[0].target, b->upstreams[0]->endpoints[0].target);
    assert_ptr_equal(a->upstreams[0]->endpoints[0].live, b->upstreams[0]->endpoints[0].live);
    assert_true(b->version > a->version);
    assert_false(slice_eq(a->id, b->id));
    struct target *t = target_hold(b->upstreams[0]->endpoints[0].target);
    unload(&first);
    unload(&second);
    assert_int_equal(atomic_load(&t->refs), 1);
    target_unref(t);
}

static void test_a_faulty_load_keeps_no_targets(void **state UNUSED)
{
    struct loaded good, bad;
    struct snapshot *s = load_good(&good, ROUTE("upstream: up"));
    struct target *t = s->upstreams[0]->endpoints[0].target;
    int refs = atomic_load(&t->refs);

    assert_null(load(&bad, ROUTE("upstream: nobody")));
    assert_int_equal(atomic_load(&t->refs), refs);
    unload(&bad);
    unload(&good);
}

static void test_routes(void **state UNUSED)
{
    struct loaded l;
    struct snapshot *s = load_good(
        &l, UPSTREAM
        "limits: {body_timeout: 7s, request_body: 3MiB}\n"
        "routes:\n"
        "  - name: a\n    hosts: [API.Example.com, \"*.Shop.example.com\"]\n"
        "    paths: [\"/%7Ea/{id}/x\", \"~ ^/re/(?<id>[a-z]+)(?<more>.*)$\"]\n"
        "    methods: [GET, POST]\n    headers: {X-Channel: web}\n    upstream: up\n"
        "    rewrite: /v1/{id}\n    timeout: 5s\n    request_body: 0\n    log_timeout: 1s\n"
        "  - {name: b, paths: [/api/*], upstream: up, strip_prefix: /api}\n"
        "  - name: c\n    paths: [\"/c/{x...}\"]\n"
        "    respond: {status: 201, headers: {x-p: \"{x}\"}, body: \"{{{x}}\"}\n"
        "  - {name: d, paths: [/d], redirect: {to: \"https://{host}/\", status: 301}}\n");
    const struct route *a = s->routes[0], *c = s->routes[2];

    expect_slice(a->hosts[0], "api.example.com");
    expect_slice(a->hosts[1], "*.shop.example.com");
    expect_slice(a->paths[0].text, "/%7Ea/{id}/x");
    expect_slice(a->paths[0].pattern, "/~a/{id}/x");
    assert_int_equal(a->paths[1].kind, PATH_REGEX);
    assert_int_equal(a->paths[1].nparams, 2);
    expect_slice(a->paths[1].params[1], "more");
    assert_true(a->methods == (1ull << METHOD_GET | 1ull << METHOD_HEAD | 1ull << METHOD_POST));
    assert_int_equal(a->timeout_ms, 5000);
    assert_int_equal(a->request_body, 0);
    assert_int_equal(a->body_timeout_ms, 7000);
    assert_int_equal(a->log_timeout_ms, 1000);
    expect_slice(s->routes[1]->strip_prefix, "/api");
    assert_int_equal(s->routes[1]->request_body, 3 * MIB);
    assert_int_equal(c->status, 201);
    assert_int_equal(c->nrespond_headers, 1);
    assert_null(template_constant(c->respond_body).ptr);
    assert_int_equal(s->routes[3]->status, 301);
    unload(&l);
}

/* --- plugins ---------------------------------------------------------------------------------- */

static void test_chains(void **state UNUSED)
{
    struct loaded l;
    struct snapshot *s = load_good(
        &l, UPSTREAM
        "plugins: [{name: request-id}, {name: oauth2}]\n"
        "routes:\n"
        "  - {name: a, paths: [/a], upstream: up}\n"
        "  - {name: b, paths: [\"/b/{x}/{y}\", \"/b/{y}\"], upstream: up,\n"
        "     plugins: [{name: acl, config: {k: v}}, {name: rate-limit, on_error: continue}]}\n"
        "  - {name: c, paths: [/c], upstream: up}\n"
        "consumers:\n"
        "  - {name: x, plugins: [{name: headers}]}\n"
        "  - {name: y}\n");
    const struct chain *b = &s->routes[1]->chain;

    assert_int_equal(s->nuses, 5);
    assert_int_equal(b->n, 4);
    expect_slice(b->uses[0]->scope, "global");
    expect_slice(b->uses[2]->scope, "route:b");
    expect_slice(b->uses[2]->path, "routes[1].plugins[0]");
    assert_non_null(conf_get(b->uses[2]->config, SLICE("k")));
    assert_null(b->uses[3]->config);
    assert_true(b->uses[3]->continues_on_error);
    assert_int_equal(b->hooks, BIT(REWRITE) | BIT(RESPONSE) | BIT(ACCESS));
    assert_int_equal(s->routes[0]->chain.index, s->global.index);
    assert_int_equal(s->routes[2]->chain.index, s->global.index);
    expect_slice(s->consumers[0]->chain.uses[0]->scope, "consumer:x");
    assert_int_equal(s->consumers[0]->chain.n, 1);
    assert_int_equal(s->consumers[1]->chain.n, 0);
    assert_int_equal(s->consumers[1]->chain.hooks, 0);
    for (uint32_t i = 0; i < s->nchains; i++)
        assert_int_equal(s->chains[i]->index, i);
    for (uint32_t i = 0; i < s->nuses; i++)
        assert_int_equal(s->uses[i]->index, i);
    assert_ptr_equal(s->chains[b->index]->uses, b->uses);
    unload(&l);
}

static void test_plugins_get_the_parameters_of_all_paths(void **state UNUSED)
{
    struct loaded l;

    load_good(&l,
              ROUTE("paths: [\"/b/{x}/{y}\", \"/c/{y}\"], upstream: up, plugins: [{name: acl}]"));
    assert_int_equal(l.plugins.nparams, 1);
    assert_string_equal(l.plugins.param, "y");
    unload(&l);
    load_good(&l, ROUTE("upstream: up, plugins: [{name: acl}]"));
    assert_int_equal(l.plugins.nparams, 0);
    assert_true(l.plugins.in_route);
    unload(&l);
    load_good(&l, "plugins: [{name: acl}]");
    assert_false(l.plugins.in_route);
    unload(&l);
}

static void test_the_order_is_asked_once_per_pair_of_plugins(void **state UNUSED)
{
    char text[64 * 1024 - 64], *p = text;
    struct loaded l;

    p += sprintf(p, "%splugins: [{name: oauth2}, {name: request-id}]\nroutes:\n", UPSTREAM);
    for (int i = 0; i < 400; i++)
        p +=
            sprintf(p, "- {name: r%d, paths: [/%d], upstream: up, plugins: [{name: acl}]}\n", i, i);
    load_good(&l, text);
    assert_int_equal(l.plugins.asked, 6);
    unload(&l);
}

static void test_warnings_do_not_refuse(void **state UNUSED)
{
    struct loaded l;

    assert_non_null(
        load(&l, ROUTE("upstream: up, plugins: [{name: normalise}, {name: request-id}]")));
    expect_text(config_faults(&l.config), "warning: routes[0].plugins[0]: \"normalise\" has only "
                                          "hooks that run before routing");
    expect_no_text(config_faults(&l.config), "\"request-id\"");
    unload(&l);
    load_good(&l, "plugins: [{name: normalise}]");
    unload(&l);
    assert_non_null(load(&l, "consumers: [{name: x, plugins: [{name: normalise}]}]"));
    expect_text(config_faults(&l.config), "warning: consumers[0].plugins[0]: ");
    unload(&l);
}

static void test_preflights_want_to_come_before_guards(void **state UNUSED)
{
    struct loaded l;

    assert_non_null(load(&l, "plugins: [{name: key-auth}]\n" ROUTE(
                                 "upstream: up, plugins: [{name: acl}, {name: cors}]")));
    expect_text(
        config_faults(&l.config),
        "warning: routes[0].plugins[1]: \"cors\" stands behind \"key-auth\", which may refuse");
    assert_true(l.snapshot->routes[0]->chain.answers_preflights);
    unload(&l);
    load_good(&l, "plugins: [{name: cors}]\n" ROUTE("upstream: up, plugins: [{name: key-auth}]"));
    assert_true(l.snapshot->routes[0]->chain.answers_preflights);
    unload(&l);
    load_good(&l, ROUTE("upstream: up, plugins: [{name: key-auth}]"));
    assert_false(l.snapshot->routes[0]->chain.answers_preflights);
    unload(&l);
}

static void test_redirects_to_https_are_for_http(void **state UNUSED)
{
    struct loaded l;

    load_good(&l, "routes: [{name: a, redirect: https}, {name: b, redirect: {to: /x}}]");
    assert_true(l.snapshot->routes[0]->is_http);
    assert_false(l.snapshot->routes[1]->is_http);
    unload(&l);
}

/* --- faults ----------------------------------------------------------------------------------- */

struct row {
    const char *yaml, *fault;
};

static void expect_faults(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct loaded l;
        load(&l, rows[i].yaml);
        if (!l.config.faults.nerrors)
            print_error("no fault in %s\n", rows[i].yaml);
        assert_true(l.config.faults.nerrors > 0);
        expect_text(config_faults(&l.config), rows[i].fault);
        unload(&l);
    }
}

#define LONG_NAME \
    "0123456789012345678901234567890123456789012345678901234567890123456789" \
    "0123456789012345678901234567890123456"

static void test_faults_of_settings(void **state UNUSED)
{
    static const struct row rows[] = {
        {"admin: {address: here}", "t:2:18: admin.address: no address with a port"},
        {"admin: {address: \"unix:x\"}", "a unix socket needs an absolute path"},
        {"admin: {address: \"[fe80::1%eth0]:1\"}", "admin.address: zones of IPv6 addresses"},
        {"admin: {address: \"127.0.0.1:1\", token: \"\"}", "admin.token: an empty token"},
        {"admin: {address: \"127.0.0.1:1\", token: \"${NOT_SET_HERE:-}\"}",
         "admin.token: an empty token"},
        {"admin: {address: \"127.0.0.1:1\", token: \"${file:/dev/null}\"}",
         "admin.token: an empty token"},
        {"dns: {servers: [ns1]}", "dns.servers[0]: no address of a name server"},
        {"dns: {servers: [\"unix:/x\"]}", "dns.servers[0]: no address of a name server"},
        {"dns: {min_ttl: 5s, max_ttl: 1s}", "dns.min_ttl: is longer than max_ttl"},
        {"redis: [{name: a, url: http://h}]", "t:2:24: redis[0].url: no URL of a Redis server"},
        {"redis: [{name: a, url: redis://h/x}]", "redis[0].url: a database is a number"},
        {"redis: [{name: a, url: redis://h, tls: {verify: false}}]",
         "redis[0].tls: is used with a URL that begins with rediss:// only"},
        {"redis: [{name: a, url: rediss://h, tls: {ca: /nowhere}}]", "redis[0].tls.ca: can't read"},
        {"redis: [{name: a, url: redis://h}, {name: a, url: redis://i}]",
         "redis[1].name: the name \"a\" is taken already"},
        {"trusted_proxies: [10.0.0.0/33]", "trusted_proxies[0]: no address or network"},
        {"outbound: {deny: [x]}", "outbound.deny[0]: no address or network"},
        {"stores: [{name: a, size: 1MiB}, {name: a, size: 1MiB}]",
         "stores[1].name: the name \"a\" is taken already"},
    };
    static const struct row listeners[] = {
        {"listeners: [{address: 8080}]", "expected a text, got 8080 (put it in quotes)"},
        {"listeners: [{address: \":8080\"}]", "listeners[0].address: no address with a port"},
        {"listeners: [{address: \"example.com:80\"}]", "no address with a port"},
        {"listeners: [{address: \"::1:8080\"}]", "no address with a port"},
        {"listeners: [{address: \"[fe80::1%eth0]:80\"}]",
         "zones of IPv6 addresses (%eth0) are not"},
        {"dns: {servers: [\"fe80::1%2\"]}", "dns.servers[0]: zones of IPv6 addresses"},
        {"routes: [{name: a, upstream: \"http://[fe80::1%25eth0]:80\"}]",
         "routes[0].upstream: zones of IPv6 addresses"},
        {"listeners: [{address: \"unix:run/x\"}]", "a unix socket needs an absolute path"},
        {"listeners: [{address: \"unix:@x\"}]", "abstract sockets have no permissions"},
        {"listeners: [{address: \"unix:/" LONG_NAME "\"}]", "has at most 107 bytes"},
        {"listeners: [{address: 0.0.0.0:80}, {address: 0.0.0.0:80}]",
         "listeners[1].address: another listener has this address"},
        {"listeners: [{address: \"unix:/run/x\"}, {address: \"unix:/run/x\"}]",
         "listeners[1].address: another listener has this address"},
        {"listeners: [{address: 0.0.0.0:80}, {address: 127.0.0.1:80}]",
         "listeners[1].address: another listener has 0.0.0.0:80: one of the two"},
        {"listeners: [{address: \"[::1]:80\"}, {address: \"[::]:80\"}]",
         "listeners[1].address: another listener has [::1]:80: one of the two"},
        {"listeners: [{address: 1.2.3.4:80}, {address: \"[::ffff:1.2.3.4]:80\"}]",
         "listeners[1].address: another listener has this address"},
        {"listeners: [{address: 127.0.0.1:80}]\nadmin: {address: 127.0.0.1:80}",
         "admin.address: another listener has this address"},
        {"listeners: [{address: \"[::]:80\"}]\nadmin: {address: \"[::1]:80\"}",
         "admin.address: another listener has [::]:80"},
        {"listeners: [{address: 127.0.0.1:80, proxy_protocol: true}]",
         "listeners[0].proxy_protocol: nobody could connect"},
        {"listeners: [{address: \"unix:/x\", proxy_protocol: true}]\ntrusted_proxies: [127.0.0.1]",
         "listeners[0].proxy_protocol: nobody could connect"},
        {"listeners: [{address: 127.0.0.1:80, proxy_protocol: true}]\ntrusted_proxies: [\"unix:\"]",
         "listeners[0].proxy_protocol: nobody could connect"},
        {"user: no-such-user-here", "t:1:7: user: this machine has no user \"no-such-user-here\""},

    };

    expect_faults(rows, COUNT_OF(rows));
    for (size_t i = 0; i < COUNT_OF(listeners); i++) {
        struct loaded l;
        load_from(&l,
                  &(struct snapshot_source){.text = slice_from(listeners[i].yaml), .name = "t"});
        expect_text(config_faults(&l.config), listeners[i].fault);
        unload(&l);
    }
}

static void test_listeners_of_all_kinds(void **state UNUSED)
{
    struct loaded l;
    const struct snapshot *s;

    load_from(&l, &(struct snapshot_source){
                      .name = "t",
                      .text = SLICE("listeners:\n"
                                    "  - address: 0.0.0.0:80\n"
                                    "  - address: \"[::]:80\"\n"
                                    "  - address: localhost:81\n"
                                    "  - address: \"[::ffff:10.0.0.1]:81\"\n"
                                    "  - address: 127.0.0.1:0\n"
                                    "  - address: 127.0.0.1:0\n"
                                    "  - { address: \"unix:/run/x\", proxy_protocol: true }\n"
                                    "admin: { address: \"[::1]:9901\" }\n"
                                    "trusted_proxies: [fd00::/8, \"unix:\"]\n"
                                    "user: root\n"),
                  });
    s = l.snapshot;
    assert_non_null(s);
    assert_int_equal(s->nlisteners, 7);
    assert_int_equal(s->listeners[1].addr.sa.sa_family, AF_INET6);
    assert_int_equal(s->listeners[2].addr.sa.sa_family, AF_INET);
    assert_int_equal(s->listeners[3].addr.sa.sa_family, AF_INET); /* IPv6 sockets take no IPv4 */
    assert_int_equal(addr_port(&s->listeners[3].addr), 81);
    assert_true(addr_is_unix(&s->listeners[6].addr));
    assert_true(s->listeners[6].proxy_protocol && !s->listeners[0].proxy_protocol);
    assert_int_equal(s->ntrusted_proxies, 1);
    assert_true(s->trusts_unix);
    assert_true(slice_eq(s->user, SLICE("root")));
    unload(&l);
}

#define ENDPOINTS(text) "upstreams: [{name: a, endpoints: [" text "]}]"
#define UP(text) "upstreams: [{name: a, endpoints: [{address: \"h:1\"}], " text "}]"

static void test_faults_of_upstreams(void **state UNUSED)
{
    static const struct row rows[] = {
        {ENDPOINTS(""), "upstreams[0].endpoints: an upstream needs an endpoint"},
        {ENDPOINTS("{address: \"[fe80::1%eth0]:80\"}"), "address: zones of IPv6 addresses"},
        {ENDPOINTS("{address: host}"), "upstreams[0].endpoints[0].address: the port is missing"},
        {ENDPOINTS("{address: \"http://h:1\"}"), "an endpoint is host:port, no URL"},
        {ENDPOINTS("{address: \"a b:1\"}"), "no host with a port"},
        {ENDPOINTS("{address: \"h:1\"}, {address: \"h:1\"}"), "stands here twice"},
        {ENDPOINTS("{address: \"h:99999\"}"), "no host with a port"},
        {UP("balance: hash"), "upstreams[0].balance: hash needs hash_on"},
        {UP("hash_on: host"), "upstreams[0].hash_on: is used with balance: hash only"},
        {UP("balance: hash, hash_on: hots"), "unknown selector \"hots\", did you mean \"host\"?"},
        {UP("host: \"a b\""),
         "upstreams[0].host: expected pass, target or a host's name, got \"a b\""},
        {UP("x: 1") "\nroutes: [{name: r, upstream: http://h/path}]",
         "routes[0].upstream: a URL here is scheme, host and port"},
        {"routes: [{name: r, upstream: ftp://h}]", "no URL of a host"},
        {"upstreams: [{name: a, endpoints: [{address: \"h:1\"}]}, {name: a, endpoints: "
         "[{address: \"h:1\"}]}]",
         "upstreams[1].name: the name \"a\" is taken already"},
    };

    expect_faults(rows, COUNT_OF(rows));
}

static const struct row route_faults[] = {
    {ROUTE("upstream: pu"), "routes[0].upstream: no upstream is named \"pu\", did you mean "
                            "\"up\"?"},
    {ROUTE("upstream: elsewhere"), "no upstream is named \"elsewhere\"\n"},
    {ROUTE("paths: [/]"), "routes[0]: a route has exactly one of upstream, respond"},
    {ROUTE("upstream: up, respond: {}"), "a route has exactly one of"},
    {ROUTE("upstream: up, redirect: https"), "a route has exactly one of"},
    {ROUTE("respond: {}, rewrite: /x"), "routes[0].rewrite: is for routes with an upstream"},
    {ROUTE("redirect: https, strip_prefix: /x"), "strip_prefix: is for routes with"},
    {ROUTE("upstream: up, hosts: []"), "hosts: an empty list takes no host"},
    {ROUTE("upstream: up, hosts: [\"*\"]"), "hosts[0]: for any host leave `hosts` out"},
    {ROUTE("upstream: up, hosts: [\"a.*.b\"]"), "a star stands for whole labels at the front"},
    {ROUTE("upstream: up, hosts: [\"*a.b\"]"), "a star stands for whole labels at the front"},
    {ROUTE("upstream: up, hosts: [\"a.b:80\"]"), "a host stands here without its port"},
    {ROUTE("upstream: up, hosts: [\"a b\"]"), "no name of a host"},
    {ROUTE("upstream: up, hosts: [A.b, a.B]"), "hosts[1]: stands here twice"},
    {ROUTE("upstream: up, paths: []"), "paths: an empty list takes no path"},
    {ROUTE("upstream: up, paths: [x]"), "paths[0]: a path begins with a slash"},
    {ROUTE("upstream: up, paths: [\"/a?b\"]"), "a path has no query and no fragment"},
    {ROUTE("upstream: up, paths: [\"/a/{b}c\"]"), "a parameter is a whole segment"},
    {ROUTE("upstream: up, paths: [\"/a/x{b}\"]"), "a parameter is a whole segment"},
    {ROUTE("upstream: up, paths: [\"/{a}{b}\"]"), "a parameter is a whole segment"},
    {ROUTE("upstream: up, paths: [\"/{}\"]"), "can't be the name of a parameter"},
    {ROUTE("upstream: up, paths: [\"/{1a}\"]"), "can't be the name of a parameter"},
    {ROUTE("upstream: up, paths: [\"/{a...}/b\"]"), "{name...} is the last segment"},
    {ROUTE("upstream: up, paths: [\"/{a}/{a}\"]"), "the parameter \"a\" stands in it twice"},
    {ROUTE("upstream: up, paths: [/a*]"), "a star is the whole last segment"},
    {ROUTE("upstream: up, paths: [\"/*/a\"]"), "a star is the whole last segment"},
    {ROUTE("upstream: up, paths: [/a/../b]"), "has no . or .. segments"},
    {ROUTE("upstream: up, paths: [/a/%2e/b]"), "has no . or .. segments"},
    {ROUTE("upstream: up, paths: [/%zz]"), "a wrong escape"},
    {ROUTE("upstream: up, paths: [/../a]"), "above /"},
    {ROUTE("upstream: up, paths: [\"~ ^/(\"]"), "no regular expression: "},
    {ROUTE("upstream: up, paths: [\"~ \"]"), "an empty regular expression"},
    {ROUTE("upstream: up, paths: [/~a, /%7Ea]"), "paths[1]: stands here twice"},
    {ROUTE("upstream: up, paths: "
           "[\"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}\"]"),
     "more than 16 parameters"},
    {ROUTE("upstream: up, methods: []"), "methods: an empty list takes no method"},
    {ROUTE("upstream: up, methods: [get]"), "no known method, did you mean \"GET\"?"},
    {ROUTE("upstream: up, methods: [PSOT]"), "no known method, did you mean \"POST\"?"},
    {ROUTE("upstream: up, methods: [CONNECT]"), "it is answered with 501"},
    {ROUTE("upstream: up, headers: {\"a b\": c}"), "routes[0].headers.a b: no name of a header"},
    {ROUTE("upstream: up, headers: {A: b, a: c}"), "routes[0].headers.a: stands here twice"},
    {ROUTE("upstream: up, headers: {a: \" b\"}"), "no value of a header"},
    {ROUTE("upstream: up, rewrite: x"), "routes[0].rewrite: a path begins with a slash"},
    {ROUTE("upstream: up, rewrite: \"/x?a=1\""), "rewrite: is a path alone"},
    {ROUTE("upstream: up, rewrite: \"/a b\""), "rewrite: what may not stand in a path"},
    {ROUTE("redirect: { to: \"https://x/a b\" }"), "redirect.to: what may not stand in a URL"},
    {ROUTE("redirect: { to: \"/x\\r\\ny: 1\" }"), "redirect.to: what may not stand in a URL"},
    {ROUTE("upstream: up, rewrite: \"/{item}\""), "rewrite: unknown selector \"item\""},
    {ROUTE("upstream: up, paths: [\"/{id}\"], rewrite: \"/{di}\""), "did you mean \"id\"?"},
    {ROUTE("upstream: up, paths: [\"/{id}\", /x], rewrite: \"/{param:id}\""),
     "not all paths of the route have a parameter \"id\""},
    {ROUTE("upstream: up, paths: [\"/{id}\", /x], rewrite: \"/{id}\""),
     "not all paths of the route have a parameter \"id\""},
    {ROUTE("upstream: up, strip_prefix: /a"), "needs `paths` that begin with it"},
    {ROUTE("upstream: up, paths: [/b/*], strip_prefix: /a"), "must begin with it"},
    {ROUTE("upstream: up, paths: [/ab/*], strip_prefix: /a"), "must begin with it"},
    {ROUTE("upstream: up, paths: [\"/{v}/x\"], strip_prefix: /a"), "must begin with it"},
    {ROUTE("upstream: up, paths: [\"~ ^/a\"], strip_prefix: /a"), "must begin with it"},
    {ROUTE("upstream: up, paths: [/a/*], strip_prefix: /a/"), "does not end with one"},
    {ROUTE("upstream: up, paths: [/a/*], strip_prefix: /a, rewrite: /b"), "beside `rewrite`"},
    {ROUTE("respond: {body: \"{\\\"a\\\": 1}\"}"), "write {{ for a brace"},
    {ROUTE("respond: {body: \"{status}\"}"), "is known only when there is a response"},
    {ROUTE("respond: {status: 204, body: x}"),
     "respond.body: an answer with status 204 has no body"},
    {ROUTE("respond: {status: 304, body: \"{path}\"}"), "an answer with status 304 has no body"},
    {ROUTE("respond: {headers: {content-length: \"5\"}}"), "sets this header by itself"},
    {ROUTE("respond: {headers: {a: \"b\\nc\"}}"), "respond.headers.a: no value of a header"},
    {ROUTE("redirect: {to: x, status: 304}"), "must be 301, 302, 303, 307 or 308"},
    {ROUTE("redirect: {to: \"\"}"), "redirect.to: an empty target"},
    {UPSTREAM "routes: [{name: r, upstream: up}, {name: r, paths: [/x], upstream: up}]",
     "routes[1].name: the name \"r\" is taken already"},
    {UPSTREAM "routes: [{name: a, paths: [/x], upstream: up}, {name: b, paths: [/x], "
              "upstream: up}]",
     "t:3:48: routes[1]: \"b\" takes the same requests as \"a\" (t:3), with equal precedence "
     "(path: /x)"},
    {"consumers: [{name: a}, {name: a}]", "consumers[1].name: the name \"a\" is taken already"},
    {"consumers: [{name: a, credentials: {key-auth: {}}}]",
     "consumers[0].credentials.key-auth: expected a list of credentials, got a map"},
    {"consumers: [{name: a, credentials: {key-auht: []}}]",
     "t:2:37: consumers[0].credentials.key-auht: not installed"},
};

static void test_faults_of_routes(void **state UNUSED)
{
    expect_faults(route_faults, COUNT_OF(route_faults));
}

static void test_faults_of_plugins(void **state UNUSED)
{
    static const struct row rows[] = {
        {"plugins: [{name: nobody}]", "plugins[0]: not installed"},
        {"plugins: [{name: acl, config: {bad: 1}}]", "plugins[0]: wrong config"},
        {"plugins: [{name: acl}, {name: oauth2}]",
         "plugins[1]: \"oauth2\" must run before \"acl\", which wants to stand after it"},
        {"plugins: [{name: acl}]\n" ROUTE("upstream: up, plugins: [{name: oauth2}]"),
         "routes[0].plugins[0]: \"oauth2\" must run before \"acl\""},
        {ROUTE("upstream: up, plugins: [{name: acl}]") "consumers: [{name: c, plugins: [{name: "
                                                       "oauth2}]}]",
         "consumers[0].plugins[0]: \"oauth2\" must run before \"acl\""},
        {"consumers: [{name: c, plugins: [{name: acl}, {name: oauth2}]}]",
         "consumers[0].plugins[1]: \"oauth2\" must run before \"acl\""},
        {"plugins: [{name: acl, on_error: continue}]",
         "plugins[0].on_error: \"acl\" decides who may pass"},
    };

    expect_faults(rows, COUNT_OF(rows));
}

static void test_without_a_host_no_plugin_is_installed(void **state UNUSED)
{
    struct config c;

    config_init(&c);
    assert_null(snapshot_load(
        &(struct snapshot_source){.text = SLICE("plugins: [{name: acl}]"), .name = "t"},
        &c.faults));
    expect_text(config_faults(&c), "plugins[0].name: no plugin \"acl\" is installed");
    config_deinit(&c);
}

static void test_faults_of_all_stages_at_once(void **state UNUSED)
{
    struct loaded l;

    load(&l, "workers: x\nadmin: {address: y}\nupstreams: [{name: a, endpoints: [{address: h}]}]\n"
             "routes: [{name: r, upstream: b}, {name: s, paths: [x], upstream: \"${DML_NONE}\"}]\n"
             "plugins: [{name: nobody}]\n");
    assert_int_equal(l.config.faults.nerrors, 7);
    unload(&l);
}

static void test_a_snapshot_lives_as_long_as_it_is_counted(void **state UNUSED)
{
    struct loaded l;
    struct snapshot *s = snapshot_ref(load_good(&l, ROUTE("upstream: up")));

    unload(&l);
    expect_slice(s->routes[0]->name, "r");
    snapshot_unref(s);
}

static int setup(void **state UNUSED)
{
    hash_init();
    unsetenv("DML_NONE");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_example_names_what_is_not_there_yet),
        cmocka_unit_test(test_the_rest_of_the_whole_example_loads),
        cmocka_unit_test(test_an_empty_configuration_has_the_defaults),
        cmocka_unit_test(test_settings_are_read),
        cmocka_unit_test(test_relative_plugin_paths_are_relative_to_the_file),
        cmocka_unit_test(test_upstreams),
        cmocka_unit_test(test_what_upstreams_know_survives_a_reload),
        cmocka_unit_test(test_a_faulty_load_keeps_no_targets),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_plugins_get_the_parameters_of_all_paths),
        cmocka_unit_test(test_the_order_is_asked_once_per_pair_of_plugins),
        cmocka_unit_test(test_warnings_do_not_refuse),
        cmocka_unit_test(test_preflights_want_to_come_before_guards),
        cmocka_unit_test(test_redirects_to_https_are_for_http),
        cmocka_unit_test(test_faults_of_settings),
        cmocka_unit_test(test_listeners_of_all_kinds),
        cmocka_unit_test(test_faults_of_upstreams),
        cmocka_unit_test(test_faults_of_routes),
        cmocka_unit_test(test_faults_of_plugins),
        cmocka_unit_test(test_without_a_host_no_plugin_is_installed),
        cmocka_unit_test(test_faults_of_all_stages_at_once),
        cmocka_unit_test(test_a_snapshot_lives_as_long_as_it_is_counted),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
