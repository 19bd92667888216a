/* SPDX-License-Identifier: Apache-2.0 */

/* A stack onto which senders push with a compare-and-swap, and that the reader takes as a whole
 * and turns round. Only the sender that found it empty wakes the reader: whoever comes later is
 * covered by that wake-up. */

#include "net/mailbox.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "net/calls.h"
#include "net/watch.h"

struct mailbox {
    /* owned */
    _Atomic(struct mail *) newest;
    struct watch wake; /* and its descriptor */
    /* borrowed */
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

static void on_wake(struct watch *wake, unsigned what UNUSED)
{
    call_hear(wake->fd);
    deliver(container_of(wake, struct mailbox, wake));
}

struct mailbox *mailbox_new(struct loop *l, void *reader)
{
    struct mailbox *mb = calloc(1, sizeof(*mb));
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    REQUIRE(mb != NULL && fd >= 0);
    mb->reader = reader;
    watch_init(&mb->wake, l, fd, on_wake);
    watch_for_rings(&mb->wake);
    return mb;
}

void mailbox_free(struct mailbox *mb)
{
    while (deliver(mb))
        ;
    watch_end(&mb->wake);
    close(mb->wake.fd);
    free(mb);
}

void mailbox_send(struct mailbox *mb, struct mail *m)
{
    struct mail *newest = atomic_load_explicit(&mb->newest, memory_order_relaxed);

    do
        m->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&mb->newest, &newest, m, memory_order_release,
                                                  memory_order_relaxed));
    if (!newest)
        eventfd_write(mb->wake.fd, 1);
}
