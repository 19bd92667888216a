/* SPDX-License-Identifier: Apache-2.0 */

/* The request's body: held back until somebody asks (a hook that reads it, or the attempt whose head is sent), then
 * gathered or passed on. The response's body: passed on, through the body hooks where there are any (flow_chunk.c), or
 * fixed (a reply, or what a hook has set). */

#include "gate/flow.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/attempt.h"
#include "gate/exchange_move.h"
#include "gate/exchange_steps.h"
#include "gate/flow_chunk.h"
#include "gate/gateway.h"

void flow_init(struct exchange *x)
{
    size_t cap = x->plan->snapshot->buffered_body;

    buf_init(&x->flows[SIDE_REQUEST].held, cap);
    buf_init(&x->flows[SIDE_RESPONSE].held, cap);
}

void flow_deinit(struct exchange *x)
{
    buf_deinit(&x->flows[SIDE_REQUEST].held);
    buf_deinit(&x->flows[SIDE_RESPONSE].held);
    free(x->chunk_mem);
}

static size_t pieces_size(const struct slice *pieces, int n)
{
    size_t total = 0;

    for (int i = 0; i < n; i++)
        total += pieces[i].len;
    return total;
}

static int flow_gather(struct flow *f, const struct slice *pieces, int n)
{
    int err = 0;

    for (int i = 0; i < n && err == 0; i++)
        err = buf_add(&f->held, pieces[i]);
    return err;
}

/* Serves the hook that waits for this body, once. It may end the exchange: call it last. */
static void flow_tell(struct flow *f, int err)
{
    flow_fn fn = f->on_ready;

    f->on_ready = NULL;
    if (fn)
        fn(f->arg, err);
}

static void flow_cut(struct flow *f, int err)
{
    f->state = FLOW_CUT;
    f->err = err;
    flow_tell(f, err);
}

/* FLOW_COLLECT: takes the bytes in; asks for more unless that was the end. */
static void flow_collect(struct flow *f, struct wire *from, const struct slice *pieces, int n,
                         bool end)
{
    if (flow_gather(f, pieces, n) < 0) {
        flow_cut(f, ERR_BODY_TOO_LARGE);
        return;
    }
    if (end) {
        f->state = FLOW_ENDED;
        f->is_whole = true;
    } else {
        wire_grant(from, pieces_size(pieces, n));
    }
    if (end || !f->wants_all)
        flow_tell(f, 0);
}

/* --- the request's ----------------------------------------------------------------------------------------------- */

bool flow_can_replay(const struct exchange *x)
{
    const struct flow *f = &x->flows[SIDE_REQUEST];

    return f->state == FLOW_NONE || f->state == FLOW_HELD || f->is_whole || f->is_replaced ||
           (f->state == FLOW_RELAY && f->keeps);
}

bool flow_is_complete(const struct exchange *x)
{
    const struct flow *f = &x->flows[SIDE_REQUEST];

    return f->state == FLOW_NONE || f->is_whole || f->is_replaced;
}

bool flow_is_empty(const struct exchange *x)
{
    const struct flow *f = &x->flows[SIDE_REQUEST];

    return (f->is_replaced || f->is_whole) && buf_len(&f->held) == 0;
}

void flow_describe_request(const struct exchange *x, struct message *m)
{
    const struct flow *f = &x->flows[SIDE_REQUEST];

    if (f->is_replaced || f->is_whole) {
        m->body = BODY_LENGTH;
        m->content_length = buf_len(&f->held);
        m->has_length = true;
    }
}

/* Keeps a copy for another attempt while it fits. Between two attempts it must: what comes then, no more than a
 * window, is nowhere else. */
static void flow_keep(struct flow *f, const struct slice *pieces, int n, bool is_only_copy)
{
    if (f->keeps && is_only_copy)
        f->held.cap = MAX(f->held.cap, buf_len(&f->held) + pieces_size(pieces, n));
    if (f->keeps && flow_gather(f, pieces, n) < 0) {
        f->keeps = false;
        buf_release(&f->held);
    }
}

