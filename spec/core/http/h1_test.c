/* SPDX-License-Identifier: Apache-2.0 */

/* Heads: what is refused, and how; what is taken out. Over real sockets, however the bytes are
 * cut. */

#include "support/client.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

#define HOST CLIENT_HOST
#define GET CLIENT_GET
#define POST CLIENT_POST

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
            client_deliver(c, refused[i].bytes, mode);
            CLIENT_UNTIL(c, c->inbox.eof || c->inbox.reset || c->ear.heads > 0);
            snprintf(status, sizeof(status), "HTTP/1.1 %d ", refused[i].status);
            if (c->ear.heads > 0 || strncmp(c->inbox.text, status, 13) != 0)
                fail_msg("%zu (%s) mode %d: %s", i, refused[i].bytes, mode, c->inbox.text);
            assert_true(client_got(c, "\r\nConnection: close\r\n"));
            assert_true(client_got(c, "\r\nContent-Type: application/problem+json\r\n"));
            assert_true(client_got(c, "{\"type\":\"about:blank\",\"title\":\""));
            assert_int_equal(c->ws.bad_status, refused[i].status);
            close(c->fd);
            client_again(c);
        }
    }
    assert_int_equal(c->ws.bad_heads, 3 * COUNT_OF(refused));
}

static void test_a_nul_is_refused(void **state)
{
    struct client *c = *state;
    static const char bytes[] = GET "X: a\0b\r\n\r\n";

    assert_int_equal(send(c->fd, bytes, sizeof(bytes) - 1, 0), sizeof(bytes) - 1);
    CLIENT_UNTIL(c, c->inbox.eof);
    assert_true(client_got(c, "HTTP/1.1 400 "));
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
        CLIENT_UNTIL(c, c->ear.heads > heads || c->inbox.eof);
        if (sizes[i].status == 0) {
            assert_int_equal(c->ear.heads, heads + 1);
            ear_answer(&c->ear, 200, "");
        } else {
            assert_int_equal(c->ws.bad_status, sizes[i].status);
            close(c->fd);
            client_again(c);
        }
    }
}

static void test_fields_of_the_connection_are_taken_out(void **state)
{
    struct client *c = *state;

    put(c->fd, GET
        "Connection: keep-alive, X-Secret, host, authorization, TE\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n"
        "TE: trailers, deflate\r\nProxy-Connection: x\r\nAuthorization: a\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: x\r\nX-Kept: 1\r\n\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
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

static void test_what_is_no_websocket(void **state)
{
    struct client *c = *state;
    static const char *const requests[] = {
        GET "Upgrade: websocket\r\n\r\n",
        GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        GET "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
        GET "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
        POST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n",
    };

    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        put(c->fd, requests[i]);
        CLIENT_UNTIL(c, c->ear.heads == (int)i + 1);
        struct message m = {.status = 101, .body = BODY_TUNNEL};
        headers_init(&m.headers, c->ear.arena, 0);
        assert_false(c->ear.m->wants_websocket);
        assert_int_equal(wire_head(c->ear.w, &m, false), ERR_ARG);
        assert_null(ear_header(&c->ear, "upgrade").ptr);
        ear_answer(&c->ear, 200, "ordinary");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(test_bad_heads_are_refused_however_they_are_cut),
        CLIENT_TEST(test_a_nul_is_refused),
        CLIENT_TEST(test_sizes_are_bounded),
        CLIENT_TEST(test_fields_of_the_connection_are_taken_out),
        CLIENT_TEST(test_what_is_no_websocket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
