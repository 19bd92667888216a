/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of hooks.h share: hooks.c makes and runs them, hooks_end.c ends them. */

#ifndef DML_SCRIPT_HOOKS_PARTS_H
#define DML_SCRIPT_HOOKS_PARTS_H

#include "net/loop.h"
#include "script/hooks.h"

struct hooks {
    struct phase_host base;
    /* owned */
    struct vm *vm;
    struct snapshot *snapshot; /* one reference */
    int *functions;            /* registry refs, by chain index and phase; LUA_NOREF = no hook */
    int timed;                 /* ref of a table: the same of chains that have been timed */
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

/* One more, or (-1) one less than before. */
void hooks_counted(int by);

/* phase_host_ops.free */
void hooks_retire(struct phase_host *host, uint64_t by_ms);

#endif
