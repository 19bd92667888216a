/* SPDX-License-Identifier: Apache-2.0 */

/* Start: listening sockets first (a port that is taken is told before anything else happens), then the admin endpoint,
 * then privileges go, then workers; ready when every worker has run its start hooks. Stop: not ready, drain.delay, workers drain, at
 * drain.timeout what is left is cut off. A second SIGTERM, or SIGINT, cuts off at once. */

#include "app/control.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/admin.h"
#include "app/build_guard.h"
#include "app/cli.h"
#include "app/closer.h"
#include "app/descriptors.h"
#include "app/lifeline.h"
#include "app/listening.h"
#include "app/load.h"
#include "app/plugin_metrics.h"
#include "app/privileges.h"
#include "app/process.h"
#include "app/reload.h"
#include "app/sockets.h"
#include "app/stragglers.h"
#include "app/upstream_metrics.h"
#include "app/watchdog.h"
#include "app/worker.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metric.h"
#include "gate/access_log.h"
#include "gate/probe.h"
#include "gate/shelf.h"
#include "gate/snapshot.h"
#include "gate/spilling.h"
#include "net/mailbox.h"
#include "side/flight.h"
#include "side/kafka.h"
#include "side/store.h"

#define SWEEP_MS 1000
#define FLIGHTS_MS 100 /* who waits for an owner that is late waits so much longer */
#define STOP_MS 5000   /* what workers take at most to stop */
#define SPILL_LOOK_MS 20

/* Descriptors that are no connections: listeners, files, epoll. */
#define SPARE_DESCRIPTORS 256

struct mailbox *control_mailbox(struct control *c)
{
    return c->mailbox;
}

/* --- the end --------------------------------------------------------------------------------------------------------- */

/* Before the workers are told to accept no more: nobody may land where nobody accepts from. */
static void close_sockets(struct control *c)
{
    sockets_close(c->sockets, NULL);
    stragglers_end(c->stragglers);
}

/* What is left of drain.timeout for what was published. */
static uint32_t flush_ms(const struct control *c)
{
    uint64_t now = clock_ms();

    return c->flush_until_ms > now ? (uint32_t)(c->flush_until_ms - now) : 0;
}

static void control_stop(struct control *c)
{
    if (c->state == CONTROL_STOPPING)
        return;
    c->state = CONTROL_STOPPING;
    reload_refuse(c->reload);
    lifeline_ending(c->lifeline, flush_ms(c) + STOP_MS);
    close_sockets(c);
    for (int i = 0; i < c->nworkers; i++)
        worker_stop(c->workers[i]);
    loop_stop(c->loop);
}

static void on_drain_timer(struct timer *t)
{
    struct control *c = container_of(t, struct control, drain_timer);

    if (c->is_closed) {
        LOG_WARN("drain.timeout", "cutting off what is left",
                 LOG_I("timeout_ms", c->snapshot->drain_timeout_ms));
        control_stop(c);
        return;
    }
    c->is_closed = true;
    close_sockets(c);
    for (int i = 0; i < c->nworkers; i++)
        c->is_retired ? worker_retire(c->workers[i]) : worker_drain(c->workers[i]);
    timer_set(t, c->snapshot->drain_timeout_ms);
}

static void control_drain(struct control *c, uint64_t delay_ms)
{
    LOG_INFO("drain.begin", "draining", LOG_I("delay_ms", delay_ms),
             LOG_I("timeout_ms", c->snapshot->drain_timeout_ms));
    c->state = CONTROL_DRAINING;
    reload_refuse(c->reload);
    lifeline_ending(c->lifeline, delay_ms + c->snapshot->drain_timeout_ms + STOP_MS);
    timer_set(&c->drain_timer, delay_ms);
}

void control_on_retire(struct control *c)
{
    lifeline_retire(c->lifeline);
    c->is_retired = true;
    if (c->admin)
        admin_retire(c->admin);
    if (c->state < CONTROL_DRAINING)
        control_drain(c, 0);
}

void control_on_orphaned(struct control *c)
{
    if (c->state >= CONTROL_DRAINING)
        return;
    LOG_ERROR("supervisor.gone", "the supervisor has gone: the gateway ends, too");
    control_drain(c, 0);
}

void control_on_worker_drained(struct control *c)
{
    if (++c->ndrained < c->nworkers || c->state != CONTROL_DRAINING)
        return;
    timer_set(&c->spill_timer, 0);
}

/* Exchanges have ended; what they have accepted may still be on its way. */
static void on_spill_timer(struct timer *t)
{
    struct control *c = container_of(t, struct control, spill_timer);

    if (c->state != CONTROL_DRAINING)
        return;
    if (!spilling_is_empty(c->spilling)) {
        timer_set(t, SPILL_LOOK_MS);
        return;
    }
    LOG_INFO("drain.end", "all exchanges have ended");
    c->flush_until_ms = c->drain_timer.due_ms;
    control_stop(c);
}

