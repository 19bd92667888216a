/* SPDX-License-Identifier: Apache-2.0 */

/* The writer thread. It takes all that the ports have handed in, seals the records, and writes them with one call per
 * segment that they go to. What the disk did not take is cut off again, so that a segment never has a hole; who waits
 * for it, and for all behind it, is told. Then it sends the batches home. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "side/spill_parts.h"

#define PIECES 256
#define SYNC_US (1000 * 1000) /* fsync: interval */
#define GATHER_US 250         /* between two writes */
#define SEGMENTS 16           /* of so many the bound consists */
#define SEGMENT_MIN (64 * (uint64_t)KIB)
#define SEGMENT_MAX (16 * (uint64_t)MIB)

/* What goes to the active segment with the next call. */
struct load {
    struct spill *spill;
    struct iovec pieces[PIECES];
    struct {
        struct spill_batch *batch;
        uint32_t nrecords;
    } of[PIECES];
    int n;
    size_t bytes;
    uint32_t nrecords;
    uint64_t now_ms;
    int rc; /* the first failure; nothing is written behind it */
};

/* --- segments -------------------------------------------------------------------------------------------------------- */

static uint64_t segment_size(const struct spill *s)
{
    uint64_t size = atomic_load(&s->size) / SEGMENTS;

    return MIN(MAX(size, SEGMENT_MIN), SEGMENT_MAX);
}

static int fail(struct spill *s, const char *what)
{
    bool is_full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

    LOG_ERROR("spill.write", what, LOG_C("dir", s->dir.path), LOG_C("why", strerrordesc_np(errno)));
    return is_full ? ERR_FULL : ERR_SYSTEM;
}

static void sync_active(struct spill *s)
{
    if (s->is_dirty && s->active_fd >= 0 && fdatasync(s->active_fd) < 0)
        (void)fail(s, "can't force events to disk");
    s->is_dirty = false;
    s->synced_us = clock_us_now();
}

static void close_active(struct spill *s)
{
    if (!s->active)
        return;
    if (atomic_load(&s->fsync) != SPILL_NEVER)
        sync_active(s);
    close(s->active_fd);
    s->active_fd = -1;
    pthread_mutex_lock(&s->lock);
    s->active->is_closed = true;
    bool is_done = atomic_load(&s->active->nstruck) == s->active->nrecords;
    if (is_done)
        spill_segment_remove(s, s->active);
    pthread_mutex_unlock(&s->lock);
    s->active = NULL;
}

