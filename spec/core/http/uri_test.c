/* SPDX-License-Identifier: Apache-2.0 */

#include "http/uri.h"

#include "base/err.h"
#include "support/test.h"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new_heap(1024);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void same(struct slice got, const char *want, const char *of)
{
    if (want == NULL ? got.ptr != NULL : got.ptr == NULL || !slice_eq(got, slice_from(want)))
        fail_msg("%s: got '%.*s', not '%s'", of, SLICE_ARG(got), want ? want : "(absent)");
}

static void test_targets(void **state)
{
    static const struct {
        const char *target, *scheme, *authority, *path, *query;
    } good[] = {
        {"/", NULL, NULL, "/", NULL},
        {"/a/b?x=y?z", NULL, NULL, "/a/b", "x=y?z"},
        {"/a?", NULL, NULL, "/a", ""},
        {"//x//", NULL, NULL, "//x//", NULL},
        {"/a:b@c!$&'()*+,;=-._~%20", NULL, NULL, "/a:b@c!$&'()*+,;=-._~%20", NULL},
        {"/?a[]=1", NULL, NULL, "/", "a[]=1"},
        {"*", NULL, NULL, "*", NULL},
        {"http://a.example/x?y", "http", "a.example", "/x", "y"},
        {"HTTPS://a.example:81", "https", "a.example:81", "/", NULL},
        {"http://a.example?y", "http", "a.example", "/", "y"},
        {"http://[::1]:8/x", "http", "[::1]:8", "/x", NULL},
    };
    static const char *const bad[] = {
        "",
        "a",
        "?x",
        "**",
        "/a b",
        "/a\tb",
        "/a#b",
        "/<",
        "/>",
        "/\"",
        "/\\",
        "/^",
        "/`",
        "/{",
        "/|",
        "/}",
        "/\x7f",
        "/\x01",
        "/\xc3\xa4",
        "http:/a",
        "http://",
        "http:///x",
        "http://u@a/",
        "http://a:x/",
        "http://a:99999/",
        "http://[::1/",
        "http://[x]/",
        "http://[::1]x/",
        "ftp://a/",
        "http://a b/",
        "http://a/ b",
        "a.example:443",
        "http://a%2/",
        "http://a\\b/",
    };
    struct uri uri;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(uri_parse_target(slice_from(good[i].target), &uri), 0);
        same(uri.scheme, good[i].scheme, good[i].target);
        same(uri.authority, good[i].authority, good[i].target);
        same(uri.path, good[i].path, good[i].target);
        same(uri.query, good[i].query, good[i].target);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (uri_parse_target(slice_from(bad[i]), &uri) != ERR_SYNTAX)
            fail_msg("%s was accepted", bad[i]);
    }
}

static void test_urls(void **state)
{
    struct uri uri;

    (void)state;
    assert_int_equal(uri_parse_url(SLICE("https://a.example:8443/x?y#z"), &uri), 0);
    same(uri.scheme, "https", "scheme");
    same(uri.host, "a.example", "host");
    assert_int_equal(uri.port, 8443);
    same(uri.path, "/x", "path");
    same(uri.query, "y", "query");
    assert_int_equal(uri_parse_url(SLICE("http://[2001:db8::1]"), &uri), 0);
    same(uri.host, "2001:db8::1", "host");
    assert_int_equal(uri.port, 0);
    assert_int_equal(uri_parse_url(SLICE("/x"), &uri), ERR_SYNTAX);
    assert_int_equal(uri_parse_url(SLICE("*"), &uri), ERR_SYNTAX);
}

