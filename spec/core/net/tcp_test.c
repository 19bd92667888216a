/* SPDX-License-Identifier: Apache-2.0 */

#include "net/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "support/loopback.h"
#include "support/test.h"

static struct loop *loop;
static struct {
    int calls, err;
    struct stream *stream;
    int readable;
} done;

static void on_done(void *arg, struct stream *s, int err)
{
    assert_ptr_equal(arg, &done);
    done.calls++;
    done.stream = s;
    done.err = err;
}

static void on_readable(struct stream *s)
{
    char c;

    if (stream_recv(s, &c, 1) == 1)
        done.readable++;
}

static const struct stream_events events = {.on_readable = on_readable};

static int set_up(void **state)
{
    (void)state;
    memset(&done, 0, sizeof(done));
    loop = loop_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (done.stream)
        stream_close(done.stream);
    loop_turn(loop, 0);
    loop_free(loop);
    return 0;
}

static void connect_to(const struct addr *at, uint64_t timeout_ms)
{
    assert_non_null(tcp_connect(loop, at, timeout_ms, on_done, &done));
    assert_int_equal(done.calls, 0); /* never from inside */
    TURN_UNTIL(loop, done.calls);
}

static void use(int peer)
{
    struct iovec iov = {(char *)"x", 1};

    done.stream->events = &events;
    done.stream->owner = &done;
    assert_int_equal(send(peer, "y", 1, 0), 1);
    loop_turn(loop, 5);
    assert_int_equal(done.readable, 0); /* nobody has asked to read yet */
    stream_resume(done.stream);
    TURN_UNTIL(loop, done.readable == 1);
    assert_int_equal(stream_write(done.stream, &iov, 1), 0);
    loopback_set_blocking(peer, true);
    assert_int_equal(recv(peer, &(char){0}, 1, 0), 1);
}

static void a_connection_is_made_and_carries_bytes(void **state)
{
    struct addr at;
    int listening = loopback_listen(8, &at), on = 0, peer;
    socklen_t len = sizeof(on);

    (void)state;
    connect_to(&at, 5000);
    assert_int_equal(done.err, 0);
    assert_non_null(done.stream);
    peer = accept(listening, NULL, NULL);
    use(peer);
    assert_int_equal(getsockopt(done.stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_true(on);
    close(peer);
    close(listening);
}

static void the_deadline_ends_with_the_connect(void **state)
{
    struct addr at;
    int listening = loopback_listen(8, &at);

    (void)state;
    connect_to(&at, 1000);
    clock_advance_ms(5000);
    loop_turn(loop, 0);
    assert_int_equal(done.calls, 1);
    close(listening);
}

static void a_closed_port_refuses(void **state)
{
    struct addr at;

    (void)state;
    close(loopback_listen(1, &at));
    connect_to(&at, 5000);
    assert_int_equal(done.err, ERR_REFUSED);
    assert_null(done.stream);
}

/* A full backlog answers nothing at all. */
static int full_listener(struct addr *at, int clients[4])
{
    int listening = loopback_listen(0, at);

    for (int i = 0; i < 4; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(clients[i], &at->sa, at->len);
    }
    return listening;
}

static void silence_ends_at_the_deadline(void **state)
{
    struct addr at;
    int clients[4], listening = full_listener(&at, clients);

    (void)state;
    tcp_connect(loop, &at, 3000, on_done, &done);
    clock_advance_ms(2900);
    loop_turn(loop, 0);
    assert_int_equal(done.calls, 0);
    clock_advance_ms(200);
    loop_turn(loop, 0);
    assert_int_equal(done.calls, 1);
    assert_int_equal(done.err, ERR_TIMEOUT);
    assert_null(done.stream);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    close(listening);
}

static void a_cancelled_connect_says_nothing(void **state)
{
    struct addr at, gone;
    int listening = loopback_listen(8, &at);

    (void)state;
    assert_int_equal(addr_parse(SLICE("unix:/nonexistent"), &gone), 0); /* refused at once */
    tcp_connect_cancel(tcp_connect(loop, &at, 1000, on_done, &done));
    tcp_connect_cancel(tcp_connect(loop, &gone, 1000, on_done, &done));
    clock_advance_ms(5000);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 5);
    assert_int_equal(done.calls, 0);
    close(listening);
}

static void unix_sockets_connect_too(void **state)
{
    char dir[] = "/tmp/dml-tcp-XXXXXX", text[64];
    struct addr at;
    int listening = socket(AF_UNIX, SOCK_STREAM, 0), peer;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(text, sizeof(text), "unix:%s/s", dir);
    assert_int_equal(addr_parse(slice_from(text), &at), 0);
    connect_to(&at, 1000);
    assert_int_equal(done.err, ERR_REFUSED); /* nothing there */
    assert_int_equal(bind(listening, &at.sa, at.len), 0);
    assert_int_equal(listen(listening, 4), 0);
    done.calls = 0;
    connect_to(&at, 1000);
    assert_int_equal(done.err, 0);
    peer = accept(listening, NULL, NULL);
    use(peer);
    close(peer);
    close(listening);
    unlink(text + 5);
    rmdir(dir);
}

static void without_descriptors_it_is_a_limit(void **state)
{
    struct rlimit limit, none;
    struct addr at;
    int listening = loopback_listen(1, &at);

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    connect_to(&at, 1000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(done.err, ERR_LIMIT);
    close(listening);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_connection_is_made_and_carries_bytes),
        TEST(the_deadline_ends_with_the_connect),
        TEST(a_closed_port_refuses),
        TEST(silence_ends_at_the_deadline),
        TEST(a_cancelled_connect_says_nothing),
        TEST(unix_sockets_connect_too),
        TEST(without_descriptors_it_is_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
