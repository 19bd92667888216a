/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of hooks.h share: hooks_make.c makes them, hooks.c runs them, hooks_end.c ends them. */

#ifndef DML_SCRIPT_HOOKS_PARTS_H
#define DML_SCRIPT_HOOKS_PARTS_H

#include "gate/snapshot.h"
#include "net/loop.h"
#include "script/core_hook.h"
#include "script/hooks.h"

/* The part of one place's hook that runs without Lua. */
struct hook_step {
    const struct dml_core_hook *core; /* NULL behind the last of a chain */
    const struct plugin_use *use;
};

/* What a chain does in a phase. */
struct hook {
    int function;            /* registry ref of what Lua runs; LUA_NOREF: it is not made yet */
    struct hook_step *steps; /* what is tried before Lua: one for each of its hooks; or NULL */
};

struct hooks {
    struct phase_host base;
    /* owned */
    struct vm *vm;
    struct snapshot *snapshot; /* one reference */
    struct hook *hooks;        /* by chain index and phase */
    size_t nhooks;
    int timed; /* ref of a table: functions of chains that have been timed */
    const struct plugin_use **background; /* those that have a start or a stop hook */
    int contexts, chunks;                 /* refs of the tables that Lua keeps things in, by slot */
    struct timer look;                    /* has the last detached task ended? */
    struct later retire, at_end;
    /* borrowed */
    hooks_retired_fn on_retired;
    void *arg;
    /* state */
    uint32_t nbackground;
    struct hook_sampler sampler;
    enum phase_result result; /* of the chain that has run last */
    uint64_t retire_by_ms;
};

static inline struct hooks *hooks_of(struct phase_host *host)
{
    return container_of(host, struct hooks, base);
}

static inline struct hook *hooks_at(const struct hooks *h, const struct chain *chain, enum phase p)
{
    return &h->hooks[chain->index * PHASE_COUNT + p];
}

/* What the chain does in p, which it has hooks of; made when it is first asked for. NULL with a message on the VM's stack: it
 * can't be made. */
const struct hook *hooks_find(struct hooks *h, const struct chain *chain, enum phase p);

/* Its function in Lua, of a hook that has steps, too. LUA_NOREF with a message on the VM's stack: it can't be made. */
int hooks_function(struct hooks *h, const struct chain *chain, enum phase p);

/* In hooks.c. */
extern const struct phase_host_ops hooks_ops;

/* One more, or (-1) one less than before. */
void hooks_counted(int by);

/* The struct and its arrays. */
void hooks_drop(struct hooks *h);

/* phase_host_ops.free */
void hooks_retire(struct phase_host *host, uint64_t by_ms);

#endif
