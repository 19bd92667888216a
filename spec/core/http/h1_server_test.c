/* SPDX-License-Identifier: Apache-2.0 */

/* The server's end over real sockets: the test is the client, and reads and writes bytes. */

#include "support/wires.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "http/inbound.h"
#include "net/listener.h"

#define HOST "Host: a.example\r\n"

/* A client's connection to a server whose exchanges are heard by `ear`. */
struct client {
    struct wires ws;
    struct inbound_set *set;
    struct listener *listener;
    struct listener_quota quota;
    struct ear ear;
    struct inbox inbox;
    int fd;
};

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer,
                      const struct addr *local)
{
    struct client *c = owner;

    inbound_accept(c->set, ln, 3, fd, peer, local, true);
}

static void connect_again(struct client *c)
{
    struct addr at;
    size_t n = inbound_count(c->set);

    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &at), 0);
    c->fd = loopback_connect((struct addr *)c->ear.arg);
    TURN_UNTIL(c->ws.env.loop, inbound_count(c->set) == n + 1);
    c->inbox.len = 0;
    c->inbox.eof = c->inbox.reset = false;
}

static int setup(void **state)
{
    struct client *c = calloc(1, sizeof(*c));
    static struct addr at;
    int fd;

    wires_init(&c->ws);
    c->set = inbound_set_new(&c->ws.env, &ear_acceptor, &c->ear);
    c->quota.max = 100;
    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &at), 0);
    assert_int_equal(listener_open(&at, false, &fd), 0);
    assert_int_equal(listener_address(fd, &at), 0);
    c->listener = listener_start(c->ws.env.loop, fd, &c->quota, on_accept, c);
    c->ear.arg = &at;
    connect_again(c);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct client *c = *state;

    ear_done(&c->ear);
    if (c->fd >= 0)
        close(c->fd);
    inbound_set_free(c->set);
    loop_turn(c->ws.env.loop, 0);
    listener_free(c->listener);
    wires_deinit(&c->ws);
    free(c);
    return 0;
}

#define UNTIL(c, cond) TURN_UNTIL((c)->ws.env.loop, (inbox_read(&(c)->inbox, (c)->fd), (cond)))

static void turn(struct client *c)
{
    for (int i = 0; i < 3; i++)
        loop_turn(c->ws.env.loop, 0);
    while (inbox_read(&c->inbox, c->fd))
        ;
}

static bool got(struct client *c, const char *text)
{
    return strstr(c->inbox.text, text) != NULL;
}

static void forget(struct client *c)
{
    c->inbox.len = 0;
    c->inbox.text[0] = '\0';
}

/* --- good requests ----------------------------------------------------------------------------------------------- */

static void test_a_request_is_heard_and_answered(void **state)
{
    struct client *c = *state;

    put(c->fd,
        "GET /a/b?x=1 HTTP/1.1\r\nHost: a.example:81\r\nX-Mine:  one \r\nAccept: */*\r\n\r\n");
    UNTIL(c, c->ear.heads == 1);
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
    UNTIL(c, got(c, "hello"));
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
    UNTIL(c, got(c, "</199>"));
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
    turn(c);
    assert_int_equal(c->ear.heads, 1);
    answer_path(&c->ear);
    UNTIL(c, c->ear.heads == 2);
    answer_path(&c->ear);
    UNTIL(c, got(c, "</2>"));
}

