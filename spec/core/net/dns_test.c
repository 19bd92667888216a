/* SPDX-License-Identifier: Apache-2.0 */

#include "net/dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "support/loopback.h"
#include "support/name_server.h"
#include "support/test.h"

enum { MIN_TTL = 1000, MAX_TTL = 300000, NEGATIVE_TTL = 5000, TIMEOUT = 4000 };

static struct name_record records[] = {
    {"one.test", NAME_ADDRS, {"192.0.2.1"}, {NULL}, 60},
    {"both.test", NAME_ADDRS, {"192.0.2.1", "192.0.2.2"}, {"2001:db8::1"}, 60},
    {"six.test", NAME_ADDRS, {NULL}, {"2001:db8::6"}, 60},
    {"none.test", NAME_ADDRS, {NULL}, {NULL}, 60},
    {"short.test", NAME_ADDRS, {"192.0.2.3"}, {NULL}, 0},
    {"long.test", NAME_ADDRS, {"192.0.2.4"}, {NULL}, 1000000},
    {"broken.test", NAME_BROKEN, {NULL}, {NULL}, 0},
    {"silent.test", NAME_SILENT, {NULL}, {NULL}, 0},
    {"changing.test", NAME_ADDRS, {"192.0.2.5"}, {NULL}, 10},
    {"many.test", NAME_ADDRS, {NULL}, {NULL}, 60},
    {NULL, NAME_ABSENT, {NULL}, {NULL}, 0},
};

static struct name_record *record(const char *name)
{
    struct name_record *r = records;

    while (strcmp(r->name, name) != 0)
        r++;
    return r;
}

static struct loop *loop;
static struct name_server server;
static struct dns *dns;
static char hosts_path[] = "/tmp/dml-hosts-XXXXXX";

/* What one asker was told. */
struct told {
    int calls, err;
    char addrs[256]; /* separated by blanks */
    size_t naddrs;
    uint64_t ttl_ms;
    struct told *then; /* asks for then_name in the callback */
    const char *then_name;
};

static void on_told(void *arg, int err, const struct dns_answer *answer);

static struct dns_query *ask(struct told *t, const char *name)
{
    *t = (struct told){.then = t->then, .then_name = t->then_name};
    return dns_resolve(dns, slice_from(name), on_told, t);
}

static void on_told(void *arg, int err, const struct dns_answer *answer)
{
    struct told *t = arg;

    t->calls++;
    t->err = err;
    assert_true((err == 0) == (answer != NULL));
    if (t->then)
        ask(t->then, t->then_name);
    for (size_t i = 0; answer && i < answer->naddrs && t->naddrs < 8; i++, t->naddrs++) {
        char text[ADDR_TEXT];
        addr_print_ip(&answer->addrs[i], text, sizeof(text));
        assert_int_equal(addr_port(&answer->addrs[i]), 0);
        if (i > 0)
            strcat(t->addrs, " ");
        strcat(t->addrs, text);
    }
    if (answer) {
        t->naddrs = answer->naddrs;
        t->ttl_ms = answer->ttl_ms;
    }
}

static void expect(const char *name, int err, const char *addrs)
{
    struct told t = {0};

    ask(&t, name);
    TURN_UNTIL(loop, t.calls);
    assert_int_equal(t.err, err);
    assert_string_equal(t.addrs, addrs);
}

static void open_dns(size_t max_entries)
{
    const char *servers[] = {server.address};
    struct dns_options o = {
        .servers = servers,
        .nservers = 1,
        .min_ttl_ms = MIN_TTL,
        .max_ttl_ms = MAX_TTL,
        .negative_ttl_ms = NEGATIVE_TTL,
        .timeout_ms = TIMEOUT,
        .max_entries = max_entries,
        .hosts_path = hosts_path,
    };

    dns = dns_new(loop, &o);
    assert_non_null(dns);
}

static int set_up(void **state)
{
    (void)state;
    loop = loop_new();
    name_server_start(&server, loop, records);
    open_dns(100);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (dns)
        dns_free(dns);
    name_server_stop(&server);
    loop_free(loop);
    return 0;
}

