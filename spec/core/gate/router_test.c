/* SPDX-License-Identifier: Apache-2.0 */

/* Which route takes which request. Routes are written as "name host path methods headers flags", with a
 * dash for "any" and the flags http (for http requests alone) and cors (a plugin answers preflights); requests as "METHOD
 * host path headers scheme". */

#include "gate/router.h"

#include <time.h>

#include "base/hash.h"
#include "gate/conf_yaml.h"
#include "gate/snapshot.h"
#include "support/config.h"
#include "support/expect.h"
#include "support/router_oracle.h"

#define ROUTES_MAX 32

struct table {
    struct config config;
    const struct route *routes[ROUTES_MAX];
    uint32_t n;
    struct router *router;
    struct route_match match;
};

/* The next word; a dash is none. */
static struct slice word(struct slice *rest)
{
    struct slice out;

    *rest = slice_trim(*rest);
    while (slice_split(rest, ' ', &out))
        if (out.len)
            return slice_eq(out, SLICE("-")) ? SLICE_NONE : out;
    return SLICE_NONE;
}

static void read_headers(struct arena *a, struct slice list, struct route *r)
{
    struct slice one, name;

    r->headers = arena_alloc(a, 4 * sizeof(r->headers[0]));
    while (list.ptr && slice_split(&list, ',', &one)) {
        assert_true(slice_split(&one, '=', &name));
        r->headers[r->nheaders++] = (struct route_header){.name = name, .value = one};
    }
}

static struct route *read_route(struct arena *a, const char *text, uint32_t index)
{
    struct route *r = arena_zero(a, sizeof(*r));
    struct slice rest = slice_from(text), one, error;

    r->index = index;
    r->name = word(&rest);
    r->hosts = arena_alloc(a, 4 * sizeof(r->hosts[0]));
    r->paths = arena_alloc(a, 4 * sizeof(r->paths[0]));
    for (struct slice list = word(&rest); list.ptr && slice_split(&list, ',', &one);)
        r->hosts[r->nhosts++] = one;
    for (struct slice list = word(&rest); list.ptr && slice_split(&list, ',', &one);)
        assert_true(path_pattern_parse(one, a, &r->paths[r->npaths++], &error));
    for (struct slice list = word(&rest); list.ptr && slice_split(&list, ',', &one);)
        r->methods |= 1ull << method_parse(one);
    read_headers(a, word(&rest), r);
    for (struct slice flag; (flag = word(&rest)).ptr;) {
        r->is_http |= slice_eq(flag, SLICE("http"));
        r->chain.answers_preflights |= slice_eq(flag, SLICE("cors"));
    }
    return r;
}

static void table_init(struct table *t, const char *const *routes)
{
    *t = (struct table){0};
    config_init(&t->config);
    for (; routes[t->n]; t->n++)
        t->routes[t->n] = read_route(t->config.arena, routes[t->n], t->n);
    t->router = router_new(t->config.arena, t->routes, t->n, &t->config.faults);
}

static void table_deinit(struct table *t)
{
    config_deinit(&t->config);
}

/* The name of the route; "none", or "405 METHODS". */
static const char *ask(struct table *t, const char *text)
{
    static char out[128];
    struct message m = {0};
    struct slice rest = slice_from(text), one, name, list;

    headers_init(&m.headers, t->config.arena, 4);
    m.method = method_parse(word(&rest));
    struct slice host = word(&rest), path = word(&rest);
    for (list = word(&rest); list.ptr && slice_split(&list, ',', &one);) {
        assert_true(slice_split(&one, '=', &name));
        headers_add(&m.headers, name, one);
    }
    m.scheme = word(&rest);
    router_match(t->router, host, path, &m, &t->match);
    if (t->match.route) {
        snprintf(out, sizeof(out), "%.*s", SLICE_ARG(t->match.route->name));
        return out;
    }
    if (!t->match.allowed)
        return "none";
    strcpy(out, "405");
    for (int i = 0; i < METHOD_COUNT; i++) {
        if (t->match.allowed >> i & 1) {
            strcat(out, " ");
            strcat(out, method_text((enum method)i));
        }
    }
    return out;
}

struct row {
    const char *request, *expected;
};

