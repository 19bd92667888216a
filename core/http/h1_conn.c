/* SPDX-License-Identifier: Apache-2.0 */

/* The half of a connection that knows no roles: memory for bytes that wait, the pump, deliveries
 * within the credit, and the time. See h1_conn.h for the idea; h1_out.c has the sending half. */

#include "http/h1_conn.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

enum { SPANS = 64 };

/* --- bytes that wait -------------------------------------------------------------------------- */

static struct h1_block *block(void *mem, size_t size)
{
    struct h1_block *b = mem;

    REQUIRE(b != NULL);
    *b = (struct h1_block){.size = (uint32_t)size};
    return b;
}

struct h1_block *h1_block_take(struct h1_conn *c, size_t size)
{
    size_t all = size + sizeof(struct h1_block);

    return all <= WIRE_RECV_BLOCK ? block(blocks_take(c->env->recv_blocks), WIRE_RECV_BLOCK)
                                  : block(malloc(all), all);
}

struct h1_block *h1_block_take_head(struct h1_conn *c, size_t size)
{
    return size + sizeof(struct h1_block) <= WIRE_HEAD_BLOCK
               ? block(blocks_take(c->env->head_blocks), WIRE_HEAD_BLOCK)
               : h1_block_take(c, size);
}

void h1_block_give(struct h1_conn *c, struct h1_block *b)
{
    if (b->size == WIRE_HEAD_BLOCK)
        blocks_give(c->env->head_blocks, b);
    else if (b->size == WIRE_RECV_BLOCK)
        blocks_give(c->env->recv_blocks, b);
    else
        free(b);
}

static void drop_hold(struct h1_conn *c)
{
    if (c->hold != NULL)
        h1_block_give(c, c->hold);
    c->hold = NULL;
}

size_t h1_conn_held(const struct h1_conn *c)
{
    return c->hold != NULL ? c->hold->end - c->hold->start : 0;
}

/* Room for n more bytes in hold. Roles bound what is held (want). */
static char *hold_room(struct h1_conn *c, size_t n)
{
    size_t len = h1_conn_held(c);
    struct h1_block *old = c->hold;

    if (old == NULL || old->size - sizeof(*old) < len + n) {
        c->hold = h1_block_take(c, old != NULL ? MAX(len + n, 2 * len) : n);
        if (len > 0)
            memcpy(c->hold->bytes, old->bytes + old->start, len);
        c->hold->end = (uint32_t)len;
        if (old != NULL)
            h1_block_give(c, old);
    } else if (old->size - sizeof(*old) < old->end + n) {
        memmove(old->bytes, old->bytes + old->start, len);
        old->start = 0;
        old->end = (uint32_t)len;
    }
    return c->hold->bytes + c->hold->end;
}

static void keep(struct h1_conn *c, struct slice rest, bool in_scratch)
{
    if (c->stream == NULL || rest.len == 0) {
        drop_hold(c);
    } else if (in_scratch) {
        memcpy(hold_room(c, rest.len), rest.ptr, rest.len);
        c->hold->end += (uint32_t)rest.len;
    } else {
        c->hold->start = c->hold->end - (uint32_t)rest.len;
    }
}

struct slice h1_conn_unread(const struct h1_conn *c)
{
    if (c->view != NULL)
        return *c->view;
    if (c->hold == NULL)
        return SLICE("");
    return slice_of(c->hold->bytes + c->hold->start, h1_conn_held(c));
}

bool h1_conn_is_empty(const struct h1_conn *c)
{
    return h1_conn_unread(c).len == 0;
}

size_t h1_conn_want_held(const struct h1_conn *c)
{
    size_t len = h1_conn_held(c);

    return len < H1_HOLD_MAX ? H1_HOLD_MAX - len : 0;
}

size_t h1_conn_want_body(const struct h1_conn *c)
{
    size_t want = MAX(MIN(c->credit, WIRE_SCRATCH), H1_HOLD_MAX);

    if (c->credit == 0 || h1_conn_held(c) > 0)
        return h1_conn_want_held(c);
    /* No byte more than the body's, which would have to be copied. */
    return c->in == H1_IN_BODY && c->body.framing == H1_LENGTH ? MIN(want, c->body.left) : want;
}

/* --- the pump --------------------------------------------------------------------------------- */

void h1_conn_watch(struct h1_conn *c)
{
    bool reading = c->eof == 0 && c->role->want(c) > 0;

    if (reading && !c->stream->reading)
        stream_resume(c->stream);
    else if (!reading && c->stream->reading)
        stream_pause(c->stream);
}

