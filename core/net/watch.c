/* SPDX-License-Identifier: Apache-2.0 */

/* What the kernel knows of a watch (its address among it) is made right before each wait. A watch
 * that ends is taken from the kernel and from the rest of the batch under way, so that its memory may
 * go at once: closing alone would not do, for another process may hold the descriptor. */

#include "net/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "net/calls.h"
#include "net/loop.h"

#define RINGS ((unsigned)EPOLLET)
#define PASSED (1u << 24) /* in `known`: the kernel has the address of another watch */

_Static_assert((int)WATCH_READ == (int)EPOLLIN && (int)WATCH_WRITE == (int)EPOLLOUT &&
                   (PASSED & (EPOLLIN | EPOLLOUT | EPOLLET)) == 0,
               "bits of watches are epoll's");

void watches_init(struct watches *ws)
{
    *ws = (struct watches){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    ws->batch = calloc(WATCHES_AT_A_TIME, sizeof(*ws->batch));
    REQUIRE(ws->epoll_fd >= 0 && ws->batch);
    list_init(&ws->changed);
}

void watches_deinit(struct watches *ws)
{
    while (list_pop(&ws->changed))
        ;
    close(ws->epoll_fd);
    free(ws->batch);
}

void watch_init(struct watch *w, struct loop *l, int fd, watch_fn fn)
{
    *w = (struct watch){.loop = l, .fn = fn, .fd = fd};
    list_init(&w->link);
}

static void set_changed(struct watch *w)
{
    if (list_is_empty(&w->link))
        list_append(&loop_watches(w->loop)->changed, &w->link);
}

void watch_for(struct watch *w, unsigned what)
{
    w->wanted = what;
    if (what != w->known && what != 0)
        set_changed(w);
}

void watch_for_rings(struct watch *w)
{
    watch_for(w, WATCH_READ | RINGS);
}

/* What is ready of w in the batch under way is forgotten. */
static void leave_batch(struct watches *ws, const struct watch *w)
{
    for (int i = ws->at; i < ws->n; i++)
        if (ws->batch[i].data.ptr == w)
            ws->batch[i].data.ptr = NULL;
}

static void take_from_kernel(struct watches *ws, struct watch *w)
{
    struct epoll_event unused = {0};

    if (w->known)
        (void)CHECK(epoll_ctl(ws->epoll_fd, EPOLL_CTL_DEL, w->fd, &unused) == 0);
    w->known = 0;
}

void watch_end(struct watch *w)
{
    struct watches *ws = loop_watches(w->loop);

    w->wanted = 0;
    list_remove(&w->link);
    leave_batch(ws, w);
    take_from_kernel(ws, w);
}

void watch_pass(struct watch *from, struct watch *to)
{
    if (from->known) {
        to->known = from->known | PASSED;
        set_changed(to);
    }
    from->known = 0;
    watch_end(from);
}

/* Who was forked shares the set with its parent: what one has added is there for the other. */
static int add_or_modify(int epoll_fd, struct watch *w)
{
    struct epoll_event event = {.events = w->wanted, .data.ptr = w};

    if (!w->known && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &event) == 0)
        return 0;
    return w->known || errno == EEXIST ? epoll_ctl(epoll_fd, EPOLL_CTL_MOD, w->fd, &event) : -1;
}

/* false: not now. */
static bool tell(struct watches *ws, struct watch *w)
{
    if (w->wanted == w->known)
        return true;
    if (w->wanted == 0) {
        if (w->known & PASSED)
            take_from_kernel(ws, w);
        return true;
    }
    if (UNLIKELY(add_or_modify(ws->epoll_fd, w) != 0)) {
        REQUIRE(errno == ENOMEM || errno == ENOSPC);
        LOG_ERROR("loop.memory", "the kernel can't watch more descriptors, trying again",
                  LOG_C("cause", strerror(errno)));
        return false;
    }
    w->known = w->wanted;
    return true;
}

bool watches_tell(struct watches *ws)
{
    struct list *link, again;

    list_init(&again);
    while (UNLIKELY((link = list_pop(&ws->changed)) != NULL))
        if (!tell(ws, container_of(link, struct watch, link)))
            list_append(&again, link);
    list_splice(&ws->changed, &again);
    return list_is_empty(&ws->changed);
}

int watches_wait(struct watches *ws, bool blocks)
{
    int n = call_epoll_wait(ws->epoll_fd, ws->batch, WATCHES_AT_A_TIME, blocks ? -1 : 0);

    REQUIRE(n >= 0 || errno == EINTR);
    ws->at = 0;
    ws->n = MAX(n, 0);
    return ws->n;
}

static void run(struct watches *ws, struct watch *w, unsigned events)
{
    if (UNLIKELY(events & (EPOLLERR | EPOLLHUP)))
        events |= WATCH_READ | WATCH_WRITE;
    events &= w->wanted;
    if (LIKELY(events))
        w->fn(w, events);
    else if (w->wanted == 0)
        take_from_kernel(ws, w); /* or it would wake us forever */
}

void watches_run(struct watches *ws)
{
    while (ws->at < ws->n) {
        struct epoll_event *e = &ws->batch[ws->at++];
        if (e->data.ptr)
            run(ws, e->data.ptr, e->events);
    }
}
