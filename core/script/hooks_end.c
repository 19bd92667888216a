/* SPDX-License-Identifier: Apache-2.0 */

/* The end of a host and its VM: it waits for what plugins have left running in the background, on the worker's loop; then
 * the VM leaves the thread, and whoever is told frees it. */

#include "script/hooks_parts.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "gate/gateway.h"
#include "gate/snapshot.h"
#include "script/vm.h"

#define RETIRE_LOOK_MS 50
#define LAST_WORDS_MS 200 /* for tasks that were cancelled at the end of their VM */

static atomic_int count; /* in this process */

void hooks_counted(int by)
{
    atomic_fetch_add(&count, by);
}

int hooks_count(void)
{
    return atomic_load(&count);
}

void hooks_drop(struct hooks *h)
{
    snapshot_unref(h->snapshot);
    for (size_t i = 0; i < h->nhooks; i++)
        free(h->hooks[i].steps);
    free(h->hooks);
    free(h->background);
    free(h);
}

void hooks_free(struct phase_host *host)
{
    struct hooks *h = hooks_of(host);

    hooks_counted(-1);
    vm_free(h->vm);
    hooks_drop(h);
}

static void hooks_end(struct hooks *h)
{
    struct vm *vm = h->vm;

    later_cancel(&h->retire);
    later_cancel(&h->at_end);
    timer_deinit(&h->look);
    if (vm->gateway)
        vm_leave_this_thread(vm);
    if (h->on_retired)
        h->on_retired(h->arg, &h->base);
    else
        hooks_free(&h->base);
}

static bool is_quiet(const struct vm *vm)
{
    return list_is_empty(&vm->waiting) && list_is_empty(&vm->ready);
}

/* Detached tasks may go on for a while, are cancelled then, and have a last word. The end is never in the turn in which
 * something of this VM has run: what it has queued for the turn's end (a log's lines) has left by now. */
static void on_look(struct timer *timer)
{
    struct hooks *h = container_of(timer, struct hooks, look);
    uint64_t now = clock_ms();

    if (is_quiet(h->vm) || now >= h->retire_by_ms + LAST_WORDS_MS) {
        hooks_end(h);
        return;
    }
    if (now >= h->retire_by_ms)
        co_cancel_all(h->vm);
    timer_set(timer, RETIRE_LOOK_MS);
}

static void on_retire(struct later *later)
{
    timer_set(&container_of(later, struct hooks, retire)->look, 0);
}

static void on_loop_end(struct later *later)
{
    hooks_end(container_of(later, struct hooks, at_end));
}

/* Not at once: the coroutine that ended the last exchange may still be on the stack. A VM that no thread has used, or
 * that has left its thread, is freed at once. */
void hooks_retire(struct phase_host *host, uint64_t by_ms)
{
    struct hooks *h = hooks_of(host);

    if (!h->vm->gateway) {
        hooks_free(host);
        return;
    }
    struct loop *l = h->vm->gateway->loop;
    co_cancel_scope(&h->vm->tasks);
    h->retire_by_ms = by_ms;
    timer_init(&h->look, l, on_look);
    later_init(&h->retire, on_retire);
    later_init(&h->at_end, on_loop_end);
    loop_at_end(l, &h->at_end);
    loop_later(l, &h->retire);
}