/* Trailers, where there are any, are the end. */
static int flow_pass(struct wire *to, const struct slice *pieces, int n, bool end,
                     const struct headers *trailers)
{
    bool has_trailers = end && trailers;
    int rc = 0;

    if (n || !has_trailers)
        rc = wire_body(to, pieces, n, end && !has_trailers);
    if (has_trailers && rc >= 0)
        rc = wire_finish(to, trailers);
    return rc;
}

static void flow_relay_request(struct exchange *x, const struct slice *pieces, int n, bool end)
{
    struct flow *f = &x->flows[SIDE_REQUEST];
    size_t total = pieces_size(pieces, n);
    bool is_taken = x->attempt && attempt_takes_body(x->attempt);

    flow_keep(f, pieces, n, !is_taken);
    if (end) {
        f->state = FLOW_ENDED;
        f->is_whole = f->keeps;
    }
    if (!is_taken) { /* between two attempts: what was kept is sent by the next, which asks for more, too */
        f->owed += total;
        return;
    }
    int rc = flow_pass(x->attempt->wire, pieces, n, end, x->down->trailers);
    if (rc < 0) {
        /* It takes no more of the body, but may have answered already: what it says, or its end, comes as an event. */
        f->state = end ? FLOW_ENDED : FLOW_CUT;
        return;
    }
    if (end)
        return;
    if (rc == WIRE_FULL) {
        f->is_full = true;
        f->owed += total;
    } else {
        wire_grant(x->down, total);
    }
}

void flow_on_request_body(void *owner, struct wire *w, const struct slice *pieces, int n, bool end)
{
    struct exchange *x = owner;
    struct flow *f = &x->flows[SIDE_REQUEST];

    f->bytes += pieces_size(pieces, n);
    if (f->limit && f->bytes > f->limit && x->state != EXCHANGE_TUNNEL) {
        exchange_fail(x, ERR_BODY_TOO_LARGE);
        return;
    }
    switch (f->state) {
    case FLOW_HELD:
        /* Only an end needs no credit: the body is empty. */
        f->state = FLOW_ENDED;
        f->is_whole = true;
        break;
    case FLOW_COLLECT: flow_collect(f, w, pieces, n, end); break;
    case FLOW_RELAY:
        flow_relay_request(x, pieces, n, end);
        if (x->state == EXCHANGE_TUNNEL && end && x->flows[SIDE_RESPONSE].state == FLOW_ENDED)
            exchange_finish(x);
        break;
    default: break; /* cut: what still comes is dropped */
    }
}

void exchange_send_request_body(struct exchange *x, struct attempt *a)
{
    struct flow *f = &x->flows[SIDE_REQUEST];
    struct wire *up = a->wire;
    struct slice held = buf_slice(&f->held);

    if (f->is_replaced || f->is_whole) {
        (void)!wire_body(up, &held, 1, true);
        return;
    }
    if (f->state == FLOW_NONE || f->state == FLOW_CUT)
        return;
    int rc = held.len ? wire_body(up, &held, 1, false) : 0;
    bool was_flowing = f->state == FLOW_RELAY;
    bool was_granted = was_flowing || f->state == FLOW_COLLECT;
    f->keeps = (held.len == 0 || was_flowing || f->state == FLOW_COLLECT) &&
               (up->reused || (exchange_hooks(x) & PHASE_BIT(PHASE_ATTEMPT)));
    if (!f->keeps)
        buf_release(&f->held);
    f->state = FLOW_RELAY;
    f->is_full = rc == WIRE_FULL;
    if (!was_granted)
        wire_grant(x->down, FLOW_WINDOW);
    else if (!f->is_full && f->owed) {
        size_t owed = f->owed;
        f->owed = 0;
        wire_grant(x->down, owed);
    }
}

void exchange_on_upstream_room(struct exchange *x)
{
    struct flow *f = &x->flows[SIDE_REQUEST];
    size_t owed = f->owed;

    f->is_full = false;
    f->owed = 0;
    if (owed && x->down && f->state == FLOW_RELAY)
        wire_grant(x->down, owed);
}

/* --- the response's ---------------------------------------------------------------------------------------------- */

