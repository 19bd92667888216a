/* SPDX-License-Identifier: Apache-2.0 */

/* As at the start: the check, whose VM is worker 1's, then the others' VMs. */

#include "app/builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app/build_guard.h"
#include "app/cli.h"
#include "app/worker.h"
#include "base/check.h"
#include "base/thread.h"

#define NICE 10

static bool make_part(struct building *b, int n, struct vm_watch *guard)
{
    if (atomic_load(&b->is_given_up))
        return false;
    struct worker_plan_source source = {
        .gateway = &b->workers[n]->gateway,
        .snapshot = b->load.snapshot,
        .before = b->before,
        .closer = b->closer,
        .vm = n == 0 ? load_take_vm(&b->load) : NULL,
        .guard = guard,
    };
    return worker_plan_make(&b->parts[n], &source, &b->load.faults);
}

static void make_parts(struct building *b)
{
    struct build_guard guard;

    build_guard_start(&guard, b->load.snapshot);
    for (int n = 0; b->status == CLI_FINE && n < b->nworkers; n++)
        if (!make_part(b, n, guard.watch))
            b->status = CLI_FAULT;
    build_guard_stop(&guard);
}

/* Workers come first, however long it takes. */
static void step_back(void)
{
    (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void *build(void *arg)
{
    struct building *b = arg;

    step_back();
    b->status = load_read(&b->load, b->file, b->asked_workers, &b->workers[0]->gateway);
    if (b->status == CLI_FINE)
        make_parts(b);
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

uint64_t building_cpu_ms(const struct building *b)
{
    struct timespec t = {0};
    clockid_t clock;

    if (pthread_getcpuclockid(b->thread, &clock) == 0)
        (void)!clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool building_join(struct building *b, uint32_t wait_ms)
{
    if (!b->is_joined)
        b->is_joined = thread_join_within(b->thread, wait_ms);
    return b->is_joined;
}

void building_free(struct building *b)
{
    for (int n = 0; n < b->nworkers; n++)
        worker_plan_free(&b->parts[n]);
    free(b->parts);
    snapshot_unref(b->before);
    if (b->load.arena)
        load_close(&b->load);
    free(b);
}
