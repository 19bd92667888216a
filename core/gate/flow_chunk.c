/* SPDX-License-Identifier: Apache-2.0 */

/* The response's body on its way through the body hooks, chunk by chunk, and the head before it. While nothing of an
 * answer has left, a body hook that fails can still make an error of it. So the head waits for what the first one says;
 * but only for a turn where no chunk has come: a stream that takes its time must begin, too. */

#include "gate/flow_chunk.h"

#include <stdlib.h>

#include "base/err.h"
#include "gate/attempt.h"
#include "gate/exchange_steps.h"
#include "gate/flow.h"
#include "gate/gateway.h"

bool flow_has_body_hooks(const struct exchange *x)
{
    return x->plan->host && (exchange_hooks(x) & PHASE_BIT(PHASE_BODY)) && !x->is_past_body_hooks;
}

/* --- the head ---------------------------------------------------------------------------------------------------- */

static int flow_release_head(struct exchange *x)
{
    timer_stop(&x->slot->timer);
    x->head_is_held = false;
    return wire_head(x->down, x->response, false);
}

void flow_take_head_back(struct exchange *x)
{
    timer_stop(&x->slot->timer);
    x->head_is_held = x->head_is_down = false;
    free(x->chunk_mem);
    x->chunk_mem = NULL;
}

void flow_on_timer(struct exchange *x)
{
    uint64_t left = x->err ? UINT64_MAX : exchange_time_left_ms(x);

    if (!x->hook_waits) {
        if (flow_release_head(x) < 0)
            exchange_fail(x, ERR_CLIENT_GONE);
    } else if (left == 0) {
        exchange_fail(x, ERR_TIMEOUT);
    } else if (left != UINT64_MAX) {
        timer_set(&x->slot->timer, left);
    }
}

int flow_say_head(struct exchange *x, bool end)
{
    x->head_is_down = true;
    x->head_is_held = !end && flow_has_body_hooks(x);
    if (!x->head_is_held)
        return wire_head(x->down, x->response, end);
    timer_set(&x->slot->timer, 0);
    return 0;
}

/* --- chunks ------------------------------------------------------------------------------------------------------ */

void flow_hook_chunk(struct exchange *x, struct slice chunk, bool last)
{
    x->chunk = chunk;
    x->chunk_is_last = last;
    x->chunk_replaced = false;
    if (exchange_run_phase(x, PHASE_BODY)) {
        flow_chunk_done(x);
    } else if (!x->chunk_mem && chunk.len) {
        x->chunk_mem = slice_dup(chunk); /* the hook waits: the receive buffer does not */
        x->chunk.ptr = x->chunk_mem;
    }
}

void flow_pump_hooks(struct exchange *x)
{
    struct flow *f = &x->flows[SIDE_RESPONSE];
    size_t len;

    if (x->hook_waits || (buf_len(&f->held) == 0 && !x->upstream_ended))
        return;
    x->chunk_mem = buf_take(&f->held, &len);
    flow_hook_chunk(x, slice_of(x->chunk_mem, len), x->upstream_ended);
}

/* There is nothing else to say: it goes on as it is where a hook fails. */
static bool is_own_error(const struct exchange *x)
{
    return x->err && x->replied;
}

/* True: an error answer has been through the hooks that do not fail. False: x is not to be touched. */
static bool flow_pass_failed_hook(struct exchange *x)
{
    if (!is_own_error(x)) {
        x->hook_failed = false;
        exchange_fail(x, ERR_HOOK);
        return false;
    }
    while (x->hook_failed) {
        x->hook_failed = false;
        if (!exchange_run_rest(x, PHASE_BODY))
            return false;
    }
    return true;
}

void flow_chunk_done(struct exchange *x)
{
    if (UNLIKELY(x->hook_failed) && !flow_pass_failed_hook(x))
        return;
    struct slice out = x->chunk_replaced ? x->chunk_out : x->chunk;
    size_t taken = x->chunk.len;
    bool last = x->chunk_is_last;
    int rc = x->head_is_held ? flow_release_head(x) : 0;

    if (rc >= 0 && out.len)
        rc = wire_body(x->down, &out, 1, last);
    else if (rc >= 0 && last)
        rc = wire_finish(x->down, NULL);
    x->bytes_down += out.len;
    free(x->chunk_mem);
    x->chunk_mem = NULL;
    if (rc < 0) {
        exchange_fail(x, ERR_CLIENT_GONE);
    } else if (last) {
        x->flows[SIDE_RESPONSE].state = FLOW_ENDED;
        exchange_finish(x);
    } else {
        flow_regrant(x, rc, taken);
        flow_pump_hooks(x);
    }
}
