/* SPDX-License-Identifier: Apache-2.0 */

/* The thread does nothing but wait for notes; the control thread sends. The one answer that the control thread waits for
 * (that sockets are closed) is handed over under a lock. */

#include "app/lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/control.h"
#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "net/mailbox.h"
#include "net/tls_tickets.h"

#define START_TIMEOUT_MS 10000
#define SEND_TIMEOUT_MS 1000
#define CLOSED_TIMEOUT_MS 1000

struct lifeline {
    /* owned */
    int fd;
    struct held held;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct note *note; /* the thread's */
    /* borrowed */
    struct control *control;
    /* state */
    struct note_welcome welcome;
    unsigned closed; /* CLOSED notes that have come */
    unsigned asked;  /* CLOSE notes that were sent */
    bool is_retired;
    uint8_t ticket_key[16]; /* the name of the newest that the supervisor has */
    atomic_bool is_over, is_gone;
};

int lifeline_inherited(void)
{
    const char *text = getenv(LIFELINE_VARIABLE);
    uint64_t fd;

    if (!text || text_to_u64(slice_from(text), INT32_MAX, &fd) < 0 || !note_is_end((int)fd))
        return -1;
    unsetenv(LIFELINE_VARIABLE);
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    /* What ps and top show. It would be "exe" for a program that was executed by /proc/self/exe. */
    pthread_setname_np(pthread_self(), program_invocation_short_name);
    return (int)fd;
}

/* --- the start ------------------------------------------------------------------------------------------------------- */

/* Is the newest key another than the one that was told last? */
static bool is_new_key(struct lifeline *l)
{
    struct tls_ticket_key key;

    tls_tickets_current(&key);
    bool is_new = memcmp(l->ticket_key, key.name, sizeof(key.name)) != 0;
    memcpy(l->ticket_key, key.name, sizeof(key.name));
    explicit_bzero(&key, sizeof(key));
    return is_new;
}

/* Keys that can't be read cost their sessions, and nothing else. */
static void take_tickets(struct lifeline *l)
{
    if (tls_tickets_import(note_text(l->note)) == 0)
        (void)is_new_key(l);
    explicit_bzero(l->note->text, l->note->len);
}

/* One note of the start. 1: the last one. */
static int take_first(struct lifeline *l)
{
    switch (l->note->kind) {
    case NOTE_WELCOME:
        if (l->note->len != sizeof(l->welcome))
            return ERR_PROTOCOL;
        memcpy(&l->welcome, l->note->text, sizeof(l->welcome));
        return 0;
    case NOTE_SOCKET: return held_receive(&l->held, l->note, 0);
    case NOTE_TICKETS: take_tickets(l); return 0;
    case NOTE_GO: return 1;
    default: return ERR_PROTOCOL;
    }
}

static int receive_all(struct lifeline *l)
{
    int rc = note_send(l->fd, NOTE_HELLO, NOTE_VERSION, SLICE_NONE, NULL, 0, SEND_TIMEOUT_MS);

    while (rc == 0) {
        rc = note_receive(l->fd, l->note, START_TIMEOUT_MS);
        if (rc == 0)
            rc = take_first(l);
    }
    return rc;
}

struct lifeline *lifeline_open(int fd)
{
    struct lifeline *l = calloc(1, sizeof(*l));
    pthread_condattr_t monotonic;

    REQUIRE(l != NULL);
    l->fd = fd;
    l->note = malloc(sizeof(*l->note));
    REQUIRE(l->note != NULL);
    held_init(&l->held);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = receive_all(l);
    if (rc > 0)
        return l;
    LOG_ERROR("supervisor.start", "the supervisor does not hand over its sockets",
              LOG_C("reason", err_word(rc)));
    lifeline_close(l);
    return NULL;
}

void lifeline_close(struct lifeline *l)
{
    held_deinit(&l->held);
    close(l->fd);
    pthread_cond_destroy(&l->news);
    pthread_mutex_destroy(&l->lock);
    free(l->note);
    free(l);
}

struct held *lifeline_held(struct lifeline *l)
{
    return &l->held;
}

const struct note_welcome *lifeline_welcome(const struct lifeline *l)
{
    return &l->welcome;
}

/* --- orders ---------------------------------------------------------------------------------------------------------- */

struct order_mail {
    struct mail mail;
    enum note_kind kind; /* 0: the supervisor has gone */
    int signal;
};

static void on_mail(struct mail *m, void *reader)
{
    struct order_mail *om = container_of(m, struct order_mail, mail);
    struct control *c = reader;

    switch (om->kind) {
    case NOTE_SIGNAL: control_on_signal(c, om->signal); break;
    case NOTE_RETIRE: control_on_retire(c); break;
    default: control_on_orphaned(c);
    }
    free(om);
}

