/* SPDX-License-Identifier: Apache-2.0 */

/* Segments come and go. One that is removed stays in the list while a cursor stands at it, for that has to find the
 * next one. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "side/spill_parts.h"

#define BLOCK 4096                  /* of a disk: so much is not given at a time */
#define FILE_MAX (64 * (size_t)MIB) /* a segment is smaller, also one with the largest event */

struct spill_segment *spill_segment_new(struct spill *s, struct spill_owner *o, uint32_t number)
{
    struct spill_segment *seg = calloc(1, sizeof(*seg));
    char name[SPILL_NAME];

    REQUIRE(seg != NULL);
    spill_name(o, number, "events", name);
    seg->owner = o;
    seg->number = number;
    seg->seed = spill_seed(slice_from(name));
    list_init(&seg->dirty);
    list_append(&s->segments, &seg->link);
    o->nsegments++;
    return seg;
}

void spill_segment_free(struct spill *s, struct spill_segment *seg)
{
    if (--seg->owner->nsegments == 0 && seg->owner != s->dir.mine)
        spill_dir_drop(&s->dir, seg->owner);
    list_remove(&seg->link);
    list_remove(&seg->dirty);
    vec_free(&seg->bits);
    vec_free(&seg->pending);
    free(seg);
}

void spill_segment_unlink(const struct spill *s, const struct spill_segment *seg, const char *kind)
{
    char name[SPILL_NAME];

    spill_name(seg->owner, seg->number, kind, name);
    if (unlinkat(s->dir.fd, name, 0) < 0 && errno != ENOENT)
        LOG_WARN("spill.remove", "can't remove a file of the spill", LOG_C("dir", s->dir.path),
                 LOG_C("file", name), LOG_C("why", strerrordesc_np(errno)));
}

/* The strikes go last: without them all of the segment would be delivered again. */
void spill_segment_remove(struct spill *s, struct spill_segment *seg)
{
    spill_segment_unlink(s, seg, "events");
    spill_segment_unlink(s, seg, "struck");
    atomic_fetch_sub(&s->bytes, seg->cost);
    seg->cost = 0;
    seg->is_removed = true;
    if (seg->nusers == 0)
        spill_segment_free(s, seg);
}

/* Past what the disk does not give. */
static void leave_hole(char *bytes, size_t *at, size_t size, struct spill_holes *holes)
{
    size_t n = MIN(BLOCK - *at % BLOCK, size - *at);

    if (holes->bytes == 0)
        holes->first = *at;
    holes->bytes += n;
    memset(bytes + *at, 0, n);
    *at += n;
}

int spill_read_file(const struct spill *s, const struct spill_segment *seg, const char *kind,
                    char **bytes, size_t *len, struct spill_holes *holes)
{
    char name[SPILL_NAME];
    struct stat st;
    int rc = ERR_SYSTEM;

    *bytes = NULL;
    *len = 0;
    *holes = (struct spill_holes){0};
    spill_name(seg->owner, seg->number, kind, name);
    int fd = openat(s->dir.fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        goto done;
    rc = ERR_LIMIT;
    if ((uint64_t)st.st_size > FILE_MAX)
        goto done;
    *bytes = malloc((size_t)st.st_size + 1);
    REQUIRE(*bytes != NULL);
    rc = 0;
    while (rc == 0 && *len < (size_t)st.st_size) {
        ssize_t n = pread(fd, *bytes + *len, (size_t)st.st_size - *len, (off_t)*len);
        if (n > 0)
            *len += (size_t)n;
        else if (n < 0 && errno == EIO)
            leave_hole(*bytes, len, (size_t)st.st_size, holes);
        else if (n == 0 || errno != EINTR)
            rc = ERR_SYSTEM;
    }
done:
    if (fd >= 0)
        close(fd);
    if (rc < 0) {
        free(*bytes);
        *bytes = NULL;
    }
    return rc;
}

/* --- what waits ------------------------------------------------------------------------------------------------------ */

static void count_record(void *arg, const struct spill_record *r UNUSED, struct slice place UNUSED)
{
    ++*(uint64_t *)arg;
}

static void skip_damage(void *arg UNUSED, struct slice place UNUSED)
{
}

static void count_strike(void *arg, uint32_t first UNUSED, uint32_t count)
{
    uint64_t *n = arg;

    *n -= MIN(*n, (uint64_t)count);
}

/* In one that nobody has read yet. */
static uint64_t count_in_file(struct spill *s, struct spill_segment *seg)
{
    uint64_t n = 0;
    struct spill_walk walk = {count_record, skip_damage, &n};
    struct spill_holes holes;
    char *bytes;
    size_t len;

    if (spill_read_file(s, seg, "events", &bytes, &len, &holes) == 0)
        (void)!spill_walk(slice_of(bytes, len), seg->seed, &walk);
    free(bytes);
    if (spill_read_file(s, seg, "struck", &bytes, &len, &holes) == 0)
        spill_strikes_walk(slice_of(bytes, len), seg->seed, count_strike, &n);
    free(bytes);
    return n;
}

uint64_t spill_segment_waiting(struct spill *s, struct spill_segment *seg)
{
    if (!seg->is_walked)
        return count_in_file(s, seg);
    uint32_t gone = atomic_load(&seg->nstruck) + atomic_load(&seg->nflying);
    return seg->nrecords - MIN(gone, seg->nrecords);
}

/* --- of others ------------------------------------------------------------------------------------------------------- */

static void adopt_segment(void *arg, struct spill_owner *o, uint32_t number, uint64_t bytes)
{
    struct spill *s = arg;
    struct spill_segment *seg = spill_segment_new(s, o, number);

    seg->is_closed = true;
    seg->cost = bytes;
    atomic_fetch_add(&s->bytes, bytes);
}

/* They come before this process's own, which are younger. */
void spill_segments_adopt(struct spill *s)
{
    struct list mine;

    list_init(&mine);
    list_splice(&mine, &s->segments);
    LIST_EACH (link, &mine) {
        struct spill_segment *seg = container_of(link, struct spill_segment, link);
        if (seg->owner == s->dir.mine)
            continue;
        list_remove(link);
        list_append(&s->segments, link);
    }
    LIST_EACH (link, &s->dir.adopted) {
        struct spill_owner *o = container_of(link, struct spill_owner, link);
        if (o->nsegments == 0)
            spill_dir_segments(&s->dir, o, adopt_segment, s);
        if (o->nsegments == 0)
            spill_dir_drop(&s->dir, o);
    }
    list_splice(&s->segments, &mine);
}