static void expect_rows(const char *const *routes, const struct row *rows, size_t n)
{
    struct table t;

    table_init(&t, routes);
    assert_string_equal(config_faults(&t.config), "");
    for (size_t i = 0; i < n; i++) {
        const char *got = ask(&t, rows[i].request);
        if (strcmp(got, rows[i].expected) != 0)
            print_error("%s\n", rows[i].request);
        assert_string_equal(got, rows[i].expected);
    }
    table_deinit(&t);
}

#define EXPECT(routes, rows) expect_rows(routes, rows, COUNT_OF(rows))

static void test_patterns(void **state UNUSED)
{
    static const char *const routes[] = {"exact - /orders",
                                         "one - /orders/{id}",
                                         "deep - /orders/{id}/items/{item}",
                                         "rest - /files/{path...}",
                                         "below - /api/*",
                                         "slash - /orders/",
                                         "star - /%7Euser/a%2fb",
                                         NULL};
    static const struct row rows[] = {
        {"GET - /orders", "exact"},
        {"GET - /orders/", "slash"},
        {"GET - /orders/7", "one"},
        {"GET - /orders/7/", "none"},
        {"GET - /orders/7/items/8", "deep"},
        {"GET - /orders//items/8", "none"},
        {"GET - /orders/7/items/", "none"},
        {"GET - /order", "none"},
        {"GET - /orders7", "none"},
        {"GET - /files", "none"},
        {"GET - /files/", "rest"},
        {"GET - /files/a", "rest"},
        {"GET - /files/a//b/", "rest"},
        {"GET - /api", "below"},
        {"GET - /api/", "below"},
        {"GET - /api/x/y", "below"},
        {"GET - /apis", "none"},
        {"GET - /api%2Fx", "none"},
        {"GET - /~user/a%2Fb", "star"},
        {"GET - /", "none"},
        {"OPTIONS - *", "none"},
    };

    EXPECT(routes, rows);
}

static void test_everything_patterns(void **state UNUSED)
{
    static const char *const routes[] = {"all - /*", "root - /", "rest - /{rest...} GET", NULL};
    static const struct row rows[] = {
        {"GET - /", "root"},
        {"GET - /x", "rest"},
        {"POST - /x/y", "all"},
        {"POST - /", "root"},
    };

    EXPECT(routes, rows);
}

static void test_parameters(void **state UNUSED)
{
    static const char *const routes[] = {"a - /x/{one}/{two}", "b - /y/{one}/{rest...}",
                                         "c - ~^/z/(?<n>[0-9]+)(/(?<opt>.*))?$", "d - /{a}/q/*",
                                         NULL};
    struct table t;

    table_init(&t, routes);
    assert_string_equal(ask(&t, "GET - /x/a%20b/c"), "a");
    assert_int_equal(t.match.nparams, 2);
    expect_slice(t.match.params[0], "a%20b");
    expect_slice(t.match.params[1], "c");
    assert_string_equal(ask(&t, "GET - /y/1/2/3"), "b");
    expect_slice(t.match.params[0], "1");
    expect_slice(t.match.params[1], "2/3");
    assert_string_equal(ask(&t, "GET - /y/1/"), "b");
    expect_slice(t.match.params[1], "");
    assert_string_equal(ask(&t, "GET - /z/12/more"), "c");
    expect_slice(t.match.params[0], "12");
    expect_slice(t.match.params[1], "more");
    assert_string_equal(ask(&t, "GET - /z/12"), "c");
    assert_null(t.match.params[1].ptr);
    assert_string_equal(ask(&t, "GET - /v/q/r/s"), "d");
    assert_int_equal(t.match.nparams, 1);
    expect_slice(t.match.params[0], "v");
    table_deinit(&t);
}

