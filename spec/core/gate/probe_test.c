/* SPDX-License-Identifier: Apache-2.0 */

/* Probes that only connect, with time moved by hand; what they ask and hear on real connections is
 * in spec/gate/health_spec.lua. */

#include "gate/probe.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/metric.h"
#include "fakes/fake_outbound.h"
#include "gate/health.h"
#include "gate/snapshot.h"
#include "net/loop.h"
#include "support/config.h"
#include "support/test.h"

enum { PORT = 9000 };

static struct loop *loop;
static struct probes *probes;
static struct config config;
static struct snapshot *now;

static int set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    log_configure(LOG_OFF, LOG_TEXT);
    metric_init(1, 10000);
    fake_outbound_reset();
    loop = loop_new();
    probes = probes_new(loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    probes_free(probes);
    loop_free(loop);
    if (now) {
        snapshot_unref(now);
        config_deinit(&config);
    }
    now = NULL;
    metric_deinit();
    assert_int_equal(fake_outbound_open(), 0);
    return 0;
}

/* In use from now on: an upstream of n endpoints from PORT on, with these keys. */
static void use(int n, const char *keys)
{
    struct snapshot *before = now;
    struct config of_before = config;
    struct buf text;
    int rc;

    buf_init(&text, MIB);
    rc = buf_printf(&text,
                    "listeners: [{address: \"127.0.0.1:0\"}]\n"
                    "upstreams:\n  - name: up\n    health: %s\n    endpoints:\n",
                    keys);
    for (int i = 0; i < n; i++)
        rc |= buf_printf(&text, "      - address: 10.0.0.1:%d\n", PORT + i);
    assert_int_equal(rc, 0);
    config_init(&config);
    now = snapshot_load(&(struct snapshot_source){.text = buf_slice(&text), .name = "t"},
                        &config.faults);
    assert_string_equal(config_faults(&config), "");
    buf_deinit(&text);
    probes_follow(probes, now);
    if (before) {
        snapshot_unref(before);
        config_deinit(&of_before);
    }
}

static void pass(int ms)
{
    for (; ms > 0; ms -= 10) {
        clock_advance_ms(10);
        for (int i = 0; i < 4; i++)
            loop_turn(loop, 0);
    }
}

static const struct endpoint *endpoint(int i)
{
    return &now->upstreams[0]->endpoints[i];
}

static bool is_down(int i)
{
    return endpoint(i)->live->is_down;
}

/* Until that many more connections were tried. */
static void pass_probes(int n)
{
    uint32_t in_row = endpoint(0)->live->probe.in_row;
    enum probe_result last = endpoint(0)->live->probe.result;

    for (int tries = 0; n > 0; tries++) {
        assert_true(tries < 10000);
        pass(10);
        const struct probe_news *news = &endpoint(0)->live->probe;
        if (news->in_row != in_row || news->result != last)
            n--;
        in_row = news->in_row;
        last = news->result;
    }
}

#define EVERY_SECOND "{active: {interval: 1s, timeout: 500ms}}"

static void the_first_one_decides(void **state)
{
    (void)state;
    fake_outbound_port(PORT, FAKE_REFUSES);
    use(2, EVERY_SECOND);
    assert_false(is_down(0)); /* nothing is known */
    pass(1100);
    assert_true(is_down(0));
    assert_false(is_down(1));
    assert_int_equal(endpoint(0)->live->probe.result, PROBE_BAD);
    assert_int_equal(endpoint(1)->live->probe.result, PROBE_GOOD);
}

static void then_it_takes_several_in_a_row(void **state)
{
    (void)state;
    use(1, EVERY_SECOND);
    pass_probes(2);
    fake_outbound_port(PORT, FAKE_REFUSES);
    pass_probes(2);
    fake_outbound_port(PORT, FAKE_ACCEPTS);
    pass_probes(1);
    fake_outbound_port(PORT, FAKE_SILENT);
    pass_probes(2);
    assert_false(is_down(0));
    pass_probes(1);
    assert_true(is_down(0));
    fake_outbound_port(PORT, FAKE_ACCEPTS);
    pass_probes(1);
    assert_true(is_down(0));
    pass_probes(1);
    assert_false(is_down(0));
}

