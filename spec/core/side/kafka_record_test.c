/* SPDX-License-Identifier: Apache-2.0 */

#include "side/kafka_record.h"

#include "base/err.h"
#include "support/expect.h"
#include "support/test.h"

static char bytes[1024];
static struct kafka_header headers[KAFKA_HEADERS_MAX];

static size_t write_event(struct kafka_event *e)
{
    size_t size = kafka_event_size(e);

    assert_true(size <= sizeof(bytes));
    kafka_event_write(e, bytes);
    return size;
}

static struct kafka_event some_event(struct kafka_header mine[2])
{
    mine[0] = (struct kafka_header){SLICE("id"), SLICE("42")};
    mine[1] = (struct kafka_header){SLICE("none"), SLICE_NONE};
    return (struct kafka_event){
        .cluster = SLICE("events"),
        .id = SLICE("42"),
        .dead_letter_file = SLICE("dead.jsonl"),
        .record = {.topic = SLICE("orders"),
                   .key = SLICE(""),
                   .value = SLICE("{}"),
                   .partition = -1,
                   .timestamp_ms = 1234567890123,
                   .headers = mine,
                   .nheaders = 2},
    };
}

static void an_event_comes_back_as_it_was(void **state)
{
    struct kafka_header mine[2];
    struct kafka_event in = some_event(mine), out;
    struct slice cluster;
    (void)state;

    struct slice all = slice_of(bytes, write_event(&in));
    assert_int_equal(kafka_event_cluster(all, &cluster), 0);
    expect_slice(cluster, "events");
    assert_int_equal(kafka_event_read(all, &out, headers), 0);
    expect_slice(out.cluster, "events");
    expect_slice(out.id, "42");
    assert_null(out.dead_letter_topic.ptr);
    expect_slice(out.dead_letter_file, "dead.jsonl");
    expect_slice(out.record.topic, "orders");
    expect_slice(out.record.key, "");
    expect_slice(out.record.value, "{}");
    assert_int_equal(out.record.partition, -1);
    assert_int_equal(out.record.timestamp_ms, 1234567890123);
    assert_int_equal(out.record.nheaders, 2);
    expect_slice(out.record.headers[0].value, "42");
    expect_slice(out.record.headers[1].name, "none");
    assert_null(out.record.headers[1].value.ptr);
}

static void null_is_not_empty(void **state)
{
    struct kafka_event in = {.cluster = SLICE("c"), .record = {.topic = SLICE("t")}}, out;
    (void)state;

    struct slice all = slice_of(bytes, write_event(&in));
    assert_int_equal(kafka_event_read(all, &out, headers), 0);
    assert_null(out.record.key.ptr);
    assert_null(out.record.value.ptr);
}

static void what_is_cut_or_longer_is_no_event(void **state)
{
    struct kafka_header mine[2];
    struct kafka_event in = some_event(mine), out;
    (void)state;

    size_t size = write_event(&in);
    for (size_t len = 0; len < size; len++)
        assert_int_equal(kafka_event_read(slice_of(bytes, len), &out, headers), ERR_SYNTAX);
    bytes[size] = 0;
    assert_int_equal(kafka_event_read(slice_of(bytes, size + 1), &out, headers), ERR_SYNTAX);
    bytes[0] = 2;
    assert_int_equal(kafka_event_read(slice_of(bytes, size), &out, headers), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_comes_back_as_it_was),
        cmocka_unit_test(null_is_not_empty),
        cmocka_unit_test(what_is_cut_or_longer_is_no_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