static void run(struct h1_conn *c, struct slice view, bool in_scratch)
{
    c->view = &view;
    while (c->stream != NULL && !c->gone && c->role->step(c))
        ;
    c->view = NULL;
    keep(c, view, in_scratch);
    if (c->stream != NULL && c->eof != 0 && !c->gone)
        c->role->on_eof(c);
    if (c->stream == NULL)
        return;
    h1_conn_watch(c);
    h1_conn_rearm(c);
}

static void pump(struct h1_conn *c)
{
    if (c->view == NULL && c->stream != NULL)
        run(c, h1_conn_unread(c), false);
}

/* Among many requests nobody has looked at this one for long. */
static inline void fetch(const char *from, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CACHE_LINE)
        __builtin_prefetch(from + at, 1);
}

void h1_conn_read(struct h1_conn *c)
{
    bool in_scratch = h1_conn_held(c) == 0;
    size_t want = c->role->want(c);

    if (want == 0) {
        stream_pause(c->stream);
        h1_conn_rearm(c);
        return;
    }
    char *mem = in_scratch ? c->env->scratch : hold_room(c, want);
    if (c->wire.ahead != 0) {
        fetch((const char *)c->wire.owner - c->wire.ahead, WIRE_AHEAD);
        fetch(c->wire.owner, WIRE_AHEAD_OWNER);
    }
    ssize_t n = stream_recv(c->stream, mem, want);
    if (n == ERR_AGAIN)
        return;
    if (n < 0)
        c->eof = (int)n;
    if (c->role->on_bytes != NULL && !c->role->on_bytes(c))
        return;
    if (n < 0) {
        pump(c);
    } else if (in_scratch) {
        run(c, slice_of(mem, (size_t)n), true);
    } else {
        c->hold->end += (uint32_t)n;
        pump(c);
    }
}

static void on_readable(struct stream *s)
{
    h1_conn_read(s->owner);
}

static void on_room(struct stream *s)
{
    struct h1_conn *c = s->owner;
    bool owed = c->full;

    c->full = false;
    if (owed && c->owned && !c->gone)
        c->wire.events->on_room(c->wire.owner, &c->wire);
    pump(c);
}

static void on_lost(struct stream *s, int err)
{
    struct h1_conn *c = s->owner;

    c->role->on_lost(c, err);
}

static const struct stream_events stream_events = {
    .on_readable = on_readable,
    .on_room = on_room,
    .on_lost = on_lost,
};

static void on_later(struct later *l)
{
    struct h1_conn *c = container_of(l, struct h1_conn, later);

    c->later_is_heads = false;
    if (c->head != NULL && !c->head_closed && c->out_err == 0) {
        int rc = h1_conn_write(c, NULL, 0, false, NULL);
        c->out_err = MIN(rc, 0);
    }
    if (c->out_err == 0 && !h1_conn_wants_pump(c))
        return; /* a head was to wait for its body, and nothing else */
    if (c->out_err != 0)
        c->role->on_lost(c, c->out_err);
    pump(c);
}

void h1_conn_later(struct h1_conn *c)
{
    c->later_is_heads = false;
    loop_later(c->env->loop, &c->later);
}

void h1_conn_later_head(struct h1_conn *c)
{
    c->later_is_heads |= list_is_empty(&c->later.link);
    loop_later(c->env->loop, &c->later);
}

void h1_conn_pump_later(struct h1_conn *c)
{
    if (c->view == NULL && c->stream != NULL)
        h1_conn_later(c);
}

/* --- deliveries ------------------------------------------------------------------------------- */

static void touch(struct h1_conn *c)
{
    if (c->in_due != 0)
        c->in_due = clock_ms() + c->in_ms;
}

static size_t total(const struct slice *pieces, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += pieces[i].len;
    return len;
}

bool h1_conn_step_body(struct h1_conn *c)
{
    struct slice spans[SPANS];
    int n = SPANS, rc = h1_body_read(&c->body, c->view, c->credit, spans, &n);

    if (rc == H1_END) {
        c->in = H1_IN_DONE;
        if (h1_body_trailers(&c->body, c->wire.arena, &c->wire.trailers) < 0)
            rc = ERR_BAD_REQUEST;
    }
    if (rc < 0) {
        c->role->on_bad_body(c);
        return false;
    }
    if (n == 0 && rc != H1_END)
        return false;
    c->credit -= total(spans, n);
    touch(c);
    c->wire.events->on_body(c->wire.owner, &c->wire, spans, n, rc == H1_END);
    return true;
}

bool h1_conn_step_tunnel(struct h1_conn *c)
{
    struct slice span = slice_of(c->view->ptr, MIN(c->view->len, c->credit));

    if (span.len == 0)
        return false;
    *c->view = slice_of(span.ptr + span.len, c->view->len - span.len);
    c->credit -= span.len;
    touch(c);
    c->wire.events->on_body(c->wire.owner, &c->wire, &span, 1, false);
    return true;
}

