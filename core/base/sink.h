/* SPDX-License-Identifier: Apache-2.0 */

/* Where the lines of a log go: a file, a terminal, a pipe, a socket. Whoever reads the other end of a pipe may be stuck
 * (a log collector that hangs), and must not stop who logs: what can't be written within a moment is lost, and as long
 * as nothing can be written nobody waits at all. A line that was cut off is ended before the next one begins. */

#ifndef DML_BASE_SINK_H
#define DML_BASE_SINK_H

#include "base/base.h"
#include "base/slice.h"

struct sink {
    int fd;
    bool is_torn;  /* the last line in it is not whole */
    bool is_stuck; /* it took nothing the last time */
    bool is_file;  /* which is always ready */
};

/* fd is borrowed. */
void sink_init(struct sink *s, int fd);

/* Whole lines. Returns what could not be written, nothing when all is well; errno says why, EAGAIN when nobody reads.
 * Any thread, but one at a time: the caller locks. Waits at most 20 ms. */
struct slice sink_write(struct sink *s, struct slice lines);

#endif
