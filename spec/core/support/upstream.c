/* SPDX-License-Identifier: Apache-2.0 */

#include "support/upstream.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

const struct outbound_events upstream_events = {
    .on_connected = on_connected,
    .on_idle = on_idle,
    .on_closed = on_closed,
};

void upstream_forget(struct upstream *u)
{
    u->inbox.len = 0;
    u->inbox.text[0] = '\0';
    u->inbox.eof = u->inbox.reset = false;
}

bool upstream_got(struct upstream *u, const char *text)
{
    return strstr(u->inbox.text, text) != NULL;
}

void upstream_connect(struct upstream *u)
{
    u->o = outbound_connect(&u->ws.env, &(struct outbound_to){.addr = &u->at, .timeout_ms = 1000},
                            &upstream_events, u);
    int connects = u->connects;
    TURN_UNTIL(u->ws.env.loop, u->connects == connects + 1);
    assert_int_equal(u->err, 0);
    u->fd = accept4(u->listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(u->fd >= 0);
    upstream_forget(u);
}

void upstream_again(struct upstream *u)
{
    ear_done(&u->ear);
    if (u->o != NULL)
        outbound_close(u->o);
    close(u->fd);
    upstream_connect(u);
}

int upstream_setup(void **state)
{
    struct upstream *u = calloc(1, sizeof(*u));

    wires_init(&u->ws);
    u->listening = loopback_listen(16, &u->at);
    upstream_connect(u);
    *state = u;
    return 0;
}

int upstream_teardown(void **state)
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

void upstream_open(struct upstream *u)
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

struct message upstream_request(struct upstream *u, enum method method)
{
    struct message m = {.method = method,
                        .path = SLICE("/p"),
                        .query = SLICE("q=1"),
                        .authority = SLICE("up.example")};

    headers_init(&m.headers, u->ear.arena, 4);
    return m;
}

void upstream_ask(struct upstream *u, enum method method)
{
    upstream_open(u);
    struct message m = upstream_request(u, method);
    upstream_forget(u);
    assert_int_equal(wire_head(u->ear.w, &m, true), 0);
    UPSTREAM_UNTIL(u, upstream_got(u, "\r\n\r\n"));
}

void upstream_deliver(struct upstream *u, const char *bytes, int mode)
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

void upstream_pass(struct upstream *u, int64_t ms)
{
    clock_advance_ms(ms);
    loop_turn(u->ws.env.loop, 0);
    loop_turn(u->ws.env.loop, 0);
}
