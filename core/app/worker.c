/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker does beside carrying traffic: it starts, drains and stops its parts in an order in which nothing is used
 * after it has gone. Ending takes several turns of the loop; a timer looks how far it is. */

#include "app/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/closer.h"
#include "app/control.h"
#include "app/dev.h"
#include "app/watchdog.h"
#include "app/worker_plan.h"
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
    if (w->lua_memory) {
        tell(w, w->lua_memory, w->vm ? (double)w->vm->memory : 0, &w->told_memory);
        tell(w, w->lua_waiting, w->vm ? (double)w->vm->nwaiting : 0, &w->told_waiting);
    }
    timer_set(t, BEAT_MS);
}

static void on_look(struct timer *t);

static void free_plan(void *plan)
{
    plan_free(plan);
}

static void on_plan_end(void *closer, struct plan *plan)
{
    closer_give(closer, free_plan, plan);
}

static bool make_plan(struct worker *w, const struct worker_setup *setup, struct faults *faults)
{
    struct worker_plan p;
    struct worker_plan_source source = {
        .gateway = &w->gateway,
        .snapshot = setup->snapshot,
        .closer = setup->closer,
        .vm = w->vm,
        .guard = setup->guard,
        .needs_vm = setup->needs_vm,
    };

    bool is_made = worker_plan_make(&p, &source, faults);
    w->vm = p.vm;
    if (!is_made)
        return false;
    gateway_use(&w->gateway, p.plan);
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
        setup->fds[i] = -1;
        listener_hold(w->listeners[i]);
    }
}

struct worker *worker_room(void)
{
    struct worker *w = calloc(1, sizeof(*w));

    REQUIRE(w != NULL);
    return w;
}

struct worker *worker_new(const struct worker_setup *setup, struct faults *faults)
{
    struct worker *w = setup->room ? setup->room : worker_room();

    w->control = setup->control;
    w->watchdog = setup->watchdog;
    w->quota = setup->quota;
    w->number = MAX(setup->number, 1);
    w->loop = loop_new();
    w->mailbox = mailbox_new(w->loop, w);
    timer_init(&w->look, w->loop, on_look);
    timer_init(&w->beat, w->loop, on_beat);
    w->gateway.loop = w->loop;
    w->gateway.mailbox = w->mailbox;
    w->gateway.writer = w->number;
    w->gateway.nworkers = setup->snapshot->workers;
    if (setup->closer) {
        w->gateway.on_plan_end = on_plan_end;
        w->gateway.plan_end_arg = setup->closer;
    }
    gateway_init(&w->gateway, setup->snapshot);
    if (w->control && w->control->is_dev)
        dev_hold_requests(w);
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

/* Once there is Lua. */
static void add_gauges(struct worker *w)
{
    if (!w->vm || w->lua_memory)
        return;
    w->lua_memory = lua_gauge(w, "demilune_lua_memory_bytes", "Memory of a worker's Lua.");
    w->lua_waiting = lua_gauge(w, "demilune_lua_waiting", "Hooks and tasks of a worker that wait.");
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    worker_adopt(w);
    add_gauges(w);
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

/* --- a reload -------------------------------------------------------------------------------------------------------- */

struct worker_swap *worker_swap_new(uint32_t nlisteners)
{
    struct worker_swap *s = calloc(1, sizeof(*s) + 2 * nlisteners * sizeof(int));

    REQUIRE(s != NULL);
    s->nlisteners = nlisteners;
    s->fds = (int *)(s + 1);
    s->old = s->fds + nlisteners;
    for (uint32_t i = 0; i < 2 * nlisteners; i++)
        s->fds[i] = -1;
    return s;
}

/* Who waits in its backlog is accepted, served once, and sent away. */
static void drop_listener(struct worker *w, struct listener *ln)
{
    listener_drain(ln);
    inbound_renumber(w->gateway.inbound, ln, -1);
    listener_free(ln);
}

/* Before the plan changes: what is accepted here is accepted for the old one. */
static void swap_listeners(struct worker *w, const struct worker_swap *s)
{
    struct listener **now = calloc(s->nlisteners + 1, sizeof(now[0]));
    bool *stays = calloc(w->nlisteners + 1, sizeof(*stays));

    REQUIRE(now != NULL && stays != NULL);
    for (uint32_t i = 0; i < s->nlisteners; i++)
        if (s->fds[i] < 0)
            stays[s->old[i]] = true;
    for (uint32_t i = 0; i < w->nlisteners; i++)
        if (!stays[i])
            drop_listener(w, w->listeners[i]);
    for (uint32_t i = 0; i < s->nlisteners; i++) {
        if (s->fds[i] >= 0) {
            now[i] = listener_start(w->loop, s->fds[i], w->quota, on_accept, w);
            continue;
        }
        now[i] = w->listeners[s->old[i]];
        if (s->old[i] != (int)i)
            inbound_renumber(w->gateway.inbound, now[i], (int)i);
    }
    free(w->listeners);
    free(stays);
    w->listeners = now;
    w->nlisteners = s->nlisteners;
}

static void on_swap(struct mail *m, void *reader)
{
    struct worker_swap *s = container_of(m, struct worker_swap, mail);
    struct worker *w = reader;

    (void)CHECK(w->state == WORKER_RUNS);
    swap_listeners(w, s);
    if (w->gateway.plan->host)
        hooks_stop(w->gateway.plan->host);
    w->vm = s->vm;
    if (w->vm)
        vm_use_on_this_thread(w->vm, &w->gateway, w->watch);
    add_gauges(w);
    gateway_use(&w->gateway, s->plan);
    if (w->gateway.plan->host)
        hooks_start(w->gateway.plan->host);
    free(s);
    tell_control(w, control_on_worker_swapped);
}

void worker_swap(struct worker *w, struct worker_swap *s)
{
    s->mail.fn = on_swap;
    mailbox_send(w->mailbox, &s->mail);
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
        gateway_stop(&w->gateway);
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

static void free_room(struct worker *w)
{
    if (w->vm)
        vm_free(w->vm);
    free(w);
}

void worker_free(struct worker *w)
{
    if (!w->loop) {
        free_room(w);
        return;
    }
    if (w->is_started)
        pthread_join(w->thread, NULL);
    for (uint32_t i = 0; i < w->nlisteners; i++)
        listener_free(w->listeners[i]);
    free(w->listeners);
    w->gateway.on_plan_end = NULL; /* at once: there is no traffic */
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
