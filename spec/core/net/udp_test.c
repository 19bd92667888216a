/* SPDX-License-Identifier: Apache-2.0 */

/* Datagrams between two sockets on the loopback. */

#include "net/udp.h"

#include <string.h>

#include "base/err.h"
#include "net/loop.h"
#include "support/test.h"

static struct loop *loop;
static struct udp *near, *far;
static struct addr near_at, far_at;
static int ready; /* what was told last */

static void on_ready(void *owner, int what)
{
    assert_ptr_equal(owner, &ready);
    ready = what;
}

static int set_up(void **state)
{
    (void)state;
    loop = loop_new();
    ready = 0;
    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &far_at), 0);
    assert_int_equal(udp_bind(loop, &far_at, on_ready, &ready, &far), 0);
    assert_int_equal(udp_address(far, &far_at), 0);
    assert_int_equal(udp_connect(loop, &far_at, on_ready, &ready, &near), 0);
    assert_int_equal(udp_address(near, &near_at), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    udp_close(near);
    if (far)
        udp_close(far);
    loop_free(loop);
    return 0;
}

static void turn_until_ready(void)
{
    for (int i = 0; i < 500 && !ready; i++)
        loop_turn(loop, 10);
}

static void they_carry_whole_datagrams(void **state)
{
    char text[8];
    struct addr from;

    (void)state;
    assert_int_equal(udp_recv(far, text, sizeof(text), &from), ERR_AGAIN);
    assert_int_equal(udp_send(near, SLICE("hello"), NULL), 0);
    assert_int_equal(udp_send(near, SLICE("longer than that"), NULL), 0);
    assert_int_equal(udp_recv(far, text, sizeof(text), &from), 5);
    assert_memory_equal(text, "hello", 5);
    assert_true(addr_eq(&from, &near_at));
    assert_int_equal(udp_recv(far, text, sizeof(text), NULL), sizeof(text));
    assert_int_equal(udp_send(far, SLICE("back"), &from), 0);
    assert_int_equal(udp_recv(near, text, sizeof(text), NULL), 4);
}

static void who_watches_is_told_once(void **state)
{
    char text[8];

    (void)state;
    udp_watch(far, UDP_READ);
    loop_turn(loop, 0);
    assert_int_equal(ready, 0);
    assert_int_equal(udp_send(near, SLICE("x"), NULL), 0);
    turn_until_ready();
    assert_int_equal(ready, UDP_READ);
    ready = 0;
    loop_turn(loop, 0);
    assert_int_equal(ready, 0); /* it is still there, and nobody has asked again */
    udp_watch(far, UDP_READ | UDP_WRITE);
    turn_until_ready();
    assert_int_equal(ready, UDP_READ | UDP_WRITE);
    assert_int_equal(udp_recv(far, text, sizeof(text), NULL), 1);
}

static void a_refusal_is_heard_of(void **state)
{
    char text[8];

    (void)state;
    udp_close(far);
    far = NULL;
    assert_int_equal(udp_send(near, SLICE("x"), NULL), 0);
    udp_watch(near, UDP_READ);
    turn_until_ready();
    assert_int_equal(udp_recv(near, text, sizeof(text), NULL), ERR_REFUSED);
}

static void what_is_too_long_is_refused(void **state)
{
    static char large[UDP_MAX + 1];

    (void)state;
    assert_int_equal(udp_send(near, slice_of(large, sizeof(large)), NULL), ERR_LIMIT);
}

static void two_can_not_have_one_address(void **state)
{
    struct udp *other;

    (void)state;
    assert_int_equal(udp_bind(loop, &far_at, on_ready, &ready, &other), ERR_SYSTEM);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(they_carry_whole_datagrams),   TEST(who_watches_is_told_once),
        TEST(a_refusal_is_heard_of),        TEST(what_is_too_long_is_refused),
        TEST(two_can_not_have_one_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
