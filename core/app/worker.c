/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker does beside carrying traffic: it starts, drains and stops its parts in an order in which nothing is used
 * after it has gone. */

#include "app/worker.h"

#include <stdlib.h>

#include "app/control.h"
#include "app/watchdog.h"
#include "base/check.h"
#include "base/log.h"
#include "http/inbound.h"
#include "net/loop.h"
#include "script/hooks.h"

/* How often a draining worker looks whether its last exchange has ended. */
#define DRAIN_LOOK_MS 10

/* --- making ------------------------------------------------------------------------------------------------------ */

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer, const struct addr *local)
{
    struct worker *w = owner;
    uint32_t index = 0;

    while (index + 1 < w->nlisteners && w->listeners[index] != ln)
        index++;
    gateway_accept(&w->gateway, ln, (int)index, fd, peer, local);
}

static void on_look(struct timer *t);

struct worker *worker_new(struct control *c, int number, int nworkers, struct snapshot *snapshot, const int *fds,
                          struct listener_quota *quota)
{
    struct worker *w = calloc(1, sizeof(*w));

    REQUIRE(w != NULL);
    w->control = c;
    w->number = number;
    w->loop = loop_new();
    w->mailbox = mailbox_new(w->loop, w);
    timer_init(&w->look, w->loop, on_look);
    w->gateway.loop = w->loop;
    w->gateway.mailbox = w->mailbox;
    w->gateway.writer = number;
    w->gateway.nworkers = nworkers;
    gateway_init(&w->gateway, snapshot);
    w->watch = watchdog_watch(c->watchdog);
    w->nlisteners = snapshot->nlisteners;
    w->listeners = calloc(w->nlisteners + 1, sizeof(w->listeners[0]));
    REQUIRE(w->listeners != NULL);
    for (uint32_t i = 0; i < w->nlisteners; i++)
        w->listeners[i] = listener_start(w->loop, fds[i], quota, on_accept, w);
    struct phase_host *host = hooks_new(&w->gateway, snapshot, w->watch);
    gateway_use(&w->gateway, plan_new(&w->gateway, snapshot_ref(snapshot), host));
    return w;
}

/* --- the thread -------------------------------------------------------------------------------------------------- */

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
    mailbox_send(w->control->mailbox, &wm->mail);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    watchdog_enter(w->watch);
    hooks_start(w->gateway.plan->host);
    tell_control(w, control_on_worker_ready);
    loop_run(w->loop);
    watchdog_leave(w->watch);
    return NULL;
}

void worker_start(struct worker *w)
{
    char name[16];

    REQUIRE(pthread_create(&w->thread, NULL, worker_main, w) == 0);
    snprintf(name, sizeof(name), "worker %d", w->number);
    pthread_setname_np(w->thread, name);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void on_look(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, look);

    if (gateway_exchanges(&w->gateway) == 0 && inbound_count(w->gateway.inbound) == 0) {
        tell_control(w, control_on_worker_drained);
        return;
    }
    timer_set(t, DRAIN_LOOK_MS);
}

struct order_mail {
    struct mail mail;
    bool stop;
};

static void on_order(struct mail *m, void *reader)
{
    struct order_mail *om = container_of(m, struct order_mail, mail);
    struct worker *w = reader;

    if (om->stop) {
        inbound_abort_all(w->gateway.inbound);
        hooks_stop(w->gateway.plan->host);
        loop_stop(w->loop);
    } else if (!w->is_draining) {
        w->is_draining = true;
        for (uint32_t i = 0; i < w->nlisteners; i++)
            listener_drain(w->listeners[i]);
        gateway_drain(&w->gateway);
        timer_set(&w->look, 0);
    }
    free(om);
}

static void order(struct worker *w, bool stop)
{
    struct order_mail *om = calloc(1, sizeof(*om));

    REQUIRE(om != NULL);
    om->mail.fn = on_order;
    om->stop = stop;
    mailbox_send(w->mailbox, &om->mail);
}

void worker_drain(struct worker *w)
{
    order(w, false);
}

void worker_stop(struct worker *w)
{
    order(w, true);
}

void worker_free(struct worker *w)
{
    if (w->thread)
        pthread_join(w->thread, NULL);
    for (uint32_t i = 0; i < w->nlisteners; i++)
        listener_free(w->listeners[i]);
    free(w->listeners);
    gateway_deinit(&w->gateway);
    watchdog_unwatch(w->watch);
    timer_deinit(&w->look);
    mailbox_free(w->mailbox);
    loop_free(w->loop);
    free(w);
}
