/* SPDX-License-Identifier: Apache-2.0 */

#include "side/redis_server.h"

#include "support/test.h"

static struct redis_server *server_of(const char *text)
{
    struct redis_options options = REDIS_OPTIONS_USUAL;
    struct redis_url url;

    options.name = SLICE("main");
    assert_null(redis_url_parse(slice_from(text), &url));
    return redis_server_new(&url, &options, NULL, SLICE_NONE);
}

static void expect_text(struct slice got, const char *wanted)
{
    assert_int_equal(got.ptr != NULL, wanted != NULL);
    assert_true(slice_eq(got, slice_from(wanted)));
}

static void test_urls_say_where_and_as_whom(void **state UNUSED)
{
    static const struct {
        const char *url, *host, *user, *password;
        int port, database;
    } rows[] = {
        {"redis://127.0.0.1", "127.0.0.1", NULL, NULL, 6379, 0},
        {"redis://cache.internal:7000/3", "cache.internal", NULL, NULL, 7000, 3},
        {"redis://[::1]:7000/", "::1", NULL, NULL, 7000, 0},
        {"redis://:pa%40ss@h/2", "h", NULL, "pa@ss", 6379, 2},
        {"redis://us%3Aer:p@a/ss@h", "h", "us:er", "p@a/ss", 6379, 0},
        {"redis://user:@h", "h", "user", "", 6379, 0},
        {"unix:///run/redis.sock", "unix:/run/redis.sock", NULL, NULL, 0, 0},
        {"unix://u:p@/run/redis.sock?db=4", "unix:/run/redis.sock", "u", "p", 0, 4},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_server *s = server_of(rows[i].url);
        expect_text(s->host, rows[i].host);
        expect_text(s->user, rows[i].user);
        expect_text(s->password, rows[i].password);
        assert_int_equal(s->port, rows[i].port);
        assert_int_equal(s->database, rows[i].database);
        redis_server_unref(s);
    }
}

static void test_what_is_wrong_with_a_url_is_said(void **state UNUSED)
{
    static const char *const rows[] = {
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1",
        "redis://",
        "redis://host:99999",
        "redis://host:x",
        "redis://host/one",
        "redis://host/-1",
        "redis://host/1?timeout=3",
        "redis://user@host",
        "redis://:100%@host",
        "unix://run/redis.sock",
        "unix:///run/redis.sock?x=1",
        "unix:///"
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789",
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_url url;
        assert_non_null(redis_url_parse(slice_from(rows[i]), &url));
    }
}

static void test_what_may_share_connections_has_one_identity(void **state UNUSED)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"redis://h", "redis://h:6379/0", true},     {"redis://h", "redis://h/1", false},
        {"redis://h", "redis://:p@h", false},        {"redis://:p@h", "redis://:q@h", false},
        {"redis://a:bc@h", "redis://ab:c@h", false},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_server *a = server_of(rows[i].a), *b = server_of(rows[i].b);
        assert_int_equal(slice_eq(a->identity, b->identity), rows[i].same);
        redis_server_unref(a);
        redis_server_unref(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls_say_where_and_as_whom),
        cmocka_unit_test(test_what_is_wrong_with_a_url_is_said),
        cmocka_unit_test(test_what_may_share_connections_has_one_identity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
