/* SPDX-License-Identifier: Apache-2.0 */

/* Streams over real sockets: the stream is one end, a plain descriptor of the test is the other. */

#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/tcp.h"
#include "support/loopback.h"
#include "support/test.h"

static struct loop *loop;
static int peer;
static struct stream *stream;
static struct {
    char text[256]; /* what on_readable has read */
    size_t len;
    int readable, room, lost;
    int end;                        /* the code that ended reading */
    int lost_err;                   /* of on_lost */
    void (*then)(struct stream *s); /* what the owner does in its callback */
} seen;

static void on_readable(struct stream *s)
{
    ssize_t n;

    assert_ptr_equal(s->owner, &seen);
    seen.readable++;
    if (seen.then) {
        seen.then(s);
        return;
    }
    n = stream_recv(s, seen.text + seen.len, sizeof(seen.text) - seen.len);
    if (n > 0)
        seen.len += (size_t)n;
    else if (n != ERR_AGAIN)
        seen.end = (int)n;
}

static void on_room(struct stream *s)
{
    assert_true(stream_queued(s) < STREAM_LOW_WATER);
    seen.room++;
    if (seen.then)
        seen.then(s);
}

static void on_lost(struct stream *s, int err)
{
    seen.lost++;
    seen.lost_err = err;
    if (seen.then)
        seen.then(s);
}

static const struct stream_events events = {
    .on_readable = on_readable,
    .on_room = on_room,
    .on_lost = on_lost,
};

static int set_up(void **state)
{
    int fds[2];

    (void)state;
    memset(&seen, 0, sizeof(seen));
    loop = loop_new();
    loopback_pair(fds);
    peer = fds[1];
    stream = tcp_new(loop, fds[0], &events, &seen);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (stream)
        stream_close(stream);
    loop_turn(loop, 0);
    if (peer >= 0)
        close(peer);
    loop_free(loop);
    return 0;
}

static void hang_up(void)
{
    close(peer);
    peer = -1;
}

/* Closes with a reset. */
static void slam(void)
{
    struct linger at_once = {.l_onoff = 1};

    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    hang_up();
}

static int say(const char *text)
{
    struct iovec iov = {(char *)text, strlen(text)};

    return stream_write(stream, &iov, 1);
}

static void close_it(struct stream *s)
{
    stream_close(s);
    stream = NULL;
}

/* A byte for each position, so that a lost or doubled one shows. */
static char pattern(size_t i)
{
    return (char)(i * 7 + i / 251);
}

static char *pattern_new(size_t len)
{
    char *mem = malloc(len);

    assert_non_null(mem);
    for (size_t i = 0; i < len; i++)
        mem[i] = pattern(i);
    return mem;
}

/* Reads what the peer has got so far and compares. */
static void expect_pattern(size_t *at)
{
    char got[65536];
    ssize_t n;

    while ((n = recv(peer, got, sizeof(got), 0)) > 0)
        for (ssize_t i = 0; i < n; i++, (*at)++)
            if (got[i] != pattern(*at))
                fail_msg("byte %zu is wrong", *at);
}

static void bytes_go_both_ways(void **state)
{
    char got[16];

    (void)state;
    assert_int_equal(send(peer, "hello", 5, 0), 5);
    TURN_UNTIL(loop, seen.len == 5);
    assert_memory_equal(seen.text, "hello", 5);
    assert_int_equal(say("welcome"), 0);
    assert_int_equal(stream_queued(stream), 0);
    assert_int_equal(recv(peer, got, sizeof(got), 0), 7);
    assert_memory_equal(got, "welcome", 7);
    assert_int_equal(stream->bytes_in, 5);
    assert_int_equal(stream->bytes_out, 7);
}

static void pieces_are_sent_in_order_and_empty_ones_do_no_harm(void **state)
{
    struct iovec iov[] = {{(char *)"a", 1}, {NULL, 0}, {(char *)"bc", 2}, {(char *)"", 0}};
    char got[16];

    (void)state;
    assert_int_equal(stream_write(stream, iov, 4), 0);
    assert_int_equal(stream_write(stream, iov, 0), 0);
    assert_int_equal(recv(peer, got, sizeof(got), 0), 3);
    assert_memory_equal(got, "abc", 3);
}

