/* SPDX-License-Identifier: Apache-2.0 */

/* The thread waits in sigwait(3). It is ended by a signal of ours to itself, after a flag was set. */

#include "app/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "app/control.h"
#include "base/check.h"
#include "net/mailbox.h"

struct signals {
    struct control *control;
    pthread_t thread;
    atomic_bool is_over;
};

struct signal_mail {
    struct mail mail;
    int signal;
};

static const int taken[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

static void fill(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        sigaddset(set, taken[i]);
}

void signals_block(void)
{
    sigset_t set;

    fill(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void on_mail(struct mail *m, void *reader)
{
    struct signal_mail *sm = container_of(m, struct signal_mail, mail);
    int signal = sm->signal;

    free(sm);
    control_on_signal(reader, signal);
}

static void *wait_for_signals(void *arg)
{
    struct signals *s = arg;
    sigset_t set;
    int signal;

    fill(&set);
    for (;;) {
        if (sigwait(&set, &signal) != 0)
            continue;
        if (atomic_load(&s->is_over))
            return NULL;
        struct signal_mail *sm = calloc(1, sizeof(*sm));
        REQUIRE(sm != NULL);
        sm->mail.fn = on_mail;
        sm->signal = signal;
        mailbox_send(control_mailbox(s->control), &sm->mail);
    }
}

struct signals *signals_start(struct control *c)
{
    struct signals *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    s->control = c;
    REQUIRE(pthread_create(&s->thread, NULL, wait_for_signals, s) == 0);
    pthread_setname_np(s->thread, "signals");
    return s;
}

void signals_stop(struct signals *s)
{
    atomic_store(&s->is_over, true);
    pthread_kill(s->thread, SIGUSR1);
    pthread_join(s->thread, NULL);
    free(s);
}
