/* SPDX-License-Identifier: Apache-2.0 */

/* Start: listening sockets first (a port that is taken is told before anything else happens), then workers, then the
 * admin endpoint; ready when every worker has run its start hooks. Stop: not ready, drain.delay, workers drain, at
 * drain.timeout what is left is cut off. A second SIGTERM, or SIGINT, cuts off at once.
 *
 * Signals are blocked everywhere and taken by a thread of their own, which turns each into mail. */

#include "app/control.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/admin.h"
#include "app/watchdog.h"
#include "app/worker.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/metric.h"
#include "gate/shelf.h"
#include "gate/target.h"
#include "side/store.h"

#define SWEEP_MS 1000
#define EXIT_SYSTEM 3

/* Descriptors that are not connections: listeners, files, upstream connections' share, ... */
#define SPARE_DESCRIPTORS 256

/* --- signals ----------------------------------------------------------------------------------------------------- */

struct signal_mail {
    struct mail mail;
    int signal;
};

static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        sigaddset(set, signals[i]);
}

void control_block_signals(void)
{
    sigset_t set;

    signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void on_signal(struct mail *m, void *reader);

static void *signal_main(void *arg)
{
    struct control *c = arg;
    sigset_t set;
    int n;

    signal_set(&set);
    for (;;) {
        if (sigwait(&set, &n) != 0)
            continue;
        struct signal_mail *sm = calloc(1, sizeof(*sm));
        REQUIRE(sm != NULL);
        sm->mail.fn = on_signal;
        sm->signal = n;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        mailbox_send(c->mailbox, &sm->mail);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    }
    return NULL;
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void control_stop(struct control *c)
{
    if (c->state == CONTROL_STOPPING)
        return;
    c->state = CONTROL_STOPPING;
    for (int i = 0; i < c->nworkers; i++)
        worker_stop(c->workers[i]);
    loop_stop(c->loop);
}

static void on_drain_timer(struct timer *t)
{
    struct control *c = container_of(t, struct control, drain_timer);

    if (c->ndrained >= 0) {
        LOG_WARN("drain.timeout", "cutting off what is left", LOG_I("timeout_ms", c->snapshot->drain_timeout_ms));
        control_stop(c);
        return;
    }
    c->ndrained = 0;
    for (int i = 0; i < c->nworkers; i++)
        worker_drain(c->workers[i]);
    timer_set(t, c->snapshot->drain_timeout_ms);
}

static void control_drain(struct control *c)
{
    LOG_INFO("drain.begin", "draining", LOG_I("delay_ms", c->snapshot->drain_delay_ms),
             LOG_I("timeout_ms", c->snapshot->drain_timeout_ms));
    c->state = CONTROL_DRAINING;
    c->ndrained = -1; /* still accepting */
    timer_set(&c->drain_timer, c->snapshot->drain_delay_ms);
}

void control_on_worker_drained(struct control *c)
{
    if (++c->ndrained == c->nworkers)
        control_stop(c);
}

static void on_signal(struct mail *m, void *reader)
{
    struct signal_mail *sm = container_of(m, struct signal_mail, mail);
    struct control *c = reader;

    switch (sm->signal) {
    case SIGTERM:
        if (c->state < CONTROL_DRAINING)
            control_drain(c);
        else
            control_stop(c);
        break;
    case SIGINT:
        control_stop(c);
        break;
    default:
        LOG_WARN("signal.unsupported", "this signal is not yet supported", LOG_C("signal", strsignal(sm->signal)));
    }
    free(sm);
}

/* --- the start --------------------------------------------------------------------------------------------------- */

void control_on_worker_ready(struct control *c)
{
    if (++c->nready < c->nworkers || c->state != CONTROL_STARTING)
        return;
    c->state = CONTROL_READY;
    for (uint32_t i = 0; i < c->snapshot->nlisteners; i++)
        LOG_INFO("ready", "listening", LOG_S("address", c->snapshot->listeners[i].text), LOG_I("workers", c->nworkers),
                 LOG_I("routes", c->snapshot->nroutes));
}

static void raise_descriptor_limit(struct control *c)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)c->quota.max * 2 + SPARE_DESCRIPTORS;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)!setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return;
    int possible = (int)((limit.rlim_cur > SPARE_DESCRIPTORS ? limit.rlim_cur - SPARE_DESCRIPTORS : limit.rlim_cur) / 2);
    LOG_WARN("limits.connections", "fewer connections than configured: the descriptor limit is lower",
             LOG_I("configured", c->quota.max), LOG_I("possible", possible));
    c->quota.max = possible;
}