static void test_path_precedence(void **state UNUSED)
{
    static const char *const routes[] = {
        "any - -",       "re1 - ~^/a",      "re2 - ~^/a/b",    "p0 - /*",      "p1 - /a/*",
        "p2 - /a/b/*",   "pv - /{v}/b/c/*", "v1 - /{x}/b",     "v2 - /a/{x}",  "exact - /a/b",
        "v3 - /a/{x}/c", "v4 - /{x}/b/c",   "pp - /a/{x}/c/*", "late - ~^/zz", NULL};
    static const struct row rows[] = {
        {"GET - /a/b", "exact"},
        {"GET - /a/q", "v2"},
        {"GET - /q/b", "v1"},
        {"GET - /a/b/c", "v3"},
        {"GET - /q/b/c", "v4"},
        {"GET - /a/b/c/d", "pp"}, /* three segments, the first of them literal */
        {"GET - /q/b/c/d", "pv"},
        {"GET - /a/b/q/d", "p2"},
        {"GET - /a/q/q/q", "p1"},
        {"GET - /q", "p0"},
        {"GET - /", "p0"},
        {"OPTIONS - *", "any"},
    };
    static const char *const regexes[] = {"any - -", "re2 - ~^/a/b", "re1 - ~^/a", "re3 - ~^/a/b$",
                                          NULL};
    static const struct row regex_rows[] = {
        {"GET - /a/b", "re2"}, {"GET - /a/c", "re1"}, {"GET - /b", "any"}, {"OPTIONS - *", "any"}};

    EXPECT(routes, rows);
    EXPECT(regexes, regex_rows);
}

static void test_host_precedence(void **state UNUSED)
{
    static const char *const routes[] = {"any - /p",
                                         "wild *.example.com /p",
                                         "longer *.shop.example.com /p",
                                         "exact a.shop.example.com /p",
                                         "other - /other",
                                         "deep *.example.com /deep/{x}",
                                         "two b.org,c.org /p",
                                         NULL};
    static const struct row rows[] = {
        {"GET a.shop.example.com /p", "exact"},
        {"GET b.shop.example.com /p", "longer"},
        {"GET c.b.shop.example.com /p", "longer"},
        {"GET shop.example.com /p", "wild"},
        {"GET x.example.com /p", "wild"},
        {"GET example.com /p", "any"},
        {"GET xexample.com /p", "any"},
        {"GET b.org /p", "two"},
        {"GET c.org /p", "two"},
        {"GET - /p", "any"},
        /* a host without the path hides nobody */
        {"GET a.shop.example.com /other", "other"},
        {"GET a.shop.example.com /deep/1", "deep"},
        {"GET .example.com /p", "any"},
        {"GET ................................................................ /p", "any"},
    };

    EXPECT(routes, rows);
}

static void test_methods_and_headers(void **state UNUSED)
{
    static const char *const routes[] = {"plain - /p",
                                         "get - /p GET,HEAD",
                                         "web - /p GET,HEAD h=web",
                                         "both - /p GET h=web,v=1",
                                         "only - /q - h=1",
                                         "post - /r POST",
                                         "put - /r PUT h=1",
                                         "vpost - /{x} POST",
                                         "wide - /s/* DELETE",
                                         NULL};
    static const struct row rows[] = {
        {"GET - /p", "get"},
        {"HEAD - /p", "get"},
        {"POST - /p", "plain"},
        {"GET - /p h=web", "web"},
        {"GET - /p H=web", "web"},
        {"GET - /p h=WEB", "get"},
        {"GET - /p h=web,v=1", "both"},
        {"GET - /p h=web,h=web", "get"}, /* two fields have no one value */
        {"HEAD - /p h=web,v=1", "web"},
        {"GET - /q", "405 POST"}, /* /{x} is there, for POST */
        {"POST - /q", "vpost"},
        {"GET - /q h=1", "only"},
        {"GET - /r", "405 POST PUT"},
        {"PUT - /r", "405 POST PUT"}, /* the header was wrong, but of POST only the method */
        {"PUT - /r h=1", "put"},
        {"GET - /s/t", "405 DELETE"},
        {"GET - /t/u", "none"},
    };
    static const char *const header_only[] = {"a - /a GET h=1", NULL};
    static const struct row header_rows[] = {
        {"GET - /a", "none"}, {"PUT - /a", "none"}, {"PUT - /a h=1", "405 GET"}};

    EXPECT(routes, rows);
    EXPECT(header_only, header_rows);
}

