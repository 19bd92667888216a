/* SPDX-License-Identifier: Apache-2.0 */

/* One reload at a time. The build has a deadline: a plugin that hangs while it is loaded costs its thread, and later
 * reloads go on without it. And it waits while the VMs of many configurations are still in use, so that reloads in quick
 * succession can't fill the memory. */

#include "app/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/builder.h"
#include "app/cli.h"
#include "app/closer.h"
#include "app/control.h"
#include "app/reload_apply.h"
#include "app/watch.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "gate/snapshot.h"
#include "net/loop.h"
#include "script/hooks.h"

#define DEADLINE_MS 60000 /* of CPU time, or without any */
#define LOOK_MS 1000
#define RETRY_MS 20
#define GENERATIONS_MAX 8 /* whose VMs are in use */
#define LOST_MAX 4        /* builds that hang */
#define LINES_MAX 100
#define JOIN_MS 2000

struct reload {
    /* owned */
    struct building *building; /* under way or being swapped in, or NULL */
    struct list next, asks;    /* struct reload_ask: of the next one, of this one */
    struct timer look, retry;
    struct watch *watch;
    struct reload_report *last;
    /* borrowed */
    struct control *control;
    const char *file;
    const char *cause;
    struct metric_series *good, *bad;
    /* state */
    int workers;
    int nswapping; /* workers that have not answered */
    int nlost;     /* builds that were given up and still run */
    bool is_wanted, is_over;
    uint64_t began_us;
    uint64_t cpu_ms, moved_ms; /* of the build, and when that was last seen to grow */
    uint64_t good_wall_ms;
};

/* --- what came of it ------------------------------------------------------------------------------------------------- */

static void add_line(struct reload_report *r, const struct fault *f)
{
    struct reload_line *l = &r->lines[r->nlines++];
    struct arena *a = r->arena;

    *l = (struct reload_line){
        .line = f->line,
        .column = f->column,
        .path = arena_dup(a, f->path),
        .message = arena_dup(a, f->message),
        .is_warning = f->is_warning,
    };
    if (f->file)
        l->file = arena_dup(a, f->file->name);
}

static struct reload_report *report_new(const struct control *c, const struct faults *faults,
                                        bool is_done)
{
    const struct fault *sorted[LINES_MAX];
    struct arena *a = arena_new_heap(4 * KIB);
    struct reload_report *r = arena_zero(a, sizeof(*r));

    r->arena = a;
    r->is_done = is_done;
    r->version = c->snapshot->version;
    r->id = arena_dup(a, c->snapshot->id);
    r->at_wall_ms = clock_wall_ms();
    r->lines = arena_alloc(a, LINES_MAX * sizeof(r->lines[0]));
    size_t n = faults_sorted(faults, sorted, LINES_MAX);
    while (r->nlines < n)
        add_line(r, sorted[r->nlines]);
    return r;
}

static void log_line(const struct reload_line *l)
{
    const struct log_field fields[] = {
        LOG_S("file", l->file.ptr ? l->file : SLICE("-")),
        LOG_I("line", l->line),
        LOG_I("column", l->column),
        LOG_S("path", l->path.ptr ? l->path : SLICE("")),
    };
    enum log_level level = l->is_warning ? LOG_WARN : LOG_ERROR;

    if (level >= log_level())
        log_write(NULL, level, l->is_warning ? "reload.warning" : "reload.fault", l->message,
                  fields, COUNT_OF(fields));
}

static void log_report(const struct reload *r, const struct reload_report *report)
{
    uint64_t took_ms = (clock_us_now() - r->began_us) / 1000;

    for (size_t i = 0; i < report->nlines; i++)
        log_line(&report->lines[i]);
    if (report->is_done)
        LOG_INFO("reload.done", "the new configuration is in use",
                 LOG_I("version", report->version), LOG_S("id", report->id),
                 LOG_I("routes", r->control->snapshot->nroutes), LOG_I("took_ms", took_ms));
    else
        LOG_ERROR("reload.failed", "the new configuration is not used; the old one goes on",
                  LOG_I("faults", report->nlines), LOG_I("version", report->version),
                  LOG_I("took_ms", took_ms));
}

static void tell(struct list *asks, const struct reload_report *report)
{
    struct list *link;

    while ((link = list_pop(asks))) {
        struct reload_ask *ask = container_of(link, struct reload_ask, link);
        ask->on_end(ask, report);
    }
}

