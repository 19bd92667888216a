/* SPDX-License-Identifier: Apache-2.0 */

/* The spill's folder, which processes may share: who owns which files.
 *
 *     OWNER.lock                 flocked as long as its process lives
 *     OWNER.0000000a.events      a segment
 *     OWNER.0000000a.struck      what of it is struck out
 *     OWNER.0000000a.damaged     bytes that were no records, kept for people; nothing reads them
 *     OWNER.0000000a.unread      a segment as it was, of which the disk did not give all; for people as well
 *     dead-letters.jsonl         what brokers have refused for good (side/dead_letter), for people
 *
 * OWNER is when its process started, its pid and a random number, so that names are in the order of time: a process that
 * starts takes a name behind all others (whatever its clock says), adopts the files of owners whose lock is free, and
 * waits for the elders that live. The folder itself is flocked for the moment in which that is looked at. */

#ifndef DML_SIDE_SPILL_DIR_H
#define DML_SIDE_SPILL_DIR_H

#include "base/base.h"
#include "base/list.h"
#include "base/slice.h"

enum { SPILL_OWNER = 12 + 1 + 7 + 1 + 16, SPILL_NAME = SPILL_OWNER + 1 + 8 + 8 + 1 };

struct spill_owner {
    struct list link;
    char name[SPILL_OWNER + 1];
    int lock_fd; /* -1: somebody else's, who lives */
    uint32_t nsegments;
};

struct spill_dir {
    /* owned */
    char *path;
    int fd;
    struct list elders;       /* struct spill_owner: those that live, oldest first */
    struct list adopted;      /* ours now, oldest first */
    struct spill_owner *mine; /* behind all of these */
};

/* Opens the folder, and makes it where only the last part of the path is missing. 0, or ERR_SYSTEM with *fault for
 * people (static, or errno's text). */
MUST_CHECK int spill_dir_open(struct spill_dir *d, struct slice path, const char **fault);

/* The pid of the oldest elder that lives, as it was there; 0: none does. */
int spill_dir_elder(const struct spill_dir *d);

/* Lets go of all locks. Lock files of owners without segments are removed. */
void spill_dir_close(struct spill_dir *d);

/* Takes the elders whose lock is free now, oldest first: they move to `adopted`. True when no elder lives any more. */
bool spill_dir_adopt(struct spill_dir *d);

/* fn for each segment of that owner, in order, with the size of it and of its strikes. */
typedef void (*spill_segment_fn)(void *arg, struct spill_owner *o, uint32_t number, uint64_t bytes);
void spill_dir_segments(struct spill_dir *d, struct spill_owner *o, spill_segment_fn fn, void *arg);

/* "OWNER.0000000a.KIND" */
void spill_name(const struct spill_owner *o, uint32_t number, const char *kind,
                char out[SPILL_NAME]);

/* Forgets an owner without segments, and removes its lock file. */
void spill_dir_drop(struct spill_dir *d, struct spill_owner *o);

#endif
