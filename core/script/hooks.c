/* SPDX-License-Identifier: Apache-2.0 */

/* Runs the hooks of a phase: at most two chains (the route's with the global plugins in it, then the consumer's; the
 * other way round where a response is unwrapped), each one Lua function in one coroutine. A chain whose hooks
 * the core has a part of (core_hook.h) does without Lua while they are content with that.
 *
 * A hook that does not wait leaves no trace: no allocation, no list. When one waits, or spawns a task, the exchange gets
 * a struct script in its arena. */

#include "script/hooks_parts.h"

#include <lauxlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "gate/exchange.h"
#include "gate/gateway.h"
#include "script/call_handshake.h"
#include "script/plugin.h"
#include "script/scope.h"

/* What an exchange has when one of its hooks waits or has made a task. In its arena. */
struct script {
    struct co *co;     /* the hook that waits, or NULL */
    struct list tasks; /* the scope of what its hooks have spawned */
    struct list parts; /* what its hooks have opened */
    int step;          /* of the hook that failed last: in which chain, */
    int32_t use;       /* and whose it is */
};

static struct script *script_of(struct exchange *x)
{
    struct script *s = x->script;

    if (!s) {
        s = arena_alloc(x->arena, sizeof(*s));
        s->co = NULL;
        list_init(&s->tasks);
        list_init(&s->parts);
        x->script = s;
    }
    return s;
}

struct list *hooks_scope(struct exchange *x)
{
    return &script_of(x)->tasks;
}

struct list *hooks_parts(struct exchange *x)
{
    return &script_of(x)->parts;
}

/* --- running ------------------------------------------------------------------------------------------------------- */

/* The chain that runs first (step 0) or second, or NULL. */
static const struct chain *chain_at(const struct hooks *h, const struct exchange *x, enum phase p,
                                    int step)
{
    const struct chain *main = x->route ? &x->route->chain : &h->snapshot->global;
    bool unwraps = p == PHASE_RESPONSE || p == PHASE_BODY;

    if (p == PHASE_REWRITE)
        return step == 0 ? &h->snapshot->global : NULL;
    if (step == (unwraps ? 1 : 0))
        return main;
    return x->consumer_hooks ? &x->consumer->chain : NULL;
}

/* The first chain has settled it. */
static bool is_settled(const struct exchange *x, enum phase p)
{
    switch (p) {
    case PHASE_LOG:
    case PHASE_RESPONSE: return false;
    case PHASE_BODY: return x->chunk_replaced && x->chunk_out.len == 0 && !x->chunk_is_last;
    case PHASE_ATTEMPT: return x->reply_fresh || x->attempt->retry;
    default: return x->reply_fresh;
    }
}

static void hook_ended(struct co *co, lua_State *L, enum co_end end, int nresults);

static struct co *new_co(struct hooks *h, struct exchange *x, enum phase p, int step)
{
    struct co *co = co_new(h->vm, x, hook_ended, h);

    co->phase = p;
    co->step = step;
    if (UNLIKELY(p == PHASE_LOG)) {
        uint32_t ms = x->route ? x->route->log_timeout_ms : h->snapshot->log_timeout_ms;
        co->deadline_ms = ms ? clock_ms() + ms : 0;
    } else {
        co->is_cancelled = x->is_cancelled;
    }
    return co;
}

/* Pushes the function that times a chain's hooks; made when it is first needed. False: it can't be made. */
static bool push_timed(struct hooks *h, struct co *co, const struct chain *chain, enum phase p)
{
    lua_State *L = h->vm->L;
    int key = (int)(chain->index * PHASE_COUNT + p), top = lua_gettop(L);

    lua_rawgeti(L, LUA_REGISTRYINDEX, h->timed);
    lua_rawgeti(L, -1, key);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        if (plugin_push_chain(h->vm, chain, p, -1, true) <= 0) {
            lua_settop(L, top);
            return false;
        }
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, key);
    }
    lua_xmove(L, co->thread, 1);
    lua_settop(L, top);
    return true;
}

/* Pushes the function that is to run: of weight, the one that is timed. */
static void push_chain(struct hooks *h, struct co *co, const struct chain *chain, enum phase p,
                       int function, uint32_t weight)
{
    if (UNLIKELY(weight) && push_timed(h, co, chain, p))
        hook_lap_begin(&co->lap, h->snapshot->uses, h->snapshot->nuses, p, weight);
    else
        lua_rawgeti(co->thread, LUA_REGISTRYINDEX, function);
}

