/* SPDX-License-Identifier: Apache-2.0 */

/* The wire in memory keeps the rules of wire.h: what is tested with it holds on real ones. */

#include "support/memory_wire.h"

#include <stdlib.h>

#include "base/err.h"
#include "support/wires.h"

struct both {
    struct wires ws;
    struct memory_wire mw;
    struct ear ear;
};

static int setup(void **state)
{
    struct both *b = calloc(1, sizeof(*b));

    wires_init(&b->ws);
    memory_wire_init(&b->mw, &b->ws.env);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct both *b = *state;

    if (b->mw.released)
        b->ear.w = NULL;
    ear_done(&b->ear);
    memory_wire_deinit(&b->mw);
    wires_deinit(&b->ws);
    free(b);
    return 0;
}

static void test_a_request_is_heard_within_credit(void **state)
{
    struct both *b = *state;

    memory_wire_request(&b->mw, &ear_acceptor, &b->ear, "POST", "/a?b",
                        "Transfer-Encoding: chunked\r\nX: y\r\n");
    assert_int_equal(b->ear.heads, 1);
    assert_true(slice_eq(ear_header(&b->ear, "x"), SLICE("y")));
    memory_wire_say(&b->mw, "hello", true);
    loop_turn(b->ws.env.loop, 0);
    assert_int_equal(b->ear.len, 0);
    wire_grant(b->ear.w, 2);
    assert_int_equal(b->ear.len, 0);
    loop_turn(b->ws.env.loop, 0);
    assert_string_equal(b->ear.body, "he");
    assert_false(b->ear.ended);
    wire_grant(b->ear.w, 3);
    loop_turn(b->ws.env.loop, 0);
    assert_string_equal(b->ear.body, "hello");
    assert_true(b->ear.ended);
    ear_answer(&b->ear, 201, "made");
    assert_int_equal(b->mw.status, 201);
    assert_string_equal(b->mw.body, "made");
    assert_string_equal(memory_wire_field(&b->mw, "date"), "now");
    assert_null(memory_wire_field(&b->mw, "dat"));
    assert_true(b->mw.ended && b->mw.released);
}

static void test_a_response_is_heard(void **state)
{
    struct both *b = *state;
    struct message m = {.method = METHOD_GET, .path = SLICE("/p")};

    b->ear.grant = 100;
    b->ear.arena = arena_new(&b->ws.arena_blocks);
    b->ear.w = memory_wire_open(&b->mw, b->ear.arena, &ear_events, &b->ear);
    headers_init(&m.headers, b->ear.arena, 0);
    assert_int_equal(wire_head(b->ear.w, &m, true), 0);
    assert_string_equal(b->mw.path, "/p");
    memory_wire_respond(&b->mw, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    memory_wire_say(&b->mw, "part", false);
    loop_turn(b->ws.env.loop, 0);
    assert_string_equal(b->ear.body, "part");
    memory_wire_say_trailer(&b->mw, "X-Sum", "1");
    loop_turn(b->ws.env.loop, 0);
    assert_true(b->ear.ended);
    assert_string_equal(b->ear.trailer, "X-Sum");
}

static void test_who_leaves_is_missed(void **state)
{
    struct both *b = *state;

    memory_wire_request(&b->mw, &ear_acceptor, &b->ear, "GET", "/", "");
    assert_true(b->ear.ended);
    memory_wire_leave(&b->mw, ERR_CLOSED);
    loop_turn(b->ws.env.loop, 0);
    assert_int_equal(b->ear.gone, ERR_CLOSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_is_heard_within_credit),
        TEST(test_a_response_is_heard),
        TEST(test_who_leaves_is_missed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