static void more_pieces_than_the_kernel_takes_at_once_arrive(void **state)
{
    enum { PIECES = 3000 };
    struct iovec iov[PIECES];
    char *text = pattern_new(PIECES);
    size_t at = 0;

    (void)state;
    for (int i = 0; i < PIECES; i++)
        iov[i] = (struct iovec){text + i, 1};
    assert_int_equal(stream_write(stream, iov, PIECES), 0);
    TURN_UNTIL(loop, (expect_pattern(&at), at == PIECES));
    free(text);
}

static void what_the_kernel_refuses_is_queued_and_sent_in_order(void **state)
{
    size_t len = 12 * MIB, at = 0;
    uint64_t start;
    char *text = pattern_new(len);
    struct iovec iov[] = {{text, 10}, {text + 10, len / 2}, {text + 10 + len / 2, len / 2 - 10}};

    (void)state;
    assert_int_equal(stream_write(stream, iov, 3), STREAM_FULL);
    assert_true(stream_queued(stream) > STREAM_HIGH_WATER);
    memset(text, 0, len); /* nothing of the caller's is kept */
    free(text);
    assert_int_equal(seen.room, 0);
    TURN_UNTIL(loop, (expect_pattern(&at), at == len));
    assert_int_equal(stream_queued(stream), 0);
    assert_null(stream->out.mem);
    loop_turn(loop, 0);
    assert_int_equal(seen.room, 1);
    assert_int_equal(stream->bytes_out, len);
    start = clock_us_now();
    loop_turn(loop, 30);
    assert_true(clock_us_now() - start >= 29000); /* writability is no longer asked for */
}

static void fill(void)
{
    static char zeros[MIB];
    struct iovec iov = {zeros, sizeof(zeros)};

    while (stream_write(stream, &iov, 1) == 0)
        ;
}

static void the_hard_cap_breaks_the_stream(void **state)
{
    static char zeros[8 * MIB];
    struct iovec iov = {zeros, sizeof(zeros)};
    int rc;

    (void)state;
    while ((rc = stream_write(stream, &iov, 1)) >= 0)
        ;
    assert_int_equal(rc, ERR_FULL);
    assert_true(say("x") < 0);
    assert_int_equal(stream_queued(stream), 0);
}

static void a_blocked_stream_costs_no_turns(void **state)
{
    uint64_t start;

    (void)state;
    fill();
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    start = clock_us_now();
    loop_turn(loop, 30);
    assert_true(clock_us_now() - start >= 29000);
}

static void the_end_of_the_peer_is_told_once(void **state)
{
    uint64_t start;

    (void)state;
    assert_int_equal(send(peer, "bye", 3, 0), 3);
    shutdown(peer, SHUT_WR);
    TURN_UNTIL(loop, seen.end);
    assert_int_equal(seen.end, ERR_CLOSED);
    assert_int_equal(seen.len, 3);
    loop_turn(loop, 0); /* the kernel learns only now that it is no longer wanted */
    start = clock_us_now();
    loop_turn(loop, 30);
    assert_true(clock_us_now() - start >= 29000);
    assert_int_equal(say("still here"), 0);
    assert_int_equal(recv(peer, seen.text, sizeof(seen.text), 0), 10);
}

static void a_reset_is_told_to_the_reader(void **state)
{
    (void)state;
    slam();
    TURN_UNTIL(loop, seen.end);
    assert_int_equal(seen.end, ERR_RESET);
    assert_int_equal(say("anyone?"), ERR_RESET);
}

static void a_queue_that_can_not_be_sent_is_lost_once(void **state)
{
    (void)state;
    fill();
    stream_pause(stream);
    slam();
    TURN_UNTIL(loop, seen.lost);
    assert_int_equal(seen.lost_err, ERR_RESET);
    assert_int_equal(stream_queued(stream), 0);
    assert_int_equal(say("x"), ERR_RESET);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 5);
    assert_int_equal(seen.lost, 1);
    assert_int_equal(seen.room, 0);
    assert_int_equal(seen.readable, 0);
}

