/* SPDX-License-Identifier: Apache-2.0 */

/* The server's end over real sockets: the test is the client, and reads and writes bytes. */

#include "support/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

#define HOST CLIENT_HOST
#define GET CLIENT_GET
#define POST CLIENT_POST

/* --- requests --------------------------------------------------------------------------------- */

static void test_a_request_is_heard_and_answered(void **state)
{
    struct client *c = *state;

    put(c->fd,
        "GET /a/b?x=1 HTTP/1.1\r\nHost: a.example:81\r\nX-Mine:  one \r\nAccept: */*\r\n\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    assert_int_equal(c->ear.m->method, METHOD_GET);
    assert_true(slice_eq(c->ear.m->path, SLICE("/a/b")));
    assert_true(slice_eq(c->ear.m->query, SLICE("x=1")));
    assert_true(slice_eq(c->ear.m->scheme, SLICE("http")));
    assert_true(slice_eq(c->ear.m->authority, SLICE("a.example:81")));
    assert_true(slice_eq(ear_header(&c->ear, "x-mine"), SLICE("one")));
    assert_true(c->ear.ended);
    assert_true(c->ear.w->peer->is_trusted);
    assert_int_equal(c->ear.w->peer->listener, 3);
    assert_true(slice_eq(c->ear.w->peer->ip, SLICE("127.0.0.1")));
    ear_answer(&c->ear, 200, "hello");
    CLIENT_UNTIL(c, client_got(c, "hello"));
    assert_string_equal(c->inbox.text,
                        "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello");
}

static void answer_path(struct ear *e)
{
    char body[64];

    snprintf(body, sizeof(body), "<%.*s>", SLICE_ARG(e->m->path));
    ear_answer(e, 200, body);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    struct client *c = *state;
    char text[64];

    c->ear.on_end = answer_path;
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof(text), "GET /%d HTTP/1.1\r\n" HOST "\r\n", i);
        put(c->fd, text);
    }
    CLIENT_UNTIL(c, client_got(c, "</199>"));
    assert_int_equal(c->ear.heads, 200);
    const char *at = c->inbox.text;
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof(text), "</%d>", i);
        at = strstr(at, text);
        assert_non_null(at);
    }
}

static void test_a_pipelined_request_waits_for_the_one_before(void **state)
{
    struct client *c = *state;

    put(c->fd, "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n");
    client_turn(c);
    assert_int_equal(c->ear.heads, 1);
    answer_path(&c->ear);
    CLIENT_UNTIL(c, c->ear.heads == 2);
    answer_path(&c->ear);
    CLIENT_UNTIL(c, client_got(c, "</2>"));
}

static void test_reading_pauses_when_too_much_is_pipelined(void **state)
{
    struct client *c = *state;
    char line[1024];
    size_t sent = 0;
    ssize_t n;

    memset(line, 'a', sizeof(line));
    put(c->fd, "GET /1 HTTP/1.1\r\n" HOST "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    while (sent < 64 * MIB && (n = send(c->fd, line, sizeof(line), MSG_DONTWAIT)) > 0) {
        sent += (size_t)n;
        loop_turn(c->ws.env.loop, 0);
    }
    assert_true(sent < 64 * MIB);
    assert_true(c->ws.recv_blocks.nused <= 2);
}

static const struct {
    const char *bytes, *body, *trailer;
} bodies[] = {
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", "hello", ""},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "", ""},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length:  007 \r\n\r\n1234567", "1234567", ""},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
     "hello", ""},
    {"POST / HTTP/1.1\r\n" HOST
     "transfer-encoding: Chunked\r\n\r\n05\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
     "hello world", ""},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ""},
    {"POST / HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\n\r\nA;x=y;z=\"a;\\\"b\" ; q\r\n0123456789\r\n0;last\r\n\r\n",
     "0123456789", ""},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n",
     "x", "X-Sum"},
    {"POST / HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 9\r\nHost: b\r\nX-Sum: 1\r\n\r\n",
     "x", "X-Sum"},
    {"POST / HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nAuthorization: b\r\n\r\n",
     "x", ""},
    {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "", ""},
    {"GET http://a.example/ HTTP/1.1\r\n" HOST "\r\n", "", ""},
    {"GET http://A.example HTTP/1.1\r\n" HOST "\r\n", "", ""},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "", ""},
    {"GET / HTTP/1.0\r\n\r\n", "", ""},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\nX: \xe4\xf6\r\nEmpty:\r\n\r\n", "", ""},
};