/* A nearer route that refuses leaves the request to the next best one. */
static void test_going_back(void **state UNUSED)
{
    static const char *const routes[] = {"lit - /a/b POST",
                                         "var - /a/{x} GET",
                                         "pre - /a/* PUT",
                                         "re - ~^/a DELETE",
                                         "any - - PATCH",
                                         "host h.x /a/b OPTIONS",
                                         NULL};
    static const struct row rows[] = {
        {"POST h.x /a/b", "lit"},
        {"GET h.x /a/b", "var"},
        {"PUT h.x /a/b", "pre"},
        {"DELETE h.x /a/b", "re"},
        {"PATCH h.x /a/b", "any"},
        {"OPTIONS h.x /a/b", "host"},
        {"COPY h.x /a/b", "405 GET POST PUT DELETE OPTIONS PATCH"},
        {"COPY - /a/b", "405 GET POST PUT DELETE PATCH"},
        {"COPY - /q", "405 PATCH"},
    };

    EXPECT(routes, rows);
}

static void test_more_prefixes_than_are_noted(void **state UNUSED)
{
    struct table t;
    char routes[30][160], path[96] = "";
    const char *list[31];

    /* a literal prefix and a {v} prefix at each depth: every one fits */
    for (int i = 0; i < 15; i++) {
        snprintf(routes[2 * i], sizeof(routes[0]), "lit%d - %s/* PUT", i, path);
        snprintf(routes[2 * i + 1], sizeof(routes[0]), "var%d - %s/{v}/* PUT", i, path);
        strcat(path, "/x");
    }
    for (int i = 0; i < 30; i++)
        list[i] = routes[i];
    list[30] = NULL;
    table_init(&t, list);
    strcat(path, "/x");
    char request[128];
    snprintf(request, sizeof(request), "PUT - %s", path);
    assert_string_equal(ask(&t, request), "var14");
    snprintf(request, sizeof(request), "GET - %s", path);
    assert_string_equal(ask(&t, request), "405 PUT");
    assert_string_equal(ask(&t, "PUT - /x/x/x/y/y"), "var3");
    table_deinit(&t);
}

static void test_ties(void **state UNUSED)
{
    static const struct {
        const char *a, *b;
        bool is_tie;
    } rows[] = {
        {"a - /x", "b - /x", true},
        {"a - /x GET", "b - /x GET,POST", true},
        {"a - /x GET", "b - /x POST", false},
        {"a - /x GET", "b - /x", false},
        {"a - /{x}", "b - /{y}", true},
        {"a - /{x}/b", "b - /a/{x}", false},
        {"a - /x/*", "b - /x/{rest...}", true},
        {"a - /x", "b - /x/*", false},
        {"a - /x - h=1", "b - /x - h=2", false},
        {"a - /x - h=1", "b - /x - H=1", true},
        {"a - /x - h=1", "b - /x - i=1", true},
        {"a - /x - h=1,i=1", "b - /x - h=1", false},
        {"a - /x - h=1,i=1", "b - /x - j=1,i=2", false},
        {"a h /x", "b - /x", false},
        {"a h /x", "b h /x", true},
        {"a h,i /x", "b i /x", true},
        {"a *.h /x", "b i.h /x", false},
        {"a *.h /x", "b *.h /x", true},
        {"a - -", "b - -", true},
        {"a - -", "b - /*", false},
        {"a - ~^/x", "b - ~^/x", false}, /* the file's order decides */
        {"a - /~x", "b - /%7Ex", true},
        {"a - /%2f", "b - /%2F", true},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct table t;
        table_init(&t, (const char *const[]){rows[i].a, rows[i].b, NULL});
        if ((t.config.faults.nerrors == 1) != rows[i].is_tie)
            print_error("%s, %s\n", rows[i].a, rows[i].b);
        assert_int_equal(t.config.faults.nerrors, rows[i].is_tie);
        if (rows[i].is_tie)
            expect_text(config_faults(&t.config), "\"b\" takes the same requests as \"a\"");
        table_deinit(&t);
    }
}

static void test_a_pair_of_routes_is_told_once(void **state UNUSED)
{
    struct table t;

    table_init(&t, (const char *const[]){"a h,i /x,/y", "b h,i /x,/y", "c - /z", NULL});
    assert_int_equal(t.config.faults.nerrors, 1);
    table_deinit(&t);
}

