/* SPDX-License-Identifier: Apache-2.0 */

/* Producers against librdkafka's mock cluster: what becomes of records when brokers fail in all the ways that they do. */

#include "side/kafka.h"

#include <pthread.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "net/loop.h"
#include "side/kafka_cluster.h"
#include "side/kafka_mock.h"
#include "support/test.h"

#define PATIENCE_MS 60000
#define RECORDS 16

struct record {
    struct kafka_report report;
    int nreports, nleft;
};

struct world {
    struct loop *loop;
    struct mailbox *home;
    struct kafka_mock *mock;
    struct kafka_cluster *cluster;
    struct kafka_producer *producer;
    struct record records[RECORDS];
    int nreports; /* all of them */
};

static void on_report(struct kafka_report *r, void *reader)
{
    struct record *one = container_of(r, struct record, report);
    struct world *w = reader;

    if (!w) {
        one->nleft++;
        return;
    }
    one->nreports++;
    w->nreports++;
}

static void on_fault(void *arg UNUSED, ssize_t option, const char *text)
{
    fail_msg("option %zd: %s", option, text);
}

static struct kafka_cluster *cluster_of(const struct kafka_mock *m,
                                        const struct kafka_option *options, size_t n)
{
    struct kafka_cluster_source source = {
        .name = SLICE("test"),
        .brokers = slice_from(kafka_mock_brokers(m)),
        .options = options,
        .noptions = n,
    };

    return kafka_cluster_new(&source, on_fault, NULL);
}

static void begin(struct world *w, enum kafka_patience patience, const struct kafka_option *options,
                  size_t n)
{
    *w = (struct world){.loop = loop_new()};
    w->home = mailbox_new(w->loop, w);
    w->mock = kafka_mock_new(1);
    assert_true(kafka_mock_make_topic(w->mock, "t", 1));
    w->cluster = cluster_of(w->mock, options, n);
    w->producer = kafka_producer_use(w->cluster, patience);
    assert_non_null(w->producer);
}

#define BEGIN(w, patience, ...) \
    do { \
        const struct kafka_option options_[] = {{SLICE("linger.ms"), SLICE("0"), false}, \
                                                __VA_ARGS__}; \
        begin(w, patience, options_, COUNT_OF(options_)); \
    } while (0)
#define OPTION(name, value) \
    { \
        SLICE(name), SLICE(value), false \
    }

static void finish(struct world *w)
{
    kafka_producer_unuse(w->producer);
    kafka_end(0);
    kafka_cluster_unref(w->cluster);
    kafka_mock_free(w->mock);
    mailbox_free(w->home);
    loop_free(w->loop);
}

static int publish_as(struct world *w, int i, const struct kafka_record *record)
{
    w->records[i].report = (struct kafka_report){.home = w->home, .fn = on_report};
    w->records[i].nreports = w->records[i].nleft = 0;
    return kafka_publish(w->producer, record, &w->records[i].report);
}

static struct kafka_record record_of(const char *topic)
{
    return (struct kafka_record){
        .topic = slice_from(topic), .value = SLICE("value"), .partition = -1};
}

static int publish(struct world *w, int i)
{
    struct kafka_record record = record_of("t");

    return publish_as(w, i, &record);
}

static void wait_for(struct world *w, int nreports)
{
    for (int turns = 0; w->nreports < nreports; turns++) {
        assert_true(turns < PATIENCE_MS / 100);
        loop_turn(w->loop, 100);
    }
}

static void expect(const struct world *w, int i, enum kafka_outcome outcome, const char *why)
{
    const struct record *r = &w->records[i];

    assert_int_equal(r->nreports, 1);
    assert_string_equal(kafka_outcome_word(r->report.outcome), kafka_outcome_word(outcome));
    if (!strstr(r->report.why, why) || (why[0] == '\0' && r->report.why[0] != '\0'))
        fail_msg("\"%s\" has no \"%s\"", r->report.why, why);
}

static void fail_next(struct world *w, const char *kind, const char *name, size_t n)
{
    int errors[100], error;

    assert_true(kafka_mock_error(slice_from(name), &error));
    for (size_t i = 0; i < n; i++)
        errors[i] = error;
    assert_true(kafka_mock_fail(w->mock, slice_from(kind), errors, n));
}

/* --- the broker's word --------------------------------------------------------------------------------------------- */

