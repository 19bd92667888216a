/* SPDX-License-Identifier: Apache-2.0 */

/* An entry into Lua has a number and nothing else, so that it costs next to nothing. When the watchdog first sees a
 * number it notes the CPU time that the thread has used by then, and counts from there: up to 10 ms of the entry's time
 * are given for free, in exchange for no clock being read on the way into a hook.
 *
 * CPU time, since a worker that the machine does not let run is no runaway. What waits inside a C function (a blocking
 * read) uses none, and is told by its sleep: a thread that should be doing something, and has been found asleep at each
 * look for a while. Where neither tells (a disk that does not answer) a hang is ten times hang_timeout by the clock on
 * the wall; time in which this thread did not run either, since the whole process was held, does not count. */

#include "app/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/vec.h"
#include "script/hooks.h"
#include "script/vm.h"

#define LOOK_MS 10
#define WALL_FACTOR 10
#define LATE_US 500000  /* between two looks: this thread was held up */
#define LOOKS_ASLEEP 10 /* in a row */

/* Since when a thread has been at the same thing. */
struct spell {
    uint64_t cpu_us;   /* of the thread when it was first seen */
    uint64_t since_us; /* monotonic, then */
};

struct guarded {
    struct vm_watch watch;
    atomic_uint beats;
    pid_t tid;
    clockid_t cpu_clock;
    int worker;
    unsigned long long entry; /* the last number seen; even: Lua did not run */
    struct spell in_lua;
    unsigned beat; /* the last number seen */
    struct spell in_turn;
    uint64_t asleep_cpu_us; /* the thread's when it was found asleep */
    int asleep;             /* looks in a row at which it was, and had used no more */
    bool is_told;           /* the stop has been logged */
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
    uint64_t looked_us; /* the last time */
    bool stops;
};

