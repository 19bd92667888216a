/* SPDX-License-Identifier: Apache-2.0 */

/* The spill: a durable queue of events on disk, for what must not be lost while a broker can't take it, or while the
 * gateway is killed and starts again.
 *
 *     spill_open -> workers: spill_port_new, spill_add ... (side/spill_port.h)
 *                -> one writer thread of its own: a write for all that has come meanwhile, then the answers
 *                -> one reader, on its own thread: spill_cursor_next, spill_strike (side/spill_cursor.h)
 *     spill_close
 *
 * An event that was added is in the page cache when its writer is told so, and there it survives the end of this
 * process; what survives the end of power is a matter of `fsync`. Events are read in the order in which they were added,
 * those that an earlier process has left before all others. What is read stays until it is struck out; a segment of
 * which all is struck out is removed.
 *
 * Bounded: bytes on disk (with what strikes may come to), bytes that wait for the writer. A process that runs out of
 * room refuses, or gives up its oldest segment. */

#ifndef DML_SIDE_SPILL_H
#define DML_SIDE_SPILL_H

#include "base/base.h"
#include "base/slice.h"
#include "side/spill_record.h"

struct spill;

enum spill_fsync {
    SPILL_ALWAYS,   /* before an event counts as written */
    SPILL_INTERVAL, /* once a second */
    SPILL_NEVER,    /* when the system likes */
};

struct spill_options {
    uint64_t size; /* most bytes on disk */
    enum spill_fsync fsync;
    bool drops_oldest;          /* when there is no room; else what comes is refused */
    uint32_t topic_patience_ms; /* how long events wait for a topic that is not there */
    uint64_t dead_letters_size; /* most bytes of a file of what brokers refuse for good */
};

/* What it has come to; numbers of the moment. */
struct spill_count {
    uint64_t bytes; /* on disk, as they count for the bound */
    uint64_t
        waiting; /* events that are not struck out; those of earlier processes once they were read */
    uint64_t added;     /* events, since the start; so the following */
    uint64_t refused;   /* for want of room */
    uint64_t failed;    /* the disk did not take them */
    uint64_t dropped;   /* given up for newer ones */
    uint64_t damaged;   /* bytes that could not be read and were moved aside */
    uint64_t recovered; /* events that an earlier process has left */
};

/* NULL with *fault for people, when the folder can't be used. Control thread. */
struct spill *spill_open(struct slice dir, const struct spill_options *o, const char **fault);

/* Other options from now on. Control thread. */
void spill_configure(struct spill *s, const struct spill_options *o);

/* What was added is written first. No port, no reader may be left. */
void spill_close(struct spill *s);

struct slice spill_path(const struct spill *s);

/* The file for what is refused for good and names no other place, in the folder. */
const char *spill_dead_letters(const struct spill *s);
uint64_t spill_dead_letters_size(const struct spill *s); /* any thread */
uint32_t spill_topic_patience_ms(const struct spill *s); /* any thread */

void spill_count(struct spill *s, struct spill_count *out); /* any thread */

/* The process's spill for who adds events; NULL: there is none. Any thread. */
struct spill *spill_shared(void);
void spill_share(struct spill *s);

#endif
