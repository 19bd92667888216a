/* SPDX-License-Identifier: Apache-2.0 */

/* Selectors and templates: what compiles, what is said of what does not, and what each finds in an
 * exchange that is set by hand. */

#include "gate/selector.h"

#include "base/err.h"
#include "gate/exchange.h"
#include "gate/snapshot.h"
#include "support/config.h"
#include "support/expect.h"

static const struct slice params[] = {{"id", 2}, {"item", 4}};
static const struct slice partial[] = {{"method", 6}, {"other", 5}};
static const struct selector_scope route_scope = {
    .params = params, .nparams = 2, .partial = partial, .npartial = 2};
static const struct selector_scope global_scope = {.any_param = true};
static const struct selector_scope log_scope = {
    .params = params, .nparams = 2, .in_response = true};

/* --- compiling -------------------------------------------------------------------------------- */

struct row {
    const char *text, *error; /* NULL: compiles */
    const struct selector_scope *scope;
};

static void test_selectors_compile(void **state UNUSED)
{
    static const struct row rows[] = {
        {"client_ip", NULL, &route_scope},
        {"host", NULL, &route_scope},
        {"method", NULL, &route_scope},
        {"path", NULL, &route_scope},
        {"scheme", NULL, &route_scope},
        {"route", NULL, &route_scope},
        {"consumer", NULL, &route_scope},
        {"id", NULL, &route_scope},
        {"header:X-User", NULL, &route_scope},
        {"query:a b", NULL, &route_scope},
        {"cookie:sid", NULL, &route_scope},
        {"claim:realm.roles", NULL, &route_scope},
        {"claim:https://example.com/tenant", NULL, &global_scope},
        {"claim:", "\"claim\" wants a name behind it: claim:NAME", &route_scope},
        {"tls:subject", NULL, &log_scope},
        {"tls:subject", NULL, &global_scope},
        {"param:id", NULL, &route_scope},
        {"param:anything", NULL, &global_scope},
        {"status", NULL, &log_scope},
        {"upstream", NULL, &log_scope},
        {"response:etag", NULL, &log_scope},
        {"duration", NULL, &log_scope},
        {"", "an empty selector", &route_scope},
        {"clientip", "unknown selector \"clientip\", did you mean \"client_ip\"?", &route_scope},
        {"heder:x", "unknown selector \"heder:x\", did you mean \"header:x\"?", &route_scope},
        {"weather", "unknown selector \"weather\"", &global_scope},
        {"Host", "did you mean \"host\"?", &route_scope},
        {"host:x", "unknown selector \"host:x\"", &route_scope},
        {"header", "\"header\" wants a name behind it: header:NAME", &route_scope},
        {"header:", "wants a name behind it", &route_scope},
        {"header:a b", "\"a b\" can't be the name of a header", &route_scope},
        {"cookie:a=b", "can't be the name of a cookie", &route_scope},
        {"param:idd", "have a parameter \"idd\", did you mean \"id\"?", &route_scope},
        {"param:other", "not all paths of the route have a parameter \"other\"", &route_scope},
        {"status", "\"status\" is known only when there is a response", &route_scope},
        {"response:x", "is known only when there is a response", &global_scope},
        {"item", "unknown selector \"item\"", &global_scope},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena *a = arena_new_heap(1024);
        struct slice error;
        struct selector *s = selector_compile(slice_from(rows[i].text), rows[i].scope, a, &error);
        assert_int_equal(s == NULL, rows[i].error != NULL);
        assert_int_equal(error.ptr != NULL, rows[i].error != NULL);
        if (rows[i].error)
            expect_text(arena_dup(a, error).ptr, rows[i].error);
        arena_free(a);
    }
}

static void test_templates_compile(void **state UNUSED)
{
    static const struct row rows[] = {
        {"", NULL, &route_scope},
        {"plain", NULL, &route_scope},
        {"a{host}b{id}c", NULL, &route_scope},
        {"{item}", NULL, &route_scope},
        {"{{\"a\": {{\"b\": 1}}", NULL, &route_scope},
        {"}", NULL, &route_scope},
        {"{param:x}", NULL, &global_scope},
        {"{item}", "unknown selector \"item\"", &global_scope},
        {"{method}", "not all paths of the route have a parameter \"method\"", &route_scope},
        {"{", "a brace is not closed", &route_scope},
        {"a{host", "a brace is not closed; write {{ for a brace", &route_scope},
        {"{}", "an empty selector", &route_scope},
        {"{\"a\": 1}", "begins a selector; write {{ for a brace", &route_scope},
        {"{{{hots}", "did you mean \"host\"?", &route_scope},
        {"x{itme}", "did you mean \"item\"?", &route_scope},
        {"{status}", "is known only when there is a response", &route_scope},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena *a = arena_new_heap(1024);
        struct slice error;
        struct template *t = template_compile(slice_from(rows[i].text), rows[i].scope, a, &error);
        assert_int_equal(t == NULL, rows[i].error != NULL);
        if (rows[i].error)
            expect_text(arena_dup(a, error).ptr, rows[i].error);
        arena_free(a);
    }
}