static void test_explain(void **state UNUSED)
{
    static const char *const routes[] = {"a h.x /p GET",   "b - /p",      "c - /p/{x} POST",
                                         "d - /p GET h=1", "e *.x ~^/p$", NULL};
    static const enum route_miss expected[] = {MISS_NONE, MISS_PRECEDENCE, MISS_PATH, MISS_HEADER,
                                               MISS_PRECEDENCE};
    struct table t;
    struct message m = {.method = METHOD_GET};

    table_init(&t, routes);
    headers_init(&m.headers, t.config.arena, 4);
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_int_equal(router_explain(t.router, t.routes[i], SLICE("h.x"), SLICE("/p"), &m),
                         expected[i]);
    assert_int_equal(router_explain(t.router, t.routes[0], SLICE("h.y"), SLICE("/p"), &m),
                     MISS_HOST);
    assert_int_equal(router_explain(t.router, t.routes[2], SLICE("h.y"), SLICE("/p/q"), &m),
                     MISS_METHOD);
    table_deinit(&t);
}

static void test_match_order(void **state UNUSED)
{
    static const char *const routes[] = {
        "any - -",         "re - ~^/x",   "p1 - /a/*",       "p2 - /a/b/*",
        "v - /{x}",        "lit - /a",    "post - /b POST",  "plain - /b",
        "h - /b POST h=1", "wild *.x /a", "longer *.a.x /a", "exact a.x /q",
        "re2 - ~^/a",      NULL};
    static const char *const expected[] = {"exact", "longer", "wild", "lit", "h",   "post", "plain",
                                           "v",     "p2",     "p1",   "re",  "re2", "any"};
    const struct route *out[ROUTES_MAX];
    struct table t;

    table_init(&t, routes);
    assert_int_equal(router_order(t.router, out, ROUTES_MAX), COUNT_OF(expected));
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        expect_slice(out[i]->name, expected[i]);
    assert_int_equal(router_order(t.router, out, 2), COUNT_OF(expected));
    table_deinit(&t);
}

static void test_as_the_rules_say(void **state UNUSED)
{
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct numbers n = {.seed = seed};
        oracle_run(&n, 2 + (uint32_t)(seed % 30), 60);
    }
}

/* --- 50,000 routes ---------------------------------------------------------------------------- */

