/* SPDX-License-Identifier: Apache-2.0 */

#include "net/proxy_read.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "support/loopback.h"
#include "support/test.h"

#define LINE "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
#define BINARY "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"

static struct loop *loop;
static int ours, theirs;
static struct proxy_read *reader;
static struct {
    struct proxy_read_end end;
    struct proxy_proto header;
    int n;
} got;

static void on_done(void *arg, const struct proxy_read_end *end)
{
    assert_ptr_equal(arg, &got);
    got.end = *end;
    if (end->header)
        got.header = *end->header;
    got.n++;
}

static int set_up(void **state)
{
    int fds[2];

    (void)state;
    memset(&got, 0, sizeof(got));
    loop = loop_new();
    loopback_pair(fds);
    ours = fds[0];
    theirs = fds[1];
    reader = proxy_read_start(loop, ours, 10000, on_done, &got);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_turn(loop, 0);
    loop_free(loop);
    close(theirs);
    if (got.n > 0)
        close(ours);
    return 0;
}

static void put(const char *bytes, size_t len)
{
    assert_int_equal(send(theirs, bytes, len, MSG_NOSIGNAL), len);
}

static void expect_rest(struct slice rest)
{
    char bytes[64];

    assert_int_equal(recv(ours, bytes, sizeof(bytes), MSG_DONTWAIT), rest.len);
    assert_memory_equal(bytes, rest.ptr, rest.len);
}

static void what_follows_is_left_in_the_socket(void **state)
{
    (void)state;
    put(LINE "GET /", sizeof(LINE "GET /") - 1);
    TURN_UNTIL(loop, got.n == 1);
    assert_int_equal(got.end.err, 0);
    assert_int_equal(got.end.fd, ours);
    assert_non_null(got.end.header);
    assert_int_equal(addr_port(&got.header.from), 56324);
    expect_rest(SLICE("GET /"));
}

static void a_header_may_come_in_single_bytes(void **state)
{
    static const char bytes[] = BINARY "\x16\x03";
    size_t len = sizeof(BINARY) - 1;

    (void)state;
    for (size_t i = 0; i < len - 1; i++) {
        put(&bytes[i], 1);
        TURN_UNTIL(loop, recv(ours, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) < 0);
        assert_int_equal(got.n, 0);
        assert_false(proxy_read_is_idle(reader));
    }
    put(&bytes[len - 1], 3); /* its last byte, and the beginning of a TLS handshake */
    TURN_UNTIL(loop, got.n == 1);
    assert_int_equal(got.end.err, 0);
    assert_int_equal(addr_port(&got.header.to), 443);
    expect_rest(SLICE("\x16\x03"));
}

static void half_a_header_does_not_spin(void **state)
{
    int turns = 0;

    (void)state;
    put(LINE, 20);
    for (uint64_t end = clock_us_now() + 50000; clock_us_now() < end; turns++)
        loop_turn(loop, 50);
    assert_true(turns < 10);
    proxy_read_cancel(reader);
}

static void something_else_is_refused_at_its_first_byte(void **state)
{
    (void)state;
    put("G", 1);
    TURN_UNTIL(loop, got.n == 1);
    assert_int_equal(got.end.err, ERR_PROTOCOL);
    assert_null(got.end.header);
    assert_non_null(got.end.why);
    assert_true(got.end.is_begun);
}

static void a_header_has_to_come_in_time(void **state)
{
    (void)state;
    put(LINE, 20);
    TURN_UNTIL(loop, !proxy_read_is_idle(reader));
    clock_advance_ms(9000);
    put(&LINE[20], 1); /* a byte now and then buys no time */
    loop_turn(loop, 5);
    loop_turn(loop, 5);
    assert_int_equal(got.n, 0);
    clock_advance_ms(1001);
    TURN_UNTIL(loop, got.n == 1);
    assert_int_equal(got.end.err, ERR_TIMEOUT);
    assert_true(got.end.is_begun);
}

static void who_leaves_without_a_word_is_told_apart(void **state)
{
    (void)state;
    assert_true(proxy_read_is_idle(reader));
    shutdown(theirs, SHUT_WR);
    TURN_UNTIL(loop, got.n == 1);
    assert_int_equal(got.end.err, ERR_CLOSED);
    assert_false(got.end.is_begun);
}

static void who_leaves_in_the_middle_is_told(void **state)
{
    (void)state;
    put(LINE, 20);
    shutdown(theirs, SHUT_WR);
    TURN_UNTIL(loop, got.n == 1);
    assert_int_equal(got.end.err, ERR_CLOSED);
    assert_true(got.end.is_begun);
}

static void a_cancelled_reader_closes_and_says_nothing(void **state)
{
    char byte;

    (void)state;
    put(LINE, 20);
    TURN_UNTIL(loop, !proxy_read_is_idle(reader));
    loop_turn(loop, 5);
    proxy_read_cancel(reader);
    loop_turn(loop, 5);
    loopback_set_blocking(theirs, true);
    assert_true(recv(theirs, &byte, 1, 0) <= 0);
    assert_int_equal(got.n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_follows_is_left_in_the_socket), TEST(a_header_may_come_in_single_bytes),
        TEST(half_a_header_does_not_spin),        TEST(something_else_is_refused_at_its_first_byte),
        TEST(a_header_has_to_come_in_time),       TEST(who_leaves_without_a_word_is_told_apart),
        TEST(who_leaves_in_the_middle_is_told),   TEST(a_cancelled_reader_closes_and_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
