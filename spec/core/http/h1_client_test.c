/* SPDX-License-Identifier: Apache-2.0 */

/* The client's end over real sockets: the test is the upstream, and reads and writes bytes. */

#include "support/wires.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "http/outbound.h"

struct upstream {
    struct wires ws;
    struct addr at;
    int listening, fd;
    struct outbound *o;
    int connects, idles, closes, err;
    struct ear ear;
    struct inbox inbox;
};

static void on_connected(void *owner, struct outbound *o, int err)
{
    struct upstream *u = owner;

    u->connects++;
    u->err = err;
    if (err != 0)
        u->o = NULL;
    else
        assert_ptr_equal(o, u->o);
}

static void on_idle(void *owner, struct outbound *o)
{
    struct upstream *u = owner;

    assert_ptr_equal(o, u->o);
    u->idles++;
}

static void on_closed(void *owner, struct outbound *o)
{
    struct upstream *u = owner;

    assert_ptr_equal(o, u->o);
    u->o = NULL;
    u->closes++;
}

static const struct outbound_events events = {
    .on_connected = on_connected,
    .on_idle = on_idle,
    .on_closed = on_closed,
};

#define UNTIL(u, cond) TURN_UNTIL((u)->ws.env.loop, (inbox_read(&(u)->inbox, (u)->fd), (cond)))

static void forget(struct upstream *u)
{
    u->inbox.len = 0;
    u->inbox.text[0] = '\0';
    u->inbox.eof = u->inbox.reset = false;
}

static bool got(struct upstream *u, const char *text)
{
    return strstr(u->inbox.text, text) != NULL;
}