static void test_each_record_has_one_report_with_its_place(void **state UNUSED)
{
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(publish(&w, i), 0);
    wait_for(&w, RECORDS);
    for (int i = 0; i < RECORDS; i++) {
        expect(&w, i, KAFKA_DELIVERED, "");
        assert_int_equal(w.records[i].report.partition, 0);
        assert_int_equal(w.records[i].report.offset, i);
    }
    finish(&w);
}

/* Errors of one topic stay with it, so each has its own. */
static void test_what_the_broker_refuses_is_told_from_what_failed(void **state UNUSED)
{
    static const struct {
        const char *error, *why;
        enum kafka_outcome outcome;
    } rows[] = {
        {"MSG_SIZE_TOO_LARGE", "size too large", KAFKA_REFUSED},
        {"TOPIC_AUTHORIZATION_FAILED", "authorization failed", KAFKA_REFUSED},
        {"INVALID_RECORD", "failed to validate", KAFKA_REFUSED},
        {"POLICY_VIOLATION", "Policy violation", KAFKA_REFUSED},
        {"NOT_LEADER_FOR_PARTITION", "", KAFKA_DELIVERED}, /* these are sent again */
        {"NOT_ENOUGH_REPLICAS", "", KAFKA_DELIVERED},
        {"_TRANSPORT", "", KAFKA_DELIVERED},
    };
    char topic[16];
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        snprintf(topic, sizeof(topic), "t%zu", i);
        assert_true(kafka_mock_make_topic(w.mock, topic, 1));
        struct kafka_record record = record_of(topic);
        fail_next(&w, "Produce", rows[i].error, 1);
        assert_int_equal(publish_as(&w, (int)i, &record), 0);
        wait_for(&w, (int)i + 1);
        expect(&w, (int)i, rows[i].outcome, rows[i].why);
    }
    finish(&w);
}

static void test_an_unknown_topic_is_refused(void **state UNUSED)
{
    struct kafka_record record = record_of("nowhere");
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED, OPTION("topic.metadata.propagation.max.ms", "100"),
          OPTION("topic.metadata.refresh.fast.interval.ms", "50"));
    int error;
    assert_true(kafka_mock_error(SLICE("UNKNOWN_TOPIC_OR_PART"), &error));
    kafka_mock_fail_topic(w.mock, "nowhere", error);
    for (int i = 0; i < 2; i++) { /* when it is found out, and when it is known */
        assert_int_equal(publish_as(&w, i, &record), 0);
        wait_for(&w, i + 1);
        expect(&w, i, KAFKA_REFUSED, "nknown topic");
        assert_true(w.records[i].report.is_of_topic);
    }
    finish(&w);
}

static void test_a_partition_that_is_not_there_is_refused(void **state UNUSED)
{
    struct kafka_record record = record_of("t");
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED);
    record.partition = 7;
    assert_int_equal(publish_as(&w, 0, &record), 0);
    wait_for(&w, 1);
    expect(&w, 0, KAFKA_REFUSED, "nknown partition");
    assert_false(w.records[0].report.is_of_topic); /* who has chosen it is at fault */
    finish(&w);
}

/* --- no word ------------------------------------------------------------------------------------------------------- */

static void test_what_never_left_has_failed_at_the_deadline(void **state UNUSED)
{
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED, OPTION("message.timeout.ms", "300"));
    assert_true(kafka_mock_set_down(w.mock, 1, true));
    assert_int_equal(publish(&w, 0), 0);
    wait_for(&w, 1);
    expect(&w, 0, KAFKA_FAILED, "no word from the brokers within 300 ms");
    finish(&w);
}

static void test_what_had_left_is_unknown_at_the_deadline(void **state UNUSED)
{
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED, OPTION("message.timeout.ms", "2000"));
    int n = 0;
    do { /* it takes about as long until the producer is ready */
        assert_int_equal(publish(&w, 0), 0);
        wait_for(&w, ++n);
        assert_true(n < PATIENCE_MS / 1000);
    } while (w.records[0].report.outcome != KAFKA_DELIVERED);
    assert_true(kafka_mock_set_delay(w.mock, 1, 6000));
    assert_int_equal(publish(&w, 1), 0);
    wait_for(&w, n + 1);
    expect(&w, 1, KAFKA_UNKNOWN, "no word from the brokers within 2000 ms");
    finish(&w);
}

