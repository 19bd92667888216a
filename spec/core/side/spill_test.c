/* SPDX-License-Identifier: Apache-2.0 */

/* The spill with its writer thread, on a folder of its own: order, strikes, bounds, threads. How it ends and comes back
 * is in spill_crash_test.c. */

#include "side/spill.h"

#include <pthread.h>
#include <sys/resource.h>

#include "support/spill_rig.h"

/* --- adding and reading ---------------------------------------------------------------------------------------------- */

static void events_are_read_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    add("a");
    add("b");
    add("c");
    assert_string_equal(read_all(), "a b c ");
    assert_int_equal(count().waiting, 3);
    assert_int_equal(count().added, 3);
}

/* Its bytes would be on no disk: nobody is told that they are, and the next one has a file of its own. */
static void a_file_that_was_removed_takes_nothing(void **state)
{
    char path[400];
    (void)state;

    add("a");
    assert_int_equal(files(".events", path), 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(try_add(SLICE("b")), ERR_SYSTEM);
    add("c");
    assert_int_equal(files(".events", NULL), 1);
    assert_string_equal(read_all(), "c ");
}

static void a_full_disk_keeps_no_event_back(void **state)
{
    struct rlimit before, none;
    (void)state;

    add("a");
    close_it();
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    open_it();
    assert_int_equal(try_add(SLICE("b")), ERR_FULL);
    assert_string_equal(read_some(1, "a"), "a ");
    assert_int_equal(files(".events", NULL), 1); /* the new one: the other is delivered and gone */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    add("c");
    assert_string_equal(read_all(), "c ");
}

static void what_is_struck_out_is_not_read_again(void **state)
{
    (void)state;
    add("a");
    add("b");
    add("c");
    read_some(3, "b");
    assert_string_equal(read_all(), "a c ");
    close_it();
    open_it();
    assert_string_equal(read_all(), "a c ");
    assert_int_equal(count().waiting, 2);
    assert_int_equal(count().recovered, 2);
}

static void a_group_has_one_answer(void **state)
{
    struct answer first = {.wait.fn = on_answer}, second = {.wait.fn = on_answer};
    char *out;
    (void)state;

    spill_begin(port, &first.wait);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(spill_add(port, 1, &out), 0);
        *out = (char)('a' + i);
    }
    assert_true(spill_commit(port, &first.wait));
    spill_begin(port, &second.wait);
    assert_int_equal(spill_add(port, 1, &out), 0);
    *out = 'z';
    assert_true(spill_commit(port, &second.wait));
    UNTIL(second.is_there);
    assert_true(first.is_there && first.rc == 0 && second.rc == 0);
    assert_int_equal(first.nwritten, 3);
    assert_int_equal(second.nwritten, 1);
    spill_begin(port, &first.wait);
    assert_false(spill_commit(port, &first.wait));
    assert_string_equal(read_all(), "a b c z ");
}

static void who_leaves_is_not_told_and_the_event_is_there(void **state)
{
    struct answer a = {.wait.fn = on_answer};
    char *out;
    (void)state;

    spill_begin(port, &a.wait);
    assert_int_equal(spill_add(port, 1, &out), 0);
    *out = 'a';
    assert_true(spill_commit(port, &a.wait));
    spill_leave(&a.wait);
    add("b");
    assert_false(a.is_there);
    assert_string_equal(read_all(), "a b ");
}

static void a_cursor_goes_on_with_what_is_added(void **state)
{
    struct spill_cursor c;
    struct spill_record r;
    struct spill_place place;
    (void)state;

    spill_cursor_init(&c, spill);
    assert_int_equal(spill_cursor_next(&c, &r, &place), ERR_AGAIN);
    add("a");
    assert_int_equal(spill_cursor_next(&c, &r, &place), 0);
    expect_slice(r.event, "a");
    assert_int_equal(spill_cursor_next(&c, &r, &place), ERR_AGAIN);
    add_large('L', 3 * MIB);
    add("b");
    assert_int_equal(spill_cursor_next(&c, &r, &place), 0);
    assert_int_equal(r.event.len, 3 * MIB);
    assert_int_equal(spill_cursor_next(&c, &r, &place), 0);
    expect_slice(r.event, "b");
    spill_cursor_deinit(&c);
}