/* The chain's function is on the coroutine's stack. */
static enum phase_result run_chain(struct hooks *h, struct exchange *x, struct co *co)
{
    lua_pushnumber(co->thread, x->handle);
    if (co_run(co, 1)) {
        script_of(x)->co = co;
        return PHASE_WAITS;
    }
    return h->result;
}

/* Returns the step that leaves it to Lua, or NULL. */
static const struct hook_step *run_steps(struct hooks *h, const struct hook_step *step,
                                         struct exchange *x, enum phase p, uint32_t weight)
{
    struct hook_lap lap;

    if (UNLIKELY(weight))
        hook_lap_begin(&lap, h->snapshot->uses, h->snapshot->nuses, p, weight);
    for (; step->core; step++) {
        if (UNLIKELY(!step->core->run(step->core, x)))
            return step;
        if (UNLIKELY(weight))
            hook_lap_end(&lap, (int)step->use->index);
    }
    return NULL;
}

/* There was no memory for the function of a chain: as if its first hook had failed, and those behind it, too. */
static enum phase_result fail_chain(struct hooks *h, struct exchange *x, int step)
{
    struct script *s = script_of(x);

    hooks_report_use(h->vm, -1, slice_from(lua_tostring(h->vm->L, -1)));
    lua_pop(h->vm->L, 1);
    s->step = step;
    s->use = -1;
    return PHASE_FAILED;
}

/* The rest of a chain has no function yet; plugin.lua makes one, of code that it keeps. */
static bool push_rest(struct hooks *h, const struct chain *chain, enum phase p, int32_t behind)
{
    lua_State *L = h->vm->L;
    int pushed = plugin_push_chain(h->vm, chain, p, behind, false);

    if (pushed >= 0)
        return pushed > 0;
    hooks_report_use(h->vm, behind, slice_from(lua_tostring(L, -1)));
    lua_pop(L, 1);
    return false;
}

/* What stands behind a place; there is something. */
static enum phase_result run_behind(struct hooks *h, struct exchange *x, enum phase p, int step,
                                    int32_t behind)
{
    const struct chain *chain = chain_at(h, x, p, step);

    if (!push_rest(h, chain, p, behind))
        return PHASE_DONE;
    struct co *co = new_co(h, x, p, step);
    lua_xmove(h->vm->L, co->thread, 1);
    return run_chain(h, x, co);
}

static enum phase_result run_lua(struct hooks *h, struct exchange *x, enum phase p, int step,
                                 uint32_t weight)
{
    const struct chain *chain = chain_at(h, x, p, step);
    int function = hooks_function(h, chain, p);

    if (UNLIKELY(function == LUA_NOREF))
        return fail_chain(h, x, step);
    struct co *co = new_co(h, x, p, step);
    push_chain(h, co, chain, p, function, weight);
    return run_chain(h, x, co);
}

static enum phase_result run_hook(struct hooks *h, struct exchange *x, enum phase p, int step,
                                  const struct hook *hook)
{
    uint32_t weight = hook_sampler_due(&h->sampler);

    if (!hook->steps)
        return run_lua(h, x, p, step, weight);
    const struct hook_step *left = run_steps(h, hook->steps, x, p, weight);
    if (LIKELY(!left))
        return PHASE_DONE;
    return left == hook->steps ? run_lua(h, x, p, step, weight)
                               : run_behind(h, x, p, step, (int32_t)left[-1].use->index);
}

static enum phase_result run_from(struct hooks *h, struct exchange *x, enum phase p, int step)
{
    for (; step < 2; step++) {
        const struct chain *chain = chain_at(h, x, p, step);
        if (!chain || !(chain->hooks & PHASE_BIT(p)))
            continue;
        if (step > 0 && is_settled(x, p))
            break;
        const struct hook *hook = hooks_find(h, chain, p);
        if (UNLIKELY(!hook))
            return fail_chain(h, x, step);
        enum phase_result result = run_hook(h, x, p, step, hook);
        if (result != PHASE_DONE)
            return result;
    }
    return PHASE_DONE;
}

static void note_failure(struct exchange *x, const struct co *co)
{
    struct script *s = script_of(x);

    s->step = co->step;
    s->use = co->use;
}

static void hook_ended(struct co *co, lua_State *L, enum co_end end, int nresults UNUSED)
{
    struct hooks *h = co->owner;
    struct exchange *x = co->exchange;
    struct script *s = x->script;
    enum phase_result result = PHASE_DONE;

    if (UNLIKELY(end != CO_RETURNED)) {
        struct slice message;
        message.ptr = lua_tolstring(L, -1, &message.len);
        hooks_report(co, message);
        result = PHASE_FAILED;
        note_failure(x, co);
    }
    if (LIKELY(!s || s->co != co)) {
        h->result = result; /* run_from looks at it as soon as co_run returns */
        return;
    }
    s->co = NULL;
    if (result == PHASE_DONE)
        result = run_from(h, x, (enum phase)co->phase, co->step + 1);
    if (result != PHASE_WAITS)
        exchange_phase_done(x, result);
}

