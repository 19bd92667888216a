/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker does beside carrying traffic: it starts, drains and stops its parts in an order in which nothing is used
 * after it has gone. Ending takes several turns of the loop; a timer looks how far it is. */

#include "app/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/control.h"
#include "app/library.h"
#include "app/watchdog.h"
#include "base/check.h"
#include "base/log.h"
#include "base/metric.h"
#include "gate/conf.h"
#include "http/inbound.h"
#include "net/loop.h"
#include "script/hooks.h"
#include "script/vm.h"

#define LOOK_MS 10
#define BEAT_MS (WATCHDOG_BEAT_MS / 2)

/* Looks until which log hooks may go on when a worker is told to stop, an exchange may still be there, and tasks. */
#define LOOKS_FOR_LOGS 100
#define LOOKS_FOR_ALL 200
#define LOOKS_FOR_TASKS 300

/* --- making ---------------------------------------------------------------------------------------------------------- */

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer,
                      const struct addr *local)
{
    struct worker *w = owner;
    uint32_t index = 0;

    while (index + 1 < w->nlisteners && w->listeners[index] != ln)
        index++;
    gateway_accept(&w->gateway, ln, (int)index, fd, peer, local);
}

static struct metric_series *lua_gauge(const struct worker *w, const char *name, const char *help)
{
    static const char *const labels[] = {"worker"};
    struct metric_family *f = metric_family(name, help, METRIC_GAUGE, labels, 1, NULL, 0);
    char text[16];

    snprintf(text, sizeof(text), "%d", w->number);
    return metric_series(f, &(struct slice){text, strlen(text)});
}

/* Adds what has changed since the last time: the cell is this worker's own. */
static void tell(struct worker *w, struct metric_series *series, double now, double *told)
{
    metric_add(series, w->number, now - *told);
    *told = now;
}

static void on_beat(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, beat);

    if (w->watch)
        watchdog_beat(w->watch);
    if (w->vm) {
        tell(w, w->lua_memory, (double)w->vm->memory, &w->told_memory);
        tell(w, w->lua_waiting, (double)w->vm->nwaiting, &w->told_waiting);
    }
    timer_set(t, BEAT_MS);
}

static void on_look(struct timer *t);

/* The VM and the plugins' instances in it. A configuration without plugins needs none. */
static bool make_plan(struct worker *w, const struct worker_setup *setup, struct faults *faults)
{
    struct phase_host *host = NULL;

    if (setup->snapshot->nuses || setup->needs_vm) {
        w->vm = library_vm(setup->snapshot, &w->gateway, w->number);
        if (!w->vm)
            return false;
    }
    if (setup->snapshot->nuses) {
        vm_guard(w->vm, setup->guard);
        host = hooks_new(w->vm, setup->snapshot, faults, NULL, NULL);
        vm_guard(w->vm, NULL);
        if (!host)
            return false;
    }
    gateway_use(&w->gateway, plan_new(&w->gateway, snapshot_ref(setup->snapshot), host, NULL));
    return true;
}

static void start_listeners(struct worker *w, const struct worker_setup *setup)
{
    if (!setup->fds)
        return;
    w->nlisteners = setup->snapshot->nlisteners;
    w->listeners = calloc(w->nlisteners + 1, sizeof(w->listeners[0]));
    REQUIRE(w->listeners != NULL);
    for (uint32_t i = 0; i < w->nlisteners; i++) {
        w->listeners[i] = listener_start(w->loop, setup->fds[i], setup->quota, on_accept, w);
        listener_hold(w->listeners[i]);
    }
}

struct worker *worker_new(const struct worker_setup *setup, struct faults *faults)
{
    struct worker *w = calloc(1, sizeof(*w));

