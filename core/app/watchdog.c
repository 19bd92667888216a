/* SPDX-License-Identifier: Apache-2.0 */

/* An entry into Lua has a number and nothing else, so that it costs next to nothing. When the watchdog first sees a
 * number it notes the CPU time that the thread has used by then, and counts from there: up to 10 ms of the entry's time
 * are given for free, in exchange for no clock being read on the way into a hook.
 *
 * CPU time, since a worker that the machine does not let run is no runaway. What waits inside a C function (a blocking
 * read) uses none: so a hang is also ten times hang_timeout by the clock on the wall. */

#include "app/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/vec.h"
#include "script/hooks.h"
#include "script/vm.h"

#define LOOK_MS 10
#define WALL_FACTOR 10

struct guarded {
    struct vm_watch watch;
    unsigned long long entry; /* the last number seen; even: Lua did not run */
    uint64_t cpu_us;          /* of the thread when it was first seen */
    uint64_t since_us;        /* monotonic, then */
    bool is_told;             /* the stop has been logged */
    bool is_watched;
};

struct watchdog {
    /* owned */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    VEC(struct guarded *) all;
    /* state */
    atomic_uint budget_us, hang_us;
    bool stops;
};

static uint64_t cpu_us_of(const struct vm_watch *watch)
{
    struct timespec ts;

    if (clock_gettime(watch->cpu_clock, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void tell(struct guarded *g, const char *event, const char *text, uint64_t used_us)
{
    struct vm *vm = atomic_load_explicit(&g->watch.vm, memory_order_relaxed);
    struct slice plugin;
    const char *phase;

    hooks_where(vm, &plugin, &phase);
    LOG_ERROR(event, text, LOG_S("plugin", plugin), LOG_C("hook", phase),
              LOG_I("worker", vm->worker), LOG_I("cpu_ms", used_us / 1000));
}

/* Lua still runs the entry that was seen before. */
static void judge(struct watchdog *w, struct guarded *g)
{
    uint64_t used = cpu_us_of(&g->watch) - g->cpu_us, lasted = clock_us_now() - g->since_us;
    uint64_t hang = atomic_load(&w->hang_us);
    bool hangs = hang > 0 && (used >= hang || lasted >= hang * WALL_FACTOR);

    if (used < atomic_load(&w->budget_us) && !hangs)
        return;
    if (hangs) {
        tell(g, "lua.hang", "a plugin hangs where it can't be stopped: the process ends", used);
        abort();
    }
    if (!g->is_told) {
        tell(g, "lua.stop", "a plugin has used up its time budget: it is stopped", used);
        g->is_told = true;
    }
    atomic_store(&g->watch.stop, g->entry);
    pthread_kill(g->watch.thread, VM_STOP_SIGNAL);
}

static void look_at(struct watchdog *w, struct guarded *g)
{
    unsigned long long entry = atomic_load_explicit(&g->watch.entry, memory_order_acquire);

    if (entry == g->entry) {
        if (entry & 1)
            judge(w, g);
        return;
    }
    g->entry = entry;
    g->is_told = false;
    if (entry & 1) {
        g->cpu_us = cpu_us_of(&g->watch);
        g->since_us = clock_us_now();
    }
}

static void *watchdog_main(void *arg)
{
    struct watchdog *w = arg;
    struct timespec next;

    pthread_mutex_lock(&w->lock);
    while (!w->stops) {
        for (size_t i = 0; i < w->all.n; i++) {
            if (w->all.items[i]->is_watched)
                look_at(w, w->all.items[i]);
        }
        clock_gettime(CLOCK_MONOTONIC, &next);
        next.tv_nsec += LOOK_MS * 1000000;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->stop, &w->lock, &next);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct watchdog *watchdog_new(uint32_t budget_ms, uint32_t hang_ms)
{
    struct watchdog *w = calloc(1, sizeof(*w));
    pthread_condattr_t monotonic;

    REQUIRE(w != NULL);
    vm_install_stop_handler();
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    watchdog_set(w, budget_ms, hang_ms);
    REQUIRE(pthread_create(&w->thread, NULL, watchdog_main, w) == 0);
    pthread_setname_np(w->thread, "watchdog");
    return w;
}

void watchdog_set(struct watchdog *w, uint32_t budget_ms, uint32_t hang_ms)
{
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->budget_us, budget_ms * 1000);
    atomic_store(&w->hang_us, hang_ms * 1000);
    for (size_t i = 0; i < w->all.n; i++)
        atomic_store(&w->all.items[i]->watch.budget_us, budget_ms * 1000);
    pthread_mutex_unlock(&w->lock);
}

struct vm_watch *watchdog_watch(struct watchdog *w)
{
    struct guarded *g = calloc(1, sizeof(*g));

    REQUIRE(g != NULL);
    atomic_store(&g->watch.budget_us, atomic_load(&w->budget_us));
    g->is_watched = true;
    pthread_mutex_lock(&w->lock);
    vec_push(&w->all, g);
    pthread_mutex_unlock(&w->lock);
    return &g->watch;
}

void watchdog_unwatch(struct watchdog *w, struct vm_watch *watch)
{
    pthread_mutex_lock(&w->lock);
    container_of(watch, struct guarded, watch)->is_watched = false;
    pthread_mutex_unlock(&w->lock);
}

void watchdog_free(struct watchdog *w)
{
    pthread_mutex_lock(&w->lock);
    w->stops = true;
    pthread_cond_signal(&w->stop);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (size_t i = 0; i < w->all.n; i++)
        free(w->all.items[i]);
    vec_free(&w->all);
    pthread_cond_destroy(&w->stop);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