static void write_hosts(const char *text)
{
    FILE *f = fopen(hosts_path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_name_gives_all_its_addresses_ipv4_first(void **state)
{
    (void)state;
    expect("one.test", 0, "192.0.2.1");
    expect("both.test", 0, "192.0.2.1 192.0.2.2 2001:db8::1");
    expect("six.test", 0, "2001:db8::6");
}

static void what_needs_no_server_is_answered_at_once(void **state)
{
    static const struct {
        const char *name, *addrs;
    } rows[] = {
        {"192.0.2.9", "192.0.2.9"},       {"2001:db8::9", "2001:db8::9"},
        {"localhost", "127.0.0.1 ::1"},   {"LOCALHOST.", "127.0.0.1 ::1"},
        {"a.localhost", "127.0.0.1 ::1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct told t = {0};
        assert_null(ask(&t, rows[i].name));
        assert_int_equal(t.calls, 1);
        assert_int_equal(t.err, 0);
        assert_string_equal(t.addrs, rows[i].addrs);
        assert_true(t.ttl_ms > 0);
    }
    assert_int_equal(server.queries, 0);
}

static void what_can_not_be_a_name_is_not_asked_for(void **state)
{
    static char long_name[300], long_label[80];
    const char *const names[] = {"",     ".",   "..",        ".a",   "a..b",    "a b",     "a/b",
                                 "a\nb", "::x", "h\xc3\xa9", "a:80", long_name, long_label};

    (void)state;
    memset(long_name, 'a', sizeof(long_name) - 1);
    for (size_t i = 50; i < sizeof(long_name) - 1; i += 50)
        long_name[i] = '.';
    memset(long_label, 'a', 64);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct told t = {0};
        assert_null(ask(&t, names[i]));
        assert_int_equal(t.calls, 1);
        assert_int_equal(t.err, ERR_DNS);
    }
    loop_turn(loop, 5);
    assert_int_equal(server.queries, 0);
}

static void an_answer_is_kept_for_its_ttl(void **state)
{
    struct told t = {0};

    (void)state;
    expect("one.test", 0, "192.0.2.1");
    assert_null(ask(&t, "ONE.test."));
    assert_string_equal(t.addrs, "192.0.2.1");
    assert_in_range(t.ttl_ms, 55000, 60000);
    clock_advance_ms(59000);
    assert_null(ask(&t, "one.test"));
    assert_in_range(t.ttl_ms, 1, 1000);
    assert_int_equal(server.queries, 1);
    clock_advance_ms(1001);
    expect("one.test", 0, "192.0.2.1");
    assert_int_equal(server.queries, 2);
}

static void the_ttl_is_held_within_bounds(void **state)
{
    struct told t = {0};

    (void)state;
    expect("short.test", 0, "192.0.2.3");
    assert_null(ask(&t, "short.test"));
    assert_in_range(t.ttl_ms, 1, MIN_TTL);
    expect("long.test", 0, "192.0.2.4");
    assert_null(ask(&t, "long.test"));
    assert_in_range(t.ttl_ms, MAX_TTL - 5000, MAX_TTL);
}

static void absence_is_kept_for_the_negative_ttl(void **state)
{
    static const char *const names[] = {"absent.test", "none.test"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct told t = {0};
        server.queries = 0;
        expect(names[i], ERR_DNS, "");
        assert_null(ask(&t, names[i]));
        assert_int_equal(t.err, ERR_DNS);
        assert_int_equal(server.queries, 1);
        clock_advance_ms(NEGATIVE_TTL + 1);
        expect(names[i], ERR_DNS, "");
        assert_int_equal(server.queries, 2);
    }
}

static void a_failing_server_is_asked_again(void **state)
{
    int before;

    (void)state;
    expect("broken.test", ERR_DNS, "");
    before = server.queries;
    expect("broken.test", ERR_DNS, "");
    assert_true(server.queries > before);
}

static void a_lack_of_descriptors_is_said(void **state)
{
    struct rlimit limit, none;
    (void)state;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    expect("one.test", ERR_LIMIT, "");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect("one.test", 0, "192.0.2.1");
}

static void silence_ends_at_the_deadline(void **state)
{
    struct told a = {0}, b = {0};

    (void)state;
    assert_non_null(ask(&a, "silent.test"));
    loop_turn(loop, 5);
    clock_advance_ms(TIMEOUT / 2);
    assert_non_null(ask(&b, "silent.test"));
    loop_turn(loop, 0);
    assert_int_equal(a.calls, 0);
    clock_advance_ms(TIMEOUT / 2 + 1);
    loop_turn(loop, 0);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.err, ERR_TIMEOUT);
    assert_int_equal(b.calls, 0); /* has a deadline of its own */
    clock_advance_ms(TIMEOUT / 2);
    loop_turn(loop, 0);
    assert_int_equal(b.err, ERR_TIMEOUT);
    record("silent.test")->answer = NAME_ABSENT;
    expect("silent.test", ERR_DNS, ""); /* the lookup itself went on: c-ares asks a second time */
    record("silent.test")->answer = NAME_SILENT;
}

static int any_lines;

static void count_any(void *arg UNUSED, enum log_level level UNUSED, struct slice line UNUSED)
{
    any_lines++;
}

static void an_answer_at_the_last_moment_counts(void **state)
{
    struct told t = {0};

    (void)state;
    log_capture(count_any, NULL);
    assert_non_null(ask(&t, "one.test"));
    loop_turn(loop, 0); /* the server answers */
    assert_int_equal(t.calls, 0);
    clock_advance_ms(TIMEOUT + 1);
    loop_turn(loop, 0);
    assert_int_equal(t.calls, 1);
    assert_int_equal(t.err, 0);
    assert_in_range(t.ttl_ms, 59000, 60000);
    log_capture(NULL, NULL);
    assert_int_equal(any_lines, 0); /* nothing failed */
}

static void many_askers_cost_one_query(void **state)
{
    struct told told[20] = {{0}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(told); i++)
        assert_non_null(ask(&told[i], "one.test"));
    for (size_t i = 0; i < COUNT_OF(told); i++)
        assert_int_equal(told[i].calls, 0);
    TURN_UNTIL(loop, told[0].calls);
    for (size_t i = 0; i < COUNT_OF(told); i++)
        assert_int_equal(told[i].calls, 1);
    assert_int_equal(server.queries, 1);
}

static void a_cancelled_query_is_not_told(void **state)
{
    struct told a = {0}, b = {0}, c = {0};
    struct dns_query *q = ask(&a, "one.test");

    (void)state;
    ask(&b, "one.test");
    dns_cancel(ask(&c, "both.test")); /* the only one who asked */
    dns_cancel(q);
    TURN_UNTIL(loop, b.calls);
    clock_advance_ms(TIMEOUT + 1);
    loop_turn(loop, 0);
    assert_int_equal(a.calls + c.calls, 0);
    assert_int_equal(b.calls, 1);
}

static struct dns_query *to_cancel[2];

static void on_told_cancel_others(void *arg, int err UNUSED, const struct dns_answer *answer UNUSED)
{
    struct told *t = arg;

    t->calls++;
    for (int i = 0; i < 2; i++)
        dns_cancel(to_cancel[i]);
}

static void one_may_cancel_the_others_when_told(void **state)
{
    struct told a = {0}, b = {0}, c = {0};

    (void)state;
    dns_resolve(dns, SLICE("one.test"), on_told_cancel_others, &a);
    to_cancel[0] = ask(&b, "one.test");
    to_cancel[1] = ask(&c, "both.test");
    TURN_UNTIL(loop, a.calls);
    loop_turn(loop, 5);
    assert_int_equal(b.calls + c.calls, 0);
}

static void one_may_ask_again_when_told(void **state)
{
    struct told failed = {0}, retry = {0}, found = {0}, same = {0};
    int each;

    (void)state;
    expect("broken.test", ERR_DNS, "");
    each = server.queries;
    failed.then = &retry;
    failed.then_name = "broken.test";
    ask(&failed, "broken.test");
    TURN_UNTIL(loop, retry.calls);
    assert_int_equal(retry.err, ERR_DNS);
    assert_int_equal(failed.calls, 1);
    assert_int_equal(server.queries, 3 * each); /* not told the failure that it knows already */

    dns_free(dns);
    open_dns(1); /* the nested question wants the room of the entry that is being told */
    found.then = &same;
    found.then_name = "both.test";
    ask(&found, "one.test");
    TURN_UNTIL(loop, same.calls);
    assert_string_equal(found.addrs, "192.0.2.1");
    assert_string_equal(same.addrs, "192.0.2.1 192.0.2.2 2001:db8::1");
}

static int stale_lines;

static void count_stale(void *arg, enum log_level level, struct slice line)
{
    (void)arg;
    assert_int_equal(level, LOG_WARN);
    assert_true(slice_find(line, SLICE("dns.stale")) >= 0);
    assert_true(slice_find(line, SLICE("changing.test")) >= 0);
    stale_lines++;
}

static void an_expired_answer_serves_while_the_servers_fail(void **state)
{
    struct told t = {0};
    int queries;

    (void)state;
    expect("changing.test", 0, "192.0.2.5");
    record("changing.test")->answer = NAME_BROKEN;
    log_capture(count_stale, NULL);
    clock_advance_ms(11000);
    expect("changing.test", 0, "192.0.2.5");
    assert_int_equal(stale_lines, 1);

    queries = server.queries; /* for a moment nobody else has to wait for the same failure */
    assert_null(ask(&t, "changing.test"));
    assert_string_equal(t.addrs, "192.0.2.5");
    assert_int_equal(server.queries, queries);

    record("changing.test")->answer = NAME_SILENT;
    clock_advance_ms(MIN_TTL + 1);
    assert_non_null(ask(&t, "changing.test"));
    clock_advance_ms(TIMEOUT + 1);
    loop_turn(loop, 0);
    assert_int_equal(t.err, 0);
    assert_string_equal(t.addrs, "192.0.2.5");
    assert_int_equal(stale_lines, 2);
    log_capture(NULL, NULL);

    dns_free(dns);
    open_dns(100);
    record("changing.test")->answer = NAME_ADDRS;
    expect("changing.test", 0, "192.0.2.5");
    record("changing.test")->answer = NAME_BROKEN;
    clock_advance_ms(10000 + MAX_TTL + 1);
    expect("changing.test", ERR_DNS, "");
    record("changing.test")->answer = NAME_ADDRS;
}

static void an_expired_answer_does_not_hide_that_the_name_has_gone(void **state)
{
    (void)state;
    expect("changing.test", 0, "192.0.2.5");
    record("changing.test")->answer = NAME_ABSENT;
    clock_advance_ms(11000);
    expect("changing.test", ERR_DNS, "");
    record("changing.test")->answer = NAME_ADDRS;
}

static void the_hosts_file_comes_first_and_its_changes_are_seen(void **state)
{
    (void)state;
    write_hosts("# comment\n192.0.2.77\tone.test  Alias.test # more\r\n"
                "2001:db8::77 one.test\nnonsense one.test\n192.0.2.78 dotted.test.");
    clock_advance_ms(1001);
    expect("one.test", 0, "192.0.2.77 2001:db8::77");
    expect("alias.TEST", 0, "192.0.2.77");
    expect("dotted.test", 0, "192.0.2.78");
    assert_int_equal(server.queries, 0);
    write_hosts("192.0.2.8 other.test");
    clock_advance_ms(1001);
    expect("one.test", 0, "192.0.2.1");
    expect("other.test", 0, "192.0.2.8");
    assert_int_equal(server.queries, 1);
    unlink(hosts_path);
    clock_advance_ms(1001);
    expect("other.test", ERR_DNS, "");
    write_hosts("");
}

static void the_cache_is_bounded_and_forgets_what_was_not_used(void **state)
{
    (void)state;
    dns_free(dns);
    open_dns(2);
    expect("one.test", 0, "192.0.2.1");
    expect("six.test", 0, "2001:db8::6");
    expect("one.test", 0, "192.0.2.1");
    expect("long.test", 0, "192.0.2.4"); /* six.test makes room */
    assert_int_equal(server.queries, 3);
    expect("one.test", 0, "192.0.2.1");
    expect("long.test", 0, "192.0.2.4");
    assert_int_equal(server.queries, 3);
    expect("six.test", 0, "2001:db8::6");
    assert_int_equal(server.queries, 4);
}

static void a_name_with_very_many_addresses_is_cut(void **state)
{
    static char texts[30][16];
    struct name_record *r = record("many.test");
    struct told t = {0};

    (void)state;
    for (int i = 0; i < 30; i++) {
        snprintf(texts[i], sizeof(texts[i]), "192.0.2.%d", i);
        r->ipv4[i] = r->ipv4[i + 30] = texts[i];
    }
    for (int i = 60; i < 69; i++)
        r->ipv4[i] = texts[0];
    ask(&t, "many.test");
    TURN_UNTIL(loop, t.calls);
    assert_int_equal(t.err, 0);
    assert_int_equal(t.naddrs, 64);
}

static void open_queries_end_with_the_resolver(void **state)
{
    struct told a = {0}, b = {0}, again = {0};

    (void)state;
    ask(&a, "one.test");
    ask(&b, "silent.test");
    b.then = &again;
    b.then_name = "one.test";
    dns_free(dns);
    dns = NULL;
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.err, ERR_CANCELLED);
    assert_int_equal(b.err, ERR_CANCELLED);
    loop_turn(loop, 5);
    assert_int_equal(a.calls + b.calls, 2);
}

