/* SPDX-License-Identifier: Apache-2.0 */

/* How messages leave, over real sockets: the framing of their bodies, pieces and trailers. */

#include "support/client.h"

#include <unistd.h>

#include "base/err.h"

#define HOST CLIENT_HOST
#define GET CLIENT_GET

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
        client_forget(c);
        put(c->fd, answers[i].request);
        CLIENT_UNTIL(c, c->ear.heads == heads + 1);
        respond(c, &answers[i].m, answers[i].body, false);
        CLIENT_UNTIL(c, c->inbox.len >= strlen(answers[i].answer));
        client_turn(c);
        assert_string_equal(c->inbox.text, answers[i].answer);
        assert_int_equal(c->inbox.eof, answers[i].closes);
        if (answers[i].closes) {
            close(c->fd);
            client_again(c);
        }
    }
}

static void test_a_body_that_is_whole_gets_a_length(void **state)
{
    struct client *c = *state;
    struct slice pieces[2] = {SLICE("hel"), SLICE("lo")};
    struct message m = {.status = 200, .body = BODY_UNKNOWN};

    put(c->fd, GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 4);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    assert_int_equal(wire_body(c->ear.w, pieces, 2, true), 0);
    ear_done(&c->ear);
    CLIENT_UNTIL(c, client_got(c, "hello"));
    assert_true(client_got(c, "Content-Length: 5\r\n"));
    assert_true(client_got(c, "\r\nDate: "));
}

static void test_many_pieces_keep_their_order(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 200, .body = BODY_LENGTH, .content_length = 1000};
    struct slice pieces[500];
    char text[1001];

    for (int i = 0; i < 1000; i++)
        text[i] = (char)('a' + i * 7 % 26);
    text[1000] = '\0';
    for (int i = 0; i < 500; i++)
        pieces[i] = slice_of(text + 2 * i, 2);
    put(c->fd, GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 0);
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    assert_int_equal(wire_body(c->ear.w, pieces, 500, true), 0);
    ear_done(&c->ear);
    CLIENT_UNTIL(c, client_got(c, text));
}

/* Short bodies are copied behind their head where there is room, long ones are not. */
static void test_a_body_of_any_size_follows_its_head(void **state)
{
    static const size_t sizes[] = {1, 2, 2047, 2048, 2049, 5000};
    static const size_t pads[] = {1, 13900, 14300, 16000, 16250, 16384, 20000};
    struct client *c = *state;
    char pad[20001], text[5001];

    for (size_t i = 0; i < COUNT_OF(sizes) * COUNT_OF(pads); i++) {
        size_t len = sizes[i % COUNT_OF(sizes)], pad_len = pads[i / COUNT_OF(sizes)];
        struct message m = {.status = 200, .body = BODY_LENGTH, .content_length = len};
        struct slice body = slice_of(text, len);
        int heads = c->ear.heads;

        memset(pad, 'p', pad_len);
        for (size_t k = 0; k < len; k++)
            text[k] = (char)('a' + k * 7 % 26);
        pad[pad_len] = text[len] = '\0';
        client_forget(c);
        put(c->fd, GET "\r\n");
        CLIENT_UNTIL(c, c->ear.heads == heads + 1);
        headers_init(&m.headers, c->ear.arena, 1);
        headers_add(&m.headers, SLICE("Pad"), slice_from(pad));
        assert_int_equal(wire_head(c->ear.w, &m, false), 0);
        assert_int_equal(wire_body(c->ear.w, &body, 1, true), 0);
        ear_done(&c->ear);
        CLIENT_UNTIL(c, client_got(c, "\r\n\r\n") && client_got(c, text));
        const char *got = strstr(c->inbox.text, "\r\n\r\n");
        assert_string_equal(got + 4, text);
        assert_true(client_got(c, pad));
    }
}

static void test_trailers_leave_behind_the_last_chunk(void **state)
{
    struct client *c = *state;
    struct slice piece = SLICE("hello");
    struct message m = {.status = 200, .body = BODY_UNKNOWN};
    struct headers trailers;

    put(c->fd, GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 4);
    headers_init(&trailers, c->ear.arena, 4);
    headers_add(&trailers, SLICE("X-Sum"), SLICE("1"));
    headers_add(&trailers, SLICE("Content-Type"), SLICE("never/here"));
    assert_int_equal(wire_head(c->ear.w, &m, false), 0);
    assert_int_equal(wire_body(c->ear.w, &piece, 1, false), 0);
    assert_int_equal(wire_finish(c->ear.w, &trailers), 0);
    ear_done(&c->ear);
    CLIENT_UNTIL(c, client_got(c, "X-Sum"));
    assert_true(client_got(c, "\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"));
}

static void test_a_line_break_never_splits_an_answer(void **state)
{
    struct client *c = *state;
    struct message m = {.status = 200, .body = BODY_NONE};

    put(c->fd, GET "\r\n");
    CLIENT_UNTIL(c, c->ear.heads == 1);
    headers_init(&m.headers, c->ear.arena, 4);
    headers_add(&m.headers, SLICE("X"), SLICE("a\r\nSet-Cookie: b"));
    assert_int_equal(wire_head(c->ear.w, &m, true), ERR_ARG);
    ear_answer(&c->ear, 500, "");
    CLIENT_UNTIL(c, client_got(c, "HTTP/1.1 500 "));
}

/* --- continuing and not ----------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(test_answers_are_framed_for_the_client),
        CLIENT_TEST(test_a_body_that_is_whole_gets_a_length),
        CLIENT_TEST(test_many_pieces_keep_their_order),
        CLIENT_TEST(test_a_body_of_any_size_follows_its_head),
        CLIENT_TEST(test_trailers_leave_behind_the_last_chunk),
        CLIENT_TEST(test_a_line_break_never_splits_an_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
