/* SPDX-License-Identifier: Apache-2.0 */

/* A batch is filled, sent, comes home, and is filled again: in the steady state nothing is allocated. Its buffer grows to
 * what a turn brings, and is given up when that was much. */

#include "side/spill_port.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "side/spill_parts.h"

#define BATCH_FIRST (16 * (size_t)KIB)
#define BATCH_KEPT (256 * (size_t)KIB)
#define BATCH_MAX ((size_t)UINT32_MAX / 2)
#define QUEUED_MAX (64 * (uint64_t)MIB) /* bytes that wait for the writer, of all ports */

struct spill_port {
    /* owned */
    struct spill_batch *filling; /* or NULL */
    struct spill_batch *spare;
    struct later send;
    /* borrowed */
    struct spill *spill;
    struct loop *loop;
    struct mailbox *home;
    /* state */
    uint32_t under_way; /* batches with the writer; under the queue's lock */
    bool is_closed;
};

/* --- batches --------------------------------------------------------------------------------------------------------- */

static void batch_free(struct spill_batch *b)
{
    free(b->bytes);
    free(b);
}

static struct spill_batch *batch_take(struct spill_port *p)
{
    struct spill_batch *b = p->spare;

    if (b) {
        p->spare = b->next;
    } else {
        b = calloc(1, sizeof(*b));
        REQUIRE(b != NULL);
        b->port = p;
        list_init(&b->waits);
    }
    b->next = NULL;
    b->len = 0;
    b->nrecords = b->nwritten = 0;
    b->rc = 0;
    return b;
}

static void batch_give(struct spill_port *p, struct spill_batch *b)
{
    if (b->size > BATCH_KEPT) {
        free(b->bytes);
        b->bytes = NULL;
        b->size = 0;
    }
    b->next = p->spare;
    p->spare = b;
}

static char *batch_room(struct spill_batch *b, size_t len)
{
    if (b->len + len > b->size) {
        size_t size = MAX(b->size * 2, BATCH_FIRST);
        while (size < b->len + len)
            size *= 2;
        b->bytes = realloc(b->bytes, size);
        REQUIRE(b->bytes != NULL);
        b->size = size;
    }
    return b->bytes + b->len;
}

/* --- to the writer and back ------------------------------------------------------------------------------------------ */

static void on_home(struct mail *m, void *reader UNUSED)
{
    struct spill_batch *b = container_of(m, struct spill_batch, mail);
    struct spill_port *p = b->port;
    struct list *link;

    while ((link = list_pop(&b->waits)) != NULL) {
        struct spill_wait *w = container_of(link, struct spill_wait, link);
        uint32_t written = b->nwritten > w->first ? MIN(b->nwritten - w->first, w->n) : 0;
        if (!p->is_closed)
            w->fn(w, written == w->n ? 0 : b->rc, written);
    }
    if (p->is_closed) /* one of its last */
        batch_free(b);
    else
        batch_give(p, b);
}

void spill_port_return(struct spill *s, struct spill_batch *b)
{
    struct spill_port *p = b->port;

    pthread_mutex_lock(&s->queue_lock);
    mailbox_send(p->home,
                 &b->mail); /* under the lock: behind it the port may go, and the mailbox */
    p->under_way--;
    pthread_cond_broadcast(&s->returned);
    pthread_mutex_unlock(&s->queue_lock);
}

static void on_turn_end(struct later *l)
{
    struct spill_port *p = container_of(l, struct spill_port, send);
    struct spill *s = p->spill;
    struct spill_batch *b = p->filling;

    if (!b)
        return;
    p->filling = NULL;
    b->mail.fn = on_home;
    pthread_mutex_lock(&s->queue_lock);
    b->next = NULL;
    *s->last = b;
    s->last = &b->next;
    p->under_way++;
    if (s->writer_sleeps)
        pthread_cond_signal(&s->wake);
    s->writer_sleeps = false;
    pthread_mutex_unlock(&s->queue_lock);
}

struct spill_port *spill_port_new(struct spill *s, struct loop *l, struct mailbox *home)
{
    struct spill_port *p = calloc(1, sizeof(*p));

    REQUIRE(p != NULL);
    p->spill = s;
    p->loop = l;
    p->home = home;
    later_init(&p->send, on_turn_end);
    return p;
}

/* Mails of its last batches may lie in the mailbox still: they find it closed. So it is freed when the loop is. */
static void free_closed(struct later *l)
{
    struct spill_port *p = container_of(l, struct spill_port, send);
    struct spill_batch *b;

    while ((b = p->spare) != NULL) {
        p->spare = b->next;
        batch_free(b);
    }
    free(p);
}

void spill_port_free(struct spill_port *p)
{
    struct spill *s = p->spill;

    later_cancel(&p->send);
    on_turn_end(&p->send);
    pthread_mutex_lock(&s->queue_lock);
    while (p->under_way > 0)
        pthread_cond_wait(&s->returned, &s->queue_lock);
    pthread_mutex_unlock(&s->queue_lock);
    p->is_closed = true;
    later_init(&p->send, free_closed);
    loop_at_end(p->loop, &p->send);
}

/* --- adding ---------------------------------------------------------------------------------------------------------- */

void spill_begin(struct spill_port *p, struct spill_wait *w)
{
    if (p->filling && p->filling->len > BATCH_KEPT) { /* enough for one */
        later_cancel(&p->send);
        on_turn_end(&p->send);
    }
    if (!p->filling)
        p->filling = batch_take(p);
    list_init(&w->link);
    w->first = p->filling->nrecords;
    w->n = 0;
}

static int admit(struct spill *s, size_t len)
{
    uint64_t cost = spill_cost(len), size = atomic_load(&s->size);

    if (len > SPILL_EVENT_MAX || cost > size / 4)
        return ERR_LIMIT;
    uint64_t bytes = atomic_fetch_add(&s->bytes, cost) + cost;
    uint64_t queued = atomic_fetch_add(&s->queued, SPILL_HEAD + len) + SPILL_HEAD + len;
    if (queued <= QUEUED_MAX && (bytes <= size || atomic_load(&s->drops_oldest)))
        return 0;
    atomic_fetch_sub(&s->bytes, cost);
    atomic_fetch_sub(&s->queued, SPILL_HEAD + len);
    atomic_fetch_add(&s->refused, 1);
    return ERR_FULL;
}

int spill_add(struct spill_port *p, size_t len, char **out)
{
    struct spill_batch *b = p->filling;
    int rc = b->len + len > BATCH_MAX ? ERR_FULL : admit(p->spill, len);

    if (rc < 0)
        return rc;
    char *record = batch_room(b, SPILL_HEAD + len);
    spill_reserve(record, len);
    *out = record + SPILL_HEAD;
    b->len += SPILL_HEAD + len;
    b->nrecords++;
    return 0;
}

bool spill_commit(struct spill_port *p, struct spill_wait *w)
{
    w->n = p->filling->nrecords - w->first;
    if (w->n == 0)
        return false;
    list_append(&p->filling->waits, &w->link);
    loop_later(p->loop, &p->send);
    return true;
}

void spill_leave(struct spill_wait *w)
{
    list_remove(&w->link);
}