static enum phase_result host_run(struct phase_host *host, struct exchange *x, enum phase p)
{
    return run_from(hooks_of(host), x, p, 0);
}

static enum phase_result host_go_on(struct phase_host *host, struct exchange *x, enum phase p)
{
    struct hooks *h = hooks_of(host);
    const struct script *s = script_of(x);

    if (s->use >= 0) {
        enum phase_result result = run_behind(h, x, p, s->step, s->use);
        if (result != PHASE_DONE)
            return result;
    }
    return run_from(h, x, p, s->step + 1);
}

static void host_cancel(struct phase_host *host UNUSED, struct exchange *x)
{
    struct script *s = x->script;

    if (!s)
        return;
    co_cancel_scope(&s->tasks);
    if (s->co)
        co_cancel(s->co);
}

static void clear_slot(lua_State *L, int ref, uint32_t slot)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    lua_pushnil(L);
    lua_rawseti(L, -2, (int)slot + 1);
    lua_pop(L, 1);
}

static void close_parts(struct script *s)
{
    struct list *link;

    while ((link = list_pop(&s->parts))) {
        struct vm_part *part = container_of(link, struct vm_part, of_exchange);
        part->leave(part);
    }
}

static void host_forget(struct phase_host *host, struct exchange *x)
{
    struct hooks *h = hooks_of(host);
    struct script *s = x->script;

    if (s) {
        co_cancel_scope(&s->tasks);
        close_parts(s);
    }
    for (int side = SIDE_REQUEST; side <= SIDE_RESPONSE; side++) {
        flow_fn tell = x->flows[side].on_ready; /* a detached task still reads */
        x->flows[side].on_ready = NULL;
        if (tell)
            tell(x->flows[side].arg, ERR_GONE);
    }
    if (!x->keeps_context)
        return;
    clear_slot(h->vm->L, h->contexts, x->slot->index);
    clear_slot(h->vm->L, h->chunks, x->slot->index);
}

/* --- start and stop ------------------------------------------------------------------------------------------------ */

static void background_ended(struct co *co, lua_State *L, enum co_end end, int nresults UNUSED)
{
    struct slice message;

    if (end == CO_RETURNED)
        return;
    message.ptr = lua_tolstring(L, -1, &message.len);
    hooks_report(co, message);
}

/* plugin.lua gives the hook and its two arguments. */
static void run_background(struct hooks *h, const struct plugin_use *use, enum phase p)
{
    lua_State *L = h->vm->L;

    vm_push_function(h->vm, "demilune.plugin", "background");
    lua_pushstring(L, phase_name(p));
    lua_pushnumber(L, use->index);
    if (vm_call(h->vm, 2, 3) < 0) {
        lua_pop(L, 1);
        return;
    }
    struct co *co = co_new(h->vm, NULL, background_ended, h);
    co->use = (int32_t)use->index;
    co->phase = p;
    lua_xmove(L, co->thread, 3);
    co_run(co, 2);
}

static void run_all(struct hooks *h, enum phase p)
{
    for (uint32_t i = 0; i < h->nbackground; i++) {
        if (h->background[i]->hooks & PHASE_BIT(p))
            run_background(h, h->background[i], p);
    }
}

void hooks_start(struct phase_host *host)
{
    run_all(hooks_of(host), PHASE_START);
}

void hooks_stop(struct phase_host *host)
{
    struct hooks *h = hooks_of(host);

    co_cancel_scope(&h->vm->tasks);
    run_all(h, PHASE_STOP);
}

static void host_certificate(struct phase_host *host, struct tls_handshake *shaking,
                             const struct tls_hello *hello, const struct wire_peer *peer,
                             struct slice listener)
{
    struct hooks *h = hooks_of(host);
    int function = hooks_at(h, &h->snapshot->global, PHASE_CERTIFICATE)->function;

    handshake_choose(h->vm, function, shaking, hello, peer->ip, listener);
}

const struct phase_host_ops hooks_ops = {
    .run = host_run,
    .certificate = host_certificate,
    .go_on = host_go_on,
    .cancel = host_cancel,
    .forget = host_forget,
    .free = hooks_retire,
};