static void a_segment_that_is_done_is_removed(void **state)
{
    (void)state;
    for (char c = 'a'; c <= 'f'; c++)
        add_large(c, 900 * KIB); /* a segment is 1 MiB */
    assert_int_equal(files(".events", NULL), 6);
    assert_string_equal(read_some(6, "abce"), "a b c d e f ");
    assert_int_equal(files(".events", NULL), 2);
    assert_string_equal(read_all(), "d f ");
    read_some(6, "df");
    assert_int_equal(count().waiting, 0);
    close_it();
    assert_int_equal(files("", NULL), 2); /* . and .. */
    open_it();
}

/* --- bounds ---------------------------------------------------------------------------------------------------------- */

static void beyond_the_bound_events_are_refused_until_there_is_room(void **state)
{
    static char event[900 * KIB];
    int n = 0;
    (void)state;

    memset(event, 'x', sizeof(event));
    while (try_add(slice_of(event, sizeof(event))) == 0)
        n++;
    assert_int_equal(n, 18);
    assert_int_equal(try_add(slice_of(event, sizeof(event))), ERR_FULL);
    assert_int_equal(count().refused, 2);
    assert_true(count().bytes <= options.size);
    read_some(1, "x");
    assert_int_equal(try_add(slice_of(event, sizeof(event))), 0);
    assert_int_equal(count().waiting, 18);
}

static void what_is_larger_than_the_spill_is_never_let_in(void **state)
{
    static char event[5 * MIB];
    (void)state;

    assert_int_equal(try_add(slice_of(event, sizeof(event))), ERR_LIMIT);
    assert_int_equal(count().bytes, 0);
}

static void the_oldest_are_given_up_where_the_operator_wants_that(void **state)
{
    struct spill_count n;
    (void)state;

    options.drops_oldest = true;
    spill_configure(spill, &options);
    for (char c = 'a'; c <= 'z'; c++)
        add_large(c, 900 * KIB);
    n = count();
    assert_true(n.bytes <= options.size);
    assert_int_equal(n.added, 26);
    assert_int_equal(n.dropped, 8);
    assert_int_equal(n.waiting, 18);
    assert_string_equal(read_all(), "i j k l m n o p q r s t u v w x y z ");
}

static void what_was_left_is_given_up_first(void **state)
{
    (void)state;
    for (char c = 'a'; c <= 'j'; c++)
        add_large(c, 900 * KIB);
    close_it();
    options.drops_oldest = true;
    open_it();
    for (char c = 'k'; c <= 't'; c++)
        add_large(c, 900 * KIB);
    assert_int_equal(count().dropped, 2);
    assert_string_equal(read_all(), "c d e f g h i j k l m n o p q r s t ");
    assert_int_equal(count().waiting, 18);
}

/* The files' size limit stands for a disk that is full. */
static void a_disk_that_is_full_refuses_and_loses_nothing(void **state)
{
    static char event[64 * KIB];
    struct rlimit before, limit;
    (void)state;

    signal(SIGXFSZ, SIG_IGN);
    memset(event, 'x', sizeof(event));
    add("a");
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 10000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(try_add(slice_of(event, sizeof(event))), ERR_FULL);
    add("b");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    add("c");
    assert_string_equal(read_all(), "a b c ");
    assert_int_equal(count().failed, 1);
    close_it();
    open_it();
    assert_string_equal(read_all(), "a b c ");
    assert_int_equal(count().damaged, 0);
}

static void a_folder_that_can_not_be_used_is_told(void **state)
{
    const char *fault = NULL;
    char path[128];
    (void)state;

    snprintf(path, sizeof(path), "%s/no/such", folder.path);
    assert_null(spill_open(slice_from(path), &options, &fault));
    assert_string_equal(fault, strerror(ENOENT));
    snprintf(path, sizeof(path), "%s/file", folder.path);
    write_path(path, SLICE("x"));
    assert_null(spill_open(slice_from(path), &options, &fault));
    assert_string_equal(fault, strerror(ENOTDIR));
    snprintf(path, sizeof(path), "%s/new", folder.path);
    struct spill *s = spill_open(slice_from(path), &options, &fault);
    assert_non_null(s);
    spill_close(s);
}