    REQUIRE(w != NULL);
    w->control = setup->control;
    w->watchdog = setup->watchdog;
    w->number = MAX(setup->number, 1);
    w->loop = loop_new();
    w->mailbox = mailbox_new(w->loop, w);
    timer_init(&w->look, w->loop, on_look);
    timer_init(&w->beat, w->loop, on_beat);
    w->gateway.loop = w->loop;
    w->gateway.mailbox = w->mailbox;
    w->gateway.writer = w->number;
    w->gateway.nworkers = setup->snapshot->workers;
    gateway_init(&w->gateway, setup->snapshot);
    if (!make_plan(w, setup, faults)) {
        worker_free(w);
        return NULL;
    }
    start_listeners(w, setup);
    return w;
}

/* --- the thread ------------------------------------------------------------------------------------------------------ */

struct worker_mail {
    struct mail mail;
    struct control *control;
    void (*fn)(struct control *c);
};

static void on_control_mail(struct mail *m, void *reader UNUSED)
{
    struct worker_mail *wm = container_of(m, struct worker_mail, mail);

    wm->fn(wm->control);
    free(wm);
}

static void tell_control(struct worker *w, void (*fn)(struct control *c))
{
    struct worker_mail *wm = calloc(1, sizeof(*wm));

    REQUIRE(wm != NULL);
    wm->mail.fn = on_control_mail;
    wm->control = w->control;
    wm->fn = fn;
    mailbox_send(control_mailbox(w->control), &wm->mail);
}

void worker_adopt(struct worker *w)
{
    w->watch = w->watchdog ? watchdog_watch(w->watchdog, w->number) : NULL;
    if (w->vm)
        vm_use_on_this_thread(w->vm, &w->gateway, w->watch);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    worker_adopt(w);
    if (w->vm) {
        w->lua_memory = lua_gauge(w, "demilune_lua_memory_bytes", "Memory of a worker's Lua.");
        w->lua_waiting =
            lua_gauge(w, "demilune_lua_waiting", "Hooks and tasks of a worker that wait.");
    }
    on_beat(&w->beat);
    if (w->gateway.plan->host)
        hooks_start(w->gateway.plan->host);
    tell_control(w, control_on_worker_ready);
    loop_run(w->loop);
    if (w->watch)
        watchdog_unwatch(w->watchdog, w->watch);
    return NULL;
}

void worker_start(struct worker *w)
{
    char name[16];

    REQUIRE(pthread_create(&w->thread, NULL, worker_main, w) == 0);
    w->is_started = true;
    snprintf(name, sizeof(name), "worker %d", w->number);
    pthread_setname_np(w->thread, name);
}

/* --- connections of others ------------------------------------------------------------------------------------------- */

struct taken_mail {
    struct mail mail;
    int listener, fd;
    struct addr peer;
};

static void on_taken(struct mail *m, void *reader)
{
    struct taken_mail *tm = container_of(m, struct taken_mail, mail);
    struct worker *w = reader;

    if ((uint32_t)tm->listener < w->nlisteners)
        listener_take(w->listeners[tm->listener], tm->fd, &tm->peer);
    else
        close(tm->fd); /* it ends */
    free(tm);
}

void worker_take(struct worker *w, int listener, int fd, const struct addr *peer)
{
    struct taken_mail *tm = calloc(1, sizeof(*tm));

    REQUIRE(tm != NULL);
    *tm = (struct taken_mail){.mail.fn = on_taken, .listener = listener, .fd = fd, .peer = *peer};
    mailbox_send(w->mailbox, &tm->mail);
}

/* --- the end --------------------------------------------------------------------------------------------------------- */

/* What waits in the backlog is accepted first, so that nobody who got through to us is turned away. */
static void close_listeners(struct worker *w)
{
    for (uint32_t i = 0; i < w->nlisteners; i++) {
        listener_drain(w->listeners[i]);
        listener_free(w->listeners[i]);
    }
    w->nlisteners = 0;
}

/* The last answers may still be on their way when their exchanges have ended. */
static bool is_empty(const struct worker *w)
{
    return gateway_exchanges(&w->gateway) == 0 && inbound_count(w->gateway.inbound) == 0 &&
           !loop_has_at_end(w->loop);
}