static bool is_fixed(const struct exchange *x)
{
    const struct flow *f = &x->flows[SIDE_RESPONSE];

    return x->replied || f->is_replaced || f->is_whole;
}

static struct slice fixed_body(const struct exchange *x)
{
    const struct flow *f = &x->flows[SIDE_RESPONSE];

    return f->is_replaced || f->is_whole ? buf_slice(&f->held) : x->reply_body;
}

static bool has_no_content(const struct exchange *x)
{
    int status = x->response->status;

    return x->request->method == METHOD_HEAD || status == 204 || status == 304;
}

/* A fixed body goes down in pieces of a window, as the client takes it. */
static void flow_send_fixed(struct exchange *x)
{
    struct flow *f = &x->flows[SIDE_RESPONSE];
    struct slice body = fixed_body(x);

    while (f->taken < body.len) {
        struct slice piece = slice_sub(body, f->taken, FLOW_WINDOW);
        f->taken += piece.len;
        bool last = f->taken == body.len;
        int rc = wire_body(x->down, &piece, 1, last);
        x->bytes_down += piece.len;
        if (rc < 0) {
            exchange_fail(x, ERR_CLIENT_GONE);
            return;
        }
        if (rc == WIRE_FULL && !last) {
            f->is_full = true;
            return;
        }
    }
    f->state = FLOW_ENDED;
    exchange_finish(x);
}

static void flow_start_tunnel(struct exchange *x)
{
    if (UNLIKELY(x->plan->is_retired))
        exchange_move(x);
    int rc = wire_head(x->down, x->response, false);
    x->head_is_down = true;
    if (rc < 0) {
        exchange_fail(x, ERR_CLIENT_GONE);
        return;
    }
    exchange_to(x, EXCHANGE_TUNNEL);
    x->flows[SIDE_REQUEST].state = x->flows[SIDE_RESPONSE].state = FLOW_RELAY;
    x->flows[SIDE_REQUEST].limit = 0;
    wire_grant(x->down, FLOW_WINDOW);
    wire_grant(x->attempt->wire, FLOW_WINDOW);
}

/* What the head must say of the body, and whether the message ends with the head. */
static bool flow_frame_response(struct exchange *x)
{
    struct message *m = x->response;
    bool hooked = flow_has_body_hooks(x) && !has_no_content(x);

    if (is_fixed(x)) {
        m->body = BODY_LENGTH;
        m->content_length = fixed_body(x).len;
        m->has_length = true;
    }
    if (hooked) {
        m->body = BODY_UNKNOWN;
        m->has_length = false;
        headers_remove_id(&m->headers, HEADER_CONTENT_LENGTH);
        return false;
    }
    if (has_no_content(x))
        return true;
    return is_fixed(x) ? m->content_length == 0 : x->flows[SIDE_RESPONSE].state == FLOW_NONE;
}

void flow_regrant(struct exchange *x, int rc, size_t taken)
{
    struct flow *f = &x->flows[SIDE_RESPONSE];

    if (UNLIKELY(f->ahead)) {
        size_t given = MIN(f->ahead, taken);
        f->ahead -= given;
        taken -= given;
    }
    if (rc == WIRE_FULL) {
        f->is_full = true;
        f->owed += taken;
    } else if (x->attempt && x->attempt->wire && taken) {
        wire_grant(x->attempt->wire, taken);
    }
}

/* A response hook may have looked at the beginning: that goes first. */
static void flow_start_relay(struct exchange *x)
{
    struct flow *f = &x->flows[SIDE_RESPONSE];
    struct slice seen = buf_slice(&f->held);
    bool was_granted = f->state == FLOW_COLLECT;

    f->state = FLOW_RELAY;
    f->ahead = seen.len;
    if (!was_granted)
        wire_grant(x->attempt->wire, FLOW_WINDOW);
    if (flow_has_body_hooks(x)) {
        f->held.cap = MAX(f->held.cap, 2 * FLOW_WINDOW);
        flow_pump_hooks(x);
    } else if (seen.len) {
        int rc = wire_body(x->down, &seen, 1, false);
        x->bytes_down += seen.len;
        buf_release(&f->held);
        if (rc < 0)
            exchange_fail(x, ERR_CLIENT_GONE);
        else
            flow_regrant(x, rc, seen.len);
    }
}

