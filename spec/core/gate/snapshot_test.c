/* SPDX-License-Identifier: Apache-2.0 */

/* Whole configurations: what the gateway gets from a good one. */

#include "base/hash.h"
#include "gate/selector.h"
#include "side/redis_server.h"
#include "support/expect.h"
#include "support/loaded.h"

/* --- the documented whole --------------------------------------------------------------------- */

static void test_the_whole_example_names_what_is_not_there_yet(void **state UNUSED)
{
    static const char *const missing[] = {
        "user: this machine has no user",
        "listeners[1].tls.certificates[0].cert: can't read",
        "listeners[1].tls.certificates[0].key: can't read",
        "listeners[1].tls.client_ca: can't read",
        "listeners[1].http2: true is not yet",
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
    cut(text, "    tls: { verify", NULL);
    struct snapshot *s =
        load_from(&l, &(struct snapshot_source){.text = slice_from(text), .name = "t"});
    assert_string_equal(config_faults(&l.config), "");
    assert_int_equal(s->nlisteners, 2);
    assert_int_equal(addr_port(&s->listeners[1].addr), 8443);
    expect_slice(s->admin_address, "127.0.0.1:9901");
    expect_slice(s->admin_token, "hidden");
    expect_slice(snapshot_redis(s, SLICE("main"))->password, "hidden");
    expect_slice(s->spill_dir, "/var/lib/demilune/spill");
    assert_int_equal(s->spill.size, 1024 * MIB);
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
    assert_int_equal(s->nstores, 2);
    expect_slice(s->stores[0].name, "default");
    assert_int_equal(s->stores[0].bytes, 64 * MIB);
    expect_slice(s->stores[1].name, "marks");
    assert_int_equal(s->stores[1].bytes, 32 * MIB);
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
        &l,
        "workers: 3\nlog: {level: debug, format: text}\nadmin: {address: \"localhost:9901\"}\n"
        "stores: [{name: mine, size: 1MiB}, {name: marks, size: 2MiB}]\ndns: {servers: [10.0.0.2, \"10.0.0.3:5353\"]}\n"
        "outbound: {deny: []}\nplugin_path: [a, /b]\nlimits: {buffered_body: 2MiB}\n"
        "metrics: {max_series: 7}\nscript: {time_budget: 50ms, memory: 16MiB}\n");

    assert_int_equal(s->workers, 3);
    assert_int_equal(s->log_level, LOG_DEBUG);
    assert_int_equal(s->log_format, LOG_TEXT);
    assert_true(addr_is_loopback(&s->admin_addr));
    assert_int_equal(s->nstores, 3);
    assert_int_equal(s->stores[0].bytes, 1 * MIB);
    assert_int_equal(s->stores[1].bytes, 2 * MIB);
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
        cmocka_unit_test(test_a_snapshot_lives_as_long_as_it_is_counted),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
