/* SPDX-License-Identifier: Apache-2.0 */

/* Accepted connections as a set: counting, draining, cutting off, and what they cost. */

#include "http/inbound.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/tls_ctx.h"
#include "support/client.h"
#include "support/tls_peer.h"

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

/* --- PROXY headers ---------------------------------------------------------------------------- */

#define PROXY_LINE "PROXY TCP4 192.0.2.7 198.51.100.2 56324 443\r\n"

static struct {
    int n, err;
    char peer[ADDR_TEXT], asked[ADDR_TEXT];
} bad_proxy;

static void on_bad_proxy(void *owner, const struct addr *peer, int err, const char *why)
{
    (void)owner;
    assert_true(err != ERR_PROTOCOL || why != NULL);
    addr_print_ip(peer, bad_proxy.peer, sizeof(bad_proxy.peer));
    bad_proxy.n++;
    bad_proxy.err = err;
}

/* 192.0.2.7 and what has no address are trusted here. */
static bool is_trusted(void *owner, const struct addr *a)
{
    (void)owner;
    addr_print_ip(a, bad_proxy.asked, sizeof(bad_proxy.asked));
    return addr_is_unix(a) || strcmp(bad_proxy.asked, "192.0.2.7") == 0;
}

/* The next connections begin with a header; there is one that has sent nothing. */
static void begin_proxied(struct client *c)
{
    memset(&bad_proxy, 0, sizeof(bad_proxy));
    c->ws.env.is_trusted = is_trusted;
    c->ws.env.on_bad_proxy = on_bad_proxy;
    c->has_proxy_header = true;
    close(c->fd);
    TURN_UNTIL(c->ws.env.loop, inbound_count(c->set) == 0);
    client_again(c);
}

static void test_a_proxy_header_tells_who_the_peer_is(void **state)
{
    struct client *c = *state;

    for (int mode = 0; mode <= 1; mode++) {
        begin_proxied(c);
        client_deliver(c, PROXY_LINE CLIENT_GET "\r\n", mode);
        CLIENT_UNTIL(c, c->ear.heads == mode + 1);
        const struct wire_peer *peer = c->ear.w->peer;
        assert_true(slice_eq(peer->ip, SLICE("192.0.2.7")));
        assert_int_equal(addr_port(&peer->address), 56324);
        assert_int_equal(addr_port(&peer->local), 443);
        assert_int_equal(peer->listener, 3);
        assert_true(peer->is_trusted);
        ear_answer(&c->ear, 200, "x");
        CLIENT_UNTIL(c, client_got(c, "200 OK"));
        put(c->fd, CLIENT_GET "\r\n"); /* the next request has no header */
        CLIENT_UNTIL(c, c->ear.heads == mode + 2);
        assert_true(slice_eq(c->ear.w->peer->ip, SLICE("192.0.2.7")));
        ear_answer(&c->ear, 200, "y");
        c->ear.heads = mode + 1;
    }
    assert_int_equal(bad_proxy.n, 0);
}

static struct tls_server *tls_for(struct test_cert *cert)
{
    struct tls_cert *parsed;
    struct tls_fault fault;
    struct tls_server *out;
    const char *why;

    assert_int_equal(tls_cert_make(cert_text(cert), key_text(cert),
                                   (int64_t)(clock_wall_ms_now() / 1000), &parsed, &fault),
                     0);
    struct tls_server_spec spec = {
        .certs = &parsed, .ncerts = 1, .listener = SLICE("127.0.0.1:443")};
    assert_int_equal(tls_server_make(&spec, &out, &why), 0);
    tls_cert_unref(parsed);
    return out;
}

static void test_tls_follows_a_proxy_header(void **state)
{
    struct client *c = *state;
    struct test_cert cert;

    test_cert_make(&cert, &(struct test_cert_ask){.name = "a.example", .alt = "DNS:a.example"});
    c->tls = tls_for(&cert);
    begin_proxied(c);
    put(c->fd, PROXY_LINE);
    loopback_set_blocking(c->fd, false);
    struct tls_peer *peer = tls_peer_new(c->fd, false);
    c->fd = -1;
    tls_peer_step(peer); /* its ClientHello arrives together with the header */
    PEER_UNTIL(c->ws.env.loop, peer, peer->done);
    tls_peer_say(peer, CLIENT_GET "\r\n", sizeof(CLIENT_GET "\r\n") - 1);
    PEER_UNTIL(c->ws.env.loop, peer, c->ear.heads == 1);
    assert_true(c->ear.w->peer->is_tls);
    assert_true(slice_eq(c->ear.w->peer->ip, SLICE("192.0.2.7")));
    ear_answer(&c->ear, 200, "x");
    PEER_UNTIL(c->ws.env.loop, peer, strstr(peer->text, "200 OK") != NULL);
    tls_peer_free(peer);
    TURN_UNTIL(c->ws.env.loop, inbound_count(c->set) == 0);
    tls_server_unref(c->tls);
    test_cert_free(&cert);
}