static void test_an_endless_producer_gives_nothing_up(void **state UNUSED)
{
    struct world w;

    BEGIN(&w, KAFKA_ENDLESS, OPTION("message.timeout.ms", "200"), OPTION("retries", "1"));
    assert_true(kafka_mock_set_down(w.mock, 1, true));
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(publish(&w, i), 0);
    for (int turns = 0; turns < 10; turns++) /* five times the timeout */
        loop_turn(w.loop, 100);
    assert_int_equal(w.nreports, 0);
    assert_true(kafka_mock_set_down(w.mock, 1, false));
    wait_for(&w, RECORDS);
    for (int i = 0; i < RECORDS; i++) {
        expect(&w, i, KAFKA_DELIVERED, "");
        assert_int_equal(w.records[i].report.offset, i);
    }
    finish(&w);
}

/* --- what is not taken --------------------------------------------------------------------------------------------- */

static void test_what_is_too_much_is_not_taken(void **state UNUSED)
{
    static const struct kafka_header headers[KAFKA_HEADERS_MAX + 1];
    static char large[2000];
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED, OPTION("queue.buffering.max.messages", "2"),
          OPTION("message.max.bytes", "1500"));
    assert_true(kafka_mock_set_down(w.mock, 1, true));
    struct kafka_record record = record_of("t");
    record.value = slice_of(large, 1501);
    assert_int_equal(publish_as(&w, 0, &record), ERR_LIMIT);
    record.value = slice_of(large, 1000);
    record.headers = &(struct kafka_header){SLICE("h"), slice_of(large, 500)};
    record.nheaders = 1;
    assert_int_equal(publish_as(&w, 0, &record), ERR_LIMIT);
    record = record_of("t");
    record.headers = headers;
    record.nheaders = COUNT_OF(headers);
    assert_int_equal(publish_as(&w, 0, &record), ERR_LIMIT);
    assert_int_equal(publish(&w, 0), 0);
    assert_int_equal(publish(&w, 1), 0);
    assert_int_equal(publish(&w, 2), ERR_FULL);
    finish(&w);
    assert_int_equal(w.nreports, 2);
    expect(&w, 0, KAFKA_FAILED, "before the producer's end");
    expect(&w, 1, KAFKA_FAILED, "before the producer's end");
}

static void test_a_topic_has_a_name_that_kafka_allows(void **state UNUSED)
{
    static const char *const names[] = {"", ".", "..", "a b", "a/b", "\xc3\xa4", "t\n"};
    char longest[KAFKA_TOPIC_MAX + 2];
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct kafka_record record = record_of(names[i]);
        assert_int_equal(publish_as(&w, 0, &record), ERR_SYNTAX);
    }
    memset(longest, 'a', sizeof(longest));
    struct kafka_record record = record_of("t");
    record.topic = slice_of(longest, KAFKA_TOPIC_MAX + 1);
    assert_int_equal(publish_as(&w, 0, &record), ERR_SYNTAX);
    record.topic.len = KAFKA_TOPIC_MAX;
    assert_int_equal(publish_as(&w, 0, &record), 0);
    wait_for(&w, 1);
    expect(&w, 0, KAFKA_DELIVERED, "");
    finish(&w);
}

/* --- made anew ----------------------------------------------------------------------------------------------------- */

/* Publishes until the producer takes the epoch again. */
static void publish_in_epoch(struct world *w, int i, struct kafka_record *record)
{
    int rc = ERR_RESET;

    for (int turns = 0; rc == ERR_RESET; turns++) {
        assert_true(turns < PATIENCE_MS / 10);
        record->epoch = kafka_epoch(w->producer);
        rc = publish_as(w, i, record);
        if (rc == ERR_RESET)
            loop_turn(w->loop, 10);
    }
    assert_int_equal(rc, 0);
}

