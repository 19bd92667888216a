/* SPDX-License-Identifier: Apache-2.0 */

#include "net/watch.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop.h"
#include "support/test.h"

/* Two connected sockets, the first of which is watched. */
struct end {
    struct watch watch;
    int peer;
    struct end *ends; /* whose watch ends when this one is ready */
    unsigned seen;
    int calls;
};

static struct loop *loop;
static struct end a, b;

static void on_ready(struct watch *w, unsigned what)
{
    struct end *e = container_of(w, struct end, watch);

    e->seen = what;
    e->calls++;
    if (e->ends)
        watch_end(&e->ends->watch);
}

static void connect_end(struct end *e)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *e = (struct end){.peer = fds[1]};
    watch_init(&e->watch, loop, fds[0], on_ready);
}

static int set_up(void **state)
{
    (void)state;
    loop = loop_new();
    connect_end(&a);
    connect_end(&b);
    return 0;
}

static void disconnect(struct end *e)
{
    watch_end(&e->watch);
    close(e->watch.fd);
    if (e->peer >= 0)
        close(e->peer);
}

static int tear_down(void **state)
{
    (void)state;
    disconnect(&a);
    disconnect(&b);
    loop_free(loop);
    return 0;
}

static void say(struct end *e)
{
    assert_int_equal(write(e->peer, "x", 1), 1);
}

static void hang_up(struct end *e)
{
    close(e->peer);
    e->peer = -1;
}

/* A turn of which nothing is expected lasts as long as it may. */
static void assert_calm(void)
{
    uint64_t start = clock_us_now();

    loop_turn(loop, 20);
    assert_true(clock_us_now() - start >= 19000);
}

static void only_what_is_wanted_is_told(void **state)
{
    (void)state;
    say(&a);
    watch_for(&a.watch, WATCH_WRITE);
    loop_turn(loop, 1000);
    assert_int_equal(a.seen, WATCH_WRITE);
    watch_for(&a.watch, WATCH_READ);
    loop_turn(loop, 1000);
    assert_int_equal(a.seen, WATCH_READ);
    watch_for(&a.watch, WATCH_READ | WATCH_WRITE);
    loop_turn(loop, 1000);
    assert_int_equal(a.seen, WATCH_READ | WATCH_WRITE);
    assert_int_equal(a.calls, 3);
}

static void who_wants_nothing_is_left_alone(void **state)
{
    (void)state;
    watch_for(&a.watch, WATCH_READ);
    loop_turn(loop, 0);
    watch_for(&a.watch, 0);
    hang_up(&a);
    loop_turn(loop, 1000); /* it was still known to the kernel, which says so once */
    assert_calm();
    assert_int_equal(a.calls, 0);
    watch_for(&a.watch, WATCH_READ);
    loop_turn(loop, 1000);
    assert_int_equal(a.calls, 1);
}

static void the_end_of_the_peer_is_all_that_is_wanted(void **state)
{
    (void)state;
    hang_up(&a);
    watch_for(&a.watch, WATCH_READ | WATCH_WRITE);
    loop_turn(loop, 1000);
    assert_int_equal(a.seen, WATCH_READ | WATCH_WRITE);
}

static void one_may_end_another_that_is_ready(void **state)
{
    (void)state;
    a.ends = &b;
    b.ends = &a;
    watch_for(&a.watch, WATCH_WRITE);
    watch_for(&b.watch, WATCH_WRITE);
    loop_turn(loop, 1000);
    assert_int_equal(a.calls + b.calls, 1);
    struct end *gone = a.calls ? &b : &a;
    watch_end(&gone->watch);
    memset(&gone->watch.fn, 0xff, sizeof(gone->watch.fn)); /* nobody looks at it any more */
    watch_for(a.calls ? &a.watch : &b.watch, 0);
    loop_turn(loop, 0);
    assert_calm();
}

static void a_descriptor_may_be_watched_by_another(void **state)
{
    struct end second = {.peer = -1};

    (void)state;
    watch_for(&a.watch, WATCH_WRITE);
    loop_turn(loop, 1000);
    assert_int_equal(a.calls, 1);
    watch_init(&second.watch, loop, a.watch.fd, on_ready);
    watch_pass(&a.watch, &second.watch);
    memset(&a.watch.fn, 0xff, sizeof(a.watch.fn));
    assert_calm(); /* the new one wants nothing yet, and the kernel has forgotten the old one */
    watch_for(&second.watch, WATCH_WRITE);
    loop_turn(loop, 1000);
    watch_pass(&second.watch, &a.watch); /* at once, with something that it wants */
    a.watch.fn = on_ready;
    watch_for(&a.watch, WATCH_READ);
    say(&a);
    loop_turn(loop, 1000);
    assert_int_equal(second.calls, 1);
    assert_int_equal(a.calls, 2);
    assert_int_equal(a.seen, WATCH_READ);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_what_is_wanted_is_told),
        TEST(who_wants_nothing_is_left_alone),
        TEST(the_end_of_the_peer_is_all_that_is_wanted),
        TEST(one_may_end_another_that_is_ready),
        TEST(a_descriptor_may_be_watched_by_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
