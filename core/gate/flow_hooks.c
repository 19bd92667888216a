/* SPDX-License-Identifier: Apache-2.0 */

/* What hooks do with bodies: ask for one (all of it, or what has come), set one, replace a chunk. A body that nobody has
 * asked for yet begins to flow here. */

#include "gate/flow.h"

#include "base/err.h"

struct slice exchange_body_held(const struct exchange *x, enum side side)
{
    if (side == SIDE_RESPONSE && x->replied && !x->flows[side].is_replaced)
        return x->reply_body;
    return buf_slice(&x->flows[side].held);
}

/* The client waits for a 100 before it sends the body: the one who reads it here says so, and nobody upstream. */
static void flow_continue(struct exchange *x)
{
    struct message *m = x->request;
    struct message interim = {.status = 100, .version = HTTP_11};

    if (!m->expects_continue)
        return;
    m->expects_continue = false;
    headers_remove_id(&m->headers, HEADER_EXPECT);
    headers_init(&interim.headers, x->arena, 1);
    (void)!wire_head(x->down, &interim, false);
}

static int flow_wait(struct exchange *x, enum side side, bool wants_all, flow_fn fn, void *arg)
{
    struct flow *f = &x->flows[side];
    struct wire *from = side == SIDE_REQUEST ? x->down : x->attempt ? x->attempt->wire : NULL;

    if (f->on_ready)
        return ERR_ARG;
    if (f->state == FLOW_CUT)
        return f->err ? f->err : ERR_GONE;
    if ((f->state != FLOW_HELD && f->state != FLOW_COLLECT) || !from)
        return ERR_GONE;
    const struct message *m = side == SIDE_REQUEST ? x->request : x->response;
    if (m->body == BODY_LENGTH && m->content_length > f->held.cap)
        return ERR_BODY_TOO_LARGE;
    f->on_ready = fn;
    f->arg = arg;
    f->wants_all = wants_all;
    if (f->state == FLOW_HELD) {
        f->state = FLOW_COLLECT;
        if (side == SIDE_REQUEST)
            flow_continue(x);
        wire_grant(from, FLOW_WINDOW);
    }
    return ERR_AGAIN;
}

static bool flow_is_here(const struct exchange *x, enum side side)
{
    const struct flow *f = &x->flows[side];

    return f->state == FLOW_NONE || f->is_whole || f->is_replaced ||
           (side == SIDE_RESPONSE && x->replied);
}

int exchange_body_collect(struct exchange *x, enum side side, flow_fn fn, void *arg)
{
    return flow_is_here(x, side) ? 0 : flow_wait(x, side, true, fn, arg);
}

int exchange_body_more(struct exchange *x, enum side side, flow_fn fn, void *arg)
{
    const struct flow *f = &x->flows[side];

    if (flow_is_here(x, side) || buf_len(&f->held) > f->taken)
        return 0;
    return flow_wait(x, side, false, fn, arg);
}

void exchange_body_forget(struct exchange *x, enum side side)
{
    x->flows[side].on_ready = NULL;
}

int exchange_body_set(struct exchange *x, enum side side, struct slice content)
{
    struct flow *f = &x->flows[side];

    if (side == SIDE_REQUEST
            ? x->state >= EXCHANGE_RESPONSE || (x->attempt && x->attempt->head_sent)
            : x->phase != PHASE_RESPONSE)
        return ERR_GONE;
    buf_clear(&f->held);
    f->held.cap = MAX(f->held.cap, content.len);
    int err = buf_add(&f->held, content);
    if (err < 0)
        return err;
    f->is_replaced = true;
    f->taken = 0;
    return 0;
}

void exchange_chunk_replace(struct exchange *x, struct slice out)
{
    x->chunk_replaced = true;
    x->chunk_out = out;
}
