/* SPDX-License-Identifier: Apache-2.0 */

/* A stack onto which senders push with a compare-and-swap, and that the reader takes as a whole
 * and turns round. Only the sender that found it empty wakes the reader: whoever comes later is
 * covered by that wake-up. */

#include "net/mailbox.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "net/loop.h"

struct mailbox {
    /* owned */
    _Atomic(struct mail *) newest;
    ev_async wake;
    /* borrowed */
    struct loop *loop;
    void *reader;
};

static struct mail *take_oldest_first(struct mailbox *mb)
{
    struct mail *m = atomic_exchange_explicit(&mb->newest, NULL, memory_order_acquire);
    struct mail *oldest = NULL;

    while (m) {
        struct mail *next = m->next;
        m->next = oldest;
        oldest = m;
        m = next;
    }
    return oldest;
}

static bool deliver(struct mailbox *mb)
{
    struct mail *m = take_oldest_first(mb);
    bool any = m != NULL;

    while (m) {
        struct mail *next = m->next; /* fn may free m */
        m->fn(m, mb->reader);
        m = next;
    }
    return any;
}

static void on_wake(struct ev_loop *ev UNUSED, ev_async *wake, int revents UNUSED)
{
    deliver(container_of(wake, struct mailbox, wake));
}

struct mailbox *mailbox_new(struct loop *l, void *reader)
{
    struct mailbox *mb = calloc(1, sizeof(*mb));

    REQUIRE(mb != NULL);
    mb->loop = l;
    mb->reader = reader;
    ev_async_init(&mb->wake, on_wake);
    ev_async_start(loop_ev(l), &mb->wake);
    return mb;
}

void mailbox_free(struct mailbox *mb)
{
    while (deliver(mb))
        ;
    ev_async_stop(loop_ev(mb->loop), &mb->wake);
    free(mb);
}

void mailbox_send(struct mailbox *mb, struct mail *m)
{
    struct ev_loop *ev = loop_ev(mb->loop);
    struct mail *newest = atomic_load_explicit(&mb->newest, memory_order_relaxed);

    do
        m->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&mb->newest, &newest, m, memory_order_release,
                                                  memory_order_relaxed));
    if (!newest)
        ev_async_send(ev, &mb->wake);
}