static void test_a_fatal_error_begins_another_epoch(void **state UNUSED)
{
    struct kafka_record record = record_of("t");
    struct world w;

    BEGIN(&w, KAFKA_ENDLESS);
    uint32_t before = record.epoch = kafka_epoch(w.producer);
    fail_next(&w, "Produce", "OUT_OF_ORDER_SEQUENCE_NUMBER", 1);
    for (int i = 0; i < RECORDS - 1; i++)
        assert_int_equal(publish_as(&w, i, &record), 0);
    wait_for(&w, RECORDS - 1);
    for (int i = 0; i < RECORDS - 1; i++) {
        assert_int_equal(w.records[i].nreports, 1);
        assert_int_not_equal(w.records[i].report.outcome, KAFKA_DELIVERED);
        assert_int_not_equal(w.records[i].report.outcome, KAFKA_REFUSED);
    }
    assert_int_equal(publish_as(&w, RECORDS - 1, &record), ERR_RESET);
    publish_in_epoch(&w, RECORDS - 1, &record);
    wait_for(&w, RECORDS);
    expect(&w, RECORDS - 1, KAFKA_DELIVERED, "");
    assert_int_not_equal(kafka_epoch(w.producer), before);
    finish(&w);
}

/* What stands behind a record that was not delivered must not go first. */
static void test_a_gap_of_an_endless_producer_begins_another_epoch(void **state UNUSED)
{
    struct kafka_record record = record_of("t");
    struct world w;

    BEGIN(&w, KAFKA_ENDLESS);
    record.epoch = kafka_epoch(w.producer);
    fail_next(&w, "Produce", "UNKNOWN", 1);
    assert_int_equal(publish_as(&w, 0, &record), 0);
    wait_for(&w, 1);
    assert_int_not_equal(w.records[0].report.outcome, KAFKA_DELIVERED);
    assert_int_equal(publish_as(&w, 1, &record), ERR_RESET);
    publish_in_epoch(&w, 1, &record);
    wait_for(&w, 2);
    expect(&w, 1, KAFKA_DELIVERED, "");
    finish(&w);
}

/* A broker takes the next batch of a producer that it does not know yet, though the one before was refused. One more was
 * formed by then, and may go or not; no other does. */
static void test_no_more_than_one_batch_overtakes_what_a_broker_has_refused(void **state UNUSED)
{
    struct kafka_record record = record_of("t");
    struct world w;

    for (int round = 0; round < 5; round++) {
        BEGIN(&w, KAFKA_ENDLESS, OPTION("batch.num.messages", "1"));
        record.epoch = kafka_epoch(w.producer);
        assert_true(kafka_mock_set_delay(w.mock, 1, 50));
        fail_next(&w, "Produce", "MSG_SIZE_TOO_LARGE", 1);
        for (int i = 0; i < 4; i++)
            assert_int_equal(publish_as(&w, i, &record), 0);
        wait_for(&w, 4);
        assert_int_equal(w.records[0].report.outcome, KAFKA_REFUSED);
        for (int i = 2; i < 4; i++)
            assert_int_equal(w.records[i].report.outcome, KAFKA_FAILED);
        finish(&w);
    }
}

static void test_who_keeps_no_order_goes_on_after_a_fatal_error(void **state UNUSED)
{
    struct world w;
    int n = 1;

    BEGIN(&w, KAFKA_BOUNDED);
    fail_next(&w, "Produce", "OUT_OF_ORDER_SEQUENCE_NUMBER", 1);
    assert_int_equal(publish(&w, 0), 0);
    wait_for(&w, n);
    do { /* while it is made anew, what is published has failed */
        assert_int_equal(publish(&w, 1), 0);
        wait_for(&w, ++n);
        loop_turn(w.loop, 10);
        assert_true(n < PATIENCE_MS / 10);
    } while (w.records[1].report.outcome == KAFKA_FAILED);
    expect(&w, 1, KAFKA_DELIVERED, "");
    finish(&w);
}

/* --- whose producer it is ------------------------------------------------------------------------------------------ */

static void test_a_producer_is_found_by_what_its_cluster_says(void **state UNUSED)
{
    static const struct kafka_option same[] = {{SLICE("linger.ms"), SLICE("0"), false}};
    static const struct kafka_option other[] = {{SLICE("linger.ms"), SLICE("1"), false}};
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED);
    struct kafka_cluster *twin = cluster_of(w.mock, same, 1);
    struct kafka_cluster *stranger = cluster_of(w.mock, other, 1);
    struct kafka_producer *a = kafka_producer_use(twin, KAFKA_BOUNDED);
    struct kafka_producer *b = kafka_producer_use(stranger, KAFKA_BOUNDED);
    struct kafka_producer *c = kafka_producer_use(twin, KAFKA_ENDLESS);
    assert_ptr_equal(a, w.producer);
    assert_ptr_not_equal(b, w.producer);
    assert_ptr_not_equal(c, w.producer);
    kafka_producer_unuse(a);
    kafka_producer_unuse(b);
    kafka_producer_unuse(c);
    kafka_cluster_unref(twin);
    kafka_cluster_unref(stranger);
    finish(&w);
}