static void test_constants(void **state UNUSED)
{
    struct arena *a = arena_new_heap(1024);
    struct slice e;

    expect_slice(template_constant(template_compile(SLICE("a{{b}"), &route_scope, a, &e)), "a{b}");
    expect_slice(template_constant(template_compile(SLICE(""), &route_scope, a, &e)), "");
    assert_null(template_constant(template_compile(SLICE("a{host}"), &route_scope, a, &e)).ptr);
    arena_free(a);
}

/* --- evaluating ------------------------------------------------------------------------------- */

struct world {
    struct arena *arena;
    struct exchange x;
    struct message request, response;
    struct route route;
    struct route_path path;
    struct consumer consumer;
    struct upstream upstream;
};

static void world_init(struct world *w)
{
    *w = (struct world){.arena = arena_new_heap(4096)};
    w->request = (struct message){.method = METHOD_POST, .query = SLICE("a=1&b%20c=d%26e+f&a=2")};
    headers_init(&w->request.headers, w->arena, 8);
    headers_add(&w->request.headers, SLICE("X-User"), SLICE("jane"));
    headers_add(&w->request.headers, SLICE("X-List"), SLICE("1"));
    headers_add(&w->request.headers, SLICE("x-list"), SLICE("2"));
    headers_add(&w->request.headers, SLICE("Cookie"), SLICE("a=b; sid=q=1 ;empty="));
    headers_add(&w->request.headers, SLICE("Cookie"), SLICE("late=z"));
    headers_init(&w->response.headers, w->arena, 2);
    headers_add(&w->response.headers, SLICE("ETag"), SLICE("\"v1\""));
    w->response.status = 418;
    w->request.host = SLICE("example.com");
    w->route.name = SLICE("r");
    w->path = (struct route_path){.params = (struct slice *)(uintptr_t)params, .nparams = 2};
    w->consumer.name = SLICE("acme");
    w->upstream.name = SLICE("up");
    w->x = (struct exchange){
        .arena = w->arena,
        .request = &w->request,
        .route = &w->route,
        .path = SLICE("/a%20b"),
        .scheme = SLICE("https"),
        .client_ip = SLICE("10.0.0.1"),
        .id = SLICE("id-1"),
        .start_us = 1000000,
        .end_us = 2500042,
        .claims = SLICE("{\"sub\":\"u\\u00e9\",\"n\":12,\"t\":true,\"none\":null,\"roles\":[\"a\", "
                        "\"b\"],\"realm\":{\"x\":{\"y\":\"deep\"},\"n\": 1.5 },\"a.b\":\"dot\","
                        "\"https://e.com/tenant\":\"t1\",\"a\":{\"b\":\"nested\",\"c\":\"d\"}}"),
    };
    w->x.match = (struct route_match){
        .route = &w->route, .path = &w->path, .nparams = 2, .params = {SLICE("7%2F8"), SLICE("i")}};
}

static struct slice value_of(struct world *w, const char *text)
{
    struct slice error;
    struct selector *s = selector_compile(slice_from(text), &log_scope, w->arena, &error);

    assert_non_null(s);
    return selector_value(s, &w->x);
}

