/* SPDX-License-Identifier: Apache-2.0 */

/* The client's end over real sockets: the test is the upstream, and reads and writes bytes. */

#include "support/upstream.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

/* --- requests --------------------------------------------------------------------------------- */

static void test_a_request_is_written(void **state)
{
    struct upstream *u = *state;

    upstream_open(u);
    assert_true(u->ear.w->unsent && u->ear.w->untouched && !u->ear.w->reused);
    struct message m = upstream_request(u, METHOD_GET);
    headers_add(&m.headers, SLICE("Host"), SLICE("client.example"));
    headers_add(&m.headers, SLICE("X-One"), SLICE("1"));
    headers_add(&m.headers, SLICE("Transfer-Encoding"), SLICE("gzip"));
    headers_add(&m.headers, SLICE("Content-Length"), SLICE("99"));
    headers_add(&m.headers, SLICE("Connection"), SLICE("x"));
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    assert_true(u->ear.w->unsent); /* it leaves at the end of the turn */
    loop_turn(u->ws.env.loop, 0);
    assert_false(u->ear.w->unsent);
    UPSTREAM_UNTIL(u, upstream_got(u, "\r\n\r\n"));
    assert_string_equal(u->inbox.text,
                        "GET /p?q=1 HTTP/1.1\r\nHost: up.example\r\nX-One: 1\r\n\r\n");
}

static void test_bodies_are_framed(void **state)
{
    struct upstream *u = *state;
    struct slice piece = SLICE("hello");

    upstream_open(u);
    struct message m = upstream_request(u, METHOD_POST);
    m.body = BODY_LENGTH;
    m.content_length = 5;
    m.te_trailers = true;
    assert_int_equal(wire_head(u->ear.w, &m, false), 0);
    assert_int_equal(wire_body(u->ear.w, &piece, 1, true), 0);
    UPSTREAM_UNTIL(u, upstream_got(u, "hello"));
    assert_string_equal(u->inbox.text,
                        "POST /p?q=1 HTTP/1.1\r\nHost: up.example\r\nContent-Length: 5\r\n"
                        "TE: trailers\r\nConnection: TE\r\n\r\nhello");

    upstream_again(u);
    upstream_open(u);
    m = upstream_request(u, METHOD_PUT);
    m.body = BODY_UNKNOWN;
    m.expects_continue = true;
    assert_int_equal(wire_head(u->ear.w, &m, false), 0);
    assert_true(u->ear.w->unsent); /* held back for the first bytes */
    loop_turn(u->ws.env.loop, 0);
    assert_false(u->ear.w->unsent);
    assert_int_equal(wire_body(u->ear.w, &piece, 1, false), 0);
    assert_int_equal(wire_finish(u->ear.w, NULL), 0);
    UPSTREAM_UNTIL(u, upstream_got(u, "0\r\n\r\n"));
    assert_string_equal(u->inbox.text,
                        "PUT /p?q=1 HTTP/1.1\r\nHost: up.example\r\nTransfer-Encoding: chunked\r\n"
                        "Expect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n");

    upstream_again(u);
    upstream_ask(u, METHOD_POST);
    assert_true(upstream_got(u, "\r\nContent-Length: 0\r\n"));
}

static void test_a_blank_never_splits_a_target(void **state)
{
    struct upstream *u = *state;

    upstream_open(u);
    struct message m = upstream_request(u, METHOD_GET);
    m.path = SLICE("/a HTTP/1.1");
    assert_int_equal(wire_head(u->ear.w, &m, true), ERR_ARG);
    m.path = SLICE("/a\r\nX:b");
    assert_int_equal(wire_head(u->ear.w, &m, true), ERR_ARG);
    assert_true(u->ear.w->unsent);
}

/* --- responses -------------------------------------------------------------------------------- */