#define MANY 50000

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct slice many_routes(struct buf *out)
{
    buf_init(out, 64 * MIB);
    assert_int_equal(buf_printf(out, "listeners: [{address: 127.0.0.1:0}]\nupstreams: [{name: u, "
                                     "endpoints: [{address: 127.0.0.1:1}]}]\nroutes:\n"),
                     0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(buf_printf(out,
                                    "- name: r%d\n  paths: [\"/svc-%d/items/{id}\"]\n  methods: "
                                    "[GET, POST]\n  upstream: u\n",
                                    i, i),
                         0);
    return buf_slice(out);
}

/* Figures are printed, not judged: machines differ. What is judged is that every route is found. */
static void test_fifty_thousand_routes(void **state UNUSED)
{
    struct config c;
    struct buf text;
    struct route_match m;
    struct message get = {.method = METHOD_GET};
    static char paths[1024][40];

    config_init(&c);
    double start = now_ms();
    struct snapshot *s = snapshot_load(
        &(struct snapshot_source){.text = many_routes(&text), .name = "t"}, &c.faults);
    assert_string_equal(config_faults(&c), "");
    print_message("loaded in %.0f ms\n", now_ms() - start);
    for (uint32_t i = 0; i < MANY; i++) {
        char path[40];
        int len = snprintf(path, sizeof(path), "/svc-%u/items/%u", i, i);
        router_match(s->router, SLICE("h"), slice_of(path, (size_t)len), &get, &m);
        assert_ptr_equal(m.route, s->routes[i]);
        assert_int_equal(m.nparams, 1);
    }
    uint32_t at = 1;
    for (size_t i = 0; i < COUNT_OF(paths); i++, at = (at * 48271u) % 65521u)
        snprintf(paths[i], sizeof(paths[i]), "/svc-%u/items/12345", at % MANY);
    start = now_ms();
    for (int i = 0; i < 1000000; i++) {
        router_match(s->router, SLICE("h"), slice_from(paths[i % 1024]), &get, &m);
        assert_true(m.route != NULL);
    }
    print_message("a lookup takes %.0f ns\n", now_ms() - start);
    snapshot_unref(s);
    buf_deinit(&text);
    config_deinit(&c);
}

static int setup(void **state UNUSED)
{
    hash_init();
    return 0;
}

#define PREFLIGHT(method) "origin=https://a.example,access-control-request-method=" method

static void test_preflights_go_where_a_plugin_answers_them(void **state UNUSED)
{
    static const char *const routes[] = {"all h.x /* - -",
                                         "get h.x /a GET,HEAD - cors",
                                         "post h.x /a POST -",
                                         "options h.x /b OPTIONS -",
                                         "put h.x /b PUT - cors",
                                         "plain h.y /a GET -",
                                         "alone h.z /a GET,HEAD - cors",
                                         NULL};
    static const struct row rows[] = {
        {"OPTIONS h.x /a " PREFLIGHT("GET"), "get"},
        {"OPTIONS h.x /a " PREFLIGHT("HEAD"), "get"},
        {"OPTIONS h.x /a " PREFLIGHT("POST"), "all"},
        {"OPTIONS h.x /a " PREFLIGHT("get"), "all"},
        {"OPTIONS h.x /a access-control-request-method=GET", "all"},
        {"OPTIONS h.x /a origin=https://a.example", "all"},
        {"OPTIONS h.x /a", "all"},
        {"GET h.x /a " PREFLIGHT("POST"), "get"},
        {"OPTIONS h.x /b " PREFLIGHT("PUT"), "options"}, /* names OPTIONS itself */
        {"OPTIONS h.y /a " PREFLIGHT("GET"), "405 GET"},
        {"OPTIONS h.z /a " PREFLIGHT("GET"), "alone"},
        {"OPTIONS h.z /a " PREFLIGHT("PUT"), "405 GET HEAD"},
    };

    EXPECT(routes, rows);
}

static void test_a_preflight_is_told_from_what_the_route_takes(void **state UNUSED)
{
    static const char *const routes[] = {"a h.x /a GET - cors", "b h.x /b - - cors", NULL};
    struct table t;

    table_init(&t, routes);
    assert_string_equal(ask(&t, "OPTIONS h.x /a " PREFLIGHT("GET")), "a");
    assert_true(t.match.is_preflight);
    assert_string_equal(ask(&t, "GET h.x /a"), "a");
    assert_false(t.match.is_preflight);
    assert_string_equal(ask(&t, "OPTIONS h.x /b " PREFLIGHT("GET")), "b");
    assert_false(t.match.is_preflight);
    table_deinit(&t);
}

static void test_routes_for_http_alone(void **state UNUSED)
{
    static const char *const routes[] = {"upstream h.x - - -",
                                         "to-https h.x - - - http",
                                         "hdr h.x - - k=v",
                                         "old h.y /a GET - http",
                                         "get h.z /a GET - http",
                                         "any h.z /* - - -",
                                         NULL};
    static const struct row rows[] = {
        {"GET h.x /a - http", "to-https"}, {"GET h.x /a - https", "upstream"},
        {"GET h.x /a k=v http", "hdr"},    {"GET h.y /a - http", "old"},
        {"GET h.y /a - https", "none"},    {"PUT h.y /a - http", "405 GET"},
        {"PUT h.y /a - https", "none"},    {"GET h.z /a - https", "any"},
        {"GET h.z /a - HTTPS", "any"},     {"GET h.z /a - http", "get"},
    };

    EXPECT(routes, rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_everything_patterns),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_path_precedence),
        cmocka_unit_test(test_host_precedence),
        cmocka_unit_test(test_methods_and_headers),
        cmocka_unit_test(test_going_back),
        cmocka_unit_test(test_more_prefixes_than_are_noted),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_a_pair_of_routes_is_told_once),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_match_order),
        cmocka_unit_test(test_preflights_go_where_a_plugin_answers_them),
        cmocka_unit_test(test_a_preflight_is_told_from_what_the_route_takes),
        cmocka_unit_test(test_routes_for_http_alone),
        cmocka_unit_test(test_as_the_rules_say),
        cmocka_unit_test(test_fifty_thousand_routes),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
