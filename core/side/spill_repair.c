/* SPDX-License-Identifier: Apache-2.0 */

/* Recovery. A segment of a process that was killed may end in a torn record: it is cut there, and nobody was told that
 * this record is safe. What is damaged elsewhere, by a disk or by hands, is moved into a file beside it, and the readable
 * rest is written anew under the same name, so that whoever reads it never meets damage. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "side/spill_parts.h"

struct repair {
    struct spill *spill;
    struct spill_segment *seg;
    VEC(struct slice) good;
    VEC(struct slice) bad;
    uint64_t good_bytes, bad_bytes;
    uint32_t nrecords;
    struct spill_holes holes;
};

/* --- looking --------------------------------------------------------------------------------------------------------- */

static void set_bit(struct spill_segment *seg, uint32_t index, bool is_set)
{
    uint8_t bit = (uint8_t)(1u << (index % 8));

    if (is_set)
        seg->bits.items[index / 8] |= bit;
    else
        seg->bits.items[index / 8] &= (uint8_t)~bit;
}

/* An index without a record counts as struck out. */
static void on_good(void *arg, const struct spill_record *r, struct slice place)
{
    struct repair *p = arg;

    while (p->seg->bits.n <= r->index / 8)
        vec_push(&p->seg->bits, 0xff);
    if (spill_bit(p->seg, r->index)) {
        set_bit(p->seg, r->index, false);
        p->nrecords++;
    }
    if (p->good.n > 0 &&
        p->good.items[p->good.n - 1].ptr + p->good.items[p->good.n - 1].len == place.ptr)
        p->good.items[p->good.n - 1].len += place.len;
    else
        vec_push(&p->good, place);
    p->good_bytes += place.len;
}

static void on_bad(void *arg, struct slice place)
{
    struct repair *p = arg;

    vec_push(&p->bad, place);
    p->bad_bytes += place.len;
}

static void on_strike(void *arg, uint32_t first, uint32_t count)
{
    struct spill_segment *seg = arg;

    for (uint32_t i = first; i < first + count && i / 8 < seg->bits.n; i++) {
        if (spill_bit(seg, i))
            continue;
        set_bit(seg, i, true);
        atomic_fetch_add(&seg->nstruck, 1);
    }
}

/* --- mending --------------------------------------------------------------------------------------------------------- */

static int write_all(int fd, struct slice s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno != EINTR)
            return ERR_SYSTEM;
        if (n > 0)
            s = slice_from_index(s, (size_t)n);
    }
    return 0;
}