static void a_paused_stream_reads_nothing_until_resumed(void **state)
{
    (void)state;
    stream_pause(stream);
    assert_int_equal(send(peer, "hello", 5, 0), 5);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 10);
    assert_int_equal(seen.readable, 0);
    stream_resume(stream);
    TURN_UNTIL(loop, seen.len == 5);
    stream_pause(stream);
    stream_resume(stream);
    assert_int_equal(send(peer, "again", 5, 0), 5);
    TURN_UNTIL(loop, seen.len == 10);
}

static void shutdown_follows_what_is_queued(void **state)
{
    size_t len = 12 * MIB, at = 0;
    char *text = pattern_new(len), c;
    struct iovec iov = {text, len};

    (void)state;
    assert_int_equal(stream_write(stream, &iov, 1), STREAM_FULL);
    free(text);
    stream_shutdown(stream);
    TURN_UNTIL(loop, (expect_pattern(&at), at == len));
    TURN_UNTIL(loop, recv(peer, &c, 1, 0) == 0);
    assert_int_equal(send(peer, "thanks", 6, 0), 6); /* the other direction stays open */
    TURN_UNTIL(loop, seen.len == 6);
}

static void a_stream_may_be_closed_in_on_readable(void **state)
{
    char c;

    (void)state;
    seen.then = close_it;
    assert_int_equal(send(peer, "x", 1, 0), 1);
    TURN_UNTIL(loop, seen.readable);
    shutdown(peer, SHUT_WR);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    assert_int_equal(seen.readable, 1);
    assert_true(recv(peer, &c, 1, 0) <= 0 && errno != EAGAIN);
}

static void a_stream_may_be_closed_in_on_room(void **state)
{
    size_t at = 0;

    (void)state;
    fill();
    seen.then = close_it;
    TURN_UNTIL(loop, (recv(peer, (char[65536]){0}, 65536, 0), at++, seen.room));
    assert_null(stream);
}

static void a_stream_may_be_closed_in_on_lost(void **state)
{
    (void)state;
    fill();
    stream_pause(stream);
    seen.then = close_it;
    slam();
    TURN_UNTIL(loop, seen.lost);
    assert_null(stream);
}

/* Both directions are ready in one event; the owner closes in the first callback. */
static void nothing_is_told_after_closing(void **state)
{
    (void)state;
    fill();
    seen.then = close_it;
    slam();
    TURN_UNTIL(loop, !stream);
    loop_turn(loop, 0);
    assert_int_equal(seen.readable + seen.lost + seen.room, 1);
}

/* Input that nobody reads would turn a plain close into a reset, and the reset would take the
 * answer away. */
static void a_gentle_close_lets_the_answer_arrive(void **state)
{
    size_t len = 6 * MIB, at = 0;
    char *text = pattern_new(len), *question = calloc(1, 300000), c;
    struct iovec iov = {text, len};

    (void)state;
    assert_non_null(question);
    stream_pause(stream);
    assert_true(send(peer, question, 300000, 0) > 0);
    assert_true(stream_write(stream, &iov, 1) >= 0);
    free(text);
    stream_close_gently(stream);
    stream = NULL;
    assert_true(send(peer, question, 100000, MSG_NOSIGNAL) != 0);
    free(question);
    TURN_UNTIL(loop, (expect_pattern(&at), at == len));
    TURN_UNTIL(loop, recv(peer, &c, 1, 0) == 0);
    assert_int_equal(seen.readable, 0);
}

static void a_gentle_close_sends_all_to_a_peer_that_has_ended(void **state)
{
    size_t len = 12 * MIB, at = 0;
    char *text = pattern_new(len), c;
    struct iovec iov = {text, len};
    int fd = stream->fd;
    uint64_t start = clock_us_now();

    (void)state;
    assert_int_equal(stream_write(stream, &iov, 1), STREAM_FULL);
    free(text);
    shutdown(peer, SHUT_WR);
    stream_close_gently(stream);
    stream = NULL;
    TURN_UNTIL(loop, (expect_pattern(&at), at == len));
    TURN_UNTIL(loop, recv(peer, &c, 1, 0) == 0);
    TURN_UNTIL(loop, fcntl(fd, F_GETFD) < 0);
    assert_true(clock_us_now() - start < 1900000); /* there is nothing to linger for */
}

