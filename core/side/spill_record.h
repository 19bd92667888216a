/* SPDX-License-Identifier: Apache-2.0 */

/* How events lie in the spill's files: pure functions of bytes.
 *
 * A segment is records, one behind the other:
 *
 *     mark 4 | checksum 4 | length 4 | index 4 | accepted at, in ms since 1970 8 | the event
 *
 * and nothing else; numbers are little-endian. Beside it lies a log of what is struck out, of entries
 *
 *     first index 4 | how many from it on 4 | checksum 4
 *
 * The checksum goes over all that follows it (of an entry: over what stands before it) and begins with a seed that is
 * drawn from the file's name, in which there is a random number: what a client puts into an event can't pass for a
 * record when a damaged file is read. The index stays with a record, so that strikes are right when one before it is
 * lost. */

#ifndef DML_SIDE_SPILL_RECORD_H
#define DML_SIDE_SPILL_RECORD_H

#include "base/base.h"
#include "base/slice.h"

enum {
    SPILL_HEAD = 24,
    SPILL_STRIKE = 12,
    SPILL_EVENT_MAX = 16 * 1024 * 1024,
    SPILL_INDEX_MAX =
        16 * 1024 * 1024, /* indices are below it: what a corrupt one may cost in memory */
};

struct spill_record {
    struct slice event;
    uint32_t index;
    uint64_t at_ms;
};

uint32_t spill_seed(struct slice file_name);

/* Notes the length of the event that will stand behind the head, until it is sealed; and reads it. */
void spill_reserve(char *record, size_t length);
size_t spill_reserved(const char *record);

/* Writes the head before the event of that length, which stands SPILL_HEAD bytes behind `record` already. */
void spill_seal(char *record, size_t length, uint32_t index, uint64_t at_ms, uint32_t seed);

/* What bytes begin with: the length of a whole record, head included, and *out within bytes; ERR_AGAIN when they are
 * too few to tell, *needed then says how many it takes; ERR_SYNTAX when it is no record. */
MUST_CHECK ssize_t spill_look(struct slice bytes, uint32_t seed, struct spill_record *out,
                              size_t *needed);

/* Goes through a whole segment, whatever is in it. good is called for each record, `place` being where it lies, head
 * included; bad for each stretch without a record in between. Both together are all bytes, in order, but for a torn
 * end: when the last record was not written to its end, or zeros lie there, which is what a crash leaves, bad is not
 * called for it. Returns the length without such an end. */
struct spill_walk {
    void (*good)(void *arg, const struct spill_record *record, struct slice place);
    void (*bad)(void *arg, struct slice place);
    void *arg;
};
size_t spill_walk(struct slice bytes, uint32_t seed, const struct spill_walk *walk);

/* Where the next record begins at or behind `from`; the end when there is none. */
size_t spill_find(struct slice bytes, size_t from, uint32_t seed);

void spill_strike_seal(char out[SPILL_STRIKE], uint32_t first, uint32_t count, uint32_t seed);

/* fn for each entry that is whole. */
void spill_strikes_walk(struct slice bytes, uint32_t seed,
                        void (*fn)(void *arg, uint32_t first, uint32_t count), void *arg);

#endif
