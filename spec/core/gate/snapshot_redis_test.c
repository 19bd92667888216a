/* SPDX-License-Identifier: Apache-2.0 */

/* The Redis servers that a configuration names. */

#include "gate/snapshot.h"
#include "side/redis_server.h"
#include "support/config.h"
#include "support/expect.h"

static struct snapshot *load(struct config *c, const char *text)
{
    config_init(c);
    return snapshot_load(&(struct snapshot_source){.text = slice_from(text), .name = "t"},
                         &c->faults);
}

static void test_servers_are_found_by_name(void **state UNUSED)
{
    struct config c;
    struct snapshot *s = load(
        &c, "redis:\n"
            "  - {name: usual, url: \"redis://h\"}\n"
            "  - {name: mine, url: \"rediss://u:p%40@h:1/2\", timeout: 5s, connect_timeout: 2s,\n"
            "     pool_size: 3, max_pending: 4, max_reply: 5KiB, tls: {verify: false, sni: x}}\n");

    assert_non_null(s);
    assert_null(snapshot_redis(s, SLICE("other")));
    const struct redis_server *usual = snapshot_redis(s, SLICE("usual"));
    const struct redis_options *o = &usual->options, expected = REDIS_OPTIONS_USUAL;
    assert_int_equal(o->timeout_ms, expected.timeout_ms);
    assert_int_equal(o->connect_timeout_ms, expected.connect_timeout_ms);
    assert_int_equal(o->pool_size, expected.pool_size);
    assert_int_equal(o->max_pending, expected.max_pending);
    assert_int_equal(o->max_reply, expected.max_reply);
    assert_null(usual->tls);

    const struct redis_server *mine = snapshot_redis(s, SLICE("mine"));
    o = &mine->options;
    assert_int_equal(o->timeout_ms, 5000);
    assert_int_equal(o->connect_timeout_ms, 2000);
    assert_int_equal(o->pool_size, 3);
    assert_int_equal(o->max_pending, 4);
    assert_int_equal(o->max_reply, 5 * KIB);
    assert_non_null(mine->tls);
    expect_slice(mine->server_name, "x");
    expect_slice(mine->password, "p@");
    snapshot_unref(s);
    config_deinit(&c);
}

static void test_faults_are_told_where_they_stand(void **state UNUSED)
{
    static const struct {
        const char *yaml, *fault;
    } rows[] = {
        {"redis: [{name: a, url: http://h}]", "t:1:24: redis[0].url: no URL of a Redis server"},
        {"redis: [{name: a, url: redis://h/x}]", "redis[0].url: a database is a number"},
        {"redis: [{name: a, url: redis://h, tls: {verify: false}}]",
         "redis[0].tls: is used with a URL that begins with rediss:// only"},
        {"redis: [{name: a, url: rediss://h, tls: {ca: /nowhere}}]", "redis[0].tls.ca: can't read"},
        {"redis: [{name: a, url: redis://h}, {name: a, url: redis://i}]",
         "redis[1].name: the name \"a\" is taken already"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config c;
        assert_null(load(&c, rows[i].yaml));
        expect_text(config_faults(&c), rows[i].fault);
        assert_int_equal(c.faults.nerrors, 1);
        config_deinit(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_servers_are_found_by_name),
        cmocka_unit_test(test_faults_are_told_where_they_stand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