static void test_trust_goes_by_the_address_in_the_header(void **state)
{
    static const struct {
        const char *line;
        const char *ip;
        bool is_trusted;
    } rows[] = {
        {"PROXY TCP4 192.0.2.8 198.51.100.2 1 2\r\n", "192.0.2.8", false},
        {"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1", false},
        {"PROXY UNKNOWN\r\n", "127.0.0.1", true}, /* the balancer speaks for itself */
    };
    struct client *c = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        begin_proxied(c);
        put(c->fd, rows[i].line);
        put(c->fd, CLIENT_GET "\r\n");
        CLIENT_UNTIL(c, c->ear.heads == (int)i + 1);
        assert_true(slice_eq(c->ear.w->peer->ip, slice_from(rows[i].ip)));
        assert_int_equal(c->ear.w->peer->is_trusted, rows[i].is_trusted);
        ear_answer(&c->ear, 200, "x");
    }
}

static void test_a_client_on_a_unix_socket_is_not_trusted_by_a_header(void **state)
{
    static const char head[16] = "\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8";
    struct client *c = *state;
    char bytes[16 + 216] = {0};

    begin_proxied(c);
    memcpy(bytes, head, sizeof(head));
    memcpy(bytes + 16, "/run/a\r\nb", 10);
    assert_int_equal(send(c->fd, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
    put(c->fd, CLIENT_GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    assert_true(slice_eq(c->ear.w->peer->ip, SLICE("unix:")));
    assert_false(c->ear.w->peer->is_trusted);
}

static void test_what_is_no_proxy_header_is_closed(void **state)
{
    static const char *const texts[] = {
        CLIENT_GET "\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.2 56324 99999\r\n" CLIENT_GET "\r\n",
        "PROXY UNKNOWN " /* without an end */
        "01234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789",
    };
    struct client *c = *state;

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        begin_proxied(c);
        put(c->fd, texts[i]);
        CLIENT_UNTIL(c, c->inbox.eof || c->inbox.reset);
        assert_int_equal(bad_proxy.n, 1);
        assert_int_equal(bad_proxy.err, ERR_PROTOCOL);
        assert_string_equal(bad_proxy.peer, "127.0.0.1");
        assert_int_equal(c->inbox.len, 0);
        assert_int_equal(inbound_count(c->set), 0);
        assert_int_equal(atomic_load(&c->quota.open), 0);
    }
    assert_int_equal(c->ear.heads, 0);
}

static void test_a_proxy_header_has_to_come_in_time(void **state)
{
    struct client *c = *state;

    begin_proxied(c);
    put(c->fd, "PROXY TCP4 ");
    client_turn(c);
    client_pass(c, c->ws.limits.header_timeout_ms / 2);
    assert_int_equal(inbound_count(c->set), 1);
    client_pass(c, c->ws.limits.header_timeout_ms);
    assert_int_equal(inbound_count(c->set), 0);
    assert_int_equal(bad_proxy.err, ERR_TIMEOUT);
}

static void test_a_balancer_may_look_whether_anybody_is_here(void **state)
{
    struct client *c = *state;

    begin_proxied(c);
    shutdown(c->fd, SHUT_WR);
    TURN_UNTIL(c->ws.env.loop, inbound_count(c->set) == 0);
    assert_int_equal(bad_proxy.n, 0);
}

static void test_draining_closes_who_has_sent_no_header(void **state)
{
    struct client *c = *state;

    begin_proxied(c);
    int silent = c->fd;
    client_again(c);
    put(c->fd, PROXY_LINE CLIENT_GET "\r\n");
    c->ws.env.draining = true;
    inbound_drain(c->set);
    assert_int_equal(inbound_count(c->set), 1);
    CLIENT_UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 200, "last");
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_true(client_got(c, "Connection: close") && client_got(c, "last"));
    assert_int_equal(inbound_count(c->set), 0);
    close(silent);
}

static void test_abort_all_closes_who_has_half_a_header(void **state)
{
    struct client *c = *state;

    begin_proxied(c);
    put(c->fd, "PROXY TCP4 ");
    client_turn(c);
    inbound_abort_all(c->set);
    assert_int_equal(inbound_count(c->set), 0);
    assert_int_equal(bad_proxy.n, 0);
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
        CLIENT_TEST(test_a_proxy_header_tells_who_the_peer_is),
        CLIENT_TEST(test_tls_follows_a_proxy_header),
        CLIENT_TEST(test_trust_goes_by_the_address_in_the_header),
        CLIENT_TEST(test_a_client_on_a_unix_socket_is_not_trusted_by_a_header),
        CLIENT_TEST(test_what_is_no_proxy_header_is_closed),
        CLIENT_TEST(test_a_proxy_header_has_to_come_in_time),
        CLIENT_TEST(test_a_balancer_may_look_whether_anybody_is_here),
        CLIENT_TEST(test_draining_closes_who_has_sent_no_header),
        CLIENT_TEST(test_abort_all_closes_who_has_half_a_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