void control_on_signal(struct control *c, int signal)
{
    if (c->state == CONTROL_STOPPING)
        return;
    switch (signal) {
    case SIGTERM:
        if (c->state < CONTROL_DRAINING)
            control_drain(c, c->snapshot->drain_delay_ms);
        else
            control_stop(c);
        break;
    case SIGINT: control_stop(c); break;
    case SIGUSR1: access_logs_reopen(); break;
    case SIGHUP: reload_ask(c->reload, "SIGHUP", NULL); break;
    default:
        LOG_WARN("signal.unsupported", "this signal is not yet supported",
                 LOG_C("signal", sigabbrev_np(signal)));
    }
}

/* --- the start ------------------------------------------------------------------------------------------------------- */

void control_on_worker_ready(struct control *c)
{
    if (++c->nready < c->nworkers || c->state != CONTROL_STARTING)
        return;
    c->state = CONTROL_READY;
    for (int n = 0; n < c->nworkers; n++)
        worker_open(c->workers[n]);
    c->stragglers = stragglers_start(c);
    LOG_INFO("ready", "the gateway is ready", LOG_C("listeners", c->listening),
             LOG_C("admin", c->admin ? admin_address(c->admin) : "off"),
             LOG_I("workers", c->nworkers), LOG_I("routes", c->snapshot->nroutes),
             LOG_I("pid", getpid()));
    lifeline_ready(c->lifeline, c->snapshot->log_level, c->snapshot->log_format);
    lifeline_keep_tickets(c->lifeline);
    sockets_keep(c->sockets);
    reload_on_ready(c->reload);
}

void control_on_worker_swapped(struct control *c)
{
    reload_on_swapped(c->reload);
}

/* A connection from a client needs one more to the upstream. */
void control_limit_connections(struct control *c, uint32_t n)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)n * 2 + SPARE_DESCRIPTORS;

    if (c->asked_connections == n)
        return;
    c->asked_connections = n;
    atomic_store(&c->quota.max, (int)n);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_cur >= wanted)
        return;
    rlim_t spare = MIN((rlim_t)SPARE_DESCRIPTORS, limit.rlim_cur / 2);
    int possible = (int)MAX((limit.rlim_cur - spare) / 2, (rlim_t)1);
    const struct conf *limits = conf_get(c->snapshot->conf, SLICE("limits"));
    bool is_asked = conf_get(limits, SLICE("connections")) != NULL; /* no warning of a default */
    LOG_AT(is_asked ? LOG_WARN : LOG_INFO, "limits.connections",
           "fewer connections than limits.connections: the descriptor limit (ulimit -n) is lower",
           LOG_I("configured", n), LOG_I("possible", possible));
    atomic_store(&c->quota.max, possible);
}

/* False when one of them can't be made; those that were are freed by control_free. */
static bool make_workers(struct control *c, struct listening *l, struct faults *faults)
{
    struct build_guard guard;
    bool is_made = true;

    build_guard_start(&guard, c->snapshot);
    for (int n = 0; n < c->nworkers && is_made; n++) {
        struct worker_setup setup = {
            .control = c,
            .watchdog = c->watchdog,
            .guard = guard.watch,
            .snapshot = c->snapshot,
            .closer = c->closer,
            .room = c->workers[n],
            .fds = listening_fds(l, n),
            .quota = &c->quota,
            .number = n + 1,
        };
        c->workers[n] = worker_new(&setup, faults);
        is_made = c->workers[n] != NULL;
    }
    build_guard_stop(&guard);
    return is_made;
}

static int control_start(struct control *c, struct faults *faults)
{
    struct listening l;
    int admin_fd;

    for (uint32_t i = 0; i < c->snapshot->nstores; i++)
        stores_make(c->snapshot->stores[i].name, c->snapshot->stores[i].bytes);
    sockets_begin(c->sockets);
    listening_open(&l, c->sockets, c->nworkers, c->snapshot, NULL, faults);
    if (admin_open(c, c->snapshot, &admin_fd, faults))
        c->admin = admin_change(NULL, c, admin_fd);
    if (faults->nerrors == 0)
        descriptors_check(c->nworkers, faults);
    if (faults->nerrors == 0)
        privileges_drop(c->snapshot, faults);
    if (faults->nerrors == 0)
        c->spilling = spilling_start(c->snapshot, faults);
    bool is_made = faults->nerrors == 0 && make_workers(c, &l, faults);
    int status = load_report(faults);
    if (status == CLI_FINE && !is_made)
        status = CLI_SYSTEM;
    c->listening = listening_take_text(&l);
    listening_deinit(&l);
    if (status != CLI_FINE) {
        sockets_undo(c->sockets);
        return status;
    }
    for (int n = 0; n < c->nworkers; n++)
        worker_start(c->workers[n]);
    return status;
}