static bool peer_is_reset(void)
{
    return send(peer, "x", 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN;
}

static void a_gentle_close_ends_when_the_peer_ends(void **state)
{
    int fd = stream->fd;

    (void)state;
    assert_int_equal(say("done"), 0);
    stream_close_gently(stream);
    stream = NULL;
    loop_turn(loop, 0);
    assert_false(peer_is_reset());
    shutdown(peer, SHUT_WR);
    TURN_UNTIL(loop, fcntl(fd, F_GETFD) < 0);
}

static void a_gentle_close_ends_after_two_seconds(void **state)
{
    (void)state;
    stream_close_gently(stream);
    stream = NULL;
    clock_advance_ms(1500);
    loop_turn(loop, 0);
    assert_false(peer_is_reset());
    loop_turn(loop, 20);
    clock_advance_ms(600);
    loop_turn(loop, 0);
    TURN_UNTIL(loop, peer_is_reset());
}

static void a_gentle_close_ends_after_a_mebibyte(void **state)
{
    static char zeros[65536];
    size_t sent = 0;
    ssize_t n;

    (void)state;
    stream_close_gently(stream);
    stream = NULL;
    while ((n = send(peer, zeros, sizeof(zeros), MSG_NOSIGNAL)) >= 0 || errno == EAGAIN) {
        sent += n > 0 ? (size_t)n : 0;
        assert_true(sent < 32 * MIB);
        loop_turn(loop, 10);
    }
    assert_true(sent > MIB);
}

/* It has no words for the peer that takes nothing, and may not wait for it forever. */
static void a_gentle_close_gives_a_stalled_peer_up(void **state)
{
    (void)state;
    fill();
    stream_close_gently(stream);
    stream = NULL;
    for (int i = 0; i < 3; i++) {
        clock_advance_ms(9000);
        loop_turn(loop, 0);
        if (i < 1)
            assert_false(peer_is_reset());
    }
    TURN_UNTIL(loop, peer_is_reset());
}

static void a_gentle_close_waits_for_a_slow_peer(void **state)
{
    static char scrap[MIB], zeros[16 * MIB];
    struct iovec iov = {zeros, sizeof(zeros)};

    (void)state;
    assert_int_equal(stream_write(stream, &iov, 1), STREAM_FULL);
    stream_close_gently(stream);
    stream = NULL;
    for (int i = 0; i < 4; i++) {
        assert_true(recv(peer, scrap, sizeof(scrap), 0) > 0);
        for (int k = 0; k < 20; k++)
            loop_turn(loop, 1);
        clock_advance_ms(9000);
        loop_turn(loop, 0);
        assert_false(peer_is_reset());
    }
    slam();
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 10);
}

static void quiet_means_no_byte_and_no_end(void **state)
{
    (void)state;
    assert_true(stream_is_quiet(stream));
    stream_pause(stream);
    assert_int_equal(send(peer, "x", 1, 0), 1);
    assert_false(stream_is_quiet(stream));
    stream_resume(stream);
    TURN_UNTIL(loop, seen.len == 1); /* peeking has taken nothing */
    assert_true(stream_is_quiet(stream));
    shutdown(peer, SHUT_WR);
    assert_false(stream_is_quiet(stream));
}

static void an_idle_stream_is_small(void **state)
{
    size_t before, each;
    int fds[2];
    struct stream *s;

    (void)state;
    for (int i = 0; i < 2; i++) { /* the first makes tables grow */
        loopback_pair(fds);
        before = mallinfo2().uordblks;
        s = tcp_new(loop, fds[0], &events, &seen);
        each = mallinfo2().uordblks - before;
        stream_close(s);
        loop_turn(loop, 0);
        close(fds[1]);
    }
    assert_in_range(each, 0, 250);
}

/* The other worker: runs its loop until it is told to stop. */
struct other {
    pthread_t thread;
    struct loop *loop;
    struct stream *stream;
    char text[16];
    size_t len;
};

static void other_on_readable(struct stream *s)
{
    struct other *o = s->owner;
    ssize_t n = stream_recv(s, o->text + o->len, sizeof(o->text) - o->len);

    if (n > 0) {
        o->len += (size_t)n;
    } else if (n != ERR_AGAIN) {
        stream_close(s);
        loop_stop(o->loop);
    }
}

static const struct stream_events other_events = {.on_readable = other_on_readable};

