/* SPDX-License-Identifier: Apache-2.0 */

#include "base/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/test.h"

#define LINE SLICE("a line\n")

/* The reading and the writing end; the writing one blocks, as standard error does. */
struct ends {
    int reader, writer;
};

static struct ends open_pipe(void)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    return (struct ends){fds[0], fds[1]};
}

static struct ends open_sockets(void)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    return (struct ends){fds[0], fds[1]};
}

static void close_ends(struct ends e)
{
    close(e.reader);
    close(e.writer);
}

static size_t read_all(int fd, char *out, size_t size)
{
    size_t len = 0;

    for (ssize_t n; len < size && (n = read(fd, out + len, size - len)) > 0;)
        len += (size_t)n;
    return len;
}

static void fill(struct sink *s)
{
    int n = 0;

    while (sink_write(s, LINE).len == 0)
        assert_true(++n < 1000000);
}

static void check_stuck(struct ends e)
{
    static char text[4 * MIB];
    struct sink s;

    sink_init(&s, e.writer);
    fill(&s);
    assert_int_equal(errno, EAGAIN);

    /* Nobody waits any more. */
    uint64_t before = clock_us_now();
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sink_write(&s, LINE).len, LINE.len);
    assert_true(clock_us_now() - before < 10 * 1000 * 1000);

    /* What was written is whole lines, and so is what follows when there is room again. */
    size_t len = read_all(e.reader, text, sizeof(text));
    assert_int_equal(sink_write(&s, LINE).len, 0);
    len += read_all(e.reader, text + len, sizeof(text) - len);
    assert_int_equal(text[len - 1], '\n');
    assert_memory_equal(text + len - LINE.len, LINE.ptr, LINE.len);
    close_ends(e);
}

static void a_pipe_that_nobody_reads_stops_nobody(void **state)
{
    (void)state;
    check_stuck(open_pipe());
}

static void a_socket_that_nobody_reads_stops_nobody(void **state)
{
    (void)state;
    check_stuck(open_sockets());
}

static void a_line_that_was_cut_off_is_ended_before_the_next(void **state)
{
    static char text[MIB], large[512 * KIB];
    struct ends e = open_pipe();
    struct sink s;

    (void)state;
    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\n';
    sink_init(&s, e.writer);
    size_t rest = sink_write(&s, slice_of(large, sizeof(large))).len;
    assert_in_range(rest, 1, sizeof(large) - 1);

    size_t len = read_all(e.reader, text, sizeof(text));
    assert_int_equal(len, sizeof(large) - rest);
    assert_int_equal(sink_write(&s, LINE).len, 0);
    len = read_all(e.reader, text, sizeof(text));
    assert_memory_equal(text, "\na line\n", len);
    close_ends(e);
}

static void what_has_no_reader_says_so(void **state)
{
    struct ends e = open_pipe();
    struct sink s;

    (void)state;
    sink_init(&s, e.writer);
    close(e.reader);
    assert_int_equal(sink_write(&s, LINE).len, LINE.len);
    assert_int_equal(errno, EPIPE);
    close(e.writer);
}

static void a_file_takes_all_at_once(void **state)
{
    static char large[512 * KIB], text[MIB];
    char path[] = "/tmp/sink-XXXXXX";
    int fd = mkstemp(path);
    struct sink s;

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\n';
    sink_init(&s, fd);
    assert_int_equal(sink_write(&s, slice_of(large, sizeof(large))).len, 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(read_all(fd, text, sizeof(text)), sizeof(large));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_that_nobody_reads_stops_nobody),
        cmocka_unit_test(a_socket_that_nobody_reads_stops_nobody),
        cmocka_unit_test(a_line_that_was_cut_off_is_ended_before_the_next),
        cmocka_unit_test(what_has_no_reader_says_so),
        cmocka_unit_test(a_file_takes_all_at_once),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