static void connect_one(struct upstream *u)
{
    u->o = outbound_connect(&u->ws.env, &u->at, 1000, &events, u);
    int connects = u->connects;
    TURN_UNTIL(u->ws.env.loop, u->connects == connects + 1);
    assert_int_equal(u->err, 0);
    u->fd = accept4(u->listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(u->fd >= 0);
    forget(u);
}

/* Ends this connection however it stands, and makes a new one. */
static void connect_again(struct upstream *u)
{
    ear_done(&u->ear);
    if (u->o != NULL)
        outbound_close(u->o);
    close(u->fd);
    connect_one(u);
}

static int setup(void **state)
{
    struct upstream *u = calloc(1, sizeof(*u));

    wires_init(&u->ws);
    u->listening = loopback_listen(16, &u->at);
    connect_one(u);
    *state = u;
    return 0;
}

static int teardown(void **state)
{
    struct upstream *u = *state;

    ear_done(&u->ear);
    if (u->o != NULL)
        outbound_close(u->o);
    close(u->fd);
    close(u->listening);
    wires_deinit(&u->ws);
    free(u);
    return 0;
}

static void open_wire(struct upstream *u)
{
    struct ear *e = &u->ear;

    assert_null(e->arena);
    e->heads = e->interims = e->rooms = e->gone = 0;
    e->ended = false;
    e->len = 0;
    e->body[0] = e->trailer[0] = '\0';
    e->m = NULL;
    e->arena = arena_new(&u->ws.arena_blocks);
    e->w = outbound_open(u->o, e->arena, &ear_events, e);
}

static struct message request(struct upstream *u, enum method method)
{
    struct message m = {.method = method,
                        .path = SLICE("/p"),
                        .query = SLICE("q=1"),
                        .authority = SLICE("up.example")};

    headers_init(&m.headers, u->ear.arena, 4);
    return m;
}

/* A request without content, on its way. */
static void ask(struct upstream *u, enum method method)
{
    open_wire(u);
    struct message m = request(u, method);
    forget(u);
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    UNTIL(u, got(u, "\r\n\r\n"));
}

/* --- requests --------------------------------------------------------------------------------- */

static void test_a_request_is_written(void **state)
{
    struct upstream *u = *state;

    open_wire(u);
    assert_true(u->ear.w->unsent && u->ear.w->untouched && !u->ear.w->reused);
    struct message m = request(u, METHOD_GET);
    headers_add(&m.headers, SLICE("Host"), SLICE("client.example"));
    headers_add(&m.headers, SLICE("X-One"), SLICE("1"));
    headers_add(&m.headers, SLICE("Transfer-Encoding"), SLICE("gzip"));
    headers_add(&m.headers, SLICE("Content-Length"), SLICE("99"));
    headers_add(&m.headers, SLICE("Connection"), SLICE("x"));
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    assert_false(u->ear.w->unsent);
    UNTIL(u, got(u, "\r\n\r\n"));
    assert_string_equal(u->inbox.text,
                        "GET /p?q=1 HTTP/1.1\r\nHost: up.example\r\nX-One: 1\r\n\r\n");
}

static void test_bodies_are_framed(void **state)
{
    struct upstream *u = *state;
    struct slice piece = SLICE("hello");

    open_wire(u);
    struct message m = request(u, METHOD_POST);
    m.body = BODY_LENGTH;
    m.content_length = 5;
    m.te_trailers = true;
    assert_int_equal(wire_head(u->ear.w, &m, false), 0);
    assert_int_equal(wire_body(u->ear.w, &piece, 1, true), 0);
    UNTIL(u, got(u, "hello"));
    assert_string_equal(u->inbox.text,
                        "POST /p?q=1 HTTP/1.1\r\nHost: up.example\r\nContent-Length: 5\r\n"
                        "TE: trailers\r\nConnection: TE\r\n\r\nhello");

    connect_again(u);
    open_wire(u);
    m = request(u, METHOD_PUT);
    m.body = BODY_UNKNOWN;
    m.expects_continue = true;
    assert_int_equal(wire_head(u->ear.w, &m, false), 0);
    assert_true(u->ear.w->unsent); /* held back for the first bytes */
    loop_turn(u->ws.env.loop, 0);
    assert_false(u->ear.w->unsent);
    assert_int_equal(wire_body(u->ear.w, &piece, 1, false), 0);
    assert_int_equal(wire_finish(u->ear.w, NULL), 0);
    UNTIL(u, got(u, "0\r\n\r\n"));
    assert_string_equal(u->inbox.text,
                        "PUT /p?q=1 HTTP/1.1\r\nHost: up.example\r\nTransfer-Encoding: chunked\r\n"
                        "Expect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n");

    connect_again(u);
    ask(u, METHOD_POST);
    assert_true(got(u, "\r\nContent-Length: 0\r\n"));
}

static void test_a_blank_never_splits_a_target(void **state)
{
    struct upstream *u = *state;

    open_wire(u);
    struct message m = request(u, METHOD_GET);
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

static void deliver(struct upstream *u, const char *bytes, int mode)
{
    size_t len = strlen(bytes);

    while (len > 0) {
        size_t n = mode == 0 ? len : mode == 1 ? 1 : 1 + (size_t)rand() % 20;
        n = MIN(n, len);
        if (send(u->fd, bytes, n, MSG_NOSIGNAL) < 0)
            return;
        bytes += n;
        len -= n;
        loop_turn(u->ws.env.loop, 0);
    }
}

static void test_responses_are_heard_however_they_are_cut(void **state)
{
    struct upstream *u = *state;

    u->ear.grant = 1000;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        for (int mode = 0; mode < 3; mode++) {
            ask(u, good[i].method);
            deliver(u, good[i].bytes, mode);
            UNTIL(u, u->ear.ended);
            assert_int_equal(u->ear.m->status, good[i].status);
            assert_string_equal(u->ear.body, good[i].body);
            assert_string_equal(u->ear.trailer, good[i].trailer);
            assert_false(u->ear.w->untouched);
            ear_done(&u->ear);
            if ((u->o != NULL) != good[i].lives)
                fail_msg("%zu mode %d", i, mode);
            if (u->o == NULL)
                connect_again(u);
        }
    }
    assert_int_equal(u->ear.interims, 2);
}

static void test_a_response_may_end_with_its_connection(void **state)
{
    struct upstream *u = *state;

    u->ear.grant = 1000;
    ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\n\r\nhello");
    UNTIL(u, u->ear.len == 5);
    assert_false(u->ear.ended);
    shutdown(u->fd, SHUT_WR);
    UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_int_equal(u->closes, 1);
}

static void test_a_close_waits_for_credit(void **state)
{
    struct upstream *u = *state;

    ask(u, METHOD_GET);
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
            ask(u, METHOD_GET);
            deliver(u, garbage[i], mode);
            if (strstr(garbage[i], "\n") == NULL)
                deliver(u, "\r\n", 0);
            UNTIL(u, u->ear.gone != 0 || u->ear.ended);
            if (u->ear.gone != ERR_PROTOCOL)
                fail_msg("%zu (%s): %d", i, garbage[i], u->ear.gone);
            int closes = u->closes;
            ear_done(&u->ear);
            assert_int_equal(u->closes, closes + 1);
            connect_again(u);
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
        ask(u, METHOD_GET);
        put(u->fd, bytes);
        UNTIL(u, u->ear.gone != 0);
        assert_int_equal(u->ear.gone, ERR_PROTOCOL);
        connect_again(u);
    }
}