static void test_hosts(void **state)
{
    static const struct {
        const char *text, *host;
        int port;
    } good[] = {
        {"a.example", "a.example", 0},
        {"A.Example:80", "a.example", 80},
        {"a.example.", "a.example", 0},
        {"a.example.:1", "a.example", 1},
        {"1.2.3.4", "1.2.3.4", 0},
        {"[::1]", "::1", 0},
        {"[2001:DB8::1]:443", "2001:db8::1", 443},
        {"a:", "a", 0},
        {"a_b", "a_b", 0},
        {"a%20b", "a%20b", 0},
    };
    static const char *const bad[] = {
        "",    ".",   ":80",  "a:b",  "a:65536",  "a:-1",      "a:000080", "a b",
        "a/b", "a@b", "[::1", "::1",  "[]",       "[1.2.3.4]", "[::1]80",  "a?b",
        "a#b", "a%",  "a%2",  "a%zz", "\xc3\xa4", "a\\b",      "<a>",
    };
    struct slice host;
    uint16_t port;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(uri_parse_host(slice_from(good[i].text), arena, &host, &port), 0);
        same(host, good[i].host, good[i].text);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (uri_parse_host(slice_from(bad[i]), arena, &host, &port) != ERR_SYNTAX)
            fail_msg("%s was accepted", bad[i]);
    }
}

static void test_normal_paths(void **state)
{
    static const struct {
        const char *path, *want; /* NULL = ERR_ENCODING */
    } paths[] = {
        {"/", "/"},
        {"/a/b/", "/a/b/"},
        {"/%41%7e%2D", "/A~-"},
        {"/%e4", "/%E4"},
        {"/a%2fb", "/a%2Fb"},
        {"/a%5Cb", "/a%5Cb"},
        {"//a//b", "//a//b"},
        {"/a/./b", "/a/b"},
        {"/a/../b", "/b"},
        {"/a/..", "/"},
        {"/a/.", "/a/"},
        {"/a/b/../..", "/"},
        {"/a/b/../c/./d", "/a/c/d"},
        {"/.well", "/.well"},
        {"/...", "/..."},
        {"/a/%2e%2E/b", "/b"},
        {"/a/%2e/b", "/a/b"},
        {"/a//../b", "/a/b"},
        {"/..a/b", "/..a/b"},
        {"/%252e", "/%252e"},
        {"*", "*"},
        {"/a;b=c", "/a;b=c"},
        {"/a%20b", "/a%20b"},
        {"/..", NULL},
        {"/a/../..", NULL},
        {"/%2e%2e", NULL},
        {"/./..", NULL},
        {"/../a", NULL},
        {"/%", NULL},
        {"/%4", NULL},
        {"/%4g", NULL},
        {"/%00", NULL},
        {"/a%", NULL},
    };
    struct slice out, again;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        int rc = uri_normalise_path(slice_from(paths[i].path), arena, &out);
        assert_int_equal(rc, paths[i].want ? 0 : ERR_ENCODING);
        if (rc < 0)
            continue;
        same(out, paths[i].want, paths[i].path);
        assert_int_equal(uri_normalise_path(out, arena, &again), 0);
        assert_ptr_equal(again.ptr, out.ptr); /* nothing left to do, nothing copied */
    }
    assert_int_equal(uri_normalise_path(SLICE("a"), arena, &out), ERR_SYNTAX);
}

static void test_queries(void **state)
{
    struct slice rest = SLICE("a=1&&b&c=x=y&=z"), name, value;
    struct slice q = SLICE("a=1&b%5b%5D=x+y%21&bad=%zz&a=2&empty");

    (void)state;
    assert_true(uri_query_next(&rest, &name, &value));
    same(name, "a", "name");
    same(value, "1", "value");
    assert_true(uri_query_next(&rest, &name, &value));
    same(name, "b", "name");
    same(value, "", "value");
    assert_true(uri_query_next(&rest, &name, &value));
    same(value, "x=y", "value");
    assert_true(uri_query_next(&rest, &name, &value));
    same(name, "", "name");
    assert_false(uri_query_next(&rest, &name, &value));

    same(uri_query_get(q, SLICE("a"), arena), "1", "a");
    same(uri_query_get(q, SLICE("b[]"), arena), "x y!", "b[]");
    same(uri_query_get(q, SLICE("bad"), arena), "%zz", "bad");
    same(uri_query_get(q, SLICE("empty"), arena), "", "empty");
    same(uri_query_get(q, SLICE("none"), arena), NULL, "none");
    same(uri_query_get(SLICE_NONE, SLICE("a"), arena), NULL, "absent");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_targets),      TEST(test_urls),    TEST(test_hosts),
        TEST(test_normal_paths), TEST(test_queries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
