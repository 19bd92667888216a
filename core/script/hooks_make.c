/* SPDX-License-Identifier: Apache-2.0 */

/* Makes of a snapshot's chains what runs: an instance for each place where a plugin is enabled, where the check has not
 * made them in this VM already; and for a chain and a phase one Lua function, or steps without Lua. The latter is done for
 * the global chain on the thread that builds, for a route's when the first request needs it: of many routes most see none
 * before the next reload. */

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "script/hooks_parts.h"
#include "script/plugin.h"

static void make_instances(struct hooks *h, struct faults *faults)
{
    const struct snapshot *s = h->snapshot;
    bool goes_on = true;

    h->vm->snapshot = s;
    for (uint32_t i = 0; i < s->nuses && goes_on; i++)
        goes_on = plugin_make_again(h->vm, s, s->uses[i], faults);
}

int hooks_function(struct hooks *h, const struct chain *chain, enum phase p)
{
    struct hook *hook = hooks_at(h, chain, p);

    if (UNLIKELY(hook->function == LUA_NOREF) && plugin_push_chain(h->vm, chain, p, -1, false) >= 0)
        hook->function = luaL_ref(h->vm->L, LUA_REGISTRYINDEX);
    return hook->function;
}

static bool make_hook(struct hooks *h, const struct chain *chain, enum phase p, struct hook *hook)
{
    hook->steps = plugin_take_steps(h->vm, h->snapshot, chain, p);
    return hook->steps || hooks_function(h, chain, p) != LUA_NOREF;
}

const struct hook *hooks_find(struct hooks *h, const struct chain *chain, enum phase p)
{
    struct hook *hook = hooks_at(h, chain, p);

    if (LIKELY(hook->steps || hook->function != LUA_NOREF) || make_hook(h, chain, p, hook))
        return hook;
    return NULL;
}

/* Of requests that have no route, and of handshakes. */
static bool make_global(struct hooks *h, struct faults *faults)
{
    const struct chain *chain = &h->snapshot->global;
    bool ok = true;

    for (int p = 0; p < PHASE_START; p++) {
        if (!(chain->hooks & PHASE_BIT(p)) || hooks_find(h, chain, (enum phase)p))
            continue;
        fault_plain(faults, "%s", lua_tostring(h->vm->L, -1));
        lua_pop(h->vm->L, 1);
        ok = false;
    }
    return ok;
}

/* A worker that swaps must not look at all places for them. */
static void note_background(struct hooks *h)
{
    const struct snapshot *s = h->snapshot;

    h->background = malloc((s->nuses + 1) * sizeof(h->background[0]));
    REQUIRE(h->background != NULL);
    for (uint32_t i = 0; i < s->nuses; i++)
        if (s->uses[i]->hooks & (PHASE_BIT(PHASE_START) | PHASE_BIT(PHASE_STOP)))
            h->background[h->nbackground++] = s->uses[i];
}

static int ref_of(struct vm *vm, const char *module, const char *table)
{
    lua_State *L = vm->L;

    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_getfield(L, -1, module);
    lua_getfield(L, -1, table);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 3);
    return ref;
}

struct phase_host *hooks_new(struct vm *vm, struct snapshot *snapshot, struct faults *faults,
                             hooks_retired_fn on_retired, void *arg)
{
    struct hooks *h = calloc(1, sizeof(*h));
    size_t before = faults->nerrors;

    REQUIRE(h != NULL);
    h->base.ops = &hooks_ops;
    h->vm = vm;
    h->snapshot = snapshot_ref(snapshot);
    h->on_retired = on_retired;
    h->arg = arg;
    h->nhooks = (size_t)snapshot->nchains * PHASE_COUNT;
    h->hooks = malloc((h->nhooks + 1) * sizeof(h->hooks[0]));
    REQUIRE(h->hooks != NULL);
    for (size_t i = 0; i < h->nhooks; i++)
        h->hooks[i] = (struct hook){.function = LUA_NOREF};
    lua_newtable(vm->L);
    h->timed = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    hook_sampler_init(&h->sampler);
    h->contexts = ref_of(vm, "demilune.exchange", "contexts");
    h->chunks = ref_of(vm, "demilune.exchange", "chunks");
    if (vm->snapshot != snapshot) /* it is not the one in which it was checked */
        make_instances(h, faults);
    if (faults->nerrors > before || !make_global(h, faults)) {
        vm->snapshot = NULL;
        hooks_drop(h);
        return NULL;
    }
    note_background(h);
    vm_built(vm);
    hooks_counted(1);
    return &h->base;
}
