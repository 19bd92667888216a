/* SPDX-License-Identifier: Apache-2.0 */

/* What was added is there for who opens the spill next, however the process before has ended and whatever has become of
 * its files. */

#include <sys/wait.h>

#include "support/spill_rig.h"

/* --- crashes --------------------------------------------------------------------------------------------------------- */

/* In a child that is killed as soon as its events are written. */
static void add_and_die(const char *const *events, enum spill_fsync fsync)
{
    int status;

    options.fsync = fsync;
    pid_t child = fork();
    if (child == 0) {
        open_it();
        for (; *events; events++)
            add(*events);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void what_was_answered_survives_a_kill(void **state)
{
    (void)state;
    close_it();
    add_and_die((const char *const[]){"a", "b", NULL}, SPILL_NEVER);
    add_and_die((const char *const[]){"c", "d", NULL}, SPILL_ALWAYS);
    add_and_die((const char *const[]){"e", NULL}, SPILL_INTERVAL);
    open_it();
    add("f");
    assert_string_equal(read_all(), "a b c d e f ");
    assert_int_equal(count().recovered, 5);
    read_some(SIZE_MAX, "abcdef");
    assert_int_equal(files(".events", NULL), 1);
    close_it();
    assert_int_equal(files("", NULL), 2);
    open_it();
}

static void a_segment_cut_anywhere_gives_what_is_whole(void **state)
{
    static char bytes[512];
    char path[400];
    (void)state;

    add("one");
    add("two");
    close_it();
    assert_int_equal(files(".events", path), 1);
    struct slice whole = read_path(path);
    size_t len = whole.len;
    memcpy(bytes, whole.ptr, len);
    for (size_t cut = 0; cut <= len; cut++) {
        write_path(path, slice_of(bytes, cut));
        open_it();
        assert_string_equal(read_all(), cut < len / 2 ? "" : cut < len ? "one " : "one two ");
        assert_int_equal(count().damaged, 0);
        add("new");
        assert_string_equal(read_some(SIZE_MAX, "n"), cut < len / 2 ? "new "
                                                      : cut < len   ? "one new "
                                                                    : "one two new ");
        close_it();
    }
}

static void strikes_cut_anywhere_cost_a_repetition_at_most(void **state)
{
    static char bytes[64];
    char path[400];
    (void)state;

    for (const char *c = "abcdef"; *c; c++)
        add((char[]){*c, '\0'});
    read_some(SIZE_MAX, "ab");
    read_some(SIZE_MAX, "df");
    close_it();
    assert_int_equal(files(".struck", path), 1);
    struct slice whole = read_path(path);
    assert_int_equal(whole.len, 3 * SPILL_STRIKE);
    memcpy(bytes, whole.ptr, whole.len);
    for (size_t cut = 0; cut <= 3 * SPILL_STRIKE; cut++) {
        write_path(path, slice_of(bytes, cut));
        open_it();
        const char *wanted = cut < SPILL_STRIKE       ? "a b c d e f "
                             : cut < 2 * SPILL_STRIKE ? "c d e f "
                             : cut < 3 * SPILL_STRIKE ? "c e f "
                                                      : "c e ";
        assert_string_equal(read_all(), wanted);
        read_some(SIZE_MAX, "e"); /* written behind what is whole */
        close_it();
        open_it();
        assert_null(strchr(read_all(), 'e'));
        close_it();
    }
    open_it();
}

static void strikes_without_their_segment_go(void **state)
{
    char path[400];
    (void)state;

    add("a");
    add("b");
    read_some(SIZE_MAX, "a");
    close_it();
    assert_int_equal(files(".events", path), 1);
    unlink(path);
    open_it();
    assert_string_equal(read_all(), "");
    close_it();
    assert_int_equal(files("", NULL), 2);
    open_it();
}

static void damage_is_moved_aside_and_the_rest_is_read(void **state)
{
    static char bytes[512];
    char path[400], aside[400];
    (void)state;

    add("a");
    add("lost");
    add("c");
    add("d");
    read_some(SIZE_MAX, "c");
    close_it();
    assert_int_equal(files(".events", path), 1);
    struct slice whole = read_path(path);
    memcpy(bytes, whole.ptr, whole.len);
    bytes[2 * SPILL_HEAD + 3] = 'm';
    write_path(path, slice_of(bytes, whole.len));
    open_it();
    assert_string_equal(read_all(), "a d ");
    assert_int_equal(count().damaged, SPILL_HEAD + 4);
    assert_int_equal(files(".damaged", aside), 1);
    assert_int_equal(read_path(aside).len, SPILL_HEAD + 4);
    close_it();
    open_it(); /* it is mended now */
    assert_string_equal(read_some(SIZE_MAX, "a"), "a d ");
    assert_int_equal(count().damaged, 0);
    read_some(SIZE_MAX, "d");
    assert_int_equal(files(".events", NULL), 0);
    assert_int_equal(files(".damaged", NULL), 1);
}

static void a_file_of_rubbish_harms_nobody(void **state)
{
    static char rubbish[100000];
    char path[400];
    (void)state;

    add("a");
    close_it();
    add_and_die((const char *const[]){"b", NULL}, SPILL_NEVER);
    files(".events", path);
    memset(rubbish, 'r', sizeof(rubbish));
    write_path(path, slice_of(rubbish, sizeof(rubbish)));
    open_it();
    add("c");
    assert_string_equal(read_all(), "a c ");
    assert_int_equal(count().damaged, sizeof(rubbish));
}

/* --- processes side by side ------------------------------------------------------------------------------------------ */

/* A child that holds the folder until it is told to end. */
static void an_elder_is_waited_for(void **state)
{
    int ready[2], end[2];
    char byte;
    (void)state;

    close_it();
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid_t child = fork();
    if (child == 0) {
        close(end[1]);
        open_it();
        add("a");
        (void)!write(ready[1], "x", 1);
        (void)!read(end[0], &byte, 1);
        add("b");
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    open_it();
    add("c");
    assert_false(spill_adopt(spill));
    assert_int_equal(write(end[1], "x", 1), 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(spill_adopt(spill));
    assert_string_equal(read_all(), "a b c ");
    close(ready[0]), close(ready[1]), close(end[0]), close(end[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPILL_TEST(what_was_answered_survives_a_kill),
        SPILL_TEST(a_segment_cut_anywhere_gives_what_is_whole),
        SPILL_TEST(strikes_cut_anywhere_cost_a_repetition_at_most),
        SPILL_TEST(strikes_without_their_segment_go),
        SPILL_TEST(damage_is_moved_aside_and_the_rest_is_read),
        SPILL_TEST(a_file_of_rubbish_harms_nobody),
        SPILL_TEST(an_elder_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
