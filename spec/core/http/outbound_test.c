/* SPDX-License-Identifier: Apache-2.0 */

/* Upstream connections as their pool sees them: made, idle, used again, handed to another loop. */

#include "http/outbound.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "support/upstream.h"

static void test_a_connection_is_used_again(void **state)
{
    struct upstream *u = *state;

    for (int i = 0; i < 3; i++) {
        upstream_ask(u, METHOD_GET);
        assert_int_equal(u->ear.w->reused, i > 0);
        put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        UPSTREAM_UNTIL(u, u->ear.ended);
        ear_done(&u->ear);
        assert_int_equal(u->idles, i + 1);
    }
    assert_int_equal(u->o->requests, 3);
    assert_int_equal(u->ws.recv_blocks.nused, 0);
}

static void test_an_idle_connection_that_closes_is_told(void **state)
{
    struct upstream *u = *state;

    upstream_ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    UPSTREAM_UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    shutdown(u->fd, SHUT_WR);
    UPSTREAM_UNTIL(u, u->closes == 1);
    assert_null(u->o);
}

static void test_an_idle_connection_changes_loops(void **state)
{
    struct upstream *u = *state;
    struct wires other;

    wires_init(&other);
    upstream_ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    UPSTREAM_UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_true(outbound_detach(u->o));
    assert_true(outbound_attach(u->o, &other.env));
    upstream_open(u);
    upstream_forget(u);
    struct message m = upstream_request(u, METHOD_GET);
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    TURN_UNTIL(other.env.loop, !u->ear.w->unsent);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    TURN_UNTIL(other.env.loop, u->ear.ended);
    ear_done(&u->ear);

    /* Closed while nobody looks. */
    assert_true(outbound_detach(u->o));
    shutdown(u->fd, SHUT_WR);
    assert_false(outbound_attach(u->o, &u->ws.env));
    u->o = NULL;
    wires_deinit(&other);
}

static void test_connecting_fails(void **state)
{
    struct upstream *u = *state;
    struct addr nowhere;
    int fd = loopback_listen(1, &nowhere);

    outbound_close(u->o);
    close(fd);
    struct outbound_to to = {.addr = &nowhere, .timeout_ms = 1000};
    u->o = outbound_connect(&u->ws.env, &to, &upstream_events, u);
    TURN_UNTIL(u->ws.env.loop, u->connects == 2);
    assert_int_equal(u->err, ERR_REFUSED);
    assert_null(u->o);
    u->o = outbound_connect(&u->ws.env, &to, &upstream_events,
                            u); /* closed by upstream_teardown while connecting */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPSTREAM_TEST(test_a_connection_is_used_again),
        UPSTREAM_TEST(test_an_idle_connection_that_closes_is_told),
        UPSTREAM_TEST(test_an_idle_connection_changes_loops),
        UPSTREAM_TEST(test_connecting_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
