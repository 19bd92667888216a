/* SPDX-License-Identifier: Apache-2.0 */

/* A small bounded thread pool for what blocks or is heavy (password hashes, file writes, fsync). A
 * job carries plain memory; its result comes home as mail. */

#ifndef DML_NET_OFFLOAD_H
#define DML_NET_OFFLOAD_H

#include "base/base.h"
#include "net/mailbox.h"

struct offload;
struct offload_job;

typedef void (*offload_work_fn)(struct offload_job *job); /* on a pool thread */

struct offload_job {
    struct mail home; /* home.fn runs on the home mailbox's thread when done */
    offload_work_fn work;
    struct mailbox *mailbox;
    struct offload_job *next;
};

/* Never NULL. max_queued: jobs that wait, beside those that run. */
struct offload *offload_new(int threads, int max_queued);

/* Finishes what is queued. No submitter may be left; the home mailboxes are still needed. */
void offload_free(struct offload *o);

/* The caller has set home.fn, work and mailbox. ERR_FULL when the queue is at its bound; then the
 * job is still the caller's. Any thread. */
MUST_CHECK int offload_submit(struct offload *o, struct offload_job *job);

#endif