/* --- threads --------------------------------------------------------------------------------------------------------- */

#define MANY 3000

struct adder {
    pthread_t thread;
    struct loop *loop;
    struct mailbox *mailbox;
    struct spill_port *port;
    char who;
};

static void *add_many(void *arg)
{
    struct adder *me = arg;
    struct spill_port *p = me->port;
    char *out;

    for (int i = 0; i < MANY; i += 10) {
        struct answer a = {.wait.fn = on_answer};
        spill_begin(p, &a.wait);
        for (int k = 0; k < 10; k++) {
            assert_int_equal(spill_add(p, 5, &out), 0);
            out[0] = me->who;
            int number = i + k;
            memcpy(out + 1, &number, 4);
        }
        assert_true(spill_commit(p, &a.wait));
        while (!a.is_there)
            loop_turn(me->loop, 10);
        assert_int_equal(a.rc, 0);
    }
    return NULL;
}

static void adder_start(struct adder *a, char who)
{
    a->who = who;
    a->loop = loop_new();
    a->mailbox = mailbox_new(a->loop, NULL);
    a->port = spill_port_new(spill, a->loop, a->mailbox);
}

static void adder_join(struct adder *a)
{
    pthread_join(a->thread, NULL);
    spill_port_free(a->port);
    mailbox_free(a->mailbox);
    loop_free(a->loop);
}

/* Each sees its own order, while the reader reads and strikes out beside them. */
static void workers_add_while_the_reader_reads(void **state)
{
    struct adder adders[3];
    int next[3] = {0};
    struct spill_cursor c;
    struct spill_record r;
    struct spill_place place;
    (void)state;

    options.size = 1 * MIB; /* segments are short */
    spill_configure(spill, &options);
    for (int i = 0; i < 3; i++)
        adder_start(&adders[i], (char)('a' + i));
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add_many, &adders[i]), 0);
    spill_cursor_init(&c, spill);
    for (int n = 0; n < 3 * MANY;) {
        if (spill_cursor_next(&c, &r, &place) < 0) {
            spill_flush_strikes(spill);
            loop_turn(loop, 1);
            continue;
        }
        int number, who = r.event.ptr[0] - 'a';
        memcpy(&number, r.event.ptr + 1, 4);
        assert_int_equal(number, next[who]++);
        spill_strike(spill, place, r.index);
        n++;
    }
    for (int i = 0; i < 3; i++)
        adder_join(&adders[i]);
    spill_cursor_deinit(&c);
    spill_flush_strikes(spill);
    assert_int_equal(count().waiting, 0);
    close_it();
    assert_int_equal(files("", NULL), 2);
    open_it();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPILL_TEST(events_are_read_in_the_order_in_which_they_came),
        SPILL_TEST(a_file_that_was_removed_takes_nothing),
        SPILL_TEST(a_full_disk_keeps_no_event_back),
        SPILL_TEST(what_is_struck_out_is_not_read_again),
        SPILL_TEST(a_group_has_one_answer),
        SPILL_TEST(who_leaves_is_not_told_and_the_event_is_there),
        SPILL_TEST(a_cursor_goes_on_with_what_is_added),
        SPILL_TEST(a_segment_that_is_done_is_removed),
        SPILL_TEST(beyond_the_bound_events_are_refused_until_there_is_room),
        SPILL_TEST(what_is_larger_than_the_spill_is_never_let_in),
        SPILL_TEST(the_oldest_are_given_up_where_the_operator_wants_that),
        SPILL_TEST(what_was_left_is_given_up_first),
        SPILL_TEST(a_disk_that_is_full_refuses_and_loses_nothing),
        SPILL_TEST(a_folder_that_can_not_be_used_is_told),
        SPILL_TEST(workers_add_while_the_reader_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