/* --- the whole ------------------------------------------------------------------------------------------------------- */

/* Each shelf is swept by the limits of the upstream that its connections were opened for. */
static void on_sweep(struct timer *t)
{
    struct control *c = container_of(t, struct control, sweep_timer);

    for (uint32_t i = 0; i < c->snapshot->nupstreams; i++) {
        const struct upstream *u = c->snapshot->upstreams[i];
        for (uint32_t k = 0; k < u->nendpoints; k++)
            shelf_sweep(u->endpoints[k].target->shelf, u->live, u->keepalive.idle_timeout_ms);
    }
    lifeline_keep_tickets(c->lifeline);
    log_tell_suppressed(false);
    timer_set(t, SWEEP_MS);
}

static void on_flights(struct timer *t)
{
    flights_sweep(flights_shared());
    timer_set(t, FLIGHTS_MS);
}

static void control_new(struct control *c, struct snapshot *snapshot, struct worker *first,
                        struct lifeline *lifeline, const struct cli *cli)
{
    *c = (struct control){.snapshot = snapshot,
                          .lifeline = lifeline,
                          .nworkers = snapshot->workers,
                          .is_dev = cli->dev};
    control_limit_connections(c, snapshot->connections);
    c->workers = calloc((size_t)c->nworkers, sizeof(c->workers[0]));
    REQUIRE(c->workers != NULL);
    c->workers[0] = first;
    c->loop = loop_new();
    c->mailbox = mailbox_new(c->loop, c);
    timer_init(&c->drain_timer, c->loop, on_drain_timer);
    timer_init(&c->sweep_timer, c->loop, on_sweep);
    timer_set(&c->sweep_timer, SWEEP_MS);
    timer_init(&c->flights_timer, c->loop, on_flights);
    timer_set(&c->flights_timer, FLIGHTS_MS);
    timer_init(&c->spill_timer, c->loop, on_spill_timer);
    c->watchdog = watchdog_new(snapshot->script_time_budget_ms, snapshot->script_hang_timeout_ms);
    c->sockets = sockets_new(c->nworkers, lifeline);
    c->closer = closer_new();
    c->reload = reload_new(c, load_file(cli->config), cli->workers);
    lifeline_start(lifeline, c);
    process_register_metrics(c);
    upstream_metrics_show(snapshot);
    c->plugin_metrics = plugin_metrics_new();
    plugin_metrics_follow(c->plugin_metrics);
    c->probes = probes_new(c->loop);
    probes_follow(c->probes, snapshot);
}

/* False: a plugin hangs in a thread, and only the end of the process ends it. */
static bool control_free(struct control *c)
{
    c->state = CONTROL_STOPPING;
    lifeline_stop(c->lifeline);
    if (!reload_stop(c->reload))
        return false;
    stragglers_free(c->stragglers);
    for (int n = 0; n < c->nworkers; n++)
        if (c->workers[n])
            worker_free(c->workers[n]);
    free(c->workers);
    spilling_quit(c->spilling);
    clock_refresh();
    kafka_end(flush_ms(c));
    spilling_free(c->spilling);
    if (c->admin)
        admin_free(c->admin);
    sockets_free(c->sockets); /* last: a file of a socket that somebody still has stays */
    log_tell_suppressed(true);
    watchdog_free(c->watchdog);
    probes_free(c->probes);
    timer_deinit(&c->drain_timer);
    timer_deinit(&c->sweep_timer);
    timer_deinit(&c->flights_timer);
    timer_deinit(&c->spill_timer);
    mailbox_free(c->mailbox);
    reload_free(c->reload);
    closer_free(c->closer);
    loop_free(c->loop);
    upstream_metrics_hide(c->snapshot);
    plugin_metrics_free(c->plugin_metrics);
    snapshot_unref(c->snapshot);
    free(c->listening);
    stores_free_all();
    metric_deinit();
    return true;
}

int control_run(struct snapshot *snapshot, struct worker *first, struct lifeline *lifeline,
                const struct cli *cli)
{
    struct arena *arena = arena_new_heap(16 * KIB);
    struct faults faults;
    struct control c;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log that may not grow any more is a full disk */
    log_configure(snapshot->log_level, snapshot->log_format);
    faults_init(&faults, arena);
    control_new(&c, snapshot, first, lifeline, cli);
    int status = control_start(&c, &faults);
    if (status == CLI_FINE) {
        loop_run(c.loop);
        LOG_INFO("stop", "the gateway stops");
    }
    if (!control_free(&c))
        _exit(status);
    faults_deinit(&faults);
    arena_free(arena);
    return status;
}
