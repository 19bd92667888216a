/* SPDX-License-Identifier: Apache-2.0 */

/* Strikes are written in runs, since events are delivered nearly in the order in which they lie. They are never forced
 * to disk: what is lost of them with the power is delivered twice, and its segment is still there. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "side/spill_cursor.h"
#include "side/spill_parts.h"

void spill_hold(struct spill *s, struct spill_place place)
{
    pthread_mutex_lock(&s->lock);
    place.segment->nusers++;
    pthread_mutex_unlock(&s->lock);
    atomic_fetch_add(&place.segment->nflying, 1);
}

void spill_release(struct spill *s, struct spill_place place)
{
    struct spill_segment *seg = place.segment;

    atomic_fetch_sub(&seg->nflying, 1);
    pthread_mutex_lock(&s->lock);
    if (--seg->nusers == 0 && seg->is_removed)
        spill_segment_free(s, seg);
    pthread_mutex_unlock(&s->lock);
}

static bool is_removed(struct spill *s, const struct spill_segment *seg)
{
    pthread_mutex_lock(&s->lock);
    bool is_gone = seg->is_removed;
    pthread_mutex_unlock(&s->lock);
    return is_gone;
}

bool spill_is_lost(struct spill *s, struct spill_place place)
{
    if (!is_removed(s, place.segment))
        return false;
    atomic_fetch_add(&s->dropped, 1);
    atomic_fetch_sub(&s->waiting, 1);
    return true;
}

void spill_strike(struct spill *s, struct spill_place place, uint32_t index)
{
    struct spill_segment *seg = place.segment;

    if (spill_bit(seg, index))
        return;
    while (seg->bits.n <= index / 8)
        vec_push(&seg->bits, 0);
    seg->bits.items[index / 8] |= (uint8_t)(1u << (index % 8));
    atomic_fetch_add(&seg->nstruck, 1);
    atomic_fetch_sub(&s->waiting, 1);
    vec_push(&seg->pending, index);
    if (list_is_empty(&seg->dirty)) {
        list_append(&s->dirty, &seg->dirty);
        pthread_mutex_lock(&s->lock);
        seg->nusers++;
        pthread_mutex_unlock(&s->lock);
    }
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Entries for all that is pending, into out, which has room for one each. */
static size_t make_runs(struct spill_segment *seg, char *out)
{
    const uint32_t *index = seg->pending.items;
    size_t n = seg->pending.n, len = 0;

    qsort(seg->pending.items, n, sizeof(index[0]), compare);
    for (size_t i = 0, from; i < n; len += SPILL_STRIKE) {
        for (from = i++; i < n && index[i] == index[i - 1] + 1;)
            i++;
        spill_strike_seal(out + len, index[from], (uint32_t)(i - from), seg->seed);
    }
    return len;
}

/* Behind what is whole: part of an entry would make those behind it unreadable. */
static int append_whole(int fd, const char *bytes, size_t len)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return ERR_SYSTEM;
    off_t at = st.st_size - st.st_size % SPILL_STRIKE;
    ssize_t n = pwrite(fd, bytes, len, at);
    if (n == (ssize_t)len)
        return 0;
    if (n >= 0)
        errno = ENOSPC;
    return ERR_SYSTEM;
}

static void tell_failed(struct spill *s)
{
    LOG_WARN("spill.strike",
             "can't note what is delivered: after a crash it would be delivered again",
             LOG_C("dir", s->dir.path), LOG_C("why", strerrordesc_np(errno)));
}

static bool write_strikes(struct spill *s, struct spill_segment *seg)
{
    char name[SPILL_NAME];
    char *bytes = malloc(seg->pending.n * SPILL_STRIKE + 1);
    size_t len = bytes ? make_runs(seg, bytes) : 0;

    spill_name(seg->owner, seg->number, "struck", name);
    int fd = openat(s->dir.fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc = fd < 0 ? ERR_SYSTEM : append_whole(fd, bytes, len);
    if (rc < 0)
        tell_failed(s);
    if (fd >= 0)
        close(fd);
    free(bytes);
    if (is_removed(s, seg)) /* meanwhile, so the file may just have been made again */
        spill_segment_unlink(s, seg, "struck");
    return rc == 0;
}

static bool is_finished(struct spill *s, const struct spill_segment *seg)
{
    pthread_mutex_lock(&s->lock);
    bool is = seg->is_closed && !seg->is_broken && !seg->is_removed &&
              atomic_load(&seg->nstruck) == seg->nrecords;
    pthread_mutex_unlock(&s->lock);
    return is;
}

void spill_flush_strikes(struct spill *s)
{
    LIST_EACH (link, &s->dirty) {
        struct spill_segment *seg = container_of(link, struct spill_segment, dirty);
        bool is_over = is_finished(s, seg);
        if (!is_over && !is_removed(s, seg) && !write_strikes(s, seg))
            continue; /* again with the next ones */
        seg->pending.n = 0;
        list_remove(&seg->dirty);
        pthread_mutex_lock(&s->lock);
        seg->nusers--;
        if (is_over && !seg->is_removed)
            spill_segment_remove(s, seg);
        else if (seg->is_removed && seg->nusers == 0)
            spill_segment_free(s, seg);
        pthread_mutex_unlock(&s->lock);
    }
}