void h1_conn_end_tunnel(struct h1_conn *c)
{
    if (c->in != H1_IN_TUNNEL || !h1_conn_is_empty(c))
        return;
    c->in = H1_IN_DONE;
    c->wire.events->on_body(c->wire.owner, &c->wire, NULL, 0, true);
}

void h1_conn_grant(struct h1_conn *c, size_t n)
{
    c->credit += MIN(n, SIZE_MAX - c->credit);
    if (c->stream == NULL || c->gone || c->view != NULL)
        return;
    if (h1_conn_held(c) > 0 || c->eof != 0)
        h1_conn_later(c);
    else
        h1_conn_watch(c);
    h1_conn_rearm(c);
}

void h1_conn_gone(struct h1_conn *c, int err)
{
    if (c->stream != NULL)
        h1_conn_close(c);
    if (!c->owned || c->gone)
        return;
    c->gone = true;
    c->wire.events->on_gone(c->wire.owner, &c->wire, err);
}

/* --- time ------------------------------------------------------------------------------------- */

uint32_t h1_conn_idle_ms(const struct h1_conn *c)
{
    return c->wire.idle_ms != 0 ? c->wire.idle_ms : c->env->limits->idle_timeout_ms;
}

void h1_conn_wait(struct h1_conn *c, enum h1_wait what, uint32_t ms)
{
    if (c->waits == what)
        return;
    c->waits = (uint8_t)what;
    c->in_ms = ms;
    c->in_due = what == H1_WAIT_NONE || ms == 0 ? 0 : clock_ms() + ms;
}

void h1_conn_rearm(struct h1_conn *c)
{
    c->role->wait(c);

    uint64_t due = c->in_due, now;
    if (due == 0 || (c->out_due != 0 && c->out_due < due))
        due = c->out_due;
    if (due == 0) {
        timer_stop(&c->timer);
        return;
    }
    now = clock_ms();
    timer_set(&c->timer, due > now ? due - now : 0);
}

bool h1_conn_is_stalled(struct h1_conn *c)
{
    if (c->out_due == 0 || clock_ms() < c->out_due)
        return false;
    bool waits = stream_queued(c->stream) > 0;
    if (waits && (uint32_t)c->stream->bytes_out == c->out_mark)
        return true;
    c->out_mark = (uint32_t)c->stream->bytes_out;
    c->out_due = waits ? clock_ms() + h1_conn_idle_ms(c) : 0;
    return false;
}

static void on_timer(struct timer *t)
{
    struct h1_conn *c = container_of(t, struct h1_conn, timer);

    if (c->stream != NULL)
        c->role->on_deadline(c);
    if (c->stream != NULL)
        h1_conn_rearm(c);
}

/* --- life ------------------------------------------------------------------------------------- */

void h1_conn_init(struct h1_conn *c, struct wire_env *env, struct stream *s,
                  const struct wire_orders *orders, const struct h1_role *role)
{
    *c = (struct h1_conn){.wire.orders = orders, .env = env, .role = role, .stream = s};
    timer_init(&c->timer, env->loop, on_timer);
    later_init(&c->later, on_later);
    s->events = &stream_events;
    s->owner = c;
}

void h1_conn_reset(struct h1_conn *c)
{
    h1_body_deinit(&c->body);
    c->wire.events = NULL;
    c->wire.owner = NULL;
    c->wire.peer = NULL;
    c->wire.arena = NULL;
    c->wire.trailers = NULL;
    c->wire.why = NULL;
    c->wire.ahead = 0;
    c->wire.head_ms = c->wire.idle_ms = c->wire.body_ms = 0;
    c->credit = 0;
    c->out_left = 0;
    c->in_due = 0;
    c->waits = H1_WAIT_NONE;
    c->scan = (struct h1_scan){0};
    c->in = H1_IN_HEAD;
    c->out = H1_OUT_NONE;
    c->kind = BODY_NONE;
    c->chunked = c->silent = c->old_peer = c->owned = c->gone = c->full = false;
}

static void let_go(struct h1_conn *c)
{
    c->stream = NULL;
    if (c->view == NULL)
        drop_hold(c);
    h1_conn_drop_head(c);
    h1_body_deinit(&c->body);
    timer_deinit(&c->timer);
    later_cancel(&c->later);
}

void h1_conn_close(struct h1_conn *c)
{
    if (c->stream == NULL)
        return;
    stream_close(c->stream);
    let_go(c);
}

void h1_conn_close_gently(struct h1_conn *c)
{
    if (c->stream == NULL)
        return;
    (void)!h1_conn_flush(c); /* who does not take it is not told */
    stream_close_gently(c->stream);
    let_go(c);
}

void h1_conn_close_hard(struct h1_conn *c)
{
    if (c->stream == NULL)
        return;
    stream_close_hard(c->stream);
    let_go(c);
}
