/* SPDX-License-Identifier: Apache-2.0 */

/* A disk that does not give all that it was given. */

#include "side/spill_cursor.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/spill_rig.h"

#define BLOCK 4096

static off_t bad_from = -1, bad_to;
static ino_t bad_file;

static bool is_bad(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_ino == bad_file;
}

/* In the place of libc's: what lies before the damage comes, then an error. */
ssize_t pread64(int fd, void *out, size_t len, off_t at)
{
    if (bad_from >= 0 && at < bad_to && at + (off_t)len > bad_from && is_bad(fd)) {
        if (at >= bad_from) {
            errno = EIO;
            return -1;
        }
        len = (size_t)(bad_from - at);
    }
    return syscall(SYS_pread64, fd, out, len, at);
}

static int set_up(void **state)
{
    bad_from = -1;
    return spill_set_up(state);
}

static int tear_down(void **state)
{
    bad_from = -1;
    return spill_tear_down(state);
}

#define CURSOR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Of which b and c lie in the second block in part. */
static void add_events(void)
{
    for (const char *c = "abcd"; *c; c++)
        add_large(*c, 3000);
    add("e");
}

/* Of the only segment; a copy of it lies elsewhere. */
static void damage(off_t from, off_t to)
{
    char path[400];
    struct stat st;

    assert_int_equal(files(".events", path), 1);
    assert_int_equal(stat(path, &st), 0);
    bad_file = st.st_ino;
    bad_from = from;
    bad_to = to;
}

static void what_lies_behind_damage_is_read(void **state)
{
    (void)state;
    add_events();
    damage(BLOCK, 2 * BLOCK);
    assert_string_equal(read_some(SIZE_MAX, "ad"), "a d e ");
    add("f");
    assert_string_equal(read_some(SIZE_MAX, "ef"), "e f ");
    assert_int_equal(count().waiting, 2);
    damage(-1, 0);
    assert_string_equal(read_all(), "b c ");
}

/* It is the next start's: as long as that can't read it either, it has the file as it was. */
static void what_can_not_be_read_is_never_removed(void **state)
{
    char path[400];
    struct stat st;
    (void)state;

    add_events();
    damage(BLOCK, 2 * BLOCK);
    read_some(SIZE_MAX, "ade");
    close_it();
    assert_int_equal(files(".events", path), 1);
    assert_int_equal(stat(path, &st), 0);
    off_t size = st.st_size;
    open_it();
    assert_string_equal(read_all(), "");
    assert_int_equal(files(".unread", path), 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_true(count().damaged > 0);
    close_it();
    open_it();
    assert_int_equal(files(".unread", NULL), 1);
}

static void a_start_reads_what_it_can(void **state)
{
    (void)state;
    add_events();
    close_it();
    damage(BLOCK, 2 * BLOCK);
    open_it();
    assert_string_equal(read_all(), "a d e ");
    assert_int_equal(count().recovered, 3);
    assert_int_equal(files(".unread", NULL), 1);
    read_some(SIZE_MAX, "ade");
    assert_int_equal(files(".events", NULL), 0);
    assert_int_equal(files(".unread", NULL), 1);
}

static void a_file_that_was_cut_off_under_our_hands_ends_there(void **state)
{
    char path[400];
    (void)state;

    add_events();
    assert_int_equal(files(".events", path), 1);
    assert_int_equal(truncate(path, 100), 0);
    assert_string_equal(read_all(), "");
    add("f");
    assert_string_equal(read_all(), "f ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CURSOR_TEST(what_lies_behind_damage_is_read),
        CURSOR_TEST(what_can_not_be_read_is_never_removed),
        CURSOR_TEST(a_start_reads_what_it_can),
        CURSOR_TEST(a_file_that_was_cut_off_under_our_hands_ends_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