static void test_what_is_under_way_arrives_though_nobody_uses_the_producer(void **state UNUSED)
{
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(publish(&w, i), 0);
    struct kafka_producer *before = w.producer;
    kafka_producer_unuse(before);
    w.producer = kafka_producer_use(w.cluster, KAFKA_BOUNDED); /* a reload finds it */
    assert_ptr_equal(w.producer, before);
    kafka_producer_unuse(w.producer);
    wait_for(&w, RECORDS);
    for (int i = 0; i < RECORDS; i++)
        expect(&w, i, KAFKA_DELIVERED, "");
    w.producer = kafka_producer_use(w.cluster, KAFKA_BOUNDED);
    finish(&w);
}

static void test_reports_that_were_left_need_no_home(void **state UNUSED)
{
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED, OPTION("message.timeout.ms", "200"));
    assert_true(kafka_mock_set_down(w.mock, 1, true));
    for (int i = 0; i < RECORDS; i++) {
        assert_int_equal(publish(&w, i), 0);
        kafka_report_leave(&w.records[i].report);
    }
    mailbox_free(w.home);
    kafka_producer_unuse(w.producer);
    kafka_end(1000);
    w.home = mailbox_new(w.loop, &w);
    assert_int_equal(w.nreports, 0);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(w.records[i].nleft, 1);
    w.producer = kafka_producer_use(w.cluster, KAFKA_BOUNDED);
    finish(&w);
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

static void test_the_end_flushes(void **state UNUSED)
{
    struct world w;

    BEGIN(&w, KAFKA_BOUNDED);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(publish(&w, i), 0);
    kafka_end(PATIENCE_MS);
    loop_turn(w.loop, 0);
    assert_int_equal(w.nreports, RECORDS);
    for (int i = 0; i < RECORDS; i++)
        expect(&w, i, KAFKA_DELIVERED, "");
    assert_int_equal(publish(&w, 0), ERR_CLOSED);
    finish(&w);
}

static void test_the_end_waits_no_longer_than_it_may(void **state UNUSED)
{
    struct world w;

    BEGIN(&w, KAFKA_ENDLESS);
    assert_true(kafka_mock_set_down(w.mock, 1, true));
    assert_int_equal(publish(&w, 0), 0);
    kafka_end(50);
    loop_turn(w.loop, 0);
    expect(&w, 0, KAFKA_FAILED, "before the producer's end");
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_record_has_one_report_with_its_place),
        cmocka_unit_test(test_what_the_broker_refuses_is_told_from_what_failed),
        cmocka_unit_test(test_an_unknown_topic_is_refused),
        cmocka_unit_test(test_a_partition_that_is_not_there_is_refused),
        cmocka_unit_test(test_what_never_left_has_failed_at_the_deadline),
        cmocka_unit_test(test_what_had_left_is_unknown_at_the_deadline),
        cmocka_unit_test(test_an_endless_producer_gives_nothing_up),
        cmocka_unit_test(test_what_is_too_much_is_not_taken),
        cmocka_unit_test(test_a_topic_has_a_name_that_kafka_allows),
        cmocka_unit_test(test_a_fatal_error_begins_another_epoch),
        cmocka_unit_test(test_a_gap_of_an_endless_producer_begins_another_epoch),
        cmocka_unit_test(test_no_more_than_one_batch_overtakes_what_a_broker_has_refused),
        cmocka_unit_test(test_who_keeps_no_order_goes_on_after_a_fatal_error),
        cmocka_unit_test(test_a_producer_is_found_by_what_its_cluster_says),
        cmocka_unit_test(test_what_is_under_way_arrives_though_nobody_uses_the_producer),
        cmocka_unit_test(test_reports_that_were_left_need_no_home),
        cmocka_unit_test(test_the_end_flushes),
        cmocka_unit_test(test_the_end_waits_no_longer_than_it_may),
    };

    log_configure(LOG_OFF, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