static void servers_must_be_addresses(void **state)
{
    const char *bad[] = {"127.0.0.1", "dns.example.com"},
               *good[] = {"127.0.0.1", "[::1]:5353", "::1"};
    struct dns_options o = {.servers = bad, .nservers = 2, .hosts_path = hosts_path};
    struct dns *other;

    (void)state;
    assert_null(dns_new(loop, &o));
    o.servers = good;
    o.nservers = 3;
    other = dns_new(loop, &o);
    assert_non_null(other);
    dns_free(other);
    o.nservers = 0;
    other = dns_new(loop, &o);
    assert_non_null(other);
    dns_free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_gives_all_its_addresses_ipv4_first),
        TEST(what_needs_no_server_is_answered_at_once),
        TEST(what_can_not_be_a_name_is_not_asked_for),
        TEST(an_answer_is_kept_for_its_ttl),
        TEST(the_ttl_is_held_within_bounds),
        TEST(absence_is_kept_for_the_negative_ttl),
        TEST(a_failing_server_is_asked_again),
        TEST(a_lack_of_descriptors_is_said),
        TEST(silence_ends_at_the_deadline),
        TEST(an_answer_at_the_last_moment_counts),
        TEST(many_askers_cost_one_query),
        TEST(a_cancelled_query_is_not_told),
        TEST(one_may_cancel_the_others_when_told),
        TEST(one_may_ask_again_when_told),
        TEST(an_expired_answer_serves_while_the_servers_fail),
        TEST(an_expired_answer_does_not_hide_that_the_name_has_gone),
        TEST(the_hosts_file_comes_first_and_its_changes_are_seen),
        TEST(the_cache_is_bounded_and_forgets_what_was_not_used),
        TEST(a_name_with_very_many_addresses_is_cut),
        TEST(open_queries_end_with_the_resolver),
        TEST(servers_must_be_addresses),
    };
    int fd = mkstemp(hosts_path), failed;

    if (fd < 0)
        return 1;
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(hosts_path);
    return failed;
}
