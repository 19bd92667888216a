/* SPDX-License-Identifier: Apache-2.0 */

/* A thread's door to the spill. What is added within a turn of its loop goes to the writer as one batch, at the turn's
 * end, and the answer to all of it comes back as one mail: so an event costs a copy and a share of a message. */

#ifndef DML_SIDE_SPILL_PORT_H
#define DML_SIDE_SPILL_PORT_H

#include "base/list.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "side/spill.h"

struct spill_port;
struct spill_wait;

/* rc: 0, all of it is written; else a code: ERR_FULL (no room on the disk), ERR_SYSTEM (it failed). The first `nwritten`
 * events are written all the same. */
typedef void (*spill_wait_fn)(struct spill_wait *w, int rc, uint32_t nwritten);

/* Embedded by who waits. */
struct spill_wait {
    /* set by the caller */
    spill_wait_fn fn;
    /* state */
    struct list link;
    uint32_t first, n; /* its events in their batch */
};

struct spill_port *spill_port_new(struct spill *s, struct loop *l, struct mailbox *home);

/* Waits for the writer, so that no mail comes afterwards. Nobody is told any more. */
void spill_port_free(struct spill_port *p);

/* Opens a group of events that one waits for together; close it in the same turn, before anything else is opened. */
void spill_begin(struct spill_port *p, struct spill_wait *w);

/* Adds one of that many bytes to it; they are to be written to *out before the next call. ERR_FULL: the spill has no
 * room, or the disk is too slow; ERR_LIMIT: longer than SPILL_EVENT_MAX, or than the spill is large. */
MUST_CHECK int spill_add(struct spill_port *p, size_t len, char **out);

/* w.fn will be called, unless nothing was added (then false). */
bool spill_commit(struct spill_port *p, struct spill_wait *w);

/* w.fn is not called; what was added is written all the same. */
void spill_leave(struct spill_wait *w);

#endif
