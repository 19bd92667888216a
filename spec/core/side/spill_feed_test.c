/* SPDX-License-Identifier: Apache-2.0 */

/* The feeder: order, failures, windows, and dead letters. */

#include "side/spill_feed.h"

#include <sys/resource.h>

#include "side/dead_letter.h"
#include "support/feed_rig.h"

/* --- tests ----------------------------------------------------------------------------------------------------------- */

static void events_are_published_in_order_and_struck_out_when_delivered(void **state)
{
    (void)state;
    accept("one", "a");
    accept("one", "b");
    accept("one", "c");
    assert_string_equal(published(3), "a b c ");
    report(0, KAFKA_DELIVERED);
    report(1, KAFKA_DELIVERED);
    delivered(1);
    assert_true(counts().oldest_ms > 0);
    report(2, KAFKA_DELIVERED);
    delivered(0);
    UNTIL(counts().oldest_ms == 0);
    assert_int_equal(counts().delivered, 3);
    assert_string_equal(published(3), "a b c ");
}

static void what_has_no_word_is_published_again_by_the_next_process(void **state)
{
    (void)state;
    accept("one", "a");
    accept("one", "b");
    accept("one", "c");
    published(3);
    report(1, KAFKA_DELIVERED);
    delivered(2);
    stop();
    close_it();
    ntaken = 0;
    open_it();
    start();
    accept("one", "d");
    assert_string_equal(published(3), "a c d ");
}

static void a_cluster_that_is_down_holds_up_no_other(void **state)
{
    (void)state;
    spill_feed_use(feed, clusters + 1, 1);
    for (int i = 0; i < 20; i++)
        accept("one", (char[]){(char)('a' + i), '\0'});
    accept("two", "x");
    accept("two", "y");
    assert_string_equal(published(2), "x y ");
    spill_feed_use(feed, clusters, 2);
    accept("one", "z");
    assert_string_equal(published(23), "x y a b c d e f g h i j k l m n o p q r s t z ");
}

static void a_producer_that_is_full_gets_the_rest_later(void **state)
{
    (void)state;
    accept("one", "a");
    published(1);
    set(&answer, ERR_FULL);
    accept("one", "b");
    accept("one", "c");
    turns(5);
    assert_int_equal(count_taken(), 1);
    set(&answer, 0);
    assert_string_equal(published(3), "a b c ");
}

static void no_more_than_a_window_is_under_way(void **state)
{
    static char value[64 * KIB];
    (void)state;

    memset(value, 'x', sizeof(value) - 1);
    for (int i = 0; i < 240; i++)
        accept("one", value); /* 15 MiB */
    UNTIL(counts().under_way == 240);
    stop();
    close_it();
    options.size = 64 * MIB;
    ntaken = 0;
    open_it();
    start();
    for (int i = 0; i < 60; i++)
        accept("one", value);
    UNTIL(counts().under_way == 257 || counts().under_way == 256);
    turns(20);
    assert_true(counts().under_way <= FEED_BYTES / sizeof(value) + 1);
    for (size_t i = 0; i < 100; i++)
        report(i, KAFKA_DELIVERED);
    delivered(200);
    UNTIL(count_taken() == 300);
}

/* Delivered ones are not published again; the rest is, from the first gap on, before anything newer. */
static void after_a_failure_events_go_out_again_in_order(void **state)
{
    (void)state;
    for (const char *c = "abcde"; *c; c++)
        accept("one", (char[]){*c, '\0'});
    published(5);
    set((int *)&epoch, 2);
    report(0, KAFKA_DELIVERED);
    report(1, KAFKA_UNKNOWN);
    report(2, KAFKA_DELIVERED);
    accept("one", "f");
    turns(5);
    assert_int_equal(count_taken(), 5);
    report(3, KAFKA_FAILED);
    report(4, KAFKA_FAILED);
    assert_string_equal(published(9), "a b c d e b d e f ");
    for (size_t i = 5; i < 9; i++)
        report(i, KAFKA_DELIVERED);
    delivered(0);
}