static uint64_t cpu_us_of(const struct guarded *g)
{
    struct timespec ts;

    if (clock_gettime(g->cpu_clock, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct spell spell_now(const struct guarded *g)
{
    return (struct spell){cpu_us_of(g), clock_us_now()};
}

static char state_of(pid_t tid)
{
    char path[64], state = '?';

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
    FILE *f = fopen(path, "re");
    if (!f)
        return state;
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    fclose(f);
    return state;
}

static bool is_fast_asleep(struct guarded *g)
{
    uint64_t cpu_us = cpu_us_of(g);

    if (state_of(g->tid) != 'S' || cpu_us != g->asleep_cpu_us)
        g->asleep = 0;
    g->asleep_cpu_us = cpu_us;
    return ++g->asleep > LOOKS_ASLEEP;
}

/* slack_us: how long it may be at it anyway. */
static bool hangs(struct watchdog *w, struct guarded *g, const struct spell *s, uint64_t slack_us)
{
    uint64_t hang = atomic_load(&w->hang_us);
    uint64_t used = cpu_us_of(g) - s->cpu_us, lasted = clock_us_now() - s->since_us;

    if (hang == 0 || lasted < hang + slack_us)
        return false;
    return used >= hang + slack_us || lasted >= hang * WALL_FACTOR + slack_us || is_fast_asleep(g);
}

static void tell(struct guarded *g, const char *event, const char *text)
{
    struct slice plugin = SLICE("-");
    const char *phase = "-";

    pthread_mutex_lock(&g->watch.telling);
    struct vm *vm = atomic_load_explicit(&g->watch.vm, memory_order_relaxed);
    if (vm)
        hooks_where(vm, &plugin, &phase);
    LOG_ERROR(event, text, LOG_S("plugin", plugin), LOG_C("hook", phase),
              LOG_I("worker", g->worker), LOG_I("cpu_ms", (cpu_us_of(g) - g->in_lua.cpu_us) / 1000),
              LOG_I("lasted_ms", (clock_us_now() - g->in_lua.since_us) / 1000));
    pthread_mutex_unlock(&g->watch.telling);
}

/* Lua still runs the entry that was seen before. */
static void judge_lua(struct watchdog *w, struct guarded *g)
{
    if (hangs(w, g, &g->in_lua, 0)) {
        tell(g, "lua.hang", "a plugin hangs where it can't be stopped: the process ends");
        abort();
    }
    if (cpu_us_of(g) - g->in_lua.cpu_us < atomic_load(&g->watch.budget_us))
        return;
    if (!g->is_told) {
        tell(g, "lua.stop", "a plugin has used up its time budget: it is stopped");
        g->is_told = true;
    }
    atomic_store(&g->watch.stop, g->entry);
    pthread_kill(g->watch.thread, VM_STOP_SIGNAL);
}

static void judge_turn(struct watchdog *w, struct guarded *g)
{
    if (!hangs(w, g, &g->in_turn, WATCHDOG_BEAT_MS * 1000))
        return;
    LOG_ERROR("worker.hang", "a worker's loop does not turn any more: the process ends",
              LOG_I("worker", g->worker),
              LOG_I("cpu_ms", (cpu_us_of(g) - g->in_turn.cpu_us) / 1000),
              LOG_I("lasted_ms", (clock_us_now() - g->in_turn.since_us) / 1000));
    abort();
}

static void look_at_lua(struct watchdog *w, struct guarded *g)
{
    unsigned long long entry = atomic_load_explicit(&g->watch.entry, memory_order_acquire);

    if (entry == g->entry) {
        if (entry & 1)
            judge_lua(w, g);
        return;
    }
    g->entry = entry;
    g->is_told = g->worker == 0; /* what is being built has its faults told instead */
    if (entry & 1)
        g->in_lua = spell_now(g);
}

/* What began after the last look was not held for all of that time. */
static void forgive(struct spell *s, uint64_t late_us, uint64_t now)
{
    s->since_us = MIN(s->since_us + late_us, now);
}

static void look_at(struct watchdog *w, struct guarded *g, uint64_t late_us, uint64_t now)
{
    unsigned beat = atomic_load(&g->beats);

    forgive(&g->in_lua, late_us, now);
    forgive(&g->in_turn, late_us, now);
    look_at_lua(w, g);
    if (beat != g->beat)
        g->in_turn = spell_now(g);
    else
        judge_turn(w, g);
    g->beat = beat;
}

static void look(struct watchdog *w)
{
    uint64_t now = clock_us_now(), since = now - w->looked_us;
    uint64_t late_us = w->looked_us && since > LATE_US ? since : 0;

    w->looked_us = now;
    for (size_t i = 0; i < w->all.n; i++) {
        if (w->all.items[i]->is_watched)
            look_at(w, w->all.items[i], late_us, now);
    }
}

static void *watchdog_main(void *arg)
{
    struct watchdog *w = arg;
    struct timespec next;

    pthread_mutex_lock(&w->lock);
    while (!w->stops) {
        look(w);
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

struct vm_watch *watchdog_watch(struct watchdog *w, int worker)
{
    struct guarded *g = calloc(1, sizeof(*g));

    REQUIRE(g != NULL);
    atomic_store(&g->watch.budget_us, atomic_load(&w->budget_us));
    pthread_mutex_init(&g->watch.telling, NULL);
    g->is_watched = true;
    g->worker = worker;
    g->tid = gettid();
    REQUIRE(pthread_getcpuclockid(pthread_self(), &g->cpu_clock) == 0);
    g->in_turn = g->in_lua = spell_now(g);
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

void watchdog_beat(struct vm_watch *watch)
{
    atomic_fetch_add(&container_of(watch, struct guarded, watch)->beats, 1);
}

void watchdog_free(struct watchdog *w)
{
    pthread_mutex_lock(&w->lock);
    w->stops = true;
    pthread_cond_signal(&w->stop);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (size_t i = 0; i < w->all.n; i++) {
        pthread_mutex_destroy(&w->all.items[i]->watch.telling);
        free(w->all.items[i]);
    }
    vec_free(&w->all);
    pthread_cond_destroy(&w->stop);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
