/* SPDX-License-Identifier: Apache-2.0 */

/* What a configuration is to one worker, made aside: the VM, the plugins' instances in it, and the plan. */

#ifndef DML_APP_WORKER_PLAN_H
#define DML_APP_WORKER_PLAN_H

#include "base/base.h"

struct closer;
struct faults;
struct gateway;
struct plan;
struct snapshot;
struct vm;
struct vm_watch;

struct worker_plan {
    struct plan *plan; /* with its host */
    struct vm *vm;     /* the host's; the caller's where the plan has no host; or NULL */
};

struct worker_plan_source {
    struct gateway *gateway; /* only its address and what never changes of it are looked at */
    struct snapshot *snapshot;
    const struct snapshot *before; /* the one that it follows, or NULL */
    struct closer *closer;         /* where the host ends; NULL: at once where it retires */
    struct vm *vm;          /* in which the snapshot was checked, taken over; NULL: one is made */
    struct vm_watch *guard; /* what stops plugins that run away meanwhile, or NULL */
    bool needs_vm;          /* even without plugins */
};

/* False: a fault, and nothing is there. Any thread. */
bool worker_plan_make(struct worker_plan *p, const struct worker_plan_source *source,
                      struct faults *faults);

/* One that no worker has used. */
void worker_plan_free(struct worker_plan *p);

#endif
