/* SPDX-License-Identifier: Apache-2.0 */

/* Reading the spill, and striking out. All of this on one thread, the reader's. Any number of cursors may stand at
 * different places; each goes through all events that are not struck out, oldest first, and through what is added
 * meanwhile. */

#ifndef DML_SIDE_SPILL_CURSOR_H
#define DML_SIDE_SPILL_CURSOR_H

#include "base/base.h"
#include "side/spill.h"
#include "side/spill_record.h"

struct spill_segment;

/* Where an event lies. A place that is kept keeps its segment: spill_hold, then spill_release. */
struct spill_place {
    struct spill_segment *segment; /* NULL: before the first */
    uint64_t offset;
};

struct spill_cursor {
    /* owned */
    char *bytes;
    int fd;
    /* borrowed */
    struct spill *spill;
    /* state */
    struct spill_place at; /* of the next event; held */
    size_t size, start, end;
    bool is_short; /* of descriptors, when it gave no event: to be tried again */
};

void spill_cursor_init(struct spill_cursor *c, struct spill *s);
void spill_cursor_deinit(struct spill_cursor *c);

/* The next event: 0, with *record valid until the next call, and *place where it lies; or ERR_AGAIN when there is none
 * yet. The cursor stands behind it then. */
MUST_CHECK int spill_cursor_next(struct spill_cursor *c, struct spill_record *record,
                                 struct spill_place *place);

/* Goes to a held place. */
void spill_cursor_to(struct spill_cursor *c, struct spill_place place);

/* Do both stand at one place? */
bool spill_cursor_is_at(const struct spill_cursor *c, const struct spill_cursor *other);

/* An event under way: its segment stays, and it does not count as waiting when that is given up. */
void spill_hold(struct spill *s, struct spill_place place);
void spill_release(struct spill *s, struct spill_place place);

/* It is done: it will not be read again. What is struck out is written by spill_flush_strikes, once for many; a segment of
 * which all is struck out is removed there. */
void spill_strike(struct spill *s, struct spill_place place, uint32_t index);
void spill_flush_strikes(struct spill *s);

/* An event that was held and not struck out, of a segment that was given up meanwhile: it is lost; counts it. */
bool spill_is_lost(struct spill *s, struct spill_place place);

/* Takes over what processes have left that have ended meanwhile. True when no elder lives: only then is it this one's
 * turn to read. */
bool spill_adopt(struct spill *s);

/* fn(arg) on the writer's thread when there is more to read; NULL ends that, and it does not run any more afterwards. */
void spill_on_commit(struct spill *s, void (*fn)(void *arg), void *arg);

#endif
