/* SPDX-License-Identifier: Apache-2.0 */

/* The check is the one of the start, in a VM of its own; then the same is made for each worker as it makes at its start. */

#include "app/builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/cli.h"
#include "app/closer.h"
#include "app/library.h"
#include "app/worker.h"
#include "base/check.h"
#include "gate/plan.h"
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

/* The host of a worker, or NULL with a fault (a VM that can't be made was logged). */
static struct phase_host *make_host(struct building *b, struct worker *w, struct vm **vm)
{
    struct snapshot *s = b->load.snapshot;
    size_t before = b->load.faults.nerrors;

    *vm = library_vm(s, &w->gateway, w->number);
    if (!*vm) {
        fault_plain(&b->load.faults, "a worker's Lua can't be started (the log says why)");
        return NULL;
    }
    struct phase_host *host = hooks_new(*vm, s, &b->load.faults, on_retired, b->closer);
    if (host)
        return host;
    vm_free(*vm);
    if (b->load.faults.nerrors == before)
        fault_plain(&b->load.faults, "the plugins of a worker can't be made");
    return NULL;
}

static bool make_part(struct building *b, int n)
{
    struct snapshot *s = b->load.snapshot;
    struct worker *w = b->workers[n];
    struct phase_host *host = NULL;
    struct vm *vm = NULL;

    if (atomic_load(&b->is_given_up))
        return false;
    if (s->nuses && !(host = make_host(b, w, &vm)))
        return false;
    b->parts[n].plan = plan_new(&w->gateway, snapshot_ref(s), host, b->before);
    b->parts[n].vm = vm;
    return true;
}

static void *build(void *arg)
{
    struct building *b = arg;

    b->status = load_read(&b->load, b->file, b->asked_workers);
    for (int n = 0; b->status == CLI_FINE && n < b->nworkers; n++)
        if (!make_part(b, n))
            b->status = CLI_FAULT;
    b->mail.fn = b->on_end;
    mailbox_send(b->home, &b->mail);
    return NULL;
}

bool building_start(struct building *b)
{
    b->parts = calloc((size_t)b->nworkers, sizeof(b->parts[0]));
    REQUIRE(b->parts != NULL);
    int error = pthread_create(&b->thread, NULL, build, b);
    if (error) {
        errno = error;
        return false;
    }
    pthread_setname_np(b->thread, "builder");
    return true;
}

bool building_join(struct building *b, uint32_t wait_ms)
{
    struct timespec until;

    if (b->is_joined)
        return true;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    b->is_joined = pthread_timedjoin_np(b->thread, NULL, &until) == 0;
    return b->is_joined;
}

void building_free(struct building *b)
{
    for (int n = 0; n < b->nworkers; n++)
        if (b->parts[n].plan)
            plan_free(b->parts[n].plan);
    free(b->parts);
    snapshot_unref(b->before);
    if (b->load.arena)
        load_close(&b->load);
    free(b);
}