static void answer_large(struct ear *e)
{
    static char body[64 * KIB];

    memset(body, 'b', sizeof(body) - 1);
    ear_answer(e, 200, body);
}

static void test_a_client_that_only_asks_is_not_answered_for_ever(void **state)
{
    struct client *c = *state;
    int asked = 0;

    c->ear.on_end = answer_large;
    while (asked < 4000 && send(c->fd, GET "\r\n", strlen(GET "\r\n"), MSG_DONTWAIT) > 0) {
        asked++;
        loop_turn(c->ws.env.loop, 0);
    }
    assert_true(c->ear.heads < 300); /* what the kernel and one stream's queue take */
    assert_true(asked > 600);
    while (c->ear.heads < 600) { /* but it is, as it takes them */
        client_turn(c);
        client_forget(c);
    }
}

static void test_bodies_are_heard_however_they_are_cut(void **state)
{
    struct client *c = *state;

    c->ear.grant = 1000;
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        for (int mode = 0; mode < 4; mode++) {
            int heads = c->ear.heads;
            client_deliver(c, bodies[i].bytes, mode);
            CLIENT_UNTIL(c, c->ear.heads == heads + 1 && c->ear.ended);
            assert_string_equal(c->ear.body, bodies[i].body);
            assert_string_equal(c->ear.trailer, bodies[i].trailer);
            assert_true(headers_find(&c->ear.m->headers, HEADER_TRANSFER_ENCODING) == NULL);
            bool old = c->ear.m->version == HTTP_10;
            ear_answer(&c->ear, 200, "ok");
            if (old) {
                CLIENT_UNTIL(c, c->inbox.eof);
                close(c->fd);
                client_again(c);
            }
        }
    }
    assert_int_equal(c->ws.bad_heads, 0);
}

static const char *const bad_bodies[] = {
    "\r\n",
    "x\r\n",
    "5 5\r\nhello\r\n",
    "5 \r\nhello\r\n",
    " 5\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "+5\r\nhello\r\n",
    "-5\r\nhello\r\n",
    "5\nhello\r\n",
    "5\r\nhelloX\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r\r\n",
    "5\rXhello\r\n",
    "fffffffffffffffff\r\n",
    "5;\x01\r\nhello\r\n",
    "5;a=\"\r\nhello\r\n",
    "5\r\nhello\r\n0\r\n\n",
    "0\r\n\rX",
    "0\r\nX: y\n\r\n",
    "0\r\nX : y\r\n\r\n",
    "0\r\nX\r\n\r\n",
    "0\r\n: y\r\n\r\n",
    "0\r\nX: a\r\n b\r\n\r\n",
    "0\r\nX: a\x01\r\n\r\n",
    "0\r\nX: a\rb\r\n\r\n",
};

static void test_bad_chunks_break_the_request_off(void **state)
{
    struct client *c = *state;

    c->ear.grant = 1000;
    for (size_t i = 0; i < COUNT_OF(bad_bodies); i++) {
        for (int mode = 0; mode < 3; mode++) {
            int heads = c->ear.heads;
            client_deliver(c, POST "Transfer-Encoding: chunked\r\n\r\n", 0);
            client_deliver(c, bad_bodies[i], mode);
            CLIENT_UNTIL(c, c->ear.heads > heads && (c->ear.gone != 0 || c->ear.ended));
            if (c->ear.gone != ERR_BAD_REQUEST)
                fail_msg("%zu (%s)", i, bad_bodies[i]);
            /* It can still be told so, and nothing more is read. */
            ear_answer(&c->ear, 400, "bad");
            CLIENT_UNTIL(c, c->inbox.eof || c->inbox.reset);
            assert_true(client_got(c, "HTTP/1.1 400 ") && client_got(c, "Connection: close"));
            close(c->fd);
            client_again(c);
        }
    }
}

