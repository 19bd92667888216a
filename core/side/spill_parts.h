/* SPDX-License-Identifier: Apache-2.0 */

/* What the files side/spill*.c share: the spill from inside. The writer appends to the newest segment and takes oldest
 * ones away when it must; the reader does all else with segments. What both touch is under the lock. */

#ifndef DML_SIDE_SPILL_PARTS_H
#define DML_SIDE_SPILL_PARTS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/vec.h"
#include "net/mailbox.h"
#include "side/spill.h"
#include "side/spill_dir.h"

struct spill_segment {
    struct list link; /* oldest first */
    struct spill_owner *owner;
    uint32_t number, seed;
    /* under the lock */
    uint64_t length; /* bytes that may be read */
    uint64_t cost;   /* its share of the bound */
    uint32_t nrecords;
    bool is_closed;  /* nothing is appended any more */
    bool is_walked;  /* what is in it is known; always so of this process's own */
    bool is_removed; /* its files are gone */
    uint32_t
        nusers; /* cursors at it, events of it that are under way: it is freed when there are none */
    /* the reader's */
    VEC(uint8_t) bits;     /* a bit for each index: struck out */
    VEC(uint32_t) pending; /* struck out, not yet written */
    struct list dirty;
    bool is_broken;   /* not all of it could be read: it stays for the next start */
    uint64_t told_to; /* what can't be read before there was told of */
    atomic_uint nstruck, nflying;
};

/* Events of one port, on their way to the writer and back. */
struct spill_batch {
    struct mail mail;
    struct spill_batch *next;
    struct spill_port *port;
    struct list waits; /* the port's thread only */
    char *bytes;       /* records without their checksums; their lengths are in the heads */
    size_t len, size;
    uint32_t nrecords;
    /* the writer's */
    uint32_t nwritten;
    int rc;
};

static inline bool spill_bit(const struct spill_segment *seg, uint32_t index)
{
    return index / 8 < seg->bits.n && (seg->bits.items[index / 8] & (1u << (index % 8)));
}

struct spill {
    /* owned */
    struct spill_dir dir;
    char *dead_letters;
    struct list segments; /* under the lock */
    pthread_t writer;
    pthread_mutex_t lock;       /* files may be touched under it; no worker takes it */
    pthread_mutex_t queue_lock; /* of what workers hand in: never held for long */
    pthread_cond_t wake, returned;
    struct list dirty; /* the reader's: segments with strikes that are not written */
    /* borrowed; under the lock */
    void (*on_commit)(void *arg);
    void *on_commit_arg;
    /* state */
    atomic_ullong size, bytes, queued, dead_letters_size;
    atomic_ullong waiting, added, refused, failed, dropped, damaged, recovered;
    _Atomic(enum spill_fsync) fsync;
    atomic_bool drops_oldest;
    atomic_uint topic_patience_ms;
    /* under the queue's lock */
    struct spill_batch *first, **last; /* for the writer */
    bool writer_sleeps, stopping;
    /* the writer's */
    struct spill_segment *active;
    int active_fd;
    uint32_t next_number;
    bool is_dirty;
    uint64_t synced_us, written_us;
};

/* What a record of that many bytes counts for: itself and its strike. */
static inline uint64_t spill_cost(size_t len)
{
    return SPILL_HEAD + (uint64_t)len + SPILL_STRIKE;
}

/* spill_segment.c; under the lock. A new one is behind all others. */
struct spill_segment *spill_segment_new(struct spill *s, struct spill_owner *o, uint32_t number);
void spill_segment_free(struct spill *s, struct spill_segment *seg);

/* Segments of an owner that was adopted, and takes owners that have none out of the folder. */
void spill_segments_adopt(struct spill *s);

/* Its files go, and it when nobody uses it. */
void spill_segment_remove(struct spill *s, struct spill_segment *seg);

/* One of its files; that it is not there is fine. */
void spill_segment_unlink(const struct spill *s, const struct spill_segment *seg, const char *kind);

/* Events in it that are neither struck out nor on their way. */
uint64_t spill_segment_waiting(struct spill *s, struct spill_segment *seg);

/* What a disk did not give of a file: zeros stand in its place. */
struct spill_holes {
    uint64_t bytes, first; /* how many, and where they begin */
};

/* The whole of a file, malloc'ed; ERR_SYSTEM (errno), ERR_LIMIT when it can't be a segment. */
MUST_CHECK int spill_read_file(const struct spill *s, const struct spill_segment *seg,
                               const char *kind, char **bytes, size_t *len,
                               struct spill_holes *holes);

/* spill_repair.c: makes a segment of another process fit to be read, before a cursor goes there: what is no record is
 * moved aside, its strikes are read, its events counted. False: not now, for want of descriptors or memory. The reader's
 * thread. */
MUST_CHECK bool spill_repair(struct spill *s, struct spill_segment *seg);

/* An errno that says nothing of the file, and passes. */
static inline bool spill_is_short(int why)
{
    return why == EMFILE || why == ENFILE || why == ENOMEM;
}

/* spill_write.c: the writer thread */
void *spill_write_main(void *spill);

/* spill_port.c: the writer gives a batch back. */
void spill_port_return(struct spill *s, struct spill_batch *b);

#endif
