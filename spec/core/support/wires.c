/* SPDX-License-Identifier: Apache-2.0 */

#include "support/wires.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/err.h"

static void on_bad_head(void *owner, const struct wire_peer *peer, int err, const char *why,
                        struct slice id)
{
    struct wires *ws = owner;

    assert_true(peer != NULL && err < 0 && why != NULL && id.len > 0);
    ws->bad_heads++;
    ws->bad_status = err_status(err);
}

void wires_init(struct wires *ws)
{
    *ws = (struct wires){0};
    blocks_init(&ws->recv_blocks, WIRE_RECV_BLOCK, 16);
    blocks_init(&ws->head_blocks, WIRE_HEAD_BLOCK, 16);
    blocks_init(&ws->arena_blocks, WIRE_ARENA_BLOCK, 16);
    ws->limits = (struct http_limits){
        .request_line = 8 * KIB,
        .request_head = 32 * KIB,
        .headers = 100,
        .header_timeout_ms = 10000,
        .body_timeout_ms = 30000,
        .idle_timeout_ms = 60000,
    };
    ws->env = (struct wire_env){
        .loop = loop_new(),
        .recv_blocks = &ws->recv_blocks,
        .head_blocks = &ws->head_blocks,
        .arena_blocks = &ws->arena_blocks,
        .scratch = malloc(WIRE_SCRATCH),
        .limits = &ws->limits,
        .on_bad_head = on_bad_head,
        .owner = ws,
        .server_name = SLICE("demilune"),
    };
}

void wires_deinit(struct wires *ws)
{
    loop_turn(ws->env.loop, 0);
    assert_int_equal(ws->recv_blocks.nused, 0);
    assert_int_equal(ws->head_blocks.nused, 0);
    assert_int_equal(ws->arena_blocks.nused, 0);
    blocks_deinit(&ws->recv_blocks);
    blocks_deinit(&ws->head_blocks);
    blocks_deinit(&ws->arena_blocks);
    loop_free(ws->env.loop);
    free(ws->env.scratch);
}

static void on_head(void *owner, struct wire *w, struct message *m, bool end)
{
    struct ear *e = owner;

    assert_false(e->ended);
    assert_int_equal(e->gone, 0);
    e->w = w;
    e->m = m;
    if (m->status >= 100 && m->status < 200 && m->status != 101)
        e->interims++;
    else
        e->heads++;
    e->ended = end;
    if (e->grant > 0)
        wire_grant(w, e->grant);
    if (e->on_head != NULL)
        e->on_head(e);
    if (end && e->on_end != NULL)
        e->on_end(e);
}

static void on_body(void *owner, struct wire *w, const struct slice *pieces, int n, bool end)
{
    struct ear *e = owner;
    size_t before = e->len;

    assert_false(e->ended);
    assert_int_equal(e->gone, 0);
    for (int i = 0; i < n; i++) {
        assert_true(e->len + pieces[i].len < sizeof(e->body));
        memcpy(e->body + e->len, pieces[i].ptr, pieces[i].len);
        e->len += pieces[i].len;
    }
    e->body[e->len] = '\0';
    e->ended = end;
    if (end && w->trailers != NULL)
        snprintf(e->trailer, sizeof(e->trailer), "%.*s", SLICE_ARG(w->trailers->items[0].name));
    if (e->grant > 0 && !end)
        wire_grant(w, e->len - before);
    if (end && e->on_end != NULL)
        e->on_end(e);
}

static void on_room(void *owner, struct wire *w)
{
    struct ear *e = owner;

    assert_ptr_equal(w, e->w);
    e->rooms++;
}

static void on_gone(void *owner, struct wire *w, int err)
{
    struct ear *e = owner;

    (void)w;
    assert_int_equal(e->gone, 0);
    assert_true(err < 0);
    e->gone = err;
}

const struct wire_events ear_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_gone = on_gone,
};

static void accept_head(void *owner, struct wire *w, struct message *m, bool end)
{
    struct ear *e = owner;

    assert_null(e->arena); /* the request before has been released */
    e->arena = w->arena;
    e->ended = false;
    e->gone = 0;
    e->len = 0;
    e->body[0] = e->trailer[0] = '\0';
    w->events = &ear_events;
    on_head(owner, w, m, end);
}

const struct wire_events ear_acceptor = {.on_head = accept_head};

void ear_done(struct ear *e)
{
    struct arena *a = e->arena;

    if (e->w != NULL)
        wire_release(e->w);
    e->w = NULL;
    e->arena = NULL;
    if (a != NULL)
        arena_free(a);
}

void ear_answer(struct ear *e, int status, const char *body)
{
    struct slice piece = slice_from(body);
    struct message m = {.status = status, .body = BODY_LENGTH, .content_length = piece.len};

    headers_init(&m.headers, e->arena, 4);
    headers_add(&m.headers, SLICE("Date"), SLICE("now"));
    assert_int_equal(wire_head(e->w, &m, piece.len == 0), 0);
    if (piece.len > 0)
        assert_true(wire_body(e->w, &piece, 1, true) >= 0);
    ear_done(e);
}

struct slice ear_header(struct ear *e, const char *name)
{
    return headers_get(&e->m->headers, slice_from(name));
}

bool inbox_read(struct inbox *in, int fd)
{
    size_t room = sizeof(in->text) - 1 - in->len;
    ssize_t n = room > 0 ? recv(fd, in->text + in->len, room, MSG_DONTWAIT) : -1;

    if (n > 0) {
        in->len += (size_t)n;
        in->total += (uint64_t)n;
    }
    in->eof |= n == 0;
    in->reset |= n < 0 && errno == ECONNRESET;
    in->text[in->len] = '\0';
    return n > 0;
}

void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}
