/* SPDX-License-Identifier: Apache-2.0 */

/* Accepted connections as a set: counting, draining, cutting off, and what they cost. */

#include "http/inbound.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "support/client.h"

static void test_draining_closes_after_the_answer(void **state)
{
    struct client *c = *state;
    int idle = c->fd;

    client_again(c);
    assert_int_equal(inbound_idle_count(c->set), 2);
    put(c->fd, CLIENT_GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    c->ws.env.draining = true;
    inbound_drain(c->set);
    client_turn(c);
    assert_int_equal(inbound_count(c->set), 1);
    char byte;
    assert_int_equal(recv(idle, &byte, 1, MSG_DONTWAIT), 0);
    close(idle);
    ear_answer(&c->ear, 200, "last");
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_true(client_got(c, "last") && client_got(c, "Connection: close"));
    assert_int_equal(inbound_count(c->set), 0);
}

static void test_abort_all_tells_the_owners(void **state)
{
    struct client *c = *state;

    put(c->fd, CLIENT_GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    inbound_abort_all(c->set);
    assert_int_equal(c->ear.gone, ERR_STOPPING);
    ear_done(&c->ear);
    assert_int_equal(inbound_count(c->set), 0);
}

static void test_an_idle_connection_holds_no_memory(void **state)
{
    struct client *c = *state;

    put(c->fd, CLIENT_GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 200, "x");
    client_turn(c);
    assert_int_equal(c->ws.recv_blocks.nused, 0);
    assert_int_equal(c->ws.arena_blocks.nused, 0);
}

/* A worker's clients are idle most of the time: what each costs then is counted, stream and
 * allocator included. */
static void test_an_idle_connection_is_small(void **state)
{
    struct client *c = *state;
    int fds[400];
    size_t before = mallinfo2().uordblks;

    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        client_again(c);
        fds[i] = c->fd;
    }
    size_t each = (mallinfo2().uordblks - before) / COUNT_OF(fds);
    if (each > 0) /* a sanitizer's allocator counts elsewhere */
        assert_in_range(each, 1, 640);
    for (size_t i = 0; i < COUNT_OF(fds); i++)
        close(fds[i]);
    c->fd = -1;
}

static void test_the_peer_is_described(void **state)
{
    struct client *c = *state;
    struct sockaddr_in mine;
    socklen_t len = sizeof(mine);

    put(c->fd, CLIENT_GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    const struct wire_peer *peer = c->ear.w->peer;
    assert_int_equal(getsockname(c->fd, (struct sockaddr *)&mine, &len), 0);
    assert_int_equal(addr_port(&peer->address), ntohs(mine.sin_port));
    assert_true(addr_eq(&peer->local, &c->at));
    assert_true(slice_eq(peer->ip, SLICE("127.0.0.1")));
    assert_int_equal(peer->listener, 3);
    assert_true(peer->is_trusted);
    assert_false(peer->is_tls);
}

static void test_a_request_that_has_arrived_is_served_though_draining(void **state)
{
    struct client *c = *state;

    put(c->fd, CLIENT_GET "\r\n");
    c->ws.env.draining = true;
    inbound_drain(c->set);
    CLIENT_UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 200, "still");
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_true(client_got(c, "Connection: close") && client_got(c, "still"));
}

static void test_the_set_may_go_before_an_owner(void **state)
{
    struct client *c = *state;

    put(c->fd, CLIENT_GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    inbound_set_free(c->set);
    assert_int_equal(c->ear.gone, ERR_STOPPING);
    ear_done(&c->ear);
    c->set = inbound_set_new(&c->ws.env, &ear_acceptor, &c->ear);
}

static void test_an_answer_that_is_still_leaving_is_not_idle(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 200, .body = BODY_UNKNOWN};
    static char block[64 * KIB];
    struct slice piece = slice_of(block, sizeof(block));
    int rc = 0;

    memset(block, 'b', sizeof(block));
    put(c->fd, CLIENT_GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    for (int i = 0; i < 400; i++) /* 25 MiB */
        rc = wire_body(c->ear.w, &piece, 1, false);
    assert_int_equal(rc, WIRE_FULL);
    assert_int_equal(wire_finish(c->ear.w, NULL), WIRE_FULL);
    ear_done(&c->ear);
    for (int i = 0; i < 3; i++) { /* slow, but it takes some all the time */
        uint64_t before = c->inbox.total;
        while (c->inbox.total < before + 3 * MIB) {
            client_turn(c);
            client_forget(c);
        }
        client_pass(c, 40000);
        assert_int_equal(inbound_count(c->set), 1);
    }
    client_pass(c, 61000);
    client_pass(c, 61000);
    assert_int_equal(inbound_count(c->set), 0);
}

static void test_a_client_may_leave_when_all_is_said(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 200};

    put(c->fd, CLIENT_GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, true), 0);
    shutdown(c->fd, SHUT_WR);
    client_turn(c);
    assert_int_equal(c->ear.gone, 0);
    ear_done(&c->ear);
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_int_equal(inbound_count(c->set), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(test_draining_closes_after_the_answer),
        CLIENT_TEST(test_abort_all_tells_the_owners),
        CLIENT_TEST(test_an_idle_connection_holds_no_memory),
        CLIENT_TEST(test_an_idle_connection_is_small),
        CLIENT_TEST(test_the_peer_is_described),
        CLIENT_TEST(test_a_request_that_has_arrived_is_served_though_draining),
        CLIENT_TEST(test_the_set_may_go_before_an_owner),
        CLIENT_TEST(test_an_answer_that_is_still_leaving_is_not_idle),
        CLIENT_TEST(test_a_client_may_leave_when_all_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
