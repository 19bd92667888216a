/* SPDX-License-Identifier: Apache-2.0 */

/* Makes of a snapshot's chains what runs: an instance for each place where a plugin is enabled, and for each chain and
 * phase one Lua function, or a list of edits. On the thread that builds; nothing of it is needed afterwards. */

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "script/hooks_parts.h"
#include "script/plugin.h"

/* False: it had to be stopped, and so may be others of the same plugin. */
static bool make_instance(struct hooks *h, const struct plugin_use *use, struct faults *faults)
{
    lua_State *L = h->vm->L;
    int top = lua_gettop(L);
    size_t nparams;
    const struct slice *params = plugin_params(use, &nparams);

    vm_push_function(h->vm, "demilune.plugin", "make");
    plugin_push_use(L, use, params, nparams, (double)h->snapshot->version);
    lua_pushboolean(L, use->continues_on_error);
    int rc = vm_call(h->vm, 6, 1);
    if (rc < 0)
        plugin_add_error(L, use, rc, faults);
    else
        plugin_add_faults(L, use, faults);
    lua_settop(L, top);
    return rc != ERR_BUDGET;
}

static bool make_hook(struct hooks *h, const struct chain *chain, enum phase p,
                      struct faults *faults)
{
    struct hook *hook = hooks_at(h, chain, p);
    lua_State *L = h->vm->L;

    hook->edits = plugin_take_edits(h->vm, h->snapshot, chain, p);
    if (hook->edits)
        return true;
    if (plugin_push_chain(h->vm, chain, p, -1, false) < 0) {
        fault_plain(faults, "%s", lua_tostring(L, -1));
        lua_pop(L, 1);
        return false;
    }
    hook->function = luaL_ref(L, LUA_REGISTRYINDEX);
    return true;
}

static bool make_hooks(struct hooks *h, struct faults *faults)
{
    bool ok = true;

    for (uint32_t i = 0; i < h->snapshot->nchains; i++) {
        const struct chain *chain = h->snapshot->chains[i];
        for (int p = 0; p < PHASE_START; p++) {
            if (chain->hooks & PHASE_BIT(p))
                ok = make_hook(h, chain, (enum phase)p, faults) && ok;
        }
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
    vm->snapshot = h->snapshot;
    bool goes_on = true;
    for (uint32_t i = 0; i < snapshot->nuses && goes_on; i++)
        goes_on = make_instance(h, snapshot->uses[i], faults);
    if (faults->nerrors > before || !make_hooks(h, faults)) {
        vm->snapshot = NULL;
        hooks_drop(h);
        return NULL;
    }
    note_background(h);
    vm_built(vm);
    hooks_counted(1);
    return &h->base;
}
