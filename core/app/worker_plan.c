/* SPDX-License-Identifier: Apache-2.0 */

/* A configuration without plugins needs no VM. */

#include "app/worker_plan.h"

#include "app/closer.h"
#include "app/library.h"
#include "gate/gateway.h"
#include "script/hooks.h"
#include "script/vm.h"

static void free_host(void *host)
{
    hooks_free(host);
}

static void on_retired(void *closer, struct phase_host *host)
{
    closer_give(closer, free_host, host);
}

static void drop_vm(struct worker_plan *p)
{
    if (p->vm)
        vm_free(p->vm);
    p->vm = NULL;
}

bool worker_plan_make(struct worker_plan *p, const struct worker_plan_source *source,
                      struct faults *faults)
{
    struct snapshot *s = source->snapshot;
    struct phase_host *host = NULL;

    *p = (struct worker_plan){.vm = source->vm};
    if (!s->nuses && !source->needs_vm)
        drop_vm(p);
    else if (!p->vm) {
        p->vm = library_vm(s, source->gateway, source->gateway->writer, false);
        if (!p->vm) {
            fault_system(faults, NULL, SLICE_NONE,
                         "a worker's Lua can't be started (the log says why)");
            return false;
        }
    }
    if (s->nuses) {
        vm_guard(p->vm, source->guard);
        host = hooks_new(p->vm, s, faults, source->closer ? on_retired : NULL, source->closer);
        vm_guard(p->vm, NULL);
        if (!host) {
            drop_vm(p);
            return false;
        }
    }
    p->plan = plan_new(source->gateway, snapshot_ref(s), host, source->before);
    return true;
}

void worker_plan_free(struct worker_plan *p)
{
    if (!p->plan)
        return;
    if (!p->plan->host)
        drop_vm(p);
    plan_free(p->plan);
    p->plan = NULL;
}