static int write_places(const struct repair *p, const char *kind, const struct slice *places,
                        size_t n)
{
    char name[SPILL_NAME];
    int rc = 0;

    spill_name(p->seg->owner, p->seg->number, kind, name);
    int fd = openat(p->spill->dir.fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERR_SYSTEM;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = write_all(fd, places[i]);
    if (rc == 0 && fsync(fd) < 0)
        rc = ERR_SYSTEM;
    close(fd);
    return rc;
}

/* The file as it is stays beside what is made of it: a disk may give later what it does not give now. */
static int keep(const struct repair *p)
{
    char from[SPILL_NAME], to[SPILL_NAME];
    int dir = p->spill->dir.fd;

    spill_name(p->seg->owner, p->seg->number, "events", from);
    spill_name(p->seg->owner, p->seg->number, "unread", to);
    return linkat(dir, from, dir, to, 0) < 0 && errno != EEXIST ? ERR_SYSTEM : 0;
}

static int set_aside(const struct repair *p)
{
    char from[SPILL_NAME], to[SPILL_NAME];
    int dir = p->spill->dir.fd;

    if ((p->bad.n > 0 && write_places(p, "damaged", p->bad.items, p->bad.n) < 0) ||
        write_places(p, "mended", p->good.items, p->good.n) < 0)
        return ERR_SYSTEM;
    spill_name(p->seg->owner, p->seg->number, "mended", from);
    spill_name(p->seg->owner, p->seg->number, "events", to);
    return renameat(dir, from, dir, to) < 0 ? ERR_SYSTEM : 0;
}

static int cut(const struct repair *p, size_t length)
{
    char name[SPILL_NAME];

    spill_name(p->seg->owner, p->seg->number, "events", name);
    int fd = openat(p->spill->dir.fd, name, O_WRONLY | O_CLOEXEC);
    int rc = fd < 0 || ftruncate(fd, (off_t)length) < 0 ? ERR_SYSTEM : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

static void tell(const struct repair *p, size_t torn)
{
    char name[SPILL_NAME];

    spill_name(p->seg->owner, p->seg->number, "events", name);
    if (p->holes.bytes > 0)
        LOG_ERROR(
            "spill.unreadable",
            "the disk does not give all of a file of events: what can be read is delivered, and the file "
            "is kept under a name that ends in .unread",
            LOG_C("dir", p->spill->dir.path), LOG_C("file", name), LOG_I("offset", p->holes.first),
            LOG_I("bytes", p->holes.bytes));
    if (p->bad_bytes > 0) {
        atomic_fetch_add(&p->spill->damaged, p->bad_bytes);
        LOG_ERROR("spill.damaged",
                  "events on disk are damaged: what is readable is delivered, the "
                  "rest is kept in a file that ends in .damaged",
                  LOG_C("dir", p->spill->dir.path), LOG_C("file", name),
                  LOG_I("bytes", p->bad_bytes), LOG_I("readable_events", p->nrecords));
    }
    if (torn > 0)
        LOG_WARN("spill.torn",
                 "the last event was being written when the process or the power "
                 "went: it is cut off; nobody was told that it is safe",
                 LOG_C("dir", p->spill->dir.path), LOG_C("file", name), LOG_I("bytes", torn));
}

/* Under the lock, so that the writer does not give up this segment meanwhile. */
static void mend(struct repair *p, size_t length, size_t torn)
{
    int rc = 0;

    if (p->holes.bytes > 0)
        rc = keep(p);
    if (rc == 0 && (p->bad_bytes > 0 || p->holes.bytes > 0))
        rc = set_aside(p);
    else if (rc == 0 && torn > 0)
        rc = cut(p, length);
    tell(p, torn);
    if (rc < 0) {
        LOG_ERROR("spill.repair", "can't mend a file of events: it is left for the next start",
                  LOG_C("dir", p->spill->dir.path), LOG_C("why", strerrordesc_np(errno)));
        p->seg->is_broken = true;
        p->good_bytes = length; /* the cursor passes over the rest */
    }
}

bool spill_repair(struct spill *s, struct spill_segment *seg)
{
    struct repair p = {.spill = s, .seg = seg};
    struct spill_walk walk = {on_good, on_bad, &p};
    char *bytes, *strikes = NULL;
    size_t len, nstrikes = 0;
    struct spill_holes holes;

    int rc = spill_read_file(s, seg, "events", &bytes, &len, &p.holes);
    bool is_short = rc == ERR_SYSTEM && spill_is_short(errno);
    if (!is_short && spill_read_file(s, seg, "struck", &strikes, &nstrikes, &holes) == ERR_SYSTEM)
        is_short = spill_is_short(errno);
    if (is_short) {
        free(bytes);
        return false;
    }
    size_t length = spill_walk(slice_of(bytes, len), seg->seed, &walk);
    spill_strikes_walk(slice_of(strikes, nstrikes), seg->seed, on_strike, seg);
    free(strikes);
    pthread_mutex_lock(&s->lock);
    if (rc == 0 && !seg->is_removed)
        mend(&p, length, len - length);
    seg->is_broken = seg->is_broken || (rc < 0 && !seg->is_removed);
    seg->length = p.good_bytes;
    seg->nrecords = p.nrecords;
    seg->is_walked = true;
    uint32_t waiting = p.nrecords - atomic_load(&seg->nstruck);
    if (!seg->is_removed) {
        atomic_fetch_add(&s->waiting, waiting);
        atomic_fetch_add(&s->recovered, waiting);
    }
    bool is_over = waiting == 0 && !seg->is_broken && !seg->is_removed;
    if (is_over)
        spill_segment_remove(s, seg); /* the cursor that stands here keeps its struct */
    pthread_mutex_unlock(&s->lock);
    vec_free(&p.good);
    vec_free(&p.bad);
    free(bytes);
    return true;
}