static void report_free(struct reload_report *report)
{
    if (report)
        arena_free(report->arena);
}

static void go_on(struct reload *r);

static void end(struct reload *r, const struct faults *faults, bool is_done)
{
    struct reload_report *before = r->last;

    watch_follow(r->watch, faults->seen.items,
                 faults->seen.n); /* a faulty one waits to be mended */
    watch_switch(r->watch, r->control->snapshot->watch);
    r->last = report_new(r->control, faults, is_done);
    report_free(before);
    if (is_done)
        r->good_wall_ms = r->last->at_wall_ms;
    metric_inc(is_done ? r->good : r->bad, 0);
    log_report(r, r->last);
    tell(&r->asks, r->last);
    go_on(r);
}

/* For what no file is to blame for. */
static void fail(struct reload *r, const char *why)
{
    struct arena *a = arena_new_heap(KIB);
    struct faults faults;

    faults_init(&faults, a);
    fault_plain(&faults, "%s", why);
    end(r, &faults, false);
    faults_deinit(&faults);
    arena_free(a);
}

/* --- building -------------------------------------------------------------------------------------------------------- */

static void free_building(void *building)
{
    building_free(building);
}

static void drop_building(struct reload *r, struct building *b)
{
    closer_give(r->control->closer, free_building, b);
}

static void on_built(struct mail *m, void *reader UNUSED)
{
    struct building *b = container_of(m, struct building, mail);
    struct reload *r = b->arg;

    if (b != r->building) { /* it was given up */
        REQUIRE(building_join(b, JOIN_MS));
        r->nlost--;
        drop_building(r, b);
        return;
    }
    timer_stop(&r->look);
    REQUIRE(building_join(b, JOIN_MS));
    if (b->status == CLI_FINE && !r->is_over && reload_apply(r->control, b)) {
        r->nswapping = b->nworkers;
        return;
    }
    r->building = NULL;
    if (r->is_over)
        tell(&r->asks, NULL);
    else
        end(r, &b->load.faults, false);
    drop_building(r, b);
}

void reload_on_swapped(struct reload *r)
{
    struct building *b = r->building;

    if (--r->nswapping > 0)
        return;
    r->building = NULL;
    end(r, &b->load.faults, true);
    drop_building(r, b);
}

static void give_up(struct reload *r)
{
    atomic_store(&r->building->is_given_up, true);
    r->building = NULL;
    r->nlost++;
    fail(r, "the new configuration could not be made in time: a plugin hangs while it is loaded");
}

/* It may have to wait for the CPU, but not for anything else. */
static void on_look(struct timer *t)
{
    struct reload *r = container_of(t, struct reload, look);
    uint64_t cpu_ms = building_cpu_ms(r->building), now = clock_ms();

    if (cpu_ms != r->cpu_ms) {
        r->cpu_ms = cpu_ms;
        r->moved_ms = now;
    }
    if (cpu_ms >= DEADLINE_MS || now - r->moved_ms >= DEADLINE_MS)
        give_up(r);
    else
        timer_set(t, LOOK_MS);
}

static void begin(struct reload *r)
{
    struct control *c = r->control;
    struct building *b = calloc(1, sizeof(*b));

    REQUIRE(b != NULL);
    b->before = snapshot_ref(c->snapshot);
    b->file = r->file;
    b->workers = c->workers;
    b->nworkers = c->nworkers;
    b->asked_workers = r->workers;
    b->closer = c->closer;
    b->home = c->mailbox;
    b->on_end = on_built;
    b->arg = r;
    LOG_INFO("reload.begin", "reloading the configuration", LOG_C("cause", r->cause),
             LOG_C("file", r->file));
    r->is_wanted = false;
    r->began_us = clock_us_now();
    r->cpu_ms = 0;
    r->moved_ms = clock_ms();
    list_splice(&r->asks, &r->next);
    r->building = b;
    timer_set(&r->look, LOOK_MS);
    if (building_start(b))
        return;
    int error = errno;
    timer_stop(&r->look);
    r->building = NULL;
    drop_building(r, b);
    fail(r, strerror(error));
}

static void go_on(struct reload *r)
{
    struct control *c = r->control;

    if (!r->is_wanted || r->building || r->is_over || c->state != CONTROL_READY)
        return;
    if (hooks_count() > (GENERATIONS_MAX + 1) * c->nworkers) {
        timer_set(&r->retry, RETRY_MS);
    } else if (r->nlost >= LOST_MAX) {
        r->is_wanted = false;
        list_splice(&r->asks, &r->next);
        fail(r, "several earlier reloads hang in a plugin: a restart is needed");
    } else {
        begin(r);
    }
}