static int open_active(struct spill *s)
{
    char name[SPILL_NAME];

    spill_name(s->dir.mine, s->next_number, "events", name);
    s->active_fd = openat(s->dir.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->active_fd < 0)
        return fail(s, "can't make a file for events");
    if (atomic_load(&s->fsync) == SPILL_ALWAYS && fsync(s->dir.fd) < 0) {
        int rc = fail(s, "can't force the folder of events to disk");
        close(s->active_fd);
        s->active_fd = -1;
        unlinkat(s->dir.fd, name, 0);
        return rc;
    }
    pthread_mutex_lock(&s->lock);
    s->active = spill_segment_new(s, s->dir.mine, s->next_number++);
    s->active->is_walked = true;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

/* Somebody has removed it under our hands: what is written to it is on no disk. */
static bool is_unlinked(const struct spill *s)
{
    struct stat st;

    return fstat(s->active_fd, &st) == 0 && st.st_nlink == 0;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

static int write_pieces(struct load *l)
{
    struct iovec *at = l->pieces;
    int n = l->n;
    off_t offset = (off_t)l->spill->active->length;

    while (n > 0) {
        ssize_t done = pwritev(l->spill->active_fd, at, n, offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail(l->spill, "can't write events");
        offset += done;
        for (; n > 0 && (size_t)done >= at->iov_len; n--)
            done -= (ssize_t)(at++)->iov_len;
        if (n > 0) {
            at->iov_base = (char *)at->iov_base + done;
            at->iov_len -= (size_t)done;
        }
    }
    if (atomic_load(&l->spill->fsync) == SPILL_ALWAYS && fdatasync(l->spill->active_fd) < 0)
        return fail(l->spill, "can't force events to disk");
    if (is_unlinked(l->spill)) {
        errno = ENOENT;
        return fail(l->spill, "the file that events are written to was removed");
    }
    return 0;
}

/* What was written of it would be in the way of the next record. */
static void take_back(struct spill *s)
{
    if (ftruncate(s->active_fd, (off_t)s->active->length) < 0 || is_unlinked(s))
        close_active(s);
}

static void count_written(struct load *l)
{
    struct spill *s = l->spill;

    for (int i = 0; i < l->n; i++)
        l->of[i].batch->nwritten += l->of[i].nrecords;
    atomic_fetch_add(&s->waiting, l->nrecords);
    atomic_fetch_add(&s->added, l->nrecords);
    pthread_mutex_lock(&s->lock);
    s->active->length += l->bytes;
    s->active->nrecords += l->nrecords;
    s->active->cost += l->bytes + (uint64_t)l->nrecords * SPILL_STRIKE;
    pthread_mutex_unlock(&s->lock);
    s->is_dirty = atomic_load(&s->fsync) == SPILL_INTERVAL;
}

static void flush(struct load *l)
{
    if (l->n > 0 && l->rc == 0) {
        l->rc = write_pieces(l);
        if (l->rc == 0)
            count_written(l);
        else
            take_back(l->spill);
    }
    l->n = 0;
    l->bytes = 0;
    l->nrecords = 0;
}

static struct spill_segment *find_oldest(struct spill *s)
{
    LIST_EACH (link, &s->segments) {
        struct spill_segment *seg = container_of(link, struct spill_segment, link);
        if (!seg->is_removed)
            return seg;
    }
    return NULL;
}

/* Events that were in it. */
static uint64_t give_up(struct spill *s, struct spill_segment *seg)
{
    uint64_t lost = spill_segment_waiting(s, seg);

    atomic_fetch_add(&s->dropped, lost);
    if (seg->is_walked) /* else they were never counted */
        atomic_fetch_sub(&s->waiting, lost);
    spill_segment_remove(s, seg);
    return lost;
}

/* drop_oldest: what comes has been let in before there was room for it. */
static void make_room(struct load *l)
{
    struct spill *s = l->spill;
    uint64_t lost = 0;

    while (atomic_load(&s->bytes) > atomic_load(&s->size)) {
        pthread_mutex_lock(&s->lock);
        struct spill_segment *oldest = find_oldest(s);
        if (oldest && oldest != s->active)
            lost += give_up(s, oldest);
        pthread_mutex_unlock(&s->lock);
        if (!oldest)
            break;
        if (oldest == s->active) {
            flush(l);
            close_active(s);
        }
    }
    if (lost > 0)
        LOG_ERROR("spill.dropped", "the spill is full: the oldest events are given up",
                  LOG_C("dir", s->dir.path), LOG_I("events", lost));
}

/* Is the active segment the one for a record of that many bytes? One of which all is struck out is better begun anew. */
static bool fits(const struct load *l, size_t len)
{
    const struct spill *s = l->spill;
    uint64_t length = s->active->length + l->bytes, size = segment_size(s);
    uint32_t nrecords = s->active->nrecords + l->nrecords;

    if (length == 0)
        return true;
    if (length + len > size || nrecords + 1 >= SPILL_INDEX_MAX)
        return false;
    return length < size / 4 || l->nrecords > 0 || atomic_load(&s->active->nstruck) < nrecords;
}

static void add_piece(struct load *l, struct spill_batch *b, char *record, size_t len)
{
    struct iovec *last = l->n > 0 ? &l->pieces[l->n - 1] : NULL;

    if (last && l->of[l->n - 1].batch == b && (char *)last->iov_base + last->iov_len == record) {
        last->iov_len += len;
        l->of[l->n - 1].nrecords++;
    } else {
        l->pieces[l->n] = (struct iovec){record, len};
        l->of[l->n].batch = b;
        l->of[l->n++].nrecords = 1;
    }
    l->bytes += len;
    l->nrecords++;
}

static void write_record(struct load *l, struct spill_batch *b, char *record, size_t len)
{
    struct spill *s = l->spill;

    if (atomic_load(&s->drops_oldest))
        make_room(l);
    if (l->n == PIECES)
        flush(l);
    if (l->rc == 0 && s->active && !fits(l, len)) {
        flush(l);
        close_active(s);
    }
    if (l->rc == 0 && !s->active)
        l->rc = open_active(s);
    if (l->rc < 0)
        return;
    spill_seal(record, len - SPILL_HEAD, s->active->nrecords + l->nrecords, l->now_ms,
               s->active->seed);
    add_piece(l, b, record, len);
}

static void write_batch(struct load *l, struct spill_batch *b)
{
    for (size_t at = 0; at < b->len && l->rc == 0;) {
        size_t len = SPILL_HEAD + spill_reserved(b->bytes + at);
        write_record(l, b, b->bytes + at, len);
        at += len;
    }
}

/* What was not written does not count any more. */
static void settle(struct spill *s, struct spill_batch *b, int rc)
{
    uint64_t cost = 0;
    uint32_t n = 0;

    b->rc = b->nwritten < b->nrecords ? rc : 0;
    for (size_t at = 0; at < b->len; n++) {
        size_t len = spill_reserved(b->bytes + at);
        cost += n < b->nwritten ? 0 : spill_cost(len);
        at += SPILL_HEAD + len;
    }
    atomic_fetch_sub(&s->bytes, cost);
    atomic_fetch_sub(&s->queued, b->len);
    atomic_fetch_add(&s->failed, b->nrecords - b->nwritten);
}

/* --- the thread ------------------------------------------------------------------------------------------------------ */

static struct timespec sync_time(const struct spill *s)
{
    uint64_t us = s->synced_us + SYNC_US;

    return (struct timespec){.tv_sec = (time_t)(us / 1000000),
                             .tv_nsec = (long)(us % 1000000) * 1000};
}

/* Where events come fast, the next ones are collected a little longer: to be woken by the answer is what costs a worker
 * most of all. A single one is written at once. */
static void gather(struct spill *s)
{
    uint64_t now = clock_us_now(), until = s->written_us + GATHER_US;

    if (now >= until || s->stopping)
        return;
    pthread_mutex_unlock(&s->queue_lock);
    usleep((useconds_t)(until - now));
    pthread_mutex_lock(&s->queue_lock);
}

/* All that waits; NULL when the time for a sync has come, or the end. */
static struct spill_batch *take(struct spill *s, bool *is_end)
{
    pthread_mutex_lock(&s->queue_lock);
    for (int rc = 0; !s->first && !s->stopping && rc != ETIMEDOUT;) {
        s->writer_sleeps = true;
        if (s->is_dirty) {
            struct timespec until = sync_time(s);
            rc = pthread_cond_clockwait(&s->wake, &s->queue_lock, CLOCK_MONOTONIC, &until);
        } else {
            pthread_cond_wait(&s->wake, &s->queue_lock);
        }
        s->writer_sleeps = false;
    }
    if (s->first)
        gather(s);
    struct spill_batch *b = s->first;
    s->first = NULL;
    s->last = &s->first;
    *is_end = !b && s->stopping;
    pthread_mutex_unlock(&s->queue_lock);
    return b;
}

static void tell_reader(struct spill *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->on_commit)
        s->on_commit(s->on_commit_arg);
    pthread_mutex_unlock(&s->lock);
}

static void write_all(struct spill *s, struct spill_batch *batches)
{
    struct load l;

    l.spill = s;
    l.n = l.rc = 0;
    l.bytes = l.nrecords = 0;
    l.now_ms = clock_wall_ms_now();
    for (struct spill_batch *b = batches; b; b = b->next)
        write_batch(&l, b);
    flush(&l);
    for (struct spill_batch *b = batches; b; b = b->next)
        settle(s, b, l.rc);
    if (batches)
        s->written_us = clock_us_now();
}

void *spill_write_main(void *spill)
{
    struct spill *s = spill;
    bool is_end;

    pthread_setname_np(pthread_self(), "dml-spill");
    for (;;) {
        struct spill_batch *b = take(s, &is_end);
        if (is_end)
            break;
        write_all(s, b);
        while (b) {
            struct spill_batch *next = b->next; /* the port may use it again at once */
            spill_port_return(s, b);
            b = next;
        }
        tell_reader(s);
        if (s->is_dirty && clock_us_now() >= s->synced_us + SYNC_US)
            sync_active(s);
    }
    close_active(s);
    return NULL;
}
