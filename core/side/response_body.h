/* SPDX-License-Identifier: Apache-2.0 */

/* The content of a kept response: one piece of memory of a size that is known from the first, filled by one and read by
 * many meanwhile, on any thread, without a copy. Counted: the store holds it, and everybody who reads.
 *
 *   filler:  response_body_new -> room, filled -> room, filled -> end
 *   reader:  response_body_seen; what is not there yet: response_body_await -> fn, then look again
 *
 * What has been filled never changes and never moves, so reading takes no lock. A slow reader delays nobody. */

#ifndef DML_SIDE_RESPONSE_BODY_H
#define DML_SIDE_RESPONSE_BODY_H

#include "base/base.h"
#include "base/slice.h"

struct mailbox;
struct response_body;

enum response_body_state {
    RESPONSE_BODY_FILLING,
    RESPONSE_BODY_WHOLE,
    RESPONSE_BODY_BROKEN, /* its filler has given up: there will be no more */
};

/* One reference is the caller's, who is its filler. NULL: no memory. */
struct response_body *response_body_new(size_t size);
struct response_body *response_body_ref(struct response_body *b);
void response_body_unref(struct response_body *b); /* NULL is fine */
size_t response_body_size(const struct response_body *b);

/* Filler: adds what fits; true when it all did. More than the size breaks it. */
MUST_CHECK bool response_body_fill(struct response_body *b, const struct slice *pieces, int n);

/* Filler: there is no more. WHOLE when it is full, BROKEN otherwise or when it is told so. */
enum response_body_state response_body_end(struct response_body *b, bool is_broken);

/* What has been filled so far, and whether there will be more. Any thread. */
struct slice response_body_seen(const struct response_body *b, enum response_body_state *state);

/* --- waiting for more ------------------------------------------------------------------------------------------- */

struct response_wait;

/* fn(arg) once, on the thread of the mailbox's reader, when more than `seen` bytes are there or there will be none
 * (SIZE_MAX: at the end). NULL: that is so already. */
typedef void (*response_wait_fn)(void *arg);
struct response_wait *response_body_await(struct response_body *b, size_t seen,
                                          struct mailbox *mailbox, response_wait_fn fn, void *arg);

/* fn is not called any more; the wait is gone. On the mailbox's thread; not after fn has been called. */
void response_wait_leave(struct response_wait *w);

#endif