static void a_lack_of_descriptors_is_not_the_endpoints(void **state)
{
    (void)state;
    fake_outbound_port(PORT, FAKE_LACKS);
    use(1, EVERY_SECOND);
    pass(10000);
    assert_false(is_down(0));
    assert_int_equal(endpoint(0)->live->probe.result, PROBE_SKIPPED);
    fake_outbound_port(PORT, FAKE_REFUSES);
    pass(1200);
    assert_true(is_down(0)); /* the first one that was made */
    fake_outbound_port(PORT, FAKE_ACCEPTS);
    pass(1200);
    fake_outbound_port(PORT, FAKE_LACKS);
    pass(3000);
    fake_outbound_port(PORT, FAKE_ACCEPTS);
    pass(1200);
    assert_false(is_down(0)); /* it does not end a row either */
}

static void many_endpoints_are_spread_over_the_interval(void **state)
{
    int at_most = 0;
    (void)state;

    use(300, "{active: {interval: 10s, timeout: 1s}}");
    pass(1010);
    assert_int_equal(fake_outbound_made(), 300); /* each is known soon */
    pass(99000);
    /* Each has had one about every 10 s, a tenth more or less. */
    assert_in_range(fake_outbound_made(), 300 * 10, 300 * 12);
    for (int i = 0; i < 100; i++) {
        int before = fake_outbound_made();
        pass(100);
        at_most = MAX(at_most, fake_outbound_made() - before);
    }
    assert_in_range(at_most, 1, 24); /* 3 on average; 30 in the first second, where they began */
}

static void only_so_many_are_under_way_at_one_time(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++)
        fake_outbound_port((uint16_t)(PORT + i), FAKE_SILENT);
    use(300, "{active: {interval: 1s, timeout: 1s}}");
    pass(8000); /* five turns of a second each */
    assert_int_equal(fake_outbound_most(), PROBES_AT_ONCE);
    for (int i = 0; i < 300; i++)
        assert_true(is_down(i));
}

static void a_reload_keeps_what_is_known(void **state)
{
    (void)state;
    fake_outbound_port(PORT + 1, FAKE_REFUSES);
    use(2, EVERY_SECOND);
    pass_probes(3);
    assert_true(is_down(1));
    use(3, EVERY_SECOND);
    assert_true(is_down(1));
    assert_in_range(endpoint(0)->live->probe.in_row, 3, 4);
    fake_outbound_port(PORT, FAKE_REFUSES);
    pass_probes(2);
    use(3, "{active: {interval: 2s, timeout: 500ms}}"); /* rows go on over it */
    pass_probes(1);
    assert_true(is_down(0));
    assert_int_equal(endpoint(2)->live->probe.result, PROBE_GOOD);
}

static void what_a_reload_takes_away_is_left(void **state)
{
    (void)state;
    fake_outbound_port(PORT, FAKE_REFUSES);
    fake_outbound_port(PORT + 1, FAKE_SILENT);
    fake_outbound_port(PORT + 2, FAKE_REFUSES);
    use(3, EVERY_SECOND);
    pass(1600);
    assert_true(is_down(0) && is_down(1) && is_down(2));
    while (fake_outbound_open() == 0)
        pass(10);
    use(1, EVERY_SECOND); /* while a probe is under way */
    assert_int_equal(fake_outbound_open(), 0);
    assert_true(is_down(0));
    use(2, "{}"); /* not probed any more: back; added again: nothing is known */
    assert_false(is_down(0) || is_down(1));
    assert_int_equal(endpoint(0)->live->probe.result, PROBE_NONE);
    int made = fake_outbound_made();
    pass(5000);
    assert_int_equal(fake_outbound_made(), made);
}

static void what_comes_back_starts_slowly(void **state)
{
    (void)state;
    fake_outbound_port(PORT, FAKE_REFUSES);
    use(2, "{slow_start: 1m, active: {interval: 1s, timeout: 500ms, healthy_after: 1}}");
    pass(1100);
    fake_outbound_port(PORT, FAKE_ACCEPTS);
    pass(1200);
    assert_false(is_down(0));
    assert_int_equal(health_state(now->upstreams[0], endpoint(0)), HEALTH_SLOW_START);
    assert_int_equal(health_state(now->upstreams[0], endpoint(1)), HEALTH_HEALTHY);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_first_one_decides),
        T(then_it_takes_several_in_a_row),
        T(a_lack_of_descriptors_is_not_the_endpoints),
        T(many_endpoints_are_spread_over_the_interval),
        T(only_so_many_are_under_way_at_one_time),
        T(a_reload_keeps_what_is_known),
        T(what_a_reload_takes_away_is_left),
        T(what_comes_back_starts_slowly),
    };
    return cmocka_run_group_tests_name("gate/probe", tests, NULL, NULL);
}