static void tell_control(struct lifeline *l, enum note_kind kind, int signal)
{
    struct order_mail *om = calloc(1, sizeof(*om));

    REQUIRE(om != NULL);
    om->mail.fn = on_mail;
    om->kind = kind;
    om->signal = signal;
    mailbox_send(control_mailbox(l->control), &om->mail);
}

static void count_closed(struct lifeline *l)
{
    pthread_mutex_lock(&l->lock);
    l->closed++;
    pthread_cond_signal(&l->news);
    pthread_mutex_unlock(&l->lock);
}

static void take_order(struct lifeline *l)
{
    switch (l->note->kind) {
    case NOTE_SIGNAL:
    case NOTE_RETIRE: tell_control(l, l->note->kind, (int)l->note->number); break;
    case NOTE_CLOSED: count_closed(l); break;
    default: break;
    }
    note_close_fds(l->note);
}

static void *wait_for_orders(void *arg)
{
    struct lifeline *l = arg;

    for (;;) {
        int rc = note_receive(l->fd, l->note, -1);
        if (atomic_load(&l->is_over))
            return NULL;
        if (rc == 0) {
            take_order(l);
        } else if (rc != ERR_PROTOCOL) {
            atomic_store(&l->is_gone, true);
            tell_control(l, 0, 0);
            count_closed(l); /* whoever waits for its word need not */
            return NULL;
        }
    }
}

void lifeline_start(struct lifeline *l, struct control *c)
{
    l->control = c;
    REQUIRE(pthread_create(&l->thread, NULL, wait_for_orders, l) == 0);
    pthread_setname_np(l->thread, "lifeline");
}

void lifeline_stop(struct lifeline *l)
{
    atomic_store(&l->is_over, true);
    shutdown(l->fd, SHUT_RD); /* wakes the thread */
    pthread_join(l->thread, NULL);
}

/* --- telling --------------------------------------------------------------------------------------------------------- */

static bool tell(struct lifeline *l, enum note_kind kind, uint32_t number, struct slice text)
{
    int rc = ERR_CLOSED;

    if (!atomic_load(&l->is_gone))
        rc = note_send(l->fd, kind, number, text, NULL, 0, SEND_TIMEOUT_MS);
    if (rc < 0 && rc != ERR_CLOSED)
        LOG_ERROR("supervisor.tell", "the supervisor can't be told", LOG_I("note", kind),
                  LOG_C("reason", err_word(rc)));
    return rc == 0;
}

void lifeline_keep(struct lifeline *l, struct slice name, const int *fds, size_t n)
{
    int rc = atomic_load(&l->is_gone) ? 0 : held_send_fds(l->fd, name, fds, n, SEND_TIMEOUT_MS);

    if (rc < 0)
        LOG_ERROR("supervisor.sockets",
                  "the supervisor does not hold this address: a restart will have to bind it anew",
                  LOG_S("address", name), LOG_C("reason", err_word(rc)));
}

void lifeline_drop(struct lifeline *l, struct slice name)
{
    struct timespec until;
    int rc = 0;

    if (l->is_retired || !tell(l, NOTE_CLOSE, 0, name))
        return;
    l->asked++;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CLOSED_TIMEOUT_MS / 1000;
    pthread_mutex_lock(&l->lock);
    while (rc == 0 && l->closed < l->asked && !atomic_load(&l->is_gone))
        rc = pthread_cond_timedwait(&l->news, &l->lock, &until);
    pthread_mutex_unlock(&l->lock);
    if (rc != 0)
        LOG_WARN("supervisor.close", "the supervisor has not closed its sockets in time");
}

void lifeline_retire(struct lifeline *l)
{
    l->is_retired = true;
}

void lifeline_keep_tickets(struct lifeline *l)
{
    uint8_t ring[TLS_TICKETS_BYTES];

    if (l->is_retired || !is_new_key(l))
        return;
    size_t len = tls_tickets_export(ring);
    tell(l, NOTE_TICKETS, 0, slice_of((const char *)ring, len));
    explicit_bzero(ring, sizeof(ring));
}

void lifeline_ready(struct lifeline *l, enum log_level level, enum log_format format)
{
    tell(l, NOTE_READY, (uint32_t)level << 8 | (uint32_t)format, SLICE_NONE);
}

void lifeline_ending(struct lifeline *l, uint64_t ms)
{
    tell(l, NOTE_ENDING, (uint32_t)MIN(ms, (uint64_t)UINT32_MAX), SLICE_NONE);
}