static void test_bytes_behind_a_response_end_the_connection(void **state)
{
    struct upstream *u = *state;

    ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_int_equal(u->idles, 0);
    assert_int_equal(u->closes, 1);

    connect_one(u);
    ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_int_equal(u->idles, 1);
    put(u->fd, "x");
    UNTIL(u, u->closes == 2);
}

static void test_a_response_before_a_request_is_refused(void **state)
{
    struct upstream *u = *state;

    open_wire(u);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    UNTIL(u, u->ear.gone != 0);
    assert_int_equal(u->ear.gone, ERR_PROTOCOL);
    assert_true(u->ear.w->unsent && u->ear.w->untouched);
}

/* --- reuse ------------------------------------------------------------------------------------ */

static void test_a_connection_is_used_again(void **state)
{
    struct upstream *u = *state;

    for (int i = 0; i < 3; i++) {
        ask(u, METHOD_GET);
        assert_int_equal(u->ear.w->reused, i > 0);
        put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        UNTIL(u, u->ear.ended);
        ear_done(&u->ear);
        assert_int_equal(u->idles, i + 1);
    }
    assert_int_equal(u->o->requests, 3);
    assert_int_equal(u->ws.recv_blocks.nused, 0);
}

static void test_an_idle_connection_that_closes_is_told(void **state)
{
    struct upstream *u = *state;

    ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    shutdown(u->fd, SHUT_WR);
    UNTIL(u, u->closes == 1);
    assert_null(u->o);
}

static void test_a_stale_connection_leaves_the_response_untouched(void **state)
{
    struct upstream *u = *state;

    /* The upstream closes while the request is under way. */
    ask(u, METHOD_GET);
    shutdown(u->fd, SHUT_WR);
    UNTIL(u, u->ear.gone != 0);
    assert_int_equal(u->ear.gone, ERR_CLOSED);
    assert_true(u->ear.w->untouched);
    assert_false(u->ear.w->unsent);

    /* It has closed already, and reset what is sent. */
    connect_again(u);
    struct linger now = {1, 0};
    setsockopt(u->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    open_wire(u);
    close(u->fd);
    u->fd = open("/dev/null", 0);
    struct message m = request(u, METHOD_GET);
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    TURN_UNTIL(u->ws.env.loop, u->ear.gone != 0);
    assert_true(u->ear.gone == ERR_RESET || u->ear.gone == ERR_CLOSED);
    assert_true(u->ear.w->untouched && u->ear.w->unsent);

    /* Half a head is not untouched. */
    connect_again(u);
    ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 20");
    shutdown(u->fd, SHUT_WR);
    UNTIL(u, u->ear.gone != 0);
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
        ask(u, METHOD_GET);
        put(u->fd, cut[i]);
        UNTIL(u, u->ear.len >= 2);
        shutdown(u->fd, SHUT_WR);
        UNTIL(u, u->ear.gone != 0);
        assert_int_equal(u->ear.gone, ERR_CLOSED);
        assert_false(u->ear.ended);
        connect_again(u);
    }
}