static void test_who_sent_bad_chunks_may_leave_before_the_answer(void **state)
{
    struct client *c = *state;

    c->ear.grant = 1000;
    put(c->fd, POST "Transfer-Encoding: chunked\r\n\r\nno chunk");
    CLIENT_UNTIL(c, c->ear.gone == ERR_BAD_REQUEST);
    c->ear.gone = 0; /* the answer takes its time */
    close(c->fd);
    c->fd = -1;
    TURN_UNTIL(c->ws.env.loop, c->ear.gone == ERR_CLOSED);
    ear_done(&c->ear);
    assert_int_equal(inbound_count(c->set), 0);
}

/* --- interim answers, and the rest of a request ----------------------------------------------- */

static void test_old_clients_hear_nothing_interim(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 103};

    put(c->fd, "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    assert_false(c->ear.m->expects_continue);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    ear_answer(&c->ear, 403, "no");
    CLIENT_UNTIL(c, client_got(c, "no"));
    assert_memory_equal(c->inbox.text, "HTTP/1.1 403 ", 13);
}

static void test_nothing_to_continue(void **state)
{
    struct client *c = *state;

    put(c->fd, GET "Expect: 100-continue\r\n\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    assert_false(c->ear.m->expects_continue);
}

static void test_continue_is_the_owners_word(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 100};

    put(c->fd, POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    assert_true(c->ear.m->expects_continue);
    client_turn(c);
    assert_int_equal(c->inbox.len, 0);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    CLIENT_UNTIL(c, client_got(c, "\r\n\r\n"));
    assert_string_equal(c->inbox.text, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_grant(c->ear.w, 100);
    put(c->fd, "hello");
    CLIENT_UNTIL(c, c->ear.ended);
    ear_answer(&c->ear, 200, "ok");
    CLIENT_UNTIL(c, client_got(c, "ok"));
    assert_false(client_got(c, "Connection: close"));
}

static void test_an_answer_instead_of_continue_closes(void **state)
{
    struct client *c = *state;

    put(c->fd, POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 403, "no");
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_true(client_got(c, "Connection: close\r\n"));
}

static void test_a_small_rest_of_a_request_is_dropped(void **state)
{
    struct client *c = *state;

    put(c->fd, POST "Content-Length: 5\r\n\r\nhe");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 403, "no");
    put(c->fd, "lloGET /next HTTP/1.1\r\n" HOST "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 2);
    assert_true(slice_eq(c->ear.m->path, SLICE("/next")));
    assert_false(client_got(c, "Connection: close"));
}

static void test_a_rest_that_does_not_come_closes(void **state)
{
    struct client *c = *state;

    put(c->fd, POST "Content-Length: 5\r\n\r\nhe");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    wire_grant(c->ear.w, 100);
    CLIENT_UNTIL(c, c->ear.len == 2);
    clock_advance_ms(31000); /* its owner has gone when the body's time is over */
    clock_refresh();
    ear_answer(&c->ear, 403, "no");
    client_turn(c);
    assert_int_equal(c->ear.gone, 0);
    client_pass(c, 31000);
    CLIENT_UNTIL(c, c->inbox.eof);
}

static void test_a_chunked_rest_that_is_here_is_dropped(void **state)
{
    struct client *c = *state;

    put(c->fd, POST "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n" GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 403, "no");
    CLIENT_UNTIL(c, c->ear.heads == 2);
    assert_false(client_got(c, "Connection: close"));
}

static void test_a_large_rest_closes_gently(void **state)
{
    struct client *c = *state;
    static char rest[100000];

    put(c->fd, POST "Content-Length: 100000\r\n\r\nhe");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 413, "too much");
    memset(rest, 'a', sizeof(rest));
    send(c->fd, rest, sizeof(rest), MSG_DONTWAIT | MSG_NOSIGNAL);
    CLIENT_UNTIL(c, c->inbox.eof || c->inbox.reset);
    assert_false(c->inbox.reset);
    assert_true(client_got(c, "too much") && client_got(c, "Connection: close"));
}

/* --- ends ------------------------------------------------------------------------------------- */

static void test_a_client_that_leaves_cancels_its_request(void **state)
{
    struct client *c = *state;

    put(c->fd, GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    close(c->fd);
    c->fd = -1;
    TURN_UNTIL(c->ws.env.loop, c->ear.gone != 0);
    assert_int_equal(c->ear.gone, ERR_CLOSED);
    struct message m = {.status = 200};
    headers_init(&m.headers, c->ear.arena, 0);
    assert_true(wire_head(c->ear.w, &m, true) < 0);
    ear_done(&c->ear);
    assert_int_equal(inbound_count(c->set), 0);
}

static void test_a_client_that_leaves_behind_bytes_that_nobody_reads(void **state)
{
    struct client *c = *state;
    static char rest[40 * KIB];

    put(c->fd, POST "Content-Length: 100000\r\n\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    memset(rest, 'a', sizeof(rest));
    assert_int_equal(send(c->fd, rest, sizeof(rest), MSG_DONTWAIT), sizeof(rest));
    for (int i = 0; i < 5; i++) /* a client that is still there */
        client_pass(c, 1100);
    assert_int_equal(c->ear.gone, 0);
    close(c->fd);
    c->fd = -1;
    for (int i = 0; i < 1000 && c->ear.gone == 0; i++)
        client_pass(c, 1100);
    assert_int_equal(c->ear.gone, ERR_CLOSED);
    ear_done(&c->ear);
    assert_int_equal(inbound_count(c->set), 0);
}

static void test_a_body_cut_short_is_gone(void **state)
{
    struct client *c = *state;

    c->ear.grant = 100;
    put(c->fd, POST "Content-Length: 5\r\n\r\nhe");
    CLIENT_UNTIL(c, c->ear.len == 2);
    shutdown(c->fd, SHUT_WR);
    CLIENT_UNTIL(c, c->ear.gone != 0);
    assert_int_equal(c->ear.gone, ERR_CLOSED);
    assert_false(c->ear.ended);
}

static void test_abort_shows_that_the_answer_is_not_whole(void **state)
{
    struct client *c = *state;
    struct slice piece = SLICE("hello");
    struct message m = {.status = 200, .body = BODY_UNKNOWN};

    for (int i = 0; i < 4; i++) {
        bool old = i % 2, at_once = i >= 2;
        int heads = c->ear.heads;
        put(c->fd, old ? "GET / HTTP/1.0\r\n\r\n" : GET "\r\n");
        CLIENT_UNTIL(c, c->ear.heads == heads + 1);
        headers_init(&m.headers, c->ear.arena, 0);
        assert_int_equal(wire_head(c->ear.w, &m, false), 0);
        assert_int_equal(wire_body(c->ear.w, &piece, 1, false), 0);
        if (!at_once)
            CLIENT_UNTIL(c, client_got(c, "hello"));
        wire_abort(c->ear.w, ERR_RESET);
        c->ear.w = NULL;
        ear_done(&c->ear);
        CLIENT_UNTIL(c, c->inbox.eof || c->inbox.reset);
        assert_true(client_got(c, "hello") || (at_once && old));
        assert_int_equal(c->inbox.reset, old); /* its end would be the end of the message */
        assert_null(strstr(c->inbox.text, "\r\n0\r\n"));
        close(c->fd);
        client_again(c);
    }
}

static void test_credit_is_all_that_is_delivered(void **state)
{
    struct client *c = *state;
    static char body[40000];

    memset(body, 'b', sizeof(body) - 1);
    put(c->fd, POST "Content-Length: 39999\r\n\r\n");
    put(c->fd, body);
    CLIENT_UNTIL(c, c->ear.heads == 1);
    client_turn(c);
    assert_int_equal(c->ear.len, 0);
    wire_grant(c->ear.w, 10);
    assert_int_equal(c->ear.len, 0); /* never from inside grant */
    CLIENT_UNTIL(c, c->ear.len == 10);
    client_turn(c);
    assert_int_equal(c->ear.len, 10);
    wire_grant(c->ear.w, 30000);
    CLIENT_UNTIL(c, c->ear.len == 30010);
    wire_grant(c->ear.w, 9989);
    CLIENT_UNTIL(c, c->ear.ended);
    assert_int_equal(c->ear.len, 39999);
}

/* --- time ------------------------------------------------------------------------------------- */

static void test_an_idle_connection_is_closed_silently(void **state)
{
    struct client *c = *state;

    client_pass(c, 59000);
    client_turn(c);
    assert_false(c->inbox.eof);
    client_pass(c, 2000);
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_int_equal(c->inbox.len, 0);
    assert_int_equal(inbound_count(c->set), 0);
}

static void test_a_slow_head_is_408(void **state)
{
    struct client *c = *state;

    put(c->fd, "GET / HTTP/1.1\r\nHost:");
    client_turn(c);
    client_pass(c, 6000);
    put(c->fd, " a");
    client_turn(c);
    client_pass(c, 5000); /* from the first byte on */
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_true(client_got(c, "HTTP/1.1 408 "));
}

static void test_empty_lines_do_not_begin_the_time_anew(void **state)
{
    struct client *c = *state;

    for (int i = 0; i < 11 && !c->inbox.eof; i++) {
        put(c->fd, i % 2 ? "\n" : "\r");
        client_turn(c);
        client_pass(c, 6000);
    }
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_int_equal(c->inbox.len, 0);
}

static void test_a_slow_body_is_408(void **state)
{
    struct client *c = *state;

    put(c->fd, POST "Content-Length: 5\r\n\r\nhe");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    client_pass(c, 100000); /* nobody has asked for it */
    assert_int_equal(c->ear.gone, 0);
    c->ear.w->body_ms = 5000;
    wire_grant(c->ear.w, 100);
    client_turn(c);
    client_pass(c, 4000);
    put(c->fd, "l");
    CLIENT_UNTIL(c, c->ear.len == 3);
    client_pass(c, 4000);
    assert_int_equal(c->ear.gone, 0);
    client_pass(c, 2000);
    assert_int_equal(c->ear.gone, ERR_REQUEST_TIMEOUT);
    ear_answer(&c->ear, 408, "slow");
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_true(client_got(c, "slow"));
}

static void test_a_client_that_takes_nothing_is_given_up(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 200, .body = BODY_UNKNOWN};
    static char block[64 * KIB];
    struct slice piece = slice_of(block, sizeof(block));
    int rc = 0, i;

    put(c->fd, GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    c->ear.w->body_ms = 1; /* of the request's body, and of nothing else */
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    for (i = 0; i < 1000 && rc == 0; i++)
        rc = wire_body(c->ear.w, &piece, 1, false);
    assert_int_equal(rc, WIRE_FULL);
    loop_turn(c->ws.env.loop, 0);
    client_pass(c, 50000);
    assert_int_equal(c->ear.gone, 0);
    assert_int_equal(wire_body(c->ear.w, &piece, 1, false), WIRE_FULL); /* buys no time */
    client_pass(c, 11000);
    client_pass(c, 61000);
    assert_int_equal(c->ear.gone, ERR_TIMEOUT);
}

static void test_room_is_told_after_full(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 200, .body = BODY_UNKNOWN};
    static char block[64 * KIB];
    struct slice piece = slice_of(block, sizeof(block));
    int rc = 0;

    put(c->fd, GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    for (int i = 0; i < 1000 && rc == 0; i++)
        rc = wire_body(c->ear.w, &piece, 1, false);
    assert_int_equal(rc, WIRE_FULL);
    assert_int_equal(c->ear.rooms, 0);
    TURN_UNTIL(c->ws.env.loop, (inbox_read(&c->inbox, c->fd), c->inbox.len = 0, c->ear.rooms == 1));
}

/* --- tunnels ------------ --------------------------------------------------------------------- */

static void test_a_websocket_becomes_a_tunnel(void **state)
{
    struct client *c = *state;
    struct slice piece = SLICE("from server");
    struct message m = {.status = 101, .body = BODY_TUNNEL};

    put(c->fd, GET
        "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: a\r\n\r\nearly");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    assert_true(c->ear.m->wants_websocket);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    c->ear.ended = false;
    wire_grant(c->ear.w, 3);
    CLIENT_UNTIL(c, c->ear.len == 3 && client_got(c, "Upgrade: websocket\r\n"));
    assert_true(client_got(
        c,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
    wire_grant(c->ear.w, 100);
    put(c->fd, " late");
    CLIENT_UNTIL(c, c->ear.len == 10);
    assert_string_equal(c->ear.body, "early late");
    shutdown(c->fd, SHUT_WR);
    CLIENT_UNTIL(c, c->ear.ended);
    assert_int_equal(wire_body(c->ear.w, &piece, 1, true), 0);
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_true(client_got(c, "from server"));
}

static void test_a_silent_tunnel_is_given_up(void **state)
{
    struct client *c = *state;
    struct slice piece = SLICE("x");
    struct message m = {.status = 101, .body = BODY_TUNNEL};

    put(c->fd, GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    client_turn(c);
    client_pass(c, 50000);
    assert_int_equal(wire_body(c->ear.w, &piece, 1, false), 0);
    client_pass(c, 50000);
    assert_int_equal(c->ear.gone, 0);
    client_pass(c, 11000);
    assert_int_equal(c->ear.gone, ERR_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(test_a_request_is_heard_and_answered),
        CLIENT_TEST(test_pipelined_requests_are_answered_in_order),
        CLIENT_TEST(test_a_pipelined_request_waits_for_the_one_before),
        CLIENT_TEST(test_reading_pauses_when_too_much_is_pipelined),
        CLIENT_TEST(test_a_client_that_only_asks_is_not_answered_for_ever),
        CLIENT_TEST(test_bodies_are_heard_however_they_are_cut),
        CLIENT_TEST(test_bad_chunks_break_the_request_off),
        CLIENT_TEST(test_who_sent_bad_chunks_may_leave_before_the_answer),
        CLIENT_TEST(test_old_clients_hear_nothing_interim),
        CLIENT_TEST(test_nothing_to_continue),
        CLIENT_TEST(test_continue_is_the_owners_word),
        CLIENT_TEST(test_an_answer_instead_of_continue_closes),
        CLIENT_TEST(test_a_small_rest_of_a_request_is_dropped),
        CLIENT_TEST(test_a_rest_that_does_not_come_closes),
        CLIENT_TEST(test_a_chunked_rest_that_is_here_is_dropped),
        CLIENT_TEST(test_a_large_rest_closes_gently),
        CLIENT_TEST(test_a_client_that_leaves_cancels_its_request),
        CLIENT_TEST(test_a_client_that_leaves_behind_bytes_that_nobody_reads),
        CLIENT_TEST(test_a_body_cut_short_is_gone),
        CLIENT_TEST(test_abort_shows_that_the_answer_is_not_whole),
        CLIENT_TEST(test_credit_is_all_that_is_delivered),
        CLIENT_TEST(test_an_idle_connection_is_closed_silently),
        CLIENT_TEST(test_a_slow_head_is_408),
        CLIENT_TEST(test_empty_lines_do_not_begin_the_time_anew),
        CLIENT_TEST(test_a_slow_body_is_408),
        CLIENT_TEST(test_a_client_that_takes_nothing_is_given_up),
        CLIENT_TEST(test_room_is_told_after_full),
        CLIENT_TEST(test_a_websocket_becomes_a_tunnel),
        CLIENT_TEST(test_a_silent_tunnel_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