static void test_reading_pauses_when_too_much_is_pipelined(void **state)
{
    struct client *c = *state;
    char line[1024];
    size_t sent = 0;
    ssize_t n;

    memset(line, 'a', sizeof(line));
    put(c->fd, "GET /1 HTTP/1.1\r\n" HOST "\r\n");
    UNTIL(c, c->ear.heads == 1);
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

/* mode 0: whole; 1: byte by byte; else: random pieces. */
static void deliver(struct client *c, const char *bytes, int mode)
{
    size_t len = strlen(bytes);

    while (len > 0) {
        size_t n = mode == 0 ? len : mode == 1 ? 1 : 1 + (size_t)rand() % 20;
        n = MIN(n, len);
        if (send(c->fd, bytes, n, MSG_NOSIGNAL) < 0)
            return; /* refused already */
        bytes += n;
        len -= n;
        loop_turn(c->ws.env.loop, 0);
    }
}

static void test_bodies_are_heard_however_they_are_cut(void **state)
{
    struct client *c = *state;

    c->ear.grant = 1000;
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        for (int mode = 0; mode < 4; mode++) {
            int heads = c->ear.heads;
            deliver(c, bodies[i].bytes, mode);
            UNTIL(c, c->ear.heads == heads + 1 && c->ear.ended);
            assert_string_equal(c->ear.body, bodies[i].body);
            assert_string_equal(c->ear.trailer, bodies[i].trailer);
            assert_true(headers_find(&c->ear.m->headers, HEADER_TRANSFER_ENCODING) == NULL);
            bool old = c->ear.m->version == HTTP_10;
            ear_answer(&c->ear, 200, "ok");
            if (old) {
                UNTIL(c, c->inbox.eof);
                close(c->fd);
                connect_again(c);
            }
        }
    }
    assert_int_equal(c->ws.bad_heads, 0);
}

/* --- bad requests ------------------------------------------------------------------------------------------------ */

#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST

