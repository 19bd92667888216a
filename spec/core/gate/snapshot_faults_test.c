/* SPDX-License-Identifier: Apache-2.0 */

/* Which faults a bad configuration has, and where. */

#include "base/hash.h"
#include "support/expect.h"
#include "support/loaded.h"

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
    {UPSTREAM "routes: [{name: \"r\\nx\", upstream: up}]",
     "routes[0].name: a name has no control characters"},
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

static int setup(void **state UNUSED)
{
    hash_init();
    unsetenv("DML_NONE");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_of_settings),
        cmocka_unit_test(test_listeners_of_all_kinds),
        cmocka_unit_test(test_faults_of_upstreams),
        cmocka_unit_test(test_faults_of_routes),
        cmocka_unit_test(test_faults_of_plugins),
        cmocka_unit_test(test_without_a_host_no_plugin_is_installed),
        cmocka_unit_test(test_faults_of_all_stages_at_once),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
