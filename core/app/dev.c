/* SPDX-License-Identifier: Apache-2.0 */

/* After a reload it is looked again: a file may have been saved in two steps, or another one meanwhile. A configuration
 * with a fault changes nothing: the request goes on with the old one, and the log says why. */

#include "app/dev.h"

#include <stdlib.h>

#include "app/control.h"
#include "app/reload.h"
#include "app/worker.h"
#include "base/check.h"
#include "gate/hold.h"
#include "net/mailbox.h"

#define LOOKS_MAX 3

struct question {
    struct mail mail;
    struct reload_ask ask;
    struct worker *worker;
    int looks;
};

static void on_answer(struct mail *m, void *reader)
{
    struct question *q = container_of(m, struct question, mail);
    struct worker *w = reader;

    free(q);
    if (w->state != WORKER_STOPS)
        hold_answered(w->gateway.hold);
}

/* Control thread. When the gateway stops nobody is there to be answered. */
static void on_looked(struct reload_ask *ask, const struct reload_report *report)
{
    struct question *q = container_of(ask, struct question, ask);
    const struct control *c = q->worker->control;

    if (c->state == CONTROL_STOPPING) {
        free(q);
    } else if (report && ++q->looks < LOOKS_MAX) {
        reload_look(c->reload, ask);
    } else {
        q->mail.fn = on_answer;
        mailbox_send(q->worker->mailbox, &q->mail);
    }
}

static void on_question(struct mail *m, void *reader)
{
    struct question *q = container_of(m, struct question, mail);
    struct control *c = reader;

    if (c->state == CONTROL_STOPPING)
        free(q);
    else
        reload_look(c->reload, &q->ask);
}

static void ask(void *worker)
{
    struct question *q = calloc(1, sizeof(*q));
    struct worker *w = worker;

    REQUIRE(q != NULL);
    q->mail.fn = on_question;
    q->ask.on_end = on_looked;
    q->worker = w;
    mailbox_send(control_mailbox(w->control), &q->mail);
}

void dev_hold_requests(struct worker *w)
{
    w->gateway.hold = hold_new(&w->gateway, ask, w);
}