static void look_draining(struct worker *w)
{
    /* Not with the order itself: a request may have come with a connection that was just accepted. */
    if (w->looks == 1 && w->gateway.wire.draining)
        gateway_drain(&w->gateway);
    if (is_empty(w))
        tell_control(w, control_on_worker_drained);
    else
        timer_set(&w->look, LOOK_MS);
}

static void look_ending(struct worker *w)
{
    if (w->looks == LOOKS_FOR_LOGS)
        gateway_hurry(&w->gateway);
    if (gateway_exchanges(&w->gateway) > 0 && w->looks < LOOKS_FOR_ALL) {
        timer_set(&w->look, LOOK_MS);
        return;
    }
    if (w->gateway.plan->host)
        hooks_stop(w->gateway.plan->host);
    w->state = WORKER_STOPS;
    timer_set(&w->look, LOOK_MS); /* what the stop hooks have cancelled ends meanwhile */
}

/* Tasks that were cancelled have a last word, too. */
static void look_stopping(struct worker *w)
{
    if (w->vm && w->vm->nwaiting > 0 && w->looks < LOOKS_FOR_TASKS)
        timer_set(&w->look, LOOK_MS);
    else
        loop_stop(w->loop);
}

static void on_look(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, look);

    w->looks++;
    switch (w->state) {
    case WORKER_DRAINS: look_draining(w); break;
    case WORKER_ENDS: look_ending(w); break;
    case WORKER_STOPS: look_stopping(w); break;
    case WORKER_RUNS: break;
    }
}

enum order { ORDER_OPEN, ORDER_DRAIN, ORDER_RETIRE, ORDER_STOP };

struct order_mail {
    struct mail mail;
    enum order order;
};

static void on_order(struct mail *m, void *reader)
{
    struct order_mail *om = container_of(m, struct order_mail, mail);
    struct worker *w = reader;

    if (om->order == ORDER_OPEN && w->state == WORKER_RUNS) {
        for (uint32_t i = 0; i < w->nlisteners; i++)
            listener_resume(w->listeners[i]);
    } else if (om->order == ORDER_STOP && w->state < WORKER_ENDS) {
        w->looks = 0;
        w->state = WORKER_ENDS;
        close_listeners(w);
        inbound_abort_all(w->gateway.inbound);
        timer_set(&w->look, 0);
    } else if (om->order != ORDER_OPEN && w->state == WORKER_RUNS) {
        w->looks = 0;
        w->state = WORKER_DRAINS;
        if (om->order == ORDER_RETIRE)
            w->gateway.wire.retiring = true;
        else
            w->gateway.wire.draining = true; /* answers say that they are the last from now on */
        close_listeners(w);
        timer_set(&w->look, LOOK_MS);
    }
    free(om);
}

static void order(struct worker *w, enum order what)
{
    struct order_mail *om = calloc(1, sizeof(*om));

    REQUIRE(om != NULL);
    om->mail.fn = on_order;
    om->order = what;
    mailbox_send(w->mailbox, &om->mail);
}

void worker_open(struct worker *w)
{
    order(w, ORDER_OPEN);
}

void worker_drain(struct worker *w)
{
    order(w, ORDER_DRAIN);
}

void worker_retire(struct worker *w)
{
    order(w, ORDER_RETIRE);
}

void worker_stop(struct worker *w)
{
    order(w, ORDER_STOP);
}

void worker_free(struct worker *w)
{
    if (w->is_started)
        pthread_join(w->thread, NULL);
    for (uint32_t i = 0; i < w->nlisteners; i++)
        listener_free(w->listeners[i]);
    free(w->listeners);
    bool has_host = w->gateway.plan && w->gateway.plan->host;
    if (w->vm && !has_host)
        vm_free(w->vm);
    gateway_deinit(&w->gateway);
    timer_deinit(&w->look);
    timer_deinit(&w->beat);
    mailbox_free(w->mailbox);
    loop_free(w->loop);
    free(w);
}