static void another_epoch_waits_for_the_word_on_the_one_before(void **state)
{
    (void)state;
    accept("one", "a");
    published(1);
    set((int *)&epoch, 2);
    accept("one", "b");
    turns(5);
    assert_int_equal(count_taken(), 1);
    report(0, KAFKA_DELIVERED);
    assert_string_equal(published(2), "a b ");
}

static void other_brokers_get_what_the_old_ones_have_not_taken(void **state)
{
    struct kafka_cluster *old = clusters[0];
    (void)state;

    accept("one", "a");
    accept("one", "b");
    published(2);
    spill_feed_use(feed, clusters, 2); /* the same: nothing happens */
    accept("one", "c");
    assert_string_equal(published(3), "a b c ");
    clusters[0] = cluster_new("one", "127.0.0.1:3");
    spill_feed_use(feed, clusters, 2);
    assert_string_equal(published(6), "a b c a b c ");
    kafka_cluster_unref(old);
}

/* Descriptors are there again some time: nothing is passed over meanwhile, or left for the next start. */
static void want_of_descriptors_is_waited_for(void **state)
{
    struct rlimit before, none;
    char path[128];
    (void)state;

    snprintf(path, sizeof(path), "%s/dead.jsonl", folder.path);
    accept_poisons(path, 1);
    published(1);
    stop();
    close_it();
    ntaken = 0;
    open_it();
    add("so that there is a file to write to");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    start();
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    UNTIL(count_taken() == 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    report(0, KAFKA_REFUSED);
    accept("one", "a");
    published(2);
    report(1, KAFKA_UNKNOWN);
    turns(20);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_string_equal(published(3), " a a ");
    report(2, KAFKA_DELIVERED);
    UNTIL(counts().buried_file == 1);
    delivered(1); /* what is no event */
}

static void its_end_does_not_wait_for_ever(void **state)
{
    (void)state;
    keeps_reports = true;
    accept("one", "a");
    published(1);
    spill_feed_quit(feed);
    assert_false(spill_feed_free(feed, 20));
    report(0, KAFKA_UNKNOWN);
    stop();
    keeps_reports = false;
    start();
    assert_string_equal(published(2), "a a ");
}

/* --- dead letters ---------------------------------------------------------------------------------------------------- */

static void accept_poison(const char *topic, const char *file)
{
    struct kafka_header id = {SLICE("id"), SLICE("42")};

    accept_event(&(struct kafka_event){.cluster = SLICE("one"),
                                       .id = SLICE("42"),
                                       .dead_letter_topic = slice_from(topic),
                                       .dead_letter_file = slice_from(file),
                                       .record = {.topic = SLICE("t"),
                                                  .key = SLICE("k"),
                                                  .value = SLICE("po\"ison\xff"),
                                                  .partition = -1,
                                                  .headers = &id,
                                                  .nheaders = 1}});
}

static void what_is_refused_goes_to_its_dead_letter_topic(void **state)
{
    (void)state;
    accept_poison("dead", NULL);
    accept("one", "fine");
    published(2);
    report(0, KAFKA_REFUSED);
    published(3);
    assert_string_equal(taken[2].topic, "dead");
    assert_string_equal(taken[2].reason, "no such topic");
    assert_string_equal(taken[2].id, "42");
    delivered(2);
    report(2, KAFKA_DELIVERED);
    delivered(1);
    assert_int_equal(counts().buried_topic, 1);
}

/* As brokers do, with the whole batch. */
static void report_shared(size_t i)
{
    pthread_mutex_lock(&lock);
    taken[i].report->is_shared = true;
    pthread_mutex_unlock(&lock);
    report(i, KAFKA_REFUSED);
}

static void who_is_refused_with_others_is_no_dead_letter(void **state)
{
    size_t done = 0;
    (void)state;

    for (const char *c = "abcdPefgh"; *c; c++)
        accept("one", (char[]){*c, '\0'});
    published(9);
    while (counts().buried_default == 0 || counts().delivered < 8) {
        turns(2);
        size_t n = count_taken(), from = done;
        bool is_bad = false;
        for (size_t i = from; i < n; i++)
            is_bad = is_bad || strcmp(taken[i].value, "P") == 0;
        for (; done < n; done++)
            is_bad ? report_shared(done) : report(done, KAFKA_DELIVERED);
        assert_true(done < 60);
    }
    delivered(0);
    assert_int_equal(counts().buried_default, 1);
    for (const char *c = "xyz"; *c; c++)
        accept("one", (char[]){*c, '\0'});
    for (struct spill_count c = {.waiting = 1}; c.waiting > 0; turns(1)) {
        for (size_t n = count_taken(); done < n; done++)
            report(done, KAFKA_DELIVERED);
        spill_count(spill, &c);
    }
}

static void a_dead_letter_topic_that_refuses_too_leaves_the_file(void **state)
{
    char path[128];
    (void)state;

    snprintf(path, sizeof(path), "%s/dead.jsonl", folder.path);
    accept_poison("dead", path);
    published(1);
    report(0, KAFKA_REFUSED);
    published(2);
    report(1, KAFKA_REFUSED);
    delivered(0);
    struct slice line = read_path(path);
    assert_int_equal(counts().buried_file, 1);
    assert_true(slice_find(line, SLICE("\"cluster\":\"one\",\"topic\":\"t\",\"id\":\"42\","
                                       "\"reason\":\"no such topic\",\"key\":\"k\","
                                       "\"value_base64\":\"cG8iaXNvbv8=\","
                                       "\"headers\":[[\"id\",\"42\"]]}\n")) > 0);
}

static void a_file_that_can_not_be_written_is_tried_again(void **state)
{
    char path[128], sub[100];
    (void)state;

    snprintf(sub, sizeof(sub), "%s/sub", folder.path);
    snprintf(path, sizeof(path), "%s/dead.jsonl", sub);
    accept_poison(NULL, path);
    accept("one", "fine");
    published(2);
    report(1, KAFKA_DELIVERED);
    report(0, KAFKA_REFUSED);
    delivered(1);
    turns(10);
    delivered(1);
    assert_int_equal(mkdir(sub, 0700), 0);
    delivered(0);
    assert_int_equal(counts().buried_file, 1);
}

/* Their number is bounded; the rest waits on disk. */
static void what_can_not_be_buried_is_bounded(void **state)
{
    char path[128];
    (void)state;

    snprintf(path, sizeof(path), "%s/sub/dead.jsonl", folder.path);
    for (int i = 0; i < FEED_RECORDS / 100 + 2; i++)
        accept_poisons(path, 100);
    UNTIL(count_taken() >= FEED_RECORDS);
    for (size_t i = 0; i < count_taken(); i++)
        report(i, KAFKA_REFUSED);
    UNTIL(counts().under_way == 0);
    turns(20);
    assert_int_equal(count_taken(), FEED_RECORDS);
    *strrchr(path, '/') = '\0';
    assert_int_equal(mkdir(path, 0700), 0);
    UNTIL(counts().buried_file == FEED_RECORDS);
    UNTIL(count_taken() == FEED_RECORDS + 200);
}

static void without_a_place_the_spill_has_a_file_of_its_own(void **state)
{
    (void)state;
    accept_poison(NULL, NULL);
    published(1);
    report(0, KAFKA_REFUSED);
    delivered(0);
    assert_int_equal(counts().buried_default, 1);
    struct slice line = read_path(spill_dead_letters(spill));
    assert_true(slice_find(line, SLICE("\"id\":\"42\",\"reason\":\"no such topic\"")) > 0);
    stop();
    close_it();
    open_it(); /* which lets files alone that are none of its own */
    start();
    assert_int_equal(files("dead-letters.jsonl", NULL), 1);
}

/* What it has is not touched; what comes waits until somebody has taken it away. */
static void a_dead_letter_file_that_is_full_takes_no_more(void **state)
{
    char away[400];
    (void)state;

    options.dead_letters_size = 200;
    spill_configure(spill, &options);
    for (int i = 0; i < 2; i++)
        accept_poison(NULL, NULL);
    published(2);
    report(0, KAFKA_REFUSED);
    report(1, KAFKA_REFUSED);
    UNTIL(counts().unburied == 1);
    turns(20);
    delivered(1);
    assert_int_equal(counts().buried_default, 1);
    snprintf(away, sizeof(away), "%s.1", spill_dead_letters(spill));
    assert_int_equal(rename(spill_dead_letters(spill), away), 0);
    delivered(0);
    assert_int_equal(counts().buried_default, 2);
    assert_int_equal(counts().unburied, 0);
    assert_true(slice_find(read_path(spill_dead_letters(spill)), SLICE("\"id\":\"42\"")) > 0);
}

static void a_record_that_no_producer_takes_is_a_dead_letter_too(void **state)
{
    (void)state;
    set(&answer, ERR_LIMIT);
    accept_poison("dead", NULL);
    delivered(0);
    assert_int_equal(counts().buried_default, 1);
}

/* --- much ------------------------------------------------------------------------------------------------------------ */

#define MANY 20000

/* With failures, full producers and other epochs in between: nothing is missing, and each number that is published for
 * the first time comes behind all lower ones. */
static void order_holds_through_it_all(void **state)
{
    size_t reported = 0;
    uint64_t seed = 1;
    char value[16];
    int highest = -1;
    (void)state;

    for (int i = 0; i < MANY;) {
        struct answer a = {.wait.fn = on_answer};
        spill_begin(port, &a.wait);
        for (int k = 0; k < 100; k++, i++) {
            snprintf(value, sizeof(value), "%d", i);
            struct kafka_event e = {.cluster = SLICE("one"),
                                    .record = {.topic = SLICE("t"), .value = slice_from(value)}};
            char *out;
            assert_int_equal(spill_add(port, kafka_event_size(&e), &out), 0);
            kafka_event_write(&e, out);
        }
        assert_true(spill_commit(port, &a.wait));
        UNTIL(a.is_there);
        size_t n = count_taken();
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bool fails = (seed >> 60) == 0;
        if (fails)
            set((int *)&epoch, (int)epoch + 1);
        set(&answer, (seed >> 58) % 16 == 1 ? ERR_FULL : 0);
        for (; reported < n; reported++)
            report(reported, fails && reported % 3 ? KAFKA_UNKNOWN : KAFKA_DELIVERED);
    }
    set(&answer, 0);
    for (struct spill_count c = {.waiting = 1}; c.waiting > 0; loop_turn(loop, 1)) {
        for (size_t n = count_taken(); reported < n; reported++)
            report(reported, KAFKA_DELIVERED);
        spill_count(spill, &c);
    }
    for (size_t i = 0; i < ntaken; i++) {
        int number = atoi(taken[i].value);
        assert_true(number <= highest + 1);
        highest = MAX(highest, number);
    }
    assert_int_equal(highest, MANY - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FEED_TEST(events_are_published_in_order_and_struck_out_when_delivered),
        FEED_TEST(what_has_no_word_is_published_again_by_the_next_process),
        FEED_TEST(a_cluster_that_is_down_holds_up_no_other),
        FEED_TEST(a_producer_that_is_full_gets_the_rest_later),
        FEED_TEST(no_more_than_a_window_is_under_way),
        FEED_TEST(after_a_failure_events_go_out_again_in_order),
        FEED_TEST(another_epoch_waits_for_the_word_on_the_one_before),
        FEED_TEST(other_brokers_get_what_the_old_ones_have_not_taken),
        FEED_TEST(want_of_descriptors_is_waited_for),
        FEED_TEST(its_end_does_not_wait_for_ever),
        FEED_TEST(what_is_refused_goes_to_its_dead_letter_topic),
        FEED_TEST(who_is_refused_with_others_is_no_dead_letter),
        FEED_TEST(a_dead_letter_topic_that_refuses_too_leaves_the_file),
        FEED_TEST(a_file_that_can_not_be_written_is_tried_again),
        FEED_TEST(what_can_not_be_buried_is_bounded),
        FEED_TEST(without_a_place_the_spill_has_a_file_of_its_own),
        FEED_TEST(a_dead_letter_file_that_is_full_takes_no_more),
        FEED_TEST(a_record_that_no_producer_takes_is_a_dead_letter_too),
        FEED_TEST(order_holds_through_it_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