static const struct {
    enum method method;
    int status;
    const char *bytes, *body, *trailer;
    bool lives; /* the connection, afterwards */
} good[] = {
    {METHOD_GET, 200, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", "", true},
    {METHOD_GET, 200, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "", "", true},
    {METHOD_GET, 200, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "", "", true},
    {METHOD_GET, 200,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
     "hello", "X-Sum", true},
    {METHOD_GET, 200, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
     "hello", "", false},
    {METHOD_GET, 200, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", "", false},
    {METHOD_GET, 200, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\nhello",
     "hello", "", true},
    {METHOD_GET, 204, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "", "", true},
    {METHOD_GET, 304, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", "", true},
    {METHOD_HEAD, 200, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", "", true},
    {METHOD_HEAD, 200, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", "", true},
    {METHOD_HEAD, 200, "HTTP/1.1 200 OK\r\n\r\n", "", "", true},
    {METHOD_GET, 200, "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx", "x", "",
     true},
    {METHOD_GET, 200,
     "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
     "Content-Length: 1\r\n\r\nx",
     "x", "", true},
};

static void test_responses_are_heard_however_they_are_cut(void **state)
{
    struct upstream *u = *state;

    u->ear.grant = 1000;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        for (int mode = 0; mode < 3; mode++) {
            upstream_ask(u, good[i].method);
            upstream_deliver(u, good[i].bytes, mode);
            UPSTREAM_UNTIL(u, u->ear.ended);
            assert_int_equal(u->ear.m->status, good[i].status);
            assert_string_equal(u->ear.body, good[i].body);
            assert_string_equal(u->ear.trailer, good[i].trailer);
            assert_false(u->ear.w->untouched);
            ear_done(&u->ear);
            if ((u->o != NULL) != good[i].lives)
                fail_msg("%zu mode %d", i, mode);
            if (u->o == NULL)
                upstream_again(u);
        }
    }
    assert_int_equal(u->ear.interims, 2);
}

static void test_a_response_may_end_with_its_connection(void **state)
{
    struct upstream *u = *state;

    u->ear.grant = 1000;
    upstream_ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\n\r\nhello");
    UPSTREAM_UNTIL(u, u->ear.len == 5);
    assert_false(u->ear.ended);
    shutdown(u->fd, SHUT_WR);
    UPSTREAM_UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_int_equal(u->closes, 1);
}

static void test_a_close_waits_for_credit(void **state)
{
    struct upstream *u = *state;

    upstream_ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\n\r\nhello");
    close(u->fd);
    u->fd = open("/dev/null", 0);
    TURN_UNTIL(u->ws.env.loop, u->ear.heads == 1);
    for (int i = 0; i < 5; i++)
        loop_turn(u->ws.env.loop, 0);
    assert_int_equal(u->ear.gone, 0);
    wire_grant(u->ear.w, 2);
    TURN_UNTIL(u->ws.env.loop, u->ear.len == 2);
    assert_false(u->ear.ended);
    wire_grant(u->ear.w, 3);
    TURN_UNTIL(u->ws.env.loop, u->ear.ended);
    assert_string_equal(u->ear.body, "hello");
}

static const char *const garbage[] = {
    "hello\r\n\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "<html>",
    "HTTP/0.9 200 OK\r\n\r\n",
    "HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 099 OK\r\n\r\n",
    "HTTP/1.1 600 OK\r\n\r\n",
    "HTTP/1.1 2x0 OK\r\n\r\n",
    "HTTP/1.1 200 O\x01K\r\n\r\n",
    "http/1.1 200 OK\r\n\r\n",
    " HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
    "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
    "HTTP/1.1 200 OK\r\n X: a\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
    "HTTP/1.1 200 OK\r\n: a\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: a\x01\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: a\rY: b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
};

static void test_what_is_no_response_is_refused(void **state)
{
    struct upstream *u = *state;

    u->ear.grant = 1000;
    for (size_t i = 0; i < COUNT_OF(garbage); i++) {
        for (int mode = 0; mode < 3; mode++) {
            upstream_ask(u, METHOD_GET);
            upstream_deliver(u, garbage[i], mode);
            if (strstr(garbage[i], "\n") == NULL)
                upstream_deliver(u, "\r\n", 0);
            UPSTREAM_UNTIL(u, u->ear.gone != 0 || u->ear.ended);
            if (u->ear.gone != ERR_PROTOCOL)
                fail_msg("%zu (%s): %d", i, garbage[i], u->ear.gone);
            int closes = u->closes;
            ear_done(&u->ear);
            assert_int_equal(u->closes, closes + 1);
            upstream_again(u);
        }
    }
}

static void test_a_large_head_is_refused(void **state)
{
    struct upstream *u = *state;
    static char bytes[80 * KIB];

    for (int many = 0; many < 2; many++) {
        char *p = bytes + sprintf(bytes, "HTTP/1.1 200 OK\r\nX: ");
        if (many) {
            p += sprintf(p, "a\r\n");
            for (int i = 0; i < 256; i++)
                p += sprintf(p, "X: a\r\n");
        } else {
            memset(p, 'a', 66 * KIB);
            p += 66 * KIB;
        }
        sprintf(p, "\r\n\r\n");
        upstream_ask(u, METHOD_GET);
        put(u->fd, bytes);
        UPSTREAM_UNTIL(u, u->ear.gone != 0);
        assert_int_equal(u->ear.gone, ERR_PROTOCOL);
        upstream_again(u);
    }
}

static void test_bytes_behind_a_response_end_the_connection(void **state)
{
    struct upstream *u = *state;

    upstream_ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    UPSTREAM_UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_int_equal(u->idles, 0);
    assert_int_equal(u->closes, 1);

    upstream_connect(u);
    upstream_ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    UPSTREAM_UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_int_equal(u->idles, 1);
    put(u->fd, "x");
    UPSTREAM_UNTIL(u, u->closes == 2);
}

static void test_a_response_before_a_request_is_refused(void **state)
{
    struct upstream *u = *state;

    upstream_open(u);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    UPSTREAM_UNTIL(u, u->ear.gone != 0);
    assert_int_equal(u->ear.gone, ERR_PROTOCOL);
    assert_true(u->ear.w->unsent && u->ear.w->untouched);
}

/* --- endings ---------------------------------------------------------------------------------- */

static void test_a_stale_connection_leaves_the_response_untouched(void **state)
{
    struct upstream *u = *state;

    /* The upstream closes while the request is under way. */
    upstream_ask(u, METHOD_GET);
    shutdown(u->fd, SHUT_WR);
    UPSTREAM_UNTIL(u, u->ear.gone != 0);
    assert_int_equal(u->ear.gone, ERR_CLOSED);
    assert_true(u->ear.w->untouched);
    assert_false(u->ear.w->unsent);

    /* It has closed already, and reset what is sent. */
    upstream_again(u);
    struct linger now = {1, 0};
    setsockopt(u->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    upstream_open(u);
    close(u->fd);
    u->fd = open("/dev/null", 0);
    struct message m = upstream_request(u, METHOD_GET);
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    TURN_UNTIL(u->ws.env.loop, u->ear.gone != 0);
    assert_true(u->ear.gone == ERR_RESET || u->ear.gone == ERR_CLOSED);
    assert_true(u->ear.w->untouched && u->ear.w->unsent);

    /* Half a head is not untouched. */
    upstream_again(u);
    upstream_ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 20");
    shutdown(u->fd, SHUT_WR);
    UPSTREAM_UNTIL(u, u->ear.gone != 0);
    assert_int_equal(u->ear.gone, ERR_CLOSED);
    assert_false(u->ear.w->untouched);
}

static void test_a_body_cut_short_is_gone(void **state)
{
    struct upstream *u = *state;
    static const char *const cut[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    };

    u->ear.grant = 100;
    for (size_t i = 0; i < COUNT_OF(cut); i++) {
        upstream_ask(u, METHOD_GET);
        put(u->fd, cut[i]);
        UPSTREAM_UNTIL(u, u->ear.len >= 2);
        shutdown(u->fd, SHUT_WR);
        UPSTREAM_UNTIL(u, u->ear.gone != 0);
        assert_int_equal(u->ear.gone, ERR_CLOSED);
        assert_false(u->ear.ended);
        upstream_again(u);
    }
}

static void test_an_early_answer_is_heard_though_sending_fails(void **state)
{
    struct upstream *u = *state;
    static char block[64 * KIB];
    struct slice piece = slice_of(block, sizeof(block));
    struct linger now = {1, 0};

    u->ear.grant = 100;
    upstream_open(u);
    struct message m = upstream_request(u, METHOD_POST);
    m.body = BODY_UNKNOWN;
    assert_int_equal(wire_head(u->ear.w, &m, false), 0);
    assert_int_equal(wire_body(u->ear.w, &piece, 1, false), 0);
    put(u->fd, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    UPSTREAM_UNTIL(u, u->ear.ended);
    setsockopt(u->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(u->fd);
    u->fd = open("/dev/null", 0);
    for (int i = 0; i < 5; i++) {
        assert_true(wire_body(u->ear.w, &piece, 1, false) >= 0);
        loop_turn(u->ws.env.loop, 0);
    }
    assert_int_equal(u->ear.m->status, 413);
    assert_string_equal(u->ear.body, "no");
    ear_done(&u->ear);
    assert_int_equal(u->closes, 1); /* the request was never complete */
}

/* Sending at the end of a turn, where nothing is read any more before the failure is told. */
struct sender {
    struct later later;
    struct upstream *u;
};

static void send_late(struct later *l)
{
    struct upstream *u = container_of(l, struct sender, later)->u;
    struct slice piece = SLICE("more");
    struct linger now = {1, 0};

    put(u->fd, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    setsockopt(u->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(u->fd);
    u->fd = open("/dev/null", 0);
    assert_int_equal(wire_body(u->ear.w, &piece, 1, false), 0);
}

static void test_an_answer_is_looked_for_when_sending_fails(void **state)
{
    struct upstream *u = *state;
    struct sender sender = {.u = u};

    u->ear.grant = 100;
    upstream_open(u);
    struct message m = upstream_request(u, METHOD_POST);
    m.body = BODY_UNKNOWN;
    assert_int_equal(wire_head(u->ear.w, &m, false), 0);
    loop_turn(u->ws.env.loop, 0);
    UPSTREAM_UNTIL(u, upstream_got(u, "\r\n\r\n"));
    later_init(&sender.later, send_late);
    loop_later(u->ws.env.loop, &sender.later);
    loop_turn(u->ws.env.loop, 0);
    TURN_UNTIL(u->ws.env.loop, u->ear.ended);
    assert_int_equal(u->ear.m->status, 413);
}

static void test_an_early_answer_ends_the_connection(void **state)
{
    struct upstream *u = *state;

    upstream_open(u);
    struct message m = upstream_request(u, METHOD_POST);
    m.body = BODY_UNKNOWN;
    assert_int_equal(wire_head(u->ear.w, &m, false), 0);
    loop_turn(u->ws.env.loop, 0);
    put(u->fd, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
    UPSTREAM_UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_int_equal(u->idles, 0);
    assert_int_equal(u->closes, 1);
}

static void test_interim_heads_are_bounded(void **state)
{
    struct upstream *u = *state;

    upstream_ask(u, METHOD_GET);
    for (int i = 0; i < 17; i++)
        put(u->fd, "HTTP/1.1 103 Early Hints\r\n\r\n");
    UPSTREAM_UNTIL(u, u->ear.gone != 0);
    assert_int_equal(u->ear.gone, ERR_PROTOCOL);
    assert_int_equal(u->ear.interims, 16);
}

static void test_release_before_the_end_cuts_off(void **state)
{
    struct upstream *u = *state;

    upstream_ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    UPSTREAM_UNTIL(u, u->ear.heads == 1);
    ear_done(&u->ear);
    assert_int_equal(u->closes, 1);
    UPSTREAM_UNTIL(u, u->inbox.eof || u->inbox.reset);
}

static void test_abort_ends_it(void **state)
{
    struct upstream *u = *state;

    upstream_ask(u, METHOD_GET);
    wire_abort(u->ear.w, ERR_CANCELLED);
    u->ear.w = NULL;
    assert_int_equal(u->closes, 1);
    UPSTREAM_UNTIL(u, u->inbox.eof);
}

static void test_what_is_aborted_at_once_is_never_sent(void **state)
{
    struct upstream *u = *state;

    upstream_open(u);
    struct message m = upstream_request(u, METHOD_POST);
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    wire_abort(u->ear.w, ERR_CANCELLED);
    u->ear.w = NULL;
    UPSTREAM_UNTIL(u, u->inbox.eof);
    assert_int_equal(u->inbox.len, 0);
}

static void abort_it(struct ear *e)
{
    wire_abort(e->w, ERR_CANCELLED);
    e->w = NULL;
}

static void test_abort_inside_an_event(void **state)
{
    struct upstream *u = *state;

    u->ear.on_head = abort_it;
    upstream_ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    UPSTREAM_UNTIL(u, u->closes == 1);
    assert_int_equal(u->ear.len, 0);
}

/* --- time ------------------------------------------------------------------------------------- */

static void test_a_head_that_does_not_come(void **state)
{
    struct upstream *u = *state;

    upstream_open(u);
    u->ear.w->head_ms = 1000;
    struct message m = upstream_request(u, METHOD_GET);
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    upstream_pass(u, 600);
    put(u->fd, "HTTP/1.1 103 Early Hints\r\n\r\n"); /* does not buy time */
    UPSTREAM_UNTIL(u, u->ear.interims == 1);
    upstream_pass(u, 300);
    assert_int_equal(u->ear.gone, 0);
    upstream_pass(u, 200);
    assert_int_equal(u->ear.gone, ERR_TIMEOUT);
}

static void test_silence_in_a_body(void **state)
{
    struct upstream *u = *state;

    upstream_ask(u, METHOD_GET);
    u->ear.w->idle_ms = 1000;
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhe");
    UPSTREAM_UNTIL(u, u->ear.heads == 1);
    upstream_pass(u, 5000); /* nobody has asked for it */
    assert_int_equal(u->ear.gone, 0);
    wire_grant(u->ear.w, 10);
    UPSTREAM_UNTIL(u, u->ear.len == 2);
    upstream_pass(u, 900);
    put(u->fd, "l");
    UPSTREAM_UNTIL(u, u->ear.len == 3);
    upstream_pass(u, 900);
    assert_int_equal(u->ear.gone, 0);
    upstream_pass(u, 200);
    assert_int_equal(u->ear.gone, ERR_TIMEOUT);
}

/* --- tunnels ---------------------------------------------------------------------------------- */

static void test_a_websocket_becomes_a_tunnel(void **state)
{
    struct upstream *u = *state;
    struct slice piece = SLICE("up");

    u->ear.grant = 100;
    upstream_open(u);
    struct message m = upstream_request(u, METHOD_GET);
    m.wants_websocket = true;
    headers_add(&m.headers, SLICE("Sec-WebSocket-Key"), SLICE("a"));
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    UPSTREAM_UNTIL(u, upstream_got(u, "\r\n\r\n"));
    assert_true(upstream_got(u, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
    put(u->fd,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\ndown");
    UPSTREAM_UNTIL(u, u->ear.len == 4);
    assert_int_equal(u->ear.m->body, BODY_TUNNEL);
    assert_true(u->ear.m->wants_websocket);
    upstream_forget(u);
    assert_int_equal(wire_body(u->ear.w, &piece, 1, false), 0);
    UPSTREAM_UNTIL(u, upstream_got(u, "up"));
    assert_int_equal(wire_finish(u->ear.w, NULL), 0);
    UPSTREAM_UNTIL(u, u->inbox.eof);
    put(u->fd, " more");
    UPSTREAM_UNTIL(u, u->ear.len == 9);
    shutdown(u->fd, SHUT_WR);
    UPSTREAM_UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_int_equal(u->closes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPSTREAM_TEST(test_a_request_is_written),
        UPSTREAM_TEST(test_bodies_are_framed),
        UPSTREAM_TEST(test_a_blank_never_splits_a_target),
        UPSTREAM_TEST(test_responses_are_heard_however_they_are_cut),
        UPSTREAM_TEST(test_a_response_may_end_with_its_connection),
        UPSTREAM_TEST(test_a_close_waits_for_credit),
        UPSTREAM_TEST(test_what_is_no_response_is_refused),
        UPSTREAM_TEST(test_a_large_head_is_refused),
        UPSTREAM_TEST(test_bytes_behind_a_response_end_the_connection),
        UPSTREAM_TEST(test_a_response_before_a_request_is_refused),
        UPSTREAM_TEST(test_a_stale_connection_leaves_the_response_untouched),
        UPSTREAM_TEST(test_a_body_cut_short_is_gone),
        UPSTREAM_TEST(test_an_early_answer_is_heard_though_sending_fails),
        UPSTREAM_TEST(test_an_answer_is_looked_for_when_sending_fails),
        UPSTREAM_TEST(test_an_early_answer_ends_the_connection),
        UPSTREAM_TEST(test_interim_heads_are_bounded),
        UPSTREAM_TEST(test_release_before_the_end_cuts_off),
        UPSTREAM_TEST(test_abort_ends_it),
        UPSTREAM_TEST(test_what_is_aborted_at_once_is_never_sent),
        UPSTREAM_TEST(test_abort_inside_an_event),
        UPSTREAM_TEST(test_a_head_that_does_not_come),
        UPSTREAM_TEST(test_silence_in_a_body),
        UPSTREAM_TEST(test_a_websocket_becomes_a_tunnel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
