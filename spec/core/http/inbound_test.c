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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