static void on_change(void *arg)
{
    reload_ask(arg, "watch", NULL);
}

static void on_retry(struct timer *t)
{
    go_on(container_of(t, struct reload, retry));
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

void reload_ask(struct reload *r, const char *cause, struct reload_ask *ask)
{
    if (r->is_over) {
        if (ask)
            ask->on_end(ask, NULL);
        return;
    }
    if (ask)
        list_append(&r->next, &ask->link);
    r->is_wanted = true;
    r->cause = cause;
    go_on(r);
}

void reload_look(struct reload *r, struct reload_ask *ask)
{
    if (r->is_over)
        ask->on_end(ask, NULL);
    else if (r->building)
        list_append(&r->asks, &ask->link);
    else if (watch_look(r->watch))
        reload_ask(r, "edited", ask);
    else
        ask->on_end(ask, NULL);
}

void reload_on_ready(struct reload *r)
{
    const struct snapshot *s = r->control->snapshot;

    watch_follow(r->watch, s->seen, s->nseen);
    watch_switch(r->watch, s->watch);
    go_on(r);
}

void reload_refuse(struct reload *r)
{
    r->is_over = true;
    timer_stop(&r->retry);
    watch_switch(r->watch, false);
    tell(&r->next, NULL);
    if (!r->building || r->nswapping == 0)
        tell(&r->asks, NULL);
}

const struct reload_report *reload_last(const struct reload *r)
{
    return r->last;
}

/* --- metrics --------------------------------------------------------------------------------------------------------- */

static double is_last_good(void *arg)
{
    const struct reload *r = arg;

    return !r->last || r->last->is_done;
}

static double good_seconds(void *arg)
{
    return (double)((const struct reload *)arg)->good_wall_ms / 1000;
}

static double version(void *arg)
{
    return (double)((const struct reload *)arg)->control->snapshot->version;
}

static double states(void *arg UNUSED)
{
    return hooks_count();
}

static void show(const char *name, const char *help, metric_read_fn fn, struct reload *r)
{
    struct metric_family *f = metric_family(name, help, METRIC_GAUGE, NULL, 0, NULL, 0);

    REQUIRE(f != NULL);
    metric_gauge_fn(f, NULL, fn, r);
}

static void add_metrics(struct reload *r)
{
    static const char *const labels[] = {"result"};
    struct metric_family *f = metric_family("demilune_config_reloads_total", "Reloads, by result.",
                                            METRIC_COUNTER, labels, 1, NULL, 0);

    REQUIRE(f != NULL);
    r->good = metric_series(f, &(struct slice){"success", 7});
    r->bad = metric_series(f, &(struct slice){"failure", 7});
    show("demilune_config_last_reload_success", "1 when the last reload succeeded.", is_last_good,
         r);
    show("demilune_config_last_reload_success_timestamp_seconds",
         "When the configuration in use was taken, since 1970.", good_seconds, r);
    show("demilune_config_version", "Number of the configuration in use; each reload counts on.",
         version, r);
    show(
        "demilune_lua_states",
        "Lua states with plugins: one per worker, more while requests of older configurations go on.",
        states, r);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

struct reload *reload_new(struct control *c, const char *file, int workers)
{
    struct reload *r = calloc(1, sizeof(*r));

    REQUIRE(r != NULL);
    r->control = c;
    r->file = file;
    r->workers = workers;
    r->good_wall_ms = clock_wall_ms();
    list_init(&r->next);
    list_init(&r->asks);
    timer_init(&r->look, c->loop, on_look);
    timer_init(&r->retry, c->loop, on_retry);
    r->watch = watch_new(c->loop, on_change, r);
    add_metrics(r);
    return r;
}

bool reload_stop(struct reload *r)
{
    struct building *b = r->building;

    reload_refuse(r);
    if (b && r->nswapping == 0) {
        atomic_store(&b->is_given_up, true);
        if (!building_join(b, JOIN_MS))
            return false;
    }
    return r->nlost == 0;
}

void reload_free(struct reload *r)
{
    timer_deinit(&r->look);
    timer_deinit(&r->retry);
    watch_free(r->watch);
    report_free(r->last);
    free(r);
}
