/* SPDX-License-Identifier: Apache-2.0 */

/* The exchange on real sockets, with hooks in C: what a client and an origin see of it. */

#include "support/rig.h"

#include <string.h>
#include <unistd.h>

#include "base/err.h"

static struct rig rig;

#define PROXY "  - { name: all, upstream: origin }\n"
#define ALL_PHASES \
    (PHASE_BIT(PHASE_REWRITE) | PHASE_BIT(PHASE_ACCESS) | PHASE_BIT(PHASE_BALANCE) | \
     PHASE_BIT(PHASE_ATTEMPT) | PHASE_BIT(PHASE_RESPONSE) | PHASE_BIT(PHASE_LOG))
#define GET "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    return 0;
}

static void answers_through(int client, int origin)
{
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    put(origin, OK);
    rig_expect(&rig, &rig.client, client, "hello");
}

static void proxies_and_tells_upstream_of_the_client(void **state)
{
    (void)state;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client,
        "GET /a?b=c HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6\r\nVia: 1.0 x\r\n\r\n");
    int origin = rig_accept(&rig);
    answers_through(client, origin);
    assert_non_null(strstr(rig.server.text, "GET /a?b=c HTTP/1.1\r\n"));
    assert_non_null(strstr(rig.server.text, "Host: a.test\r\n"));
    assert_non_null(strstr(rig.server.text, "X-Forwarded-For: 127.0.0.1\r\n"));
    assert_null(strstr(rig.server.text, "6.6.6.6"));
    assert_non_null(strstr(rig.server.text, "Via: 1.0 x, 1.1 demilune\r\n"));
    assert_non_null(strstr(rig.server.text, "for=127.0.0.1;host=\"a.test\";proto=http"));
    assert_non_null(strstr(rig.client.text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(rig.client.text, "Via: 1.1 demilune\r\n"));

    /* Both connections carry the next one. */
    inbox_clear(&rig.client);
    inbox_clear(&rig.server);
    put(client, GET);
    answers_through(client, origin);
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void relays_request_bodies(void **state)
{
    (void)state;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n12345");
    put(client, "67890");
    rig_expect(&rig, &rig.server, origin, "1234567890");
    put(origin, OK);
    rig_expect(&rig, &rig.client, client, "hello");

    inbox_clear(&rig.client);
    inbox_clear(&rig.server);
    put(client,
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
    rig_expect(&rig, &rig.server, origin, "abc");
    put(origin,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\nX-R: 2\r\n\r\n");
    rig_expect(&rig, &rig.client, client, "X-R: 2\r\n\r\n");
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void large_bodies_flow_both_ways(void **state)
{
    enum { SIZE = 900 * 1024 };
    size_t sent = 0, got = 0, back = 0;
    static char block[16 * 1024];

    (void)state;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    memset(block, 'x', sizeof(block));
    put(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 921600\r\n\r\n");
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    got = rig.server.len - (size_t)(strstr(rig.server.text, "\r\n\r\n") + 4 - rig.server.text);
    while (got < SIZE) {
        ssize_t n =
            sent < SIZE ? send(client, block, MIN(sizeof(block), SIZE - sent), MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        n = recv(origin, block, sizeof(block), MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
        loop_turn(rig.gateway.loop, 0);
    }
    assert_int_equal(got, SIZE);
    put(origin, "HTTP/1.1 200 OK\r\nContent-Length: 921600\r\n\r\n");
    rig_expect(&rig, &rig.client, client, "\r\n\r\n");
    for (sent = 0; back < SIZE;) {
        ssize_t n =
            sent < SIZE ? send(origin, block, MIN(sizeof(block), SIZE - sent), MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        n = recv(client, block, sizeof(block), MSG_DONTWAIT);
        back += n > 0 ? (size_t)n : 0;
        loop_turn(rig.gateway.loop, 0);
    }
    assert_int_equal(back, SIZE);
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void expect_status(int client, const char *request, const char *status)
{
    inbox_clear(&rig.client);
    put(client, request);
    rig_expect(&rig, &rig.client, client, status);
    rig_expect(&rig, &rig.client, client, "request_id");
    assert_non_null(strstr(rig.client.text, "Content-Type: application/problem+json\r\n"));
}

static void errors_are_problems(void **state)
{
    (void)state;
    rig_start(
        &rig,
        "  - { name: get, hosts: [a], methods: [GET], paths: [/g], upstream: origin }\n"
        "  - { name: gone, hosts: [a], paths: [/gone], upstream: nobody }\n"
        "  - { name: post, hosts: [a], paths: [/post], upstream: origin, request_body: 4B }\n");
    int client = rig_connect(&rig);
    expect_status(client, "GET /nix HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\n");
    expect_status(client, "DELETE /g HTTP/1.1\r\nHost: a\r\n\r\n",
                  "HTTP/1.1 405 Method Not Allowed\r\n");
    assert_non_null(strstr(rig.client.text, "Allow: GET, HEAD\r\n"));
    expect_status(client, "GET /gone HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\n");
    expect_status(client, "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n");
    expect_status(client, "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345",
                  "HTTP/1.1 413 ");
    close(client);
    rig_stop(&rig);
}

static void upstream_faults_become_502_and_504(void **state)
{
    (void)state;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, GET);
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    put(origin, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    rig_expect(&rig, &rig.client, client, "HTTP/1.1 502 ");
    rig_expect_end(&rig, &rig.server, origin);
    close(origin);

    inbox_clear(&rig.client);
    put(client, GET);
    origin = rig_accept(&rig);
    rig_expect(&rig, &rig.client, client, "HTTP/1.1 504 "); /* it never answers */
    close(origin);

    /* Cut in the middle of the body: the client must be able to tell. */
    inbox_clear(&rig.client);
    inbox_clear(&rig.server);
    put(client, GET);
    origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    put(origin, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    rig_expect(&rig, &rig.client, client, "12345");
    close(origin);
    rig_expect_end(&rig, &rig.client, client);
    close(client);
    rig_stop(&rig);
}

static void a_stale_connection_is_replaced_for_idempotent_requests_only(void **state)
{
    (void)state;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, GET);
    int origin = rig_accept(&rig);
    answers_through(client, origin);

    /* The origin takes the next request and closes without a word. */
    inbox_clear(&rig.client);
    inbox_clear(&rig.server);
    put(client, GET);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    close(origin);
    origin = rig_accept(&rig);
    inbox_clear(&rig.server);
    answers_through(client, origin);

    inbox_clear(&rig.client);
    inbox_clear(&rig.server);
    put(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    rig_expect(&rig, &rig.server, origin, "hi");
    close(origin);
    rig_expect(&rig, &rig.client, client, "HTTP/1.1 502 ");
    assert_int_equal(accept4(rig.origin, NULL, NULL, SOCK_NONBLOCK), -1);
    close(client);
    rig_stop(&rig);
}

static void a_client_that_leaves_cancels_the_upstream_request(void **state)
{
    (void)state;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, GET);
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    close(client);
    rig_expect_end(&rig, &rig.server, origin);
    TURN_UNTIL(rig.gateway.loop, gateway_exchanges(&rig.gateway) == 0);
    close(origin);
    rig_stop(&rig);
}

static void answers_before_the_request_has_ended(void **state)
{
    (void)state;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nabc");
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "abc");
    put(origin, OK);
    rig_expect(&rig, &rig.client, client, "hello");
    rig_expect_end(&rig, &rig.client, client);
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void continue_is_passed_through(void **state)
{
    (void)state;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "Expect: 100-continue\r\n");
    put(origin, "HTTP/1.1 100 Continue\r\n\r\n");
    rig_expect(&rig, &rig.client, client, "HTTP/1.1 100 Continue\r\n\r\n");
    put(client, "hi");
    rig_expect(&rig, &rig.server, origin, "\r\n\r\nhi");
    put(origin, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK);
    rig_expect(&rig, &rig.client, client, "HTTP/1.1 103 Early Hints\r\n");
    rig_expect(&rig, &rig.client, client, "hello");
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void websockets_are_tunnels_with_half_close(void **state)
{
    (void)state;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "Upgrade: websocket\r\n");
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    put(origin, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfrom-origin");
    rig_expect(&rig, &rig.client, client, "\r\n\r\nfrom-origin");
    put(client, "from-client");
    rig_expect(&rig, &rig.server, origin, "from-client");
    shutdown(client, SHUT_WR);
    rig_expect_end(&rig, &rig.server, origin);
    put(origin, "last words");
    rig_expect(&rig, &rig.client, client, "last words");
    close(origin);
    rig_expect_end(&rig, &rig.client, client);
    close(client);
    rig_stop(&rig);
}

/* --- hooks ------------------------------------------------------------------------------------------------------- */

static enum phase_result waits(struct rig *r, struct exchange *x)
{
    r->waiting = x;
    return PHASE_WAITS;
}

static enum phase_result fails(struct rig *r UNUSED, struct exchange *x UNUSED)
{
    return PHASE_FAILED;
}

static enum phase_result replies(struct rig *r UNUSED, struct exchange *x)
{
    assert_int_equal(exchange_reply(x, 403, NULL, SLICE("no")), 0);
    return PHASE_DONE;
}

static void every_hook_runs_once_and_in_order(void **state)
{
    (void)state;
    rig.mask = ALL_PHASES;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, GET);
    int origin = rig_accept(&rig);
    answers_through(client, origin);
    TURN_UNTIL(rig.gateway.loop, rig.forgotten == 1);
    for (int p = PHASE_REWRITE; p <= PHASE_LOG; p++)
        assert_int_equal(rig.calls[p], p == PHASE_BODY ? 0 : 1);
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void any_hook_may_wait(void **state)
{
    static const enum phase phases[] = {PHASE_REWRITE,  PHASE_ACCESS, PHASE_BALANCE, PHASE_ATTEMPT,
                                        PHASE_RESPONSE, PHASE_BODY,   PHASE_LOG};
    (void)state;
    rig.mask = ALL_PHASES | PHASE_BIT(PHASE_BODY);
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig), origin = -1;
    for (size_t i = 0; i < COUNT_OF(phases); i++) {
        memset(rig.hooks, 0, sizeof(rig.hooks));
        rig.hooks[phases[i]] = waits;
        rig.waiting = NULL;
        rig.forgotten = 0;
        inbox_clear(&rig.client);
        inbox_clear(&rig.server);
        put(client, GET);
        if (phases[i] > PHASE_BALANCE) {
            if (origin < 0)
                origin = rig_accept(&rig);
            rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
            put(origin, OK);
        }
        TURN_UNTIL(rig.gateway.loop, rig.waiting);
        rig.hooks[phases[i]] = NULL;
        exchange_phase_done(rig.waiting, PHASE_DONE);
        if (phases[i] <= PHASE_BALANCE) {
            if (origin < 0)
                origin = rig_accept(&rig);
            rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
            put(origin, OK);
        }
        rig_expect(&rig, &rig.client, client, "hello");
        TURN_UNTIL(rig.gateway.loop, rig.forgotten == 1);
    }
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void a_client_that_leaves_cancels_a_waiting_hook(void **state)
{
    (void)state;
    rig.mask = ALL_PHASES;
    rig.hooks[PHASE_ACCESS] = waits;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, GET);
    TURN_UNTIL(rig.gateway.loop, rig.waiting);
    close(client);
    TURN_UNTIL(rig.gateway.loop, rig.forgotten == 1);
    assert_int_equal(rig.cancelled, 1);
    assert_int_equal(rig.calls[PHASE_LOG], 1);
    assert_int_equal(rig.last_err, ERR_CLIENT_GONE);
    rig_stop(&rig);
}

static void a_deadline_cancels_a_waiting_hook(void **state)
{
    (void)state;
    rig.mask = ALL_PHASES;
    rig.hooks[PHASE_ACCESS] = waits;
    rig_start(&rig, "  - { name: all, upstream: origin, timeout: 50ms }\n");
    int client = rig_connect(&rig);
    expect_status(client, GET, "HTTP/1.1 504 ");
    assert_int_equal(rig.cancelled, 1);
    close(client);
    rig_stop(&rig);
}

static void a_failing_hook_is_500_in_every_phase_before_the_head(void **state)
{
    static const enum phase phases[] = {PHASE_REWRITE, PHASE_ACCESS, PHASE_BALANCE, PHASE_ATTEMPT,
                                        PHASE_RESPONSE};
    (void)state;
    rig.mask = ALL_PHASES;
    rig_start(&rig, PROXY);
    int origin = -1;
    for (size_t i = 0; i < COUNT_OF(phases); i++) {
        int client = rig_connect(&rig);
        memset(rig.hooks, 0, sizeof(rig.hooks));
        rig.hooks[phases[i]] = fails;
        inbox_clear(&rig.client);
        put(client, GET);
        if (phases[i] > PHASE_BALANCE) {
            inbox_clear(&rig.server);
            origin = rig_accept(&rig);
            rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
            put(origin, OK);
        }
        rig_expect(&rig, &rig.client, client, "HTTP/1.1 500 ");
        close(client);
        if (origin >= 0)
            close(origin);
        origin = -1;
    }
    /* Each 500 went to the response hooks; that of a response hook to those behind it. */
    assert_int_equal(rig.calls[PHASE_RESPONSE], COUNT_OF(phases));
    assert_int_equal(rig.rests[PHASE_RESPONSE], 1);
    rig_stop(&rig);
}

static void a_reply_ends_the_way(void **state)
{
    (void)state;
    rig.mask = ALL_PHASES;
    rig.hooks[PHASE_ACCESS] = replies;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, GET);
    rig_expect(&rig, &rig.client, client, "\r\n\r\nno");
    assert_non_null(strstr(rig.client.text, "HTTP/1.1 403 Forbidden\r\n"));
    assert_non_null(strstr(rig.client.text, "Server: demilune\r\n"));
    assert_int_equal(rig.calls[PHASE_BALANCE], 0);
    assert_int_equal(rig.calls[PHASE_RESPONSE], 1);
    TURN_UNTIL(rig.gateway.loop, rig.calls[PHASE_LOG] == 1);

    /* A response hook may replace upstream's answer. */
    rig.hooks[PHASE_ACCESS] = NULL;
    rig.hooks[PHASE_RESPONSE] = replies;
    inbox_clear(&rig.client);
    put(client, GET);
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    put(origin, OK);
    rig_expect(&rig, &rig.client, client, "\r\n\r\nno");
    assert_null(strstr(rig.client.text, "hello"));
    close(client);
    close(origin);
    rig_stop(&rig);
}

static enum phase_result retries(struct rig *r UNUSED, struct exchange *x)
{
    if (x->attempts < 5 && x->attempt->err)
        exchange_retry(x, x->attempts == 1 ? 5 : 0);
    return PHASE_DONE;
}

static void attempt_hooks_may_try_again_elsewhere(void **state)
{
    (void)state;
    rig.mask = ALL_PHASES;
    rig.hooks[PHASE_ATTEMPT] = retries;
    rig_start(&rig, "  - { name: all, upstream: half }\n");
    int client = rig_connect(&rig);
    put(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\nhi");
    put(origin, OK);
    rig_expect(&rig, &rig.client, client, "hello");
    assert_true(rig.calls[PHASE_ATTEMPT] >= 2);
    close(client);
    close(origin);
    rig_stop(&rig);
}

static enum phase_result waits_and_retries(struct rig *r, struct exchange *x)
{
    if (x->attempts > 1)
        return PHASE_DONE;
    exchange_retry(x, 0);
    r->waiting = x;
    return PHASE_WAITS;
}

/* The origin takes the first 30,000 bytes and breaks off; up to the next attempt 60,000 more come, together more than
 * may be held of a body; then the rest. */
static void a_body_that_comes_between_two_attempts_is_whole(void **state)
{
    (void)state;
    static char piece[30001];
    struct inbox *seen = &rig.server;

    memset(piece, 'x', sizeof(piece) - 1);
    rig.mask = ALL_PHASES;
    rig.hooks[PHASE_ATTEMPT] = waits_and_retries;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    put(client, piece);
    int origin = rig_accept(&rig);
    rig_expect(&rig, seen, origin, piece);
    close(origin);
    TURN_UNTIL(rig.gateway.loop, rig.waiting != NULL);
    uint64_t before = rig.waiting->flows[SIDE_REQUEST].bytes;
    put(client, piece);
    put(client, piece);
    TURN_UNTIL(rig.gateway.loop, rig.waiting->flows[SIDE_REQUEST].bytes > before + 30000);
    exchange_phase_done(rig.waiting, PHASE_DONE);
    origin = rig_accept(&rig);
    inbox_clear(seen);
    for (int i = 3; i < 10; i++) {
        put(client, piece);
        TURN_UNTIL(rig.gateway.loop, (inbox_read(seen, origin), seen->len > 30000u * (size_t)i));
    }
    TURN_UNTIL(rig.gateway.loop, (inbox_read(seen, origin), seen->len > 300000));
    put(origin, OK);
    rig_expect(&rig, &rig.client, client, "hello");
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void an_empty_body_may_end_while_an_attempt_hook_waits(void **state)
{
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                          "0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", ""};
    (void)state;
    rig.mask = ALL_PHASES;
    rig.hooks[PHASE_ATTEMPT] = waits;
    rig_start(&rig, PROXY);
    for (size_t i = 0; i < COUNT_OF(answers); i += 2) {
        int client = rig_connect(&rig);
        put(client, GET);
        int origin = rig_accept(&rig);
        rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
        put(origin, answers[i]);
        TURN_UNTIL(rig.gateway.loop, rig.waiting != NULL);
        put(origin, answers[i + 1]);
        close(origin);
        for (int turns = 0; turns < 20; turns++)
            loop_turn(rig.gateway.loop, 1);
        exchange_phase_done(rig.waiting, PHASE_DONE);
        rig_expect(&rig, &rig.client, client, "Content-Length: 0\r\n\r\n");
        inbox_clear(&rig.client);
        inbox_clear(&rig.server);
        rig.waiting = NULL;
        close(client);
    }
    rig_stop(&rig);
}

static void body_is_here(void *arg, int err)
{
    struct exchange *x = arg;

    assert_int_equal(err, 0);
    exchange_phase_done(x, PHASE_DONE);
}

static enum phase_result reads_request(struct rig *r UNUSED, struct exchange *x)
{
    return exchange_body_collect(x, SIDE_REQUEST, body_is_here, x) == ERR_AGAIN ? PHASE_WAITS
                                                                                : PHASE_DONE;
}

static void shouts(void *arg, int err)
{
    struct exchange *x = arg;

    assert_int_equal(err, 0);
    assert_int_equal(exchange_body_set(x, SIDE_RESPONSE, SLICE("HELLO!")), 0);
    exchange_phase_done(x, PHASE_DONE);
}

static enum phase_result reads_response(struct rig *r UNUSED, struct exchange *x)
{
    int rc = exchange_body_collect(x, SIDE_RESPONSE, shouts, x);

    assert_int_equal(rc, ERR_AGAIN);
    return PHASE_WAITS;
}

static void hooks_may_hold_whole_bodies(void **state)
{
    (void)state;
    rig.mask = ALL_PHASES;
    rig.hooks[PHASE_ACCESS] = reads_request;
    rig.hooks[PHASE_RESPONSE] = reads_response;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client,
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    rig_expect(&rig, &rig.client, client, "HTTP/1.1 100 Continue\r\n");
    put(client, "3\r\nabc\r\n0\r\n\r\n");
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\nabc");
    assert_non_null(strstr(rig.server.text, "Content-Length: 3\r\n"));
    assert_null(strstr(rig.server.text, "Expect"));
    put(origin, OK);
    rig_expect(&rig, &rig.client, client, "\r\n\r\nHELLO!");
    assert_non_null(strstr(rig.client.text, "Content-Length: 6\r\n"));
    close(client);
    close(origin);
    rig_stop(&rig);
}

static enum phase_result sets_headers(struct rig *r UNUSED, struct exchange *x)
{
    assert_int_equal(exchange_header(x, SIDE_REQUEST, HEADER_SET, SLICE("X-User"), SLICE("me")), 0);
    assert_int_equal(exchange_header(x, SIDE_RESPONSE, HEADER_SET, SLICE("X-Frame"), SLICE("deny")),
                     0);
    assert_int_equal(
        exchange_header(x, SIDE_RESPONSE, HEADER_REMOVE, SLICE("X-Secret"), SLICE_NONE), 0);
    assert_int_equal(exchange_header(x, SIDE_RESPONSE, HEADER_ADD, SLICE("Vary"), SLICE("Origin")),
                     0);
    assert_true(slice_eq(headers_get(&x->overlay, SLICE("vary")), SLICE("Origin")));
    assert_int_equal(
        exchange_header(x, SIDE_REQUEST, HEADER_SET, SLICE("Transfer-Encoding"), SLICE("x")),
        ERR_ARG);
    assert_int_equal(exchange_header(x, SIDE_REQUEST, HEADER_SET, SLICE("a b"), SLICE("x")),
                     ERR_ARG);
    assert_int_equal(exchange_header(x, SIDE_REQUEST, HEADER_SET, SLICE("a"), SLICE("x\r\ny: z")),
                     ERR_ARG);
    return PHASE_DONE;
}

static void hooks_change_headers(void **state)
{
    (void)state;
    rig.mask = ALL_PHASES;
    rig.hooks[PHASE_ACCESS] = sets_headers;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, "GET / HTTP/1.1\r\nHost: a\r\nX_User: root\r\nx-user: root\r\n\r\n");
    int origin = rig_accept(&rig);
    rig_expect(&rig, &rig.server, origin, "\r\n\r\n");
    assert_non_null(strstr(rig.server.text, "X-User: me\r\n"));
    assert_null(strstr(rig.server.text, "root"));
    put(origin,
        "HTTP/1.1 200 OK\r\nX-Secret: 1\r\nX-Frame: allow\r\nVary: Accept\r\nContent-Length: 0\r\n\r\n");
    rig_expect(&rig, &rig.client, client, "\r\n\r\n");
    assert_non_null(strstr(rig.client.text, "X-Frame: deny\r\n"));
    assert_null(strstr(rig.client.text, "allow"));
    assert_non_null(strstr(rig.client.text, "Vary: Accept\r\n"));
    assert_non_null(strstr(rig.client.text, "Vary: Origin\r\n"));
    assert_null(strstr(rig.client.text, "X-Secret"));
    close(client);
    close(origin);
    rig_stop(&rig);
}

static void a_handle_does_not_outlive_its_exchange(void **state)
{
    (void)state;
    rig.mask = ALL_PHASES;
    rig.hooks[PHASE_ACCESS] = waits;
    rig_start(&rig, PROXY);
    int client = rig_connect(&rig);
    put(client, GET);
    TURN_UNTIL(rig.gateway.loop, rig.waiting);
    double handle = rig.waiting->handle;
    assert_ptr_equal(exchange_table_find(&rig.gateway.table, handle), rig.waiting);
    close(client);
    TURN_UNTIL(rig.gateway.loop, rig.forgotten == 1);
    assert_null(exchange_table_find(&rig.gateway.table, handle));
    assert_null(exchange_table_find(&rig.gateway.table, 0));
    assert_null(exchange_table_find(&rig.gateway.table, 1e15));
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(proxies_and_tells_upstream_of_the_client, setup),
        cmocka_unit_test_setup(relays_request_bodies, setup),
        cmocka_unit_test_setup(large_bodies_flow_both_ways, setup),
        cmocka_unit_test_setup(errors_are_problems, setup),
        cmocka_unit_test_setup(upstream_faults_become_502_and_504, setup),
        cmocka_unit_test_setup(a_stale_connection_is_replaced_for_idempotent_requests_only, setup),
        cmocka_unit_test_setup(a_client_that_leaves_cancels_the_upstream_request, setup),
        cmocka_unit_test_setup(answers_before_the_request_has_ended, setup),
        cmocka_unit_test_setup(continue_is_passed_through, setup),
        cmocka_unit_test_setup(websockets_are_tunnels_with_half_close, setup),
        cmocka_unit_test_setup(every_hook_runs_once_and_in_order, setup),
        cmocka_unit_test_setup(any_hook_may_wait, setup),
        cmocka_unit_test_setup(a_client_that_leaves_cancels_a_waiting_hook, setup),
        cmocka_unit_test_setup(a_deadline_cancels_a_waiting_hook, setup),
        cmocka_unit_test_setup(a_failing_hook_is_500_in_every_phase_before_the_head, setup),
        cmocka_unit_test_setup(a_reply_ends_the_way, setup),
        cmocka_unit_test_setup(attempt_hooks_may_try_again_elsewhere, setup),
        cmocka_unit_test_setup(a_body_that_comes_between_two_attempts_is_whole, setup),
        cmocka_unit_test_setup(an_empty_body_may_end_while_an_attempt_hook_waits, setup),
        cmocka_unit_test_setup(hooks_may_hold_whole_bodies, setup),
        cmocka_unit_test_setup(hooks_change_headers, setup),
        cmocka_unit_test_setup(a_handle_does_not_outlive_its_exchange, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
