/* SPDX-License-Identifier: Apache-2.0 */

/* Body hooks, in C, between an origin and a client on real sockets: what of an answer reaches the client. */

#include "support/rig.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

static struct rig rig;

#define PROXY "  - { name: all, upstream: origin }\n"
#define GET "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    return 0;
}

static enum phase_result waits(struct rig *r, struct exchange *x)
{
    r->waiting = x;
    return PHASE_WAITS;
}

static enum phase_result fails(struct rig *r UNUSED, struct exchange *x UNUSED)
{
    return PHASE_FAILED;
}

static void goes_on(void *arg, int err)
{
    assert_int_equal(err, 0);
    exchange_phase_done(arg, PHASE_DONE);
}

static enum phase_result looks_at_the_beginning(struct rig *r UNUSED, struct exchange *x)
{
    assert_int_equal(exchange_body_more(x, SIDE_RESPONSE, goes_on, x), ERR_AGAIN);
    return PHASE_WAITS;
}

static void what_a_response_hook_has_seen_of_a_body_is_not_lost(void **state)
{
    (void)state;
    for (int with_body_hooks = 0; with_body_hooks < 2; with_body_hooks++) {
        memset(&rig, 0, sizeof(rig));
        rig.mask = PHASE_BIT(PHASE_RESPONSE) | (with_body_hooks ? PHASE_BIT(PHASE_BODY) : 0);
        rig.hooks[PHASE_RESPONSE] = looks_at_the_beginning;
        rig_start(&rig, PROXY);
        int client = rig_connect(&rig);
        put(client, GET);
        int origin = rig_accept(&rig);
        rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
        put(origin, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
        rig_expect(&rig, &rig.client, client, "hel");
        put(origin, "lo");
        rig_expect(&rig, &rig.client, client, with_body_hooks ? "2\r\nlo\r\n0\r\n\r\n" : "hello");
        close(client);
        close(origin);
        rig_stop(&rig);
    }
}

static enum phase_result stars(struct rig *r UNUSED, struct exchange *x)
{
    exchange_chunk_replace(x, x->chunk_is_last ? SLICE("*end") : SLICE("*"));
    return PHASE_DONE;
}

static void body_hooks_see_each_chunk(void **state)
{
    (void)state;
    rig.mask = PHASE_BIT(PHASE_BODY);
    rig.hooks[PHASE_BODY] = stars;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, GET);
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    put(origin, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    rig_expect(&rig, &rig.client, client, "1\r\n*\r\n");
    put(origin, "lo");
    rig_expect(&rig, &rig.client, client, "4\r\n*end\r\n0\r\n\r\n");
    close(client);
    close(origin);
    rig_stop(&rig);
}

/* A request whose answer's first bytes are here; its upstream's end. */
static int begin_answer(int client, const char *bytes)
{
    inbox_clear(&rig.client);
    inbox_clear(&rig.server);
    put(client, GET);
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    put(origin, bytes);
    return origin;
}

static void a_body_hook_that_fails_at_first_is_500(void **state)
{
    (void)state;
    rig.mask = PHASE_BIT(PHASE_BODY) | PHASE_BIT(PHASE_LOG);
    rig.hooks[PHASE_BODY] = fails;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    int origin = begin_answer(client, OK);
    rig_expect(&rig, &rig.client, client, "\"status\":500");
    assert_int_equal(rig.rests[PHASE_BODY], 1); /* the 500 is seen by those that have not failed */
    assert_non_null(strstr(rig.client.text, "HTTP/1.1 500 "));
    assert_null(strstr(rig.client.text, "hello"));
    assert_int_equal(rig.last_status, 500);
    close(origin);

    inbox_clear(&rig.client);
    rig.hooks[PHASE_BODY] = NULL;
    origin = begin_answer(client, OK); /* the connection lives */
    rig_expect(&rig, &rig.client, client, "hello");
    close(origin);
    close(client);
    rig_stop(&rig);
}

static void a_body_hook_that_waits_and_fails_at_first_is_500(void **state)
{
    (void)state;
    rig.mask = PHASE_BIT(PHASE_BODY);
    rig.hooks[PHASE_BODY] = waits;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    int origin = begin_answer(client, OK);
    TURN_UNTIL(rig.gateway.loop, rig.waiting);
    for (int i = 0; i < 5; i++)
        loop_turn(rig.gateway.loop, 1);
    rig.hooks[PHASE_BODY] = NULL;
    exchange_phase_done(rig.waiting, PHASE_FAILED);
    rig_expect(&rig, &rig.client, client, "\"status\":500");
    assert_memory_equal(rig.client.text, "HTTP/1.1 500 ", 13);
    close(origin);
    close(client);
    rig_stop(&rig);
}

static void the_routes_time_holds_for_a_head_that_waits_for_a_body_hook(void **state)
{
    (void)state;
    rig.mask = PHASE_BIT(PHASE_BODY);
    rig.hooks[PHASE_BODY] = waits;
    rig_start(&rig, "  - { name: all, upstream: origin, timeout: 5s }\n");
    int client = rig_connect(&rig);
    int origin = begin_answer(client, OK);
    TURN_UNTIL(rig.gateway.loop, rig.waiting);
    rig.hooks[PHASE_BODY] = NULL;
    for (int i = 0; i < 5; i++)
        loop_turn(rig.gateway.loop, 1);
    assert_int_equal(rig.cancelled, 0);
    clock_advance_ms(5000);
    rig_expect(&rig, &rig.client, client, "\"status\":504");
    assert_memory_equal(rig.client.text, "HTTP/1.1 504 ", 13);
    assert_int_equal(rig.cancelled, 1);
    close(origin);
    close(client);
    rig_stop(&rig);
}

static void a_head_without_bytes_does_not_wait_for_a_body_hook(void **state)
{
    (void)state;
    rig.mask = PHASE_BIT(PHASE_BODY);
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    int origin = begin_answer(client, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    rig_expect(&rig, &rig.client, client, "\r\n\r\n");
    rig.hooks[PHASE_BODY] = fails;
    put(origin, "hello");
    rig_expect_end(&rig, &rig.client, client);
    assert_null(strstr(rig.client.text, "hello"));
    assert_null(strstr(rig.client.text, "\r\n0\r\n"));
    close(origin);
    close(client);
    rig_stop(&rig);
}

static void a_body_hook_that_fails_later_breaks_the_answer_off(void **state)
{
    (void)state;
    rig.mask = PHASE_BIT(PHASE_BODY);
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    int origin = begin_answer(client, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    rig_expect(&rig, &rig.client, client, "hel");
    rig.hooks[PHASE_BODY] = fails;
    put(origin, "lo");
    rig_expect_end(&rig, &rig.client, client);
    assert_null(strstr(rig.client.text, "lo"));
    assert_null(strstr(rig.client.text, "\r\n0\r\n"));
    close(origin);
    close(client);
    rig_stop(&rig);
}

static void a_body_hook_that_fails_can_not_take_an_error_answer_away(void **state)
{
    (void)state;
    rig.mask = PHASE_BIT(PHASE_ACCESS) | PHASE_BIT(PHASE_BODY);
    rig.hooks[PHASE_ACCESS] = rig.hooks[PHASE_BODY] = fails;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, GET);
    rig_expect(&rig, &rig.client, client, "\"status\":500");
    assert_memory_equal(rig.client.text, "HTTP/1.1 500 ", 13);
    assert_int_equal(rig.calls[PHASE_BODY], 1);
    assert_int_equal(rig.rests[PHASE_BODY], 1);
    close(client);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_a_response_hook_has_seen_of_a_body_is_not_lost, setup),
        cmocka_unit_test_setup(body_hooks_see_each_chunk, setup),
        cmocka_unit_test_setup(a_body_hook_that_fails_at_first_is_500, setup),
        cmocka_unit_test_setup(a_body_hook_that_waits_and_fails_at_first_is_500, setup),
        cmocka_unit_test_setup(the_routes_time_holds_for_a_head_that_waits_for_a_body_hook, setup),
        cmocka_unit_test_setup(a_head_without_bytes_does_not_wait_for_a_body_hook, setup),
        cmocka_unit_test_setup(a_body_hook_that_fails_later_breaks_the_answer_off, setup),
        cmocka_unit_test_setup(a_body_hook_that_fails_can_not_take_an_error_answer_away, setup),
    };
    return cmocka_run_group_tests_name("gate/flow", tests, NULL, NULL);
}
