/* SPDX-License-Identifier: Apache-2.0 */

#include "side/kafka_cluster.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/test.h"

struct faults {
    char text[1024];
    ssize_t option;
    int n;
};

static void on_fault(void *arg, ssize_t option, const char *text)
{
    struct faults *f = arg;

    snprintf(f->text, sizeof(f->text), "%s", text);
    f->option = option;
    f->n++;
}

static struct kafka_cluster *make(const struct kafka_option *options, size_t n, struct faults *f)
{
    struct kafka_cluster_source source = {
        .name = SLICE("test"),
        .brokers = SLICE("127.0.0.1:9092"),
        .options = options,
        .noptions = n,
    };

    *f = (struct faults){.option = -2};
    return kafka_cluster_new(&source, on_fault, f);
}

static void test_what_is_wrong_with_an_option_is_said(void **state UNUSED)
{
    static const struct {
        const char *name, *value, *fault;
    } rows[] = {
        {"compresion.type", "lz4", "no such option, did you mean \"compression.type\"?"},
        {"zzzzzzzzzzz", "1", "librdkafka has no such option"},
        {"compression.codec", "lz5", "Invalid value \"lz5\""},
        {"linger.ms", "-5", "outside allowed range 0..900000"},
        {"linger.ms", "5ms", "without a unit"},
        {"linger.ms", "", "cannot be set to empty value"},
        {"retries", "5.5", "without a unit"},
        {"acks", "some", "Invalid value"},
        {"enable.idempotence", "perhaps", "xpected bool"},
        {"acks", "0", "no broker says"},
        {"message.timeout.ms", "0", "nobody may wait for ever"},
        {"delivery.timeout.ms", "0", "nobody may wait for ever"},
        {"queue.buffering.max.messages", "0", "is bounded"},
        {"group.id", "g", "is an option of consumers"},
        {"bootstrap.servers", "h", "`brokers`"},
        {"statistics.interval.ms", "1", "/metrics"},
        {"transactional.id", "t", "without transactions"},
        {"dr_msg_cb", "x", "belongs to the gateway"},
        {"enabled_events", "0", "belongs to the gateway"},
        {"plugin.library.paths", "/x.so", "load or run code"},
        {"sasl.kerberos.kinit.cmd", "id", "load or run code"},
    };
    struct faults f;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct kafka_option options[] = {
            {SLICE("client.id"), SLICE("fine"), false},
            {slice_from(rows[i].name), slice_from(rows[i].value), false},
        };
        assert_null(make(options, 2, &f));
        if (f.n != 1 || f.option != 1 || !strstr(f.text, rows[i].fault))
            fail_msg("%s: \"%s\" has no \"%s\"", rows[i].name, f.text, rows[i].fault);
    }
}

static void test_options_that_do_not_go_together_are_told(void **state UNUSED)
{
    static const struct kafka_option rows[][3] = {
        {{SLICE("acks"), SLICE("1"), false}},
        {{SLICE("max.in.flight"), SLICE("6"), false}},
        {{SLICE("security.protocol"), SLICE("ssl"), false},
         {SLICE("ssl.ca.location"), SLICE("/nowhere.pem"), false}},
        {{SLICE("security.protocol"), SLICE("sasl_plaintext"), false},
         {SLICE("sasl.mechanism"), SLICE("PLAIN"), false}},
    };
    static const char *const faults[] = {"`acks` must be set to `all`", "`max.in.flight`",
                                         "ssl.ca.location failed", "sasl.username"};
    struct faults f;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_null(make(rows[i], rows[i][1].name.ptr ? 2 : 1, &f));
        if (f.n != 1 || f.option != -1 || !strstr(f.text, faults[i]))
            fail_msg("\"%s\" has no \"%s\"", f.text, faults[i]);
    }
}

static void test_a_hidden_value_is_not_shown(void **state UNUSED)
{
    static const struct kafka_option options[] = {
        {SLICE("compression.codec"), SLICE("hidden"), true}};
    struct faults f;

    assert_null(make(options, 1, &f));
    assert_int_equal(f.n, 1);
    assert_null(strstr(f.text, "hidden"));
}

static void test_what_holds_when_nothing_is_said(void **state UNUSED)
{
    static const struct kafka_option options[] = {
        {SLICE("enable.idempotence"), SLICE("false"), false},
        {SLICE("acks"), SLICE("1"), false},
        {SLICE("message.max.bytes"), SLICE("2000"), false},
        {SLICE("linger.ms"), SLICE("0.5"), false},
        {SLICE("delivery.timeout.ms"), SLICE("1000"), false},
    };
    struct faults f;

    struct kafka_cluster *c = make(NULL, 0, &f);
    assert_true(c->is_idempotent);
    assert_int_equal(c->message_max, 1000000);
    assert_int_equal(c->message_timeout_ms, 30000);
    kafka_cluster_unref(c);
    c = make(options, COUNT_OF(options), &f);
    assert_false(c->is_idempotent);
    assert_int_equal(c->message_max, 2000);
    assert_int_equal(c->message_timeout_ms, 1000);
    kafka_cluster_unref(c);
}

static bool are_same(const struct kafka_cluster *a, const struct kafka_cluster *b)
{
    return slice_eq(a->identity, b->identity);
}

static void test_a_file_that_has_changed_makes_another_cluster(void **state UNUSED)
{
    char path[] = "/tmp/dml_kafka_XXXXXX";
    int fd = mkstemp(path);
    struct faults f;

    assert_true(fd >= 0);
    const struct kafka_option options[] = {{SLICE("ssl.crl.location"), slice_from(path), false}};
    struct kafka_cluster *a = make(options, 1, &f), *b = make(options, 1, &f);
    assert_true(are_same(a, b));
    assert_int_equal(write(fd, "more", 4), 4);
    struct kafka_cluster *c = make(options, 1, &f);
    assert_false(are_same(a, c));
    kafka_cluster_unref(a);
    kafka_cluster_unref(b);
    kafka_cluster_unref(c);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong_with_an_option_is_said),
        cmocka_unit_test(test_options_that_do_not_go_together_are_told),
        cmocka_unit_test(test_a_hidden_value_is_not_shown),
        cmocka_unit_test(test_what_holds_when_nothing_is_said),
        cmocka_unit_test(test_a_file_that_has_changed_makes_another_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
