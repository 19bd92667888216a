/* SPDX-License-Identifier: Apache-2.0 */

/* The pool with real connections: two workers with a loop each, an origin that the test plays,
 * and requests that are released in the depth of reading their responses, as the gateway does
 * it. */

#include "gate/pool.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "http/outbound.h"
#include "net/mailbox.h"
#include "support/wires.h"

enum { WORKERS = 2, REQUESTS = 8, SOCKETS = 16 };

struct request {
    struct pool_claim claim;
    struct ear ear;
    struct worker *worker;
    bool answered;
    int err;
};

static struct worker {
    struct wires wires;
    struct mailbox *mailbox;
    struct pool *pool;
} workers[WORKERS];

static struct origin {
    struct addr at;
    int listening;
    int fds[SOCKETS];
    int accepted, served;
    bool holds; /* answers nothing */
} origin;

static struct endpoint endpoint;
static struct upstream up;
static struct request *requests;

/* Accepts what comes and answers each request it can read. */
static void origin_serve(void)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char text[2048];
    int fd;

    while ((fd = accept4(origin.listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        origin.fds[origin.accepted++] = fd;
    for (int i = 0; i < origin.accepted && !origin.holds; i++) {
        if (origin.fds[i] >= 0 && recv(origin.fds[i], text, sizeof(text), 0) > 0) {
            assert_int_equal(send(origin.fds[i], answer, sizeof(answer) - 1, 0),
                             sizeof(answer) - 1);
            origin.served++;
        }
    }
}

static void origin_hang_up(int i)
{
    close(origin.fds[i]);
    origin.fds[i] = -1;
}

static void turn_all(void)
{
    for (int round = 0; round < 4; round++) {
        origin_serve();
        for (int i = 0; i < WORKERS; i++)
            loop_turn(workers[i].wires.env.loop, 0);
    }
}

#define UNTIL(cond) \
    do { \
        uint64_t give_up_ = clock_us_now() + 10000000; \
        while (turn_all(), !(cond)) \
            if (clock_us_now() > give_up_) \
                fail_msg("never came true: %s", #cond); \
    } while (0)

static void start_worker(struct worker *w)
{
    wires_init(&w->wires);
    w->mailbox = mailbox_new(w->wires.env.loop, w);
    struct pool_env env = {.wire = &w->wires.env, .mailbox = w->mailbox, .nworkers = WORKERS};
    w->pool = pool_new(&env);
}

static int set_up(void **state)
{
    char text[ADDR_TEXT];
    (void)state;

    hash_set_key(1, 2);
    origin = (struct origin){0};
    origin.listening = loopback_listen(SOCKETS, &origin.at);
    loopback_set_blocking(origin.listening, false);
    addr_print_ip(&origin.at, text, sizeof(text));
    endpoint.weight = 1;
    endpoint.target = target_ref(SLICE("http1"), slice_from(text), addr_port(&origin.at));
    up = (struct upstream){.endpoints = &endpoint,
                           .nendpoints = 1,
                           .timeout_ms = 15000,
                           .max_connections = 100,
                           .max_pending = 100,
                           .live = upstream_live_ref(SLICE("origin"))};
    up.keepalive.max_idle = 4;
    up.keepalive.idle_timeout_ms = 60000;
    for (int i = 0; i < WORKERS; i++)
        start_worker(&workers[i]);
    requests = calloc(REQUESTS, sizeof(*requests));
    return requests ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < REQUESTS; i++)
        ear_done(&requests[i].ear);
    free(requests);
    for (int i = 0; i < WORKERS; i++) {
        pool_free(workers[i].pool);
        mailbox_free(workers[i].mailbox);
    }
    target_unref(endpoint.target);
    for (int i = 0; i < WORKERS; i++)
        wires_deinit(&workers[i].wires);
    assert_int_equal(up.live->connections, 0);
    upstream_live_unref(up.live);
    for (int i = 0; i < origin.accepted; i++)
        if (origin.fds[i] >= 0)
            close(origin.fds[i]);
    close(origin.listening);
    return 0;
}

static void on_end(struct ear *e)
{
    struct request *r = e->arg;
    struct wire *w = e->w;

    e->w = NULL;
    r->answered = true;
    wire_release(w);
}

static void send_on(struct request *r, struct outbound *o)
{
    struct message m = {.method = METHOD_GET, .path = SLICE("/"), .authority = SLICE("origin")};

    r->ear.arena = arena_new(&r->worker->wires.arena_blocks);
    r->ear.w = outbound_open(o, r->ear.arena, &ear_events, &r->ear);
    headers_init(&m.headers, r->ear.arena, 1);
    assert_int_equal(wire_head(r->ear.w, &m, true), 0);
}

static void on_done(struct pool_claim *c, struct outbound *o, int err)
{
    struct request *r = container_of(c, struct request, claim);

    r->err = err;
    if (o)
        send_on(r, o);
}

/* Request number i, by a worker. */
static void start(int i, int worker)
{
    struct request *r = &requests[i];
    struct outbound *o;

    ear_done(&r->ear);
    *r = (struct request){.worker = &workers[worker]};
    r->ear.grant = 1000;
    r->ear.on_end = on_end;
    r->ear.arg = r;
    r->claim.upstream = &up;
    r->claim.target = endpoint.target;
    r->claim.connect_timeout_ms = 5000;
    r->claim.on_done = on_done;
    int rc = pool_take(r->worker->pool, &r->claim, &o);
    assert_true(rc == 0 || rc == ERR_AGAIN);
    if (rc == 0)
        send_on(r, o);
}

static bool all_answered(int n)
{
    for (int i = 0; i < n; i++)
        if (!requests[i].answered)
            return false;
    return true;
}

/* n requests of one worker under way at the same time. */
static void together(int n, int worker)
{
    origin.holds = true;
    for (int i = 0; i < n; i++)
        start(i, worker);
    UNTIL(up.live->pending == 0 && endpoint.target->connections >= n);
    origin.holds = false;
    UNTIL(all_answered(n));
    turn_all();
}

static void requests_share_a_connection(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        start(0, 0);
        UNTIL(requests[0].answered);
    }
    assert_int_equal(origin.accepted, 1);
    assert_int_equal(endpoint.target->opened, 1);
}

static void connections_move_to_another_worker_and_work_there(void **state)
{
    (void)state;
    together(4, 0); /* two stay, two go to the shelf */
    assert_int_equal(pool_idle_count(workers[0].pool), 2);
    assert_int_equal(up.live->shelved, 2);
    for (int i = 0; i < 2; i++)
        start(i, 1);
    UNTIL(all_answered(2));
    for (int round = 0; round < 5; round++) {
        start(0, 1);
        UNTIL(requests[0].answered);
    }
    assert_int_equal(origin.accepted, 4);
}

static void at_the_limit_one_connection_serves_both_workers(void **state)
{
    (void)state;
    up.max_connections = 1;
    for (int i = 0; i < REQUESTS; i++)
        start(i, i % 2);
    UNTIL(all_answered(REQUESTS));
    assert_int_equal(origin.served, REQUESTS);
    assert_int_equal(origin.accepted, 1);
}

static void what_the_origin_closes_is_replaced(void **state)
{
    (void)state;
    together(3, 0);
    assert_int_equal(up.live->shelved, 1);
    for (int i = 0; i < 3; i++)
        origin_hang_up(i);
    UNTIL(pool_idle_count(workers[0].pool) == 0);
    start(0, 1); /* looks at the shelf first */
    UNTIL(requests[0].answered);
    assert_int_equal(origin.accepted, 4);
    assert_int_equal(up.live->connections, 1);
}

static void a_worn_connection_ends_after_its_last_response(void **state)
{
    (void)state;
    up.keepalive.max_requests = 2;
    for (int i = 0; i < 4; i++) {
        start(0, 0);
        UNTIL(requests[0].answered);
    }
    assert_int_equal(origin.accepted, 2);
    assert_int_equal(up.live->connections, 0);
}

static void an_origin_that_is_not_there_is_said(void **state)
{
    (void)state;
    close(origin.listening);
    origin.listening = loopback_listen(1, &origin.at); /* elsewhere */
    loopback_set_blocking(origin.listening, false);
    start(0, 0);
    UNTIL(requests[0].err != 0);
    assert_int_equal(requests[0].err, ERR_REFUSED);
    assert_int_equal(up.live->connections, 0);
}

static void a_connect_can_be_cancelled(void **state)
{
    (void)state;
    start(0, 0);
    pool_cancel(&requests[0].claim);
    turn_all();
    assert_int_equal(up.live->connections, 0);
    assert_int_equal(requests[0].err, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(requests_share_a_connection),
        T(connections_move_to_another_worker_and_work_there),
        T(at_the_limit_one_connection_serves_both_workers),
        T(what_the_origin_closes_is_replaced),
        T(a_worn_connection_ends_after_its_last_response),
        T(an_origin_that_is_not_there_is_said),
        T(a_connect_can_be_cancelled),
    };
    return cmocka_run_group_tests_name("gate/pool_sockets", tests, NULL, NULL);
}