static void test_values(void **state UNUSED)
{
    static const struct {
        const char *selector, *value; /* NULL: absent */
    } rows[] = {
        {"client_ip", "10.0.0.1"},
        {"host", "example.com"},
        {"method", "POST"},
        {"path", "/a%20b"},
        {"scheme", "https"},
        {"route", "r"},
        {"consumer", NULL},
        {"id", "id-1"},
        {"header:x-user", "jane"},
        {"header:X-LIST", "1, 2"},
        {"header:none", NULL},
        {"query:a", "1"},
        {"query:b c", "d&e f"},
        {"query:c", NULL},
        {"cookie:sid", "q=1"},
        {"cookie:a", "b"},
        {"cookie:late", "z"},
        {"cookie:empty", ""},
        {"cookie:none", NULL},
        {"param:id", "7/8"},
        {"param:item", "i"},
        {"claim:sub", "u\xc3\xa9"},
        {"claim:n", "12"},
        {"claim:t", "true"},
        {"claim:none", NULL},
        {"claim:roles", "[\"a\", \"b\"]"},
        {"claim:realm.x.y", "deep"},
        {"claim:realm.n", "1.5"},
        {"claim:realm.x", "{\"y\":\"deep\"}"},
        {"claim:realm.z", NULL},
        {"claim:sub.x", NULL},
        {"claim:a.b", "dot"},
        {"claim:a.c", "d"},
        {"claim:https://e.com/tenant", "t1"},
        {"tls:subject", NULL},
        {"tls:thumbprint", NULL},
        {"status", NULL},
        {"upstream", NULL},
        {"response:etag", NULL},
        {"duration", "1.500042"},
    };
    struct world w;

    world_init(&w);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice value = value_of(&w, rows[i].selector);
        if (!rows[i].value && value.ptr)
            print_error("%s is %.*s\n", rows[i].selector, SLICE_ARG(value));
        if (rows[i].value)
            expect_slice(value, rows[i].value);
        else
            assert_null(value.ptr);
    }
    w.x.response = &w.response;
    w.x.consumer = &w.consumer;
    w.x.upstream = &w.upstream;
    expect_slice(value_of(&w, "status"), "418");
    expect_slice(value_of(&w, "upstream"), "up");
    expect_slice(value_of(&w, "response:ETag"), "\"v1\"");
    expect_slice(value_of(&w, "consumer"), "acme");
    w.x.claims = SLICE("{\"a\": [1,");
    assert_null(value_of(&w, "claim:a").ptr);
    w.x.claims = SLICE_NONE;
    assert_null(value_of(&w, "claim:sub").ptr);
    arena_free(w.arena);
}

static struct template *compile(struct world *w, const char *text)
{
    struct slice error;
    struct template *t = template_compile(slice_from(text), &log_scope, w->arena, &error);

    assert_non_null(t);
    return t;
}

static void test_templates(void **state UNUSED)
{
    struct world w;
    struct buf out;

    world_init(&w);
    buf_init(&out, 32);
    assert_int_equal(template_eval(compile(&w, "o-{header:x-user}-{consumer}{item}"), &w.x, &out),
                     0);
    expect_slice(buf_slice(&out), "o-jane-i");
    buf_clear(&out);
    assert_int_equal(template_eval(compile(&w, "{consumer}{cookie:none}"), &w.x, &out), 0);
    assert_int_equal(buf_len(&out), 0);
    assert_int_equal(
        template_eval(compile(&w, "0123456789012345678901234567890{id}{id}"), &w.x, &out),
        ERR_FULL);
    buf_deinit(&out);

    expect_slice(template_text(compile(&w, "/v1/{id}/{param:item}"), &w.x, TEMPLATE_TEXT),
                 "/v1/7/8/i");
    expect_slice(template_text(compile(&w, "/v1/{id}"), &w.x, TEMPLATE_PATH), "/v1/7%2F8");
    expect_slice(template_text(compile(&w, ""), &w.x, TEMPLATE_PATH), "");
    /* in a path nothing but the path brings slashes along */
    expect_slice(
        template_text(compile(&w, "{path}/{query:b c}/{header:x-user}"), &w.x, TEMPLATE_PATH),
        "/a%20b/d&e%20f/jane");
    /* behind the ? of a URL each value is one, whatever it is made of */
    expect_slice(
        template_text(compile(&w, "/{id}{path}?n={id}&p={path}&q={query:b c}#{param:item}"), &w.x,
                      TEMPLATE_URL),
        "/7%2F8/a%20b?n=7/8&p=/a%2520b&q=d%26e%20f#i");
    expect_slice(template_text(compile(&w, "/?a={header:x-user}"), &w.x, TEMPLATE_PATH),
                 "/?a=jane");
    headers_set(&w.request.headers, SLICE("X-User"), SLICE("a&b=c+d;e\r\nf%#"));
    expect_slice(template_text(compile(&w, "/?a={header:x-user}"), &w.x, TEMPLATE_URL),
                 "/?a=a%26b%3Dc%2Bd%3Be%0D%0Af%25%23");
    headers_set(&w.request.headers, SLICE("X-User"), SLICE("../a?b"));
    expect_slice(template_text(compile(&w, "/{header:x-user}"), &w.x, TEMPLATE_PATH),
                 "/..%2Fa%3Fb");
    expect_slice(template_text(compile(&w, "{header:x-user}"), &w.x, TEMPLATE_TEXT), "../a?b");
    arena_free(w.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selectors_compile), cmocka_unit_test(test_templates_compile),
        cmocka_unit_test(test_constants),         cmocka_unit_test(test_values),
        cmocka_unit_test(test_templates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