void flow_send_head(struct exchange *x)
{
    struct flow *f = &x->flows[SIDE_RESPONSE];

    if (f->state == FLOW_CUT && !is_fixed(x)) {
        exchange_fail(x, f->err ? f->err : ERR_RESET);
        return;
    }
    if (x->response->body == BODY_TUNNEL && !x->replied) {
        flow_start_tunnel(x);
        return;
    }
    bool end = flow_frame_response(x);
    exchange_to(x, EXCHANGE_RELAY);
    int rc = flow_say_head(x, end);
    if (rc < 0) {
        exchange_fail(x, ERR_CLIENT_GONE);
    } else if (end) {
        exchange_finish(x);
    } else if (is_fixed(x)) {
        f->taken = 0;
        if (flow_has_body_hooks(x))
            flow_hook_chunk(x, fixed_body(x), true);
        else
            flow_send_fixed(x);
    } else if (f->state == FLOW_NONE) {
        flow_hook_chunk(x, SLICE(""), true); /* no body came, but the hooks may make one */
    } else {
        flow_start_relay(x);
    }
}

static void flow_relay_response(struct exchange *x, const struct slice *pieces, int n, bool end,
                                const struct headers *trailers)
{
    size_t total = pieces_size(pieces, n);
    int rc = flow_pass(x->down, pieces, n, end, trailers);

    x->bytes_down += total;
    if (rc < 0) {
        exchange_fail(x, ERR_CLIENT_GONE);
        return;
    }
    if (!end) {
        flow_regrant(x, rc, total);
        return;
    }
    x->flows[SIDE_RESPONSE].state = FLOW_ENDED;
    if (x->state == EXCHANGE_TUNNEL && x->flows[SIDE_REQUEST].state != FLOW_ENDED)
        return; /* half-closed: the client may still send */
    exchange_finish(x);
}

void exchange_on_response_body(struct exchange *x, const struct slice *pieces, int n, bool end,
                               const struct headers *trailers)
{
    struct flow *f = &x->flows[SIDE_RESPONSE];

    f->bytes += pieces_size(pieces, n);
    switch (f->state) {
    case FLOW_HELD:
        f->state = FLOW_ENDED;
        f->is_whole = true;
        break;
    case FLOW_COLLECT: flow_collect(f, x->attempt->wire, pieces, n, end); break;
    case FLOW_RELAY:
        if (x->state == EXCHANGE_TUNNEL || !flow_has_body_hooks(x)) {
            flow_relay_response(x, pieces, n, end, trailers);
            break;
        }
        x->upstream_ended = end;
        if (!x->hook_waits && n == 1 && buf_len(&f->held) == 0) {
            flow_hook_chunk(x, pieces[0], end);
        } else if (flow_gather(f, pieces, n) < 0) {
            exchange_fail(x, ERR_LIMIT);
        } else {
            flow_pump_hooks(x);
        }
        break;
    default: break;
    }
}

void exchange_on_upstream_gone(struct exchange *x, int err)
{
    struct flow *f = &x->flows[SIDE_RESPONSE];

    if (err == ERR_CLOSED)
        err = ERR_RESET;
    if (x->state == EXCHANGE_RESPONSE && x->hook_waits) {
        if (f->state != FLOW_ENDED)
            flow_cut(f, err); /* the hook hears of it where it reads; relaying would fail */
        return;
    }
    exchange_fail(x, err);
}

void flow_on_client_room(void *owner, struct wire *w UNUSED)
{
    struct exchange *x = owner;
    struct flow *f = &x->flows[SIDE_RESPONSE];

    if (!f->is_full)
        return;
    f->is_full = false;
    if (is_fixed(x)) {
        flow_send_fixed(x);
        return;
    }
    size_t owed = f->owed;
    f->owed = 0;
    flow_regrant(x, 0, owed);
}