static int open_fault(const struct snapshot *s, const struct listener_conf *l, int error)
{
    struct arena *arena = arena_new_heap(KIB);
    struct faults faults;
    struct buf out;

    faults_init(&faults, arena);
    buf_init(&out, 64 * KIB);
    fault_at(&faults, l->place, arena_printf(arena, "listeners[%u].address", l->index), "can't listen on %.*s: %s%s",
             SLICE_ARG(l->text), strerror(error),
             error == EADDRINUSE ? " (is another program using this port?)"
             : error == EACCES   ? " (ports below 1024 need privileges)"
                                 : "");
    faults_print(&faults, &out, isatty(STDERR_FILENO));
    (void)!write(STDERR_FILENO, buf_slice(&out).ptr, buf_len(&out));
    buf_deinit(&out);
    faults_deinit(&faults);
    arena_free(arena);
    (void)s;
    return EXIT_SYSTEM;
}

/* fds[worker * nlisteners + listener]. All workers bind the address that the first one got (port 0). */
static int open_listeners(const struct snapshot *s, int nworkers, int *fds)
{
    for (uint32_t i = 0; i < s->nlisteners; i++) {
        struct addr at = s->listeners[i].addr;
        for (int n = 0; n < nworkers; n++) {
            int *fd = &fds[(uint32_t)n * s->nlisteners + i];
            if (listener_open(&at, true, fd) < 0 || (n == 0 && listener_address(*fd, &at) < 0))
                return open_fault(s, &s->listeners[i], errno);
        }
    }
    return 0;
}

static void close_listeners(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

static void on_sweep(struct timer *t)
{
    targets_sweep();
    timer_set(t, SWEEP_MS);
}

static int control_start(struct control *c)
{
    uint32_t nlisteners = c->snapshot->nlisteners;
    size_t nfds = (size_t)c->nworkers * nlisteners;
    int *fds = calloc(nfds + 1, sizeof(*fds));

    REQUIRE(fds != NULL);
    for (size_t i = 0; i < nfds; i++)
        fds[i] = -1;
    int status = open_listeners(c->snapshot, c->nworkers, fds);
    if (status == 0 && c->snapshot->admin_address.len)
        status = admin_start(c, &c->admin);
    if (status != 0) {
        close_listeners(fds, nfds);
        free(fds);
        return status;
    }
    for (uint32_t i = 0; i < c->snapshot->nstores; i++)
        stores_make(c->snapshot->stores[i].name, c->snapshot->stores[i].bytes);
    c->workers = calloc((size_t)c->nworkers, sizeof(c->workers[0]));
    REQUIRE(c->workers != NULL);
    for (int n = 0; n < c->nworkers; n++)
        c->workers[n] = worker_new(c, n + 1, c->nworkers, c->snapshot, fds + (size_t)n * nlisteners, &c->quota);
    free(fds);
    for (int n = 0; n < c->nworkers; n++)
        worker_start(c->workers[n]);
    return 0;
}

static void control_free(struct control *c)
{
    for (int n = 0; c->workers && n < c->nworkers; n++)
        worker_free(c->workers[n]);
    free(c->workers);
    if (c->admin)
        admin_free(c->admin);
    watchdog_free(c->watchdog);
    pthread_cancel(c->signal_thread);
    pthread_join(c->signal_thread, NULL);
    timer_deinit(&c->drain_timer);
    timer_deinit(&c->sweep_timer);
    mailbox_free(c->mailbox);
    loop_free(c->loop);
    snapshot_unref(c->snapshot);
    stores_free_all();
    metric_deinit();
}

int control_run(struct snapshot *snapshot)
{
    struct control c = {.snapshot = snapshot, .nworkers = snapshot->workers, .started_ms = clock_wall_ms()};

    log_configure(snapshot->log_level, snapshot->log_format);
    metric_init(c.nworkers + 1, snapshot->metrics_max_series);
    c.quota.max = (int)snapshot->connections;
    raise_descriptor_limit(&c);
    c.loop = loop_new();
    c.mailbox = mailbox_new(c.loop, &c);
    timer_init(&c.drain_timer, c.loop, on_drain_timer);
    timer_init(&c.sweep_timer, c.loop, on_sweep);
    timer_set(&c.sweep_timer, SWEEP_MS);
    c.watchdog = watchdog_new(snapshot->script_time_budget_ms, snapshot->script_hang_timeout_ms);
    REQUIRE(pthread_create(&c.signal_thread, NULL, signal_main, &c) == 0);
    int status = control_start(&c);
    if (status == 0)
        loop_run(c.loop);
    control_free(&c);
    return status;
}
