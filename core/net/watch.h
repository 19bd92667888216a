/* SPDX-License-Identifier: Apache-2.0 */

/* Readiness of descriptors, by epoll. A watch is a field of its owner, and the kernel names it when
 * its descriptor is ready: no table lies between. What is asked for is told to the kernel before
 * the loop waits again, so what changes back within a turn costs nothing; and a watch that wants
 * nothing for now stays known to the kernel until it is ready in vain. All functions only on the
 * thread of the loop. */

#ifndef DML_NET_WATCH_H
#define DML_NET_WATCH_H

#include "base/base.h"
#include "base/list.h"

struct loop;
struct watch;

enum { WATCH_READ = 1, WATCH_WRITE = 4 }; /* the numbers are epoll's */

/* what: of that which is wanted, what is ready; an error or the peer's end is all of it. */
typedef void (*watch_fn)(struct watch *w, unsigned what);

struct watch {
    struct list link; /* while the kernel has to be told */
    /* borrowed */
    struct loop *loop;
    watch_fn fn;
    /* state */
    int fd;                 /* -1: none, and then nothing may be wanted */
    unsigned wanted, known; /* here, by the kernel */
};

void watch_init(struct watch *w, struct loop *l, int fd, watch_fn fn);

/* WATCH_READ | WATCH_WRITE; 0: nothing for now. */
void watch_for(struct watch *w, unsigned what);

/* For an eventfd or a timerfd: w->fn runs whenever it rings, and nothing has to be read from it. */
void watch_for_rings(struct watch *w);

/* Before the descriptor is closed or given away, or the memory freed. It may end within any callback;
 * w->fn is not called again. Harmless when it has ended. */
void watch_end(struct watch *w);

/* `to`, of the same descriptor, begins where `from` ends: cheaper than two calls. */
void watch_pass(struct watch *from, struct watch *to);

/* --- for loop.c ------------------------------------------------------------------------------- */

#define WATCHES_AT_A_TIME 64

struct watches {
    /* owned */
    int epoll_fd;
    struct epoll_event *batch;
    /* borrowed */
    struct list changed; /* watches */
    /* state */
    int at, n; /* the next of the batch, and its end */
};

void watches_init(struct watches *ws);
void watches_deinit(struct watches *ws);

/* Tells the kernel what has changed; false: it had no memory for some of it, which is tried again. */
bool watches_tell(struct watches *ws);

/* Waits until something is ready, or looks only; returns how many are. */
int watches_wait(struct watches *ws, bool blocks);

/* Runs what was found ready. */
void watches_run(struct watches *ws);

struct watches *loop_watches(struct loop *l); /* defined by loop.c */

#endif