static const struct {
    int status;
    const char *bytes;
} refused[] = {
    /* what would be read in two ways */
    {400, POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {400, POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
    {400, POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
    {400, POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
    {400, POST "Content-Length: 5, 5\r\n\r\nhello"},
    {400, POST "Content-Length: +5\r\n\r\nhello"},
    {400, POST "Content-Length: -5\r\n\r\nhello"},
    {400, POST "Content-Length: 5x\r\n\r\nhello"},
    {400, POST "Content-Length: 0x5\r\n\r\nhello"},
    {400, POST "Content-Length: 5 5\r\n\r\nhello"},
    {400, POST "Content-Length:\r\n\r\nhello"},
    {400, POST "Content-Length: 99999999999999999999\r\n\r\nhello"},
    {400, POST "Content-Length : 5\r\n\r\nhello"},
    {400, POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
    {400, POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
    {400, POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
    {400, POST "Transfer-Encoding: identity\r\n\r\n"},
    {400, POST "Transfer-Encoding:\r\n\r\n"},
    {400, POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
    {400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"},
    {400, POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
    {400, POST "Transfer-Encoding: \x0b"
               "chunked\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    /* lines */
    {400, "GET / HTTP/1.1\nHost: a.example\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a.example\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a.example\r\n\n"},
    {400, "GET / HTTP/1.1\nHost: a.example\n\n"},
    {400, "\nGET / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a.example\rX: y\r\n\r\n"},
    {400, "GET / HTTP/1.1\rHost: a.example\r\n\r\n"},
    {400, GET "A:\rTransfer-Encoding: chunked\r\n\r\n"},
    {400, GET "\r\rX\r\n\r\n"},
    {400, GET "X: a\r\n b\r\n\r\n"},
    {400, GET "X: a\r\n\tb\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n Content-Length: 5\r\n" HOST "\r\n"},
    {400, GET " Content-Length: 5\r\n\r\n"},
    /* names and values */
    {400, GET ": x\r\n\r\n"},
    {400, GET "X y: x\r\n\r\n"},
    {400, GET "X : x\r\n\r\n"},
    {400, GET "X\t: x\r\n\r\n"},
    {400, GET "X(: x\r\n\r\n"},
    {400, GET "X\xe4: x\r\n\r\n"},
    {400, GET "NoColon\r\n\r\n"},
    {400, GET "X: a\x01"
              "b\r\n\r\n"},
    {400, GET "X: a\x7f"
              "b\r\n\r\n"},
    {400, GET "X: a\x0c"
              "b\r\n\r\n"},
    /* Host */
    {400, "GET / HTTP/1.1\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n"},
    {400, "GET / HTTP/1.0\r\nHost: a.example\r\nHost: b.example\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a.example:80x\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    {400, "GET http://b.example/ HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET http://a.example:80/ HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET http://u@a.example/ HTTP/1.1\r\n" HOST "\r\n"},
    /* the request line */
    {400, "GET /\r\n" HOST "\r\n"},
    {400, "GET  / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET /  HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET / HTTP/1.1 \r\n" HOST "\r\n"},
    {400, "GET / x HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET /\tHTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET /a#b HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET /<a> HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET /a\\b HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET a HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET * HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET / http/1.1\r\n" HOST "\r\n"},
    {400, "GET / HTTP/1.10\r\n" HOST "\r\n"},
    {400, "GET / HTTP/11\r\n" HOST "\r\n"},
    {400, "GE(T / HTTP/1.1\r\n" HOST "\r\n"},
    {400, " GET / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "\x16\x03\x01\x02"},
    {505, "GET / HTTP/0.9\r\n" HOST "\r\n"},
    {505, "GET / HTTP/1.2\r\n" HOST "\r\n"},
    {505, "GET / HTTP/2.0\r\n" HOST "\r\n"},
    {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
    {501, "QUERY / HTTP/1.1\r\n" HOST "\r\n"},
    {501, "get / HTTP/1.1\r\n" HOST "\r\n"},
    {501, "DESCRIBE / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "DESCRIBE / RTSP/1.0\r\n" HOST "\r\n"},
    {501, "TRACE / HTTP/1.1\r\n" HOST "\r\n"},
    {501, "CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\n"},
    {417, POST "Content-Length: 1\r\nExpect: a-wonder\r\n\r\n"},
};

static void test_bad_heads_are_refused_however_they_are_cut(void **state)
{
    struct client *c = *state;
    char status[32];

    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        for (int mode = 0; mode < 3; mode++) {
            deliver(c, refused[i].bytes, mode);
            UNTIL(c, c->inbox.eof || c->inbox.reset || c->ear.heads > 0);
            snprintf(status, sizeof(status), "HTTP/1.1 %d ", refused[i].status);
            if (c->ear.heads > 0 || strncmp(c->inbox.text, status, 13) != 0)
                fail_msg("%zu (%s) mode %d: %s", i, refused[i].bytes, mode, c->inbox.text);
            assert_true(got(c, "\r\nConnection: close\r\n"));
            assert_true(got(c, "\r\nContent-Type: application/problem+json\r\n"));
            assert_true(got(c, "{\"type\":\"about:blank\",\"title\":\""));
            assert_int_equal(c->ws.bad_status, refused[i].status);
            close(c->fd);
            connect_again(c);
        }
    }
    assert_int_equal(c->ws.bad_heads, 3 * COUNT_OF(refused));
}

static void test_a_nul_is_refused(void **state)
{
    struct client *c = *state;
    static const char bytes[] = GET "X: a\0b\r\n\r\n";

    assert_int_equal(send(c->fd, bytes, sizeof(bytes) - 1, 0), sizeof(bytes) - 1);
    UNTIL(c, c->inbox.eof);
    assert_true(got(c, "HTTP/1.1 400 "));
}

static void test_sizes_are_bounded(void **state)
{
    struct client *c = *state;
    static char bytes[64 * KIB];
    static const struct {
        int status;
        size_t path, value;
        int fields;
    } sizes[] = {
        {0, 8000, 0, 0},     {414, 9000, 0, 0}, {0, 10, 30000, 0},
        {431, 10, 40000, 0}, {0, 10, 10, 98},   {431, 10, 10, 101},
    };

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *p = bytes + sprintf(bytes, "GET /");
        memset(p, 'a', sizes[i].path);
        p += sizes[i].path;
        p += sprintf(p, " HTTP/1.1\r\n" HOST "X: ");
        memset(p, 'a', sizes[i].value);
        p += sizes[i].value;
        p += sprintf(p, "\r\n");
        for (int n = 0; n < sizes[i].fields; n++)
            p += sprintf(p, "X: a\r\n");
        sprintf(p, "\r\n");
        int heads = c->ear.heads;
        put(c->fd, bytes);
        UNTIL(c, c->ear.heads > heads || c->inbox.eof);
        if (sizes[i].status == 0) {
            assert_int_equal(c->ear.heads, heads + 1);
            ear_answer(&c->ear, 200, "");
        } else {
            assert_int_equal(c->ws.bad_status, sizes[i].status);
            close(c->fd);
            connect_again(c);
        }
    }
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
            deliver(c, POST "Transfer-Encoding: chunked\r\n\r\n", 0);
            deliver(c, bad_bodies[i], mode);
            UNTIL(c, c->ear.heads > heads && (c->ear.gone != 0 || c->ear.ended));
            if (c->ear.gone != ERR_BAD_REQUEST)
                fail_msg("%zu (%s)", i, bad_bodies[i]);
            /* It can still be told so, and nothing more is read. */
            ear_answer(&c->ear, 400, "bad");
            UNTIL(c, c->inbox.eof || c->inbox.reset);
            assert_true(got(c, "HTTP/1.1 400 ") && got(c, "Connection: close"));
            close(c->fd);
            connect_again(c);
        }
    }
}

/* --- fields of the connection ------------------------------------------------------------------------------------ */

static void test_fields_of_the_connection_are_taken_out(void **state)
{
    struct client *c = *state;

    put(c->fd, GET
        "Connection: keep-alive, X-Secret, host, authorization, TE\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n"
        "TE: trailers, deflate\r\nProxy-Connection: x\r\nAuthorization: a\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: x\r\nX-Kept: 1\r\n\r\n");
    UNTIL(c, c->ear.heads == 1);
    static const char *const removed[] = {"Connection",       "X-Secret", "Keep-Alive",    "TE",
                                          "Proxy-Connection", "Upgrade",  "HTTP2-Settings"};
    for (size_t i = 0; i < COUNT_OF(removed); i++)
        assert_null(ear_header(&c->ear, removed[i]).ptr);
    static const char *const kept[] = {"Host", "Authorization", "X-Kept"};
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        assert_non_null(ear_header(&c->ear, kept[i]).ptr);
    assert_true(c->ear.m->te_trailers);
    assert_false(c->ear.m->wants_websocket);
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void respond(struct client *c, const struct message *m, const char *body, bool whole)
{
    struct slice piece = slice_from(body);
    struct message copy = *m;

    headers_init(&copy.headers, c->ear.arena, 4);
    headers_add(&copy.headers, SLICE("Date"), SLICE("now"));
    assert_int_equal(wire_head(c->ear.w, &copy, false), 0);
    if (!whole)
        loop_turn(c->ws.env.loop, 0); /* the head leaves alone */
    if (piece.len > 0)
        assert_int_equal(wire_body(c->ear.w, &piece, 1, false), 0);
    if (!whole)
        loop_turn(c->ws.env.loop, 0);
    assert_int_equal(wire_finish(c->ear.w, NULL), 0);
    ear_done(&c->ear);
}

static const struct {
    const char *request;
    struct message m;
    const char *body, *answer;
    bool closes;
} answers[] = {
    {GET "\r\n",
     {.status = 200, .body = BODY_UNKNOWN},
     "hello",
     "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
     false},
    {GET "\r\n",
     {.status = 200, .body = BODY_NONE},
     "",
     "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n",
     false},
    {GET "\r\n",
     {.status = 204, .body = BODY_NONE},
     "",
     "HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n",
     false},
    {GET "\r\n",
     {.status = 204, .body = BODY_LENGTH, .content_length = 5},
     "hello",
     "HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n",
     false},
    {GET "\r\n",
     {.status = 304, .has_length = true, .content_length = 9},
     "",
     "HTTP/1.1 304 Not Modified\r\nDate: now\r\nContent-Length: 9\r\n\r\n",
     false},
    {GET "\r\n", {.status = 304}, "", "HTTP/1.1 304 Not Modified\r\nDate: now\r\n\r\n", false},
    {"HEAD / HTTP/1.1\r\n" HOST "\r\n",
     {.status = 200, .body = BODY_LENGTH, .content_length = 5},
     "hello",
     "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\n",
     false},
    {"HEAD / HTTP/1.1\r\n" HOST "\r\n",
     {.status = 200, .body = BODY_UNKNOWN},
     "hello",
     "HTTP/1.1 200 OK\r\nDate: now\r\n\r\n",
     false},
    {"GET / HTTP/1.0\r\n\r\n",
     {.status = 200, .body = BODY_UNKNOWN},
     "hello",
     "HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\nhello",
     true},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     {.status = 200, .body = BODY_LENGTH, .content_length = 5},
     "hello",
     "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
     false},
    {GET "Connection: close\r\n\r\n",
     {.status = 599, .reason = {"Odd", 3}, .body = BODY_NONE},
     "",
     "HTTP/1.1 599 Odd\r\nDate: now\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
     true},
};

static void test_answers_are_framed_for_the_client(void **state)
{
    struct client *c = *state;

    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        int heads = c->ear.heads;
        forget(c);
        put(c->fd, answers[i].request);
        UNTIL(c, c->ear.heads == heads + 1);
        respond(c, &answers[i].m, answers[i].body, false);
        UNTIL(c, c->inbox.len >= strlen(answers[i].answer));
        turn(c);
        assert_string_equal(c->inbox.text, answers[i].answer);
        assert_int_equal(c->inbox.eof, answers[i].closes);
        if (answers[i].closes) {
            close(c->fd);
            connect_again(c);
        }
    }
}

static void test_a_body_that_is_whole_gets_a_length(void **state)
{
    struct client *c = *state;
    struct slice pieces[2] = {SLICE("hel"), SLICE("lo")};
    struct message m = {.status = 200, .body = BODY_UNKNOWN};

    put(c->fd, GET "\r\n");
    UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 4);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    assert_int_equal(wire_body(c->ear.w, pieces, 2, true), 0);
    ear_done(&c->ear);
    UNTIL(c, got(c, "hello"));
    assert_true(got(c, "Content-Length: 5\r\n"));
    assert_true(got(c, "\r\nDate: "));
}

static void test_trailers_leave_behind_the_last_chunk(void **state)
{
    struct client *c = *state;
    struct slice piece = SLICE("hello");
    struct message m = {.status = 200, .body = BODY_UNKNOWN};
    struct headers trailers;

    put(c->fd, GET "\r\n");
    UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 4);
    headers_init(&trailers, c->ear.arena, 4);
    headers_add(&trailers, SLICE("X-Sum"), SLICE("1"));
    headers_add(&trailers, SLICE("Content-Type"), SLICE("never/here"));
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    assert_int_equal(wire_body(c->ear.w, &piece, 1, false), 0);
    assert_int_equal(wire_finish(c->ear.w, &trailers), 0);
    ear_done(&c->ear);
    UNTIL(c, got(c, "X-Sum"));
    assert_true(got(c, "\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"));
}

static void test_a_line_break_never_splits_an_answer(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 200, .body = BODY_NONE};

    put(c->fd, GET "\r\n");
    UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 4);
    headers_add(&m.headers, SLICE("X"), SLICE("a\r\nSet-Cookie: b"));
    assert_int_equal(wire_head(c->ear.w, &m, true), ERR_ARG);
    ear_answer(&c->ear, 500, "");
    UNTIL(c, got(c, "HTTP/1.1 500 "));
}

/* --- continuing and not ------------------------------------------------------------------------------------------ */

static void test_continue_is_the_owners_word(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 100};

    put(c->fd, POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    UNTIL(c, c->ear.heads == 1);
    assert_true(c->ear.m->expects_continue);
    turn(c);
    assert_int_equal(c->inbox.len, 0);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    UNTIL(c, got(c, "\r\n\r\n"));
    assert_string_equal(c->inbox.text, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_grant(c->ear.w, 100);
    put(c->fd, "hello");
    UNTIL(c, c->ear.ended);
    ear_answer(&c->ear, 200, "ok");
    UNTIL(c, got(c, "ok"));
    assert_false(got(c, "Connection: close"));
}

static void test_an_answer_instead_of_continue_closes(void **state)
{
    struct client *c = *state;

    put(c->fd, POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 403, "no");
    UNTIL(c, c->inbox.eof);
    assert_true(got(c, "Connection: close\r\n"));
}

static void test_a_small_rest_of_a_request_is_dropped(void **state)
{
    struct client *c = *state;

    put(c->fd, POST "Content-Length: 5\r\n\r\nhe");
    UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 403, "no");
    put(c->fd, "lloGET /next HTTP/1.1\r\n" HOST "\r\n");
    UNTIL(c, c->ear.heads == 2);
    assert_true(slice_eq(c->ear.m->path, SLICE("/next")));
    assert_false(got(c, "Connection: close"));
}

static void test_a_chunked_rest_that_is_here_is_dropped(void **state)
{
    struct client *c = *state;

    put(c->fd, POST "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n" GET "\r\n");
    UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 403, "no");
    UNTIL(c, c->ear.heads == 2);
    assert_false(got(c, "Connection: close"));
}

static void test_a_large_rest_closes_gently(void **state)
{
    struct client *c = *state;
    static char rest[100000];

    put(c->fd, POST "Content-Length: 100000\r\n\r\nhe");
    UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 413, "too much");
    memset(rest, 'a', sizeof(rest));
    send(c->fd, rest, sizeof(rest), MSG_DONTWAIT | MSG_NOSIGNAL);
    UNTIL(c, c->inbox.eof || c->inbox.reset);
    assert_false(c->inbox.reset);
    assert_true(got(c, "too much") && got(c, "Connection: close"));
}

/* --- ends -------------------------------------------------------------------------------------------------------- */

static void test_a_client_that_leaves_cancels_its_request(void **state)
{
    struct client *c = *state;

    put(c->fd, GET "\r\n");
    UNTIL(c, c->ear.heads == 1);
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

static void test_a_body_cut_short_is_gone(void **state)
{
    struct client *c = *state;

    c->ear.grant = 100;
    put(c->fd, POST "Content-Length: 5\r\n\r\nhe");
    UNTIL(c, c->ear.len == 2);
    shutdown(c->fd, SHUT_WR);
    UNTIL(c, c->ear.gone != 0);
    assert_int_equal(c->ear.gone, ERR_CLOSED);
    assert_false(c->ear.ended);
}

static void test_abort_shows_that_the_answer_is_not_whole(void **state)
{
    struct client *c = *state;
    struct slice piece = SLICE("hello");
    struct message m = {.status = 200, .body = BODY_UNKNOWN};

    for (int old = 0; old < 2; old++) {
        int heads = c->ear.heads;
        put(c->fd, old ? "GET / HTTP/1.0\r\n\r\n" : GET "\r\n");
        UNTIL(c, c->ear.heads == heads + 1);
        headers_init(&m.headers, c->ear.arena, 0);
        assert_int_equal(wire_head(c->ear.w, &m, false), 0);
        assert_int_equal(wire_body(c->ear.w, &piece, 1, false), 0);
        UNTIL(c, got(c, "hello"));
        wire_abort(c->ear.w, ERR_RESET);
        c->ear.w = NULL;
        ear_done(&c->ear);
        UNTIL(c, c->inbox.eof || c->inbox.reset);
        assert_int_equal(c->inbox.reset, old); /* its end would be the end of the message */
        assert_null(strstr(c->inbox.text, "\r\n0\r\n"));
        close(c->fd);
        connect_again(c);
    }
}

static void test_credit_is_all_that_is_delivered(void **state)
{
    struct client *c = *state;
    static char body[40000];

    memset(body, 'b', sizeof(body) - 1);
    put(c->fd, POST "Content-Length: 39999\r\n\r\n");
    put(c->fd, body);
    UNTIL(c, c->ear.heads == 1);
    turn(c);
    assert_int_equal(c->ear.len, 0);
    wire_grant(c->ear.w, 10);
    assert_int_equal(c->ear.len, 0); /* never from inside grant */
    UNTIL(c, c->ear.len == 10);
    turn(c);
    assert_int_equal(c->ear.len, 10);
    wire_grant(c->ear.w, 30000);
    UNTIL(c, c->ear.len == 30010);
    wire_grant(c->ear.w, 9989);
    UNTIL(c, c->ear.ended);
    assert_int_equal(c->ear.len, 39999);
}

/* --- time -------------------------------------------------------------------------------------------------------- */

static void pass(struct client *c, int64_t ms)
{
    clock_advance_ms(ms);
    loop_turn(c->ws.env.loop, 0);
    loop_turn(c->ws.env.loop, 0);
}

static void test_an_idle_connection_is_closed_silently(void **state)
{
    struct client *c = *state;

    pass(c, 59000);
    turn(c);
    assert_false(c->inbox.eof);
    pass(c, 2000);
    UNTIL(c, c->inbox.eof);
    assert_int_equal(c->inbox.len, 0);
    assert_int_equal(inbound_count(c->set), 0);
}

static void test_a_slow_head_is_408(void **state)
{
    struct client *c = *state;

    put(c->fd, "GET / HTTP/1.1\r\nHost:");
    turn(c);
    pass(c, 6000);
    put(c->fd, " a");
    turn(c);
    pass(c, 5000); /* from the first byte on */
    UNTIL(c, c->inbox.eof);
    assert_true(got(c, "HTTP/1.1 408 "));
}

static void test_a_slow_body_is_408(void **state)
{
    struct client *c = *state;

    put(c->fd, POST "Content-Length: 5\r\n\r\nhe");
    UNTIL(c, c->ear.heads == 1);
    pass(c, 100000); /* nobody has asked for it */
    assert_int_equal(c->ear.gone, 0);
    c->ear.w->idle_ms = 5000;
    wire_grant(c->ear.w, 100);
    turn(c);
    pass(c, 4000);
    put(c->fd, "l");
    UNTIL(c, c->ear.len == 3);
    pass(c, 4000);
    assert_int_equal(c->ear.gone, 0);
    pass(c, 2000);
    assert_int_equal(c->ear.gone, ERR_REQUEST_TIMEOUT);
    ear_answer(&c->ear, 408, "slow");
    UNTIL(c, c->inbox.eof);
    assert_true(got(c, "slow"));
}

static void test_a_client_that_takes_nothing_is_given_up(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 200, .body = BODY_UNKNOWN};
    static char block[64 * KIB];
    struct slice piece = slice_of(block, sizeof(block));
    int rc = 0, i;

    put(c->fd, GET "\r\n");
    UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    for (i = 0; i < 1000 && rc == 0; i++)
        rc = wire_body(c->ear.w, &piece, 1, false);
    assert_int_equal(rc, WIRE_FULL);
    loop_turn(c->ws.env.loop, 0);
    pass(c, 50000);
    assert_int_equal(c->ear.gone, 0);
    pass(c, 11000);
    pass(c, 61000);
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
    UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    for (int i = 0; i < 1000 && rc == 0; i++)
        rc = wire_body(c->ear.w, &piece, 1, false);
    assert_int_equal(rc, WIRE_FULL);
    assert_int_equal(c->ear.rooms, 0);
    TURN_UNTIL(c->ws.env.loop, (inbox_read(&c->inbox, c->fd), c->inbox.len = 0, c->ear.rooms == 1));
}

/* --- tunnels and draining ---------------------------------------------------------------------------------------- */

static void test_a_websocket_becomes_a_tunnel(void **state)
{
    struct client *c = *state;
    struct slice piece = SLICE("from server");
    struct message m = {.status = 101, .body = BODY_TUNNEL};

    put(c->fd, GET
        "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: a\r\n\r\nearly");
    UNTIL(c, c->ear.heads == 1);
    assert_true(c->ear.m->wants_websocket);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    c->ear.ended = false;
    wire_grant(c->ear.w, 3);
    UNTIL(c, c->ear.len == 3 && got(c, "Upgrade: websocket\r\n"));
    assert_true(got(
        c,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
    wire_grant(c->ear.w, 100);
    put(c->fd, " late");
    UNTIL(c, c->ear.len == 10);
    assert_string_equal(c->ear.body, "early late");
    shutdown(c->fd, SHUT_WR);
    UNTIL(c, c->ear.ended);
    assert_int_equal(wire_body(c->ear.w, &piece, 1, true), 0);
    UNTIL(c, c->inbox.eof);
    assert_true(got(c, "from server"));
}

static void test_a_silent_tunnel_is_given_up(void **state)
{
    struct client *c = *state;
    struct slice piece = SLICE("x");
    struct message m = {.status = 101, .body = BODY_TUNNEL};

    put(c->fd, GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    turn(c);
    pass(c, 50000);
    assert_int_equal(wire_body(c->ear.w, &piece, 1, false), 0);
    pass(c, 50000);
    assert_int_equal(c->ear.gone, 0);
    pass(c, 11000);
    assert_int_equal(c->ear.gone, ERR_TIMEOUT);
}

static void test_draining_closes_after_the_answer(void **state)
{
    struct client *c = *state;
    int idle = c->fd;

    connect_again(c);
    assert_int_equal(inbound_idle_count(c->set), 2);
    put(c->fd, GET "\r\n");
    UNTIL(c, c->ear.heads == 1);
    c->ws.env.draining = true;
    inbound_drain(c->set);
    turn(c);
    assert_int_equal(inbound_count(c->set), 1);
    char byte;
    assert_int_equal(recv(idle, &byte, 1, MSG_DONTWAIT), 0);
    close(idle);
    ear_answer(&c->ear, 200, "last");
    UNTIL(c, c->inbox.eof);
    assert_true(got(c, "last") && got(c, "Connection: close"));
    assert_int_equal(inbound_count(c->set), 0);
}

static void test_abort_all_tells_the_owners(void **state)
{
    struct client *c = *state;

    put(c->fd, GET "\r\n");
    UNTIL(c, c->ear.heads == 1);
    inbound_abort_all(c->set);
    assert_int_equal(c->ear.gone, ERR_STOPPING);
    ear_done(&c->ear);
    assert_int_equal(inbound_count(c->set), 0);
}

static void test_an_idle_connection_holds_no_memory(void **state)
{
    struct client *c = *state;

    put(c->fd, GET "\r\n");
    UNTIL(c, c->ear.heads == 1);
    ear_answer(&c->ear, 200, "x");
    turn(c);
    assert_int_equal(c->ws.recv_blocks.nused, 0);
    assert_int_equal(c->ws.arena_blocks.nused, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_is_heard_and_answered),
        TEST(test_pipelined_requests_are_answered_in_order),
        TEST(test_a_pipelined_request_waits_for_the_one_before),
        TEST(test_reading_pauses_when_too_much_is_pipelined),
        TEST(test_bodies_are_heard_however_they_are_cut),
        TEST(test_bad_heads_are_refused_however_they_are_cut),
        TEST(test_a_nul_is_refused),
        TEST(test_sizes_are_bounded),
        TEST(test_bad_chunks_break_the_request_off),
        TEST(test_fields_of_the_connection_are_taken_out),
        TEST(test_answers_are_framed_for_the_client),
        TEST(test_a_body_that_is_whole_gets_a_length),
        TEST(test_trailers_leave_behind_the_last_chunk),
        TEST(test_a_line_break_never_splits_an_answer),
        TEST(test_continue_is_the_owners_word),
        TEST(test_an_answer_instead_of_continue_closes),
        TEST(test_a_small_rest_of_a_request_is_dropped),
        TEST(test_a_chunked_rest_that_is_here_is_dropped),
        TEST(test_a_large_rest_closes_gently),
        TEST(test_a_client_that_leaves_cancels_its_request),
        TEST(test_a_body_cut_short_is_gone),
        TEST(test_abort_shows_that_the_answer_is_not_whole),
        TEST(test_credit_is_all_that_is_delivered),
        TEST(test_an_idle_connection_is_closed_silently),
        TEST(test_a_slow_head_is_408),
        TEST(test_a_slow_body_is_408),
        TEST(test_a_client_that_takes_nothing_is_given_up),
        TEST(test_room_is_told_after_full),
        TEST(test_a_websocket_becomes_a_tunnel),
        TEST(test_a_silent_tunnel_is_given_up),
        TEST(test_draining_closes_after_the_answer),
        TEST(test_abort_all_tells_the_owners),
        TEST(test_an_idle_connection_holds_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
