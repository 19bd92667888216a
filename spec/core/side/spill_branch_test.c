/* SPDX-License-Identifier: Apache-2.0 */

/* Events whose topic is missing wait for it, in order, and hold up no others. */

#include "side/spill_branch.h"

#include "support/feed_rig.h"

static void accept_to(const char *topic, const char *value)
{
    accept_event(&(struct kafka_event){
        .cluster = SLICE("one"),
        .record = {.topic = slice_from(topic), .value = slice_from(value), .partition = -1}});
}

static void report_missing(size_t i)
{
    pthread_mutex_lock(&lock);
    taken[i].report->is_of_topic = true;
    pthread_mutex_unlock(&lock);
    report(i, KAFKA_REFUSED);
}

static void be_patient(uint32_t ms)
{
    options.topic_patience_ms = ms;
    spill_configure(spill, &options);
}

/* Until the spill is empty; events to missing are refused as such, the others delivered. The values of what was delivered,
 * by topic. */
static const char *serve(size_t *done, const char *missing, size_t left)
{
    static char got[4096];
    struct spill_count c;
    size_t at = 0;

    got[0] = '\0';
    for (int i = 0; i < PATIENCE; i++, loop_turn(loop, 2)) {
        for (size_t n = count_taken(); *done < n; ++*done) {
            if (strcmp(taken[*done].topic, missing) == 0) {
                report_missing(*done);
                continue;
            }
            at += (size_t)snprintf(got + at, sizeof(got) - at, "%s:%s ", taken[*done].topic,
                                   taken[*done].value);
            report(*done, KAFKA_DELIVERED);
        }
        spill_count(spill, &c);
        if (c.waiting == left)
            return got;
    }
    assert_int_equal(c.waiting, left);
    return got;
}

static void a_missing_topic_is_waited_for_and_holds_up_no_other(void **state)
{
    size_t done = 0;
    (void)state;

    be_patient(3600 * 1000);
    accept_to("gone", "a");
    accept_to("here", "b");
    accept_to("gone", "c");
    published(3);
    accept_to("here", "d");
    assert_string_equal(serve(&done, "gone", 2), "here:b here:d ");
    UNTIL(counts().missing_topics == 1);
    accept_to("gone", "e");
    accept_to("here", "f");
    assert_string_equal(serve(&done, "gone", 3), "here:f ");
    assert_int_equal(counts().buried_default, 0);
    assert_string_equal(serve(&done, "", 0), "gone:a gone:c gone:e ");
    UNTIL(counts().missing_topics == 0);
    accept_to("gone", "g");
    assert_string_equal(serve(&done, "", 0), "gone:g ");
}

/* The first that was not delivered may be another than the first that was refused. */
static void what_waits_for_a_topic_keeps_its_order_over_failures(void **state)
{
    size_t done = 4;
    (void)state;

    be_patient(3600 * 1000);
    for (const char *c = "abcd"; *c; c++)
        accept_to("gone", (char[]){*c, '\0'});
    published(4);
    report_missing(2);
    turns(3);
    report(0, KAFKA_UNKNOWN);
    report_missing(3);
    turns(3);
    assert_int_equal(count_taken(), 4);
    report(1, KAFKA_FAILED);
    accept_to("gone", "e");
    assert_string_equal(serve(&done, "", 0), "gone:a gone:b gone:c gone:d gone:e ");
}

static void what_has_waited_too_long_for_its_topic_is_a_dead_letter(void **state)
{
    size_t done = 0;
    (void)state;

    be_patient(3600 * 1000);
    accept_to("gone", "a");
    accept_to("gone", "b");
    published(2);
    serve(&done, "gone", 2);
    UNTIL(counts().missing_topics == 1);
    be_patient(1);
    assert_string_equal(serve(&done, "gone", 0), "");
    assert_int_equal(counts().buried_default, 2);
    be_patient(3600 * 1000);
    accept_to("gone", "c");
    assert_string_equal(serve(&done, "", 0), "gone:c ");
}

/* Clients may choose them. */
static void only_so_many_topics_are_waited_for(void **state)
{
    char name[16];
    size_t done = 0;
    (void)state;

    be_patient(3600 * 1000);
    for (int i = 0; i < 70; i++) {
        snprintf(name, sizeof(name), "%d", i);
        accept_to(name, "x");
    }
    published(70);
    for (; done < 70; done++)
        report_missing(done);
    UNTIL(counts().buried_default == 6);
    assert_int_equal(counts().missing_topics, 64);
    serve(&done, "", 0);
    assert_int_equal(counts().delivered, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FEED_TEST(a_missing_topic_is_waited_for_and_holds_up_no_other),
        FEED_TEST(what_waits_for_a_topic_keeps_its_order_over_failures),
        FEED_TEST(what_has_waited_too_long_for_its_topic_is_a_dead_letter),
        FEED_TEST(only_so_many_topics_are_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
