/* SPDX-License-Identifier: Apache-2.0 */

/* A small bounded thread pool for what blocks or is heavy (password hashes, file writes, fsync). A
 * job carries plain memory; its result comes home as mail. Its threads have a lower priority than
 * those that carry traffic. */

#ifndef DML_NET_OFFLOAD_H
#define DML_NET_OFFLOAD_H

#include "base/base.h"
#include "net/mailbox.h"

struct offload;
struct offload_job;

typedef void (*offload_work_fn)(struct offload_job *job); /* on a pool thread */
typedef void (*offload_done_fn)(struct offload_job *job, void *reader);
typedef void (*offload_drop_fn)(struct offload_job *job);

enum offload_state { OFFLOAD_QUEUED, OFFLOAD_RUNS, OFFLOAD_SENT };

struct offload_job {
    /* set by the caller */
    offload_work_fn work;
    offload_done_fn done; /* on the home mailbox's thread; owns the job again */
    offload_drop_fn drop; /* frees a job that was left; on any thread */
    struct mailbox *mailbox;
    /* state */
    struct mail home;
    struct offload *pool;
    struct offload_job *next;
    enum offload_state state; /* under the pool's lock */
    bool was_left;
};

/* Never NULL. max_queued: jobs that wait, beside those that run. */
struct offload *offload_new(int threads, int max_queued);

/* Finishes what is queued. No submitter may be left; the home mailboxes are still needed. */
void offload_free(struct offload *o);

/* ERR_FULL when the queue is at its bound; then the job is still the caller's. Any thread. */
MUST_CHECK int offload_submit(struct offload *o, struct offload_job *job);

/* Nobody waits for it any more: drop is called instead of done, now when it has not begun, else when
 * it has ended. On the home thread, before done was called; afterwards the mailbox may be freed. */
void offload_leave(struct offload_job *job);

#endif