static void *other_run(void *arg)
{
    struct other *o = arg;

    o->loop = loop_new();
    o->stream->events = &other_events;
    o->stream->owner = o;
    stream_attach(o->stream, o->loop);
    loop_run(o->loop);
    loop_free(o->loop);
    return NULL;
}

static void a_stream_moves_to_another_thread_and_leaves_nothing_behind(void **state)
{
    struct other o = {.stream = stream};
    uint64_t start;
    int fd = stream->fd, fds[2];

    (void)state;
    assert_int_equal(send(peer, "a", 1, 0), 1);
    TURN_UNTIL(loop, seen.len == 1);
    stream_detach(stream);
    assert_int_equal(pthread_create(&o.thread, NULL, other_run, &o), 0);
    assert_int_equal(send(peer, "b", 1, 0), 1);
    start = clock_us_now();
    loop_turn(loop, 40);
    assert_true(clock_us_now() - start >= 39000); /* not woken */
    assert_int_equal(send(peer, "c", 1, 0), 1);
    hang_up();
    pthread_join(o.thread, NULL); /* there it was read to the end and closed */
    assert_int_equal(o.len, 2);
    assert_memory_equal(o.text, "bc", 2);
    assert_int_equal(seen.len, 1);

    loopback_pair(fds);
    peer = fds[1] == fd ? fds[0] : fds[1];
    stream = tcp_new(loop, fd, &events, &seen); /* the same number, used again on the first loop */
    assert_true(fds[0] == fd || fds[1] == fd);
    assert_int_equal(send(peer, "d", 1, 0), 1);
    TURN_UNTIL(loop, seen.len == 2);
    assert_memory_equal(seen.text, "ad", 2);
}

static void a_stream_may_leave_and_come_back_in_one_turn(void **state)
{
    (void)state;
    loop_turn(loop, 0);
    stream_detach(stream);
    stream_attach(stream, loop);
    assert_int_equal(send(peer, "a", 1, 0), 1);
    TURN_UNTIL(loop, seen.len == 1);
    stream_detach(stream);
    loop_turn(loop, 0);
    stream_attach(stream, loop);
    assert_int_equal(send(peer, "b", 1, 0), 1);
    TURN_UNTIL(loop, seen.len == 2);
}

static void a_detached_stream_may_be_closed(void **state)
{
    char c;

    (void)state;
    stream_detach(stream);
    stream_close(stream);
    stream = NULL;
    loopback_set_blocking(peer, true);
    assert_int_equal(recv(peer, &c, 1, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_both_ways),
        TEST(pieces_are_sent_in_order_and_empty_ones_do_no_harm),
        TEST(more_pieces_than_the_kernel_takes_at_once_arrive),
        TEST(what_the_kernel_refuses_is_queued_and_sent_in_order),
        TEST(the_hard_cap_breaks_the_stream),
        TEST(a_blocked_stream_costs_no_turns),
        TEST(the_end_of_the_peer_is_told_once),
        TEST(a_reset_is_told_to_the_reader),
        TEST(a_queue_that_can_not_be_sent_is_lost_once),
        TEST(a_paused_stream_reads_nothing_until_resumed),
        TEST(shutdown_follows_what_is_queued),
        TEST(a_stream_may_be_closed_in_on_readable),
        TEST(a_stream_may_be_closed_in_on_room),
        TEST(a_stream_may_be_closed_in_on_lost),
        TEST(nothing_is_told_after_closing),
        TEST(a_gentle_close_lets_the_answer_arrive),
        TEST(a_gentle_close_sends_all_to_a_peer_that_has_ended),
        TEST(a_gentle_close_ends_when_the_peer_ends),
        TEST(a_gentle_close_ends_after_two_seconds),
        TEST(a_gentle_close_ends_after_a_mebibyte),
        TEST(a_gentle_close_gives_a_stalled_peer_up),
        TEST(a_gentle_close_waits_for_a_slow_peer),
        TEST(quiet_means_no_byte_and_no_end),
        TEST(an_idle_stream_is_small),
        TEST(a_stream_moves_to_another_thread_and_leaves_nothing_behind),
        TEST(a_stream_may_leave_and_come_back_in_one_turn),
        TEST(a_detached_stream_may_be_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