static void test_an_early_answer_is_heard_though_sending_fails(void **state)
{
    struct upstream *u = *state;
    static char block[64 * KIB];
    struct slice piece = slice_of(block, sizeof(block));
    struct linger now = {1, 0};

    u->ear.grant = 100;
    open_wire(u);
    struct message m = request(u, METHOD_POST);
    m.body = BODY_UNKNOWN;
    assert_int_equal(wire_head(u->ear.w, &m, false), 0);
    assert_int_equal(wire_body(u->ear.w, &piece, 1, false), 0);
    put(u->fd, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    UNTIL(u, u->ear.ended);
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

static void test_release_before_the_end_cuts_off(void **state)
{
    struct upstream *u = *state;

    ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    UNTIL(u, u->ear.heads == 1);
    ear_done(&u->ear);
    assert_int_equal(u->closes, 1);
    UNTIL(u, u->inbox.eof || u->inbox.reset);
}

static void test_abort_ends_it(void **state)
{
    struct upstream *u = *state;

    ask(u, METHOD_GET);
    wire_abort(u->ear.w, ERR_CANCELLED);
    u->ear.w = NULL;
    assert_int_equal(u->closes, 1);
    UNTIL(u, u->inbox.eof);
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
    ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    UNTIL(u, u->closes == 1);
    assert_int_equal(u->ear.len, 0);
}

/* --- time ------------------------------------------------------------------------------------- */

static void pass(struct upstream *u, int64_t ms)
{
    clock_advance_ms(ms);
    loop_turn(u->ws.env.loop, 0);
    loop_turn(u->ws.env.loop, 0);
}

static void test_a_head_that_does_not_come(void **state)
{
    struct upstream *u = *state;

    open_wire(u);
    u->ear.w->head_ms = 1000;
    struct message m = request(u, METHOD_GET);
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    pass(u, 600);
    put(u->fd, "HTTP/1.1 103 Early Hints\r\n\r\n"); /* does not buy time */
    UNTIL(u, u->ear.interims == 1);
    pass(u, 300);
    assert_int_equal(u->ear.gone, 0);
    pass(u, 200);
    assert_int_equal(u->ear.gone, ERR_TIMEOUT);
}

static void test_silence_in_a_body(void **state)
{
    struct upstream *u = *state;

    ask(u, METHOD_GET);
    u->ear.w->idle_ms = 1000;
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhe");
    UNTIL(u, u->ear.heads == 1);
    pass(u, 5000); /* nobody has asked for it */
    assert_int_equal(u->ear.gone, 0);
    wire_grant(u->ear.w, 10);
    UNTIL(u, u->ear.len == 2);
    pass(u, 900);
    put(u->fd, "l");
    UNTIL(u, u->ear.len == 3);
    pass(u, 900);
    assert_int_equal(u->ear.gone, 0);
    pass(u, 200);
    assert_int_equal(u->ear.gone, ERR_TIMEOUT);
}

/* --- tunnels, other workers ------------------------------------------------------------------- */

static void test_a_websocket_becomes_a_tunnel(void **state)
{
    struct upstream *u = *state;
    struct slice piece = SLICE("up");

    u->ear.grant = 100;
    open_wire(u);
    struct message m = request(u, METHOD_GET);
    m.wants_websocket = true;
    headers_add(&m.headers, SLICE("Sec-WebSocket-Key"), SLICE("a"));
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    UNTIL(u, got(u, "\r\n\r\n"));
    assert_true(got(u, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
    put(u->fd,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\ndown");
    UNTIL(u, u->ear.len == 4);
    assert_int_equal(u->ear.m->body, BODY_TUNNEL);
    assert_true(u->ear.m->wants_websocket);
    forget(u);
    assert_int_equal(wire_body(u->ear.w, &piece, 1, false), 0);
    UNTIL(u, got(u, "up"));
    assert_int_equal(wire_finish(u->ear.w, NULL), 0);
    UNTIL(u, u->inbox.eof);
    put(u->fd, " more");
    UNTIL(u, u->ear.len == 9);
    shutdown(u->fd, SHUT_WR);
    UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_int_equal(u->closes, 1);
}

static void test_an_idle_connection_changes_loops(void **state)
{
    struct upstream *u = *state;
    struct wires other;

    wires_init(&other);
    ask(u, METHOD_GET);
    put(u->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    UNTIL(u, u->ear.ended);
    ear_done(&u->ear);
    assert_true(outbound_detach(u->o));
    assert_true(outbound_attach(u->o, &other.env));
    open_wire(u);
    forget(u);
    struct message m = request(u, METHOD_GET);
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
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
    u->o = outbound_connect(&u->ws.env, &nowhere, 1000, &events, u);
    TURN_UNTIL(u->ws.env.loop, u->connects == 2);
    assert_int_equal(u->err, ERR_REFUSED);
    assert_null(u->o);
    u->o = outbound_connect(&u->ws.env, &nowhere, 1000, &events,
                            u); /* closed by teardown while connecting */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_is_written),
        TEST(test_bodies_are_framed),
        TEST(test_a_blank_never_splits_a_target),
        TEST(test_responses_are_heard_however_they_are_cut),
        TEST(test_a_response_may_end_with_its_connection),
        TEST(test_a_close_waits_for_credit),
        TEST(test_what_is_no_response_is_refused),
        TEST(test_a_large_head_is_refused),
        TEST(test_bytes_behind_a_response_end_the_connection),
        TEST(test_a_response_before_a_request_is_refused),
        TEST(test_a_connection_is_used_again),
        TEST(test_an_idle_connection_that_closes_is_told),
        TEST(test_a_stale_connection_leaves_the_response_untouched),
        TEST(test_a_body_cut_short_is_gone),
        TEST(test_an_early_answer_is_heard_though_sending_fails),
        TEST(test_release_before_the_end_cuts_off),
        TEST(test_abort_ends_it),
        TEST(test_abort_inside_an_event),
        TEST(test_a_head_that_does_not_come),
        TEST(test_silence_in_a_body),
        TEST(test_a_websocket_becomes_a_tunnel),
        TEST(test_an_idle_connection_changes_loops),
        TEST(test_connecting_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
