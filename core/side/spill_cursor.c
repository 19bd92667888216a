/* SPDX-License-Identifier: Apache-2.0 */

/* A cursor reads its file in pieces, from the page cache when it is close behind the writer. What it stands at is held,
 * so that the segment's struct stays when its files go. */

#include "side/spill_cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "side/spill_parts.h"

#define PIECE (256 * (size_t)KIB)

void spill_cursor_init(struct spill_cursor *c, struct spill *s)
{
    *c = (struct spill_cursor){.fd = -1, .spill = s};
}

static void leave(struct spill_cursor *c)
{
    struct spill_segment *seg = c->at.segment;

    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->start = c->end = 0;
    if (seg && --seg->nusers == 0 && seg->is_removed)
        spill_segment_free(c->spill, seg);
    c->at = (struct spill_place){NULL, 0};
}

void spill_cursor_deinit(struct spill_cursor *c)
{
    pthread_mutex_lock(&c->spill->lock);
    leave(c);
    pthread_mutex_unlock(&c->spill->lock);
    free(c->bytes);
}

static void enter(struct spill_cursor *c, struct spill_place place)
{
    place.segment->nusers++;
    leave(c);
    c->at = place;
}

void spill_cursor_to(struct spill_cursor *c, struct spill_place place)
{
    pthread_mutex_lock(&c->spill->lock);
    enter(c, place);
    pthread_mutex_unlock(&c->spill->lock);
}

bool spill_cursor_is_at(const struct spill_cursor *c, const struct spill_cursor *other)
{
    return c->at.segment == other->at.segment && c->at.offset == other->at.offset;
}

/* --- from segment to segment ----------------------------------------------------------------------------------------- */

/* To the next one that there is. False: not yet. */
static bool go_on(struct spill_cursor *c)
{
    struct spill *s = c->spill;

    pthread_mutex_lock(&s->lock);
    struct list *next = c->at.segment ? c->at.segment->link.next : s->segments.next;
    while (next != &s->segments && container_of(next, struct spill_segment, link)->is_removed)
        next = next->next;
    bool is_there = next != &s->segments;
    if (is_there)
        enter(c, (struct spill_place){container_of(next, struct spill_segment, link), 0});
    pthread_mutex_unlock(&s->lock);
    return is_there;
}

static bool open_segment(struct spill_cursor *c)
{
    struct spill_segment *seg = c->at.segment;
    char name[SPILL_NAME];

    spill_name(seg->owner, seg->number, "events", name);
    c->fd = openat(c->spill->dir.fd, name, O_RDONLY | O_CLOEXEC);
    if (!c->bytes) {
        c->size = PIECE;
        c->bytes = malloc(PIECE);
        REQUIRE(c->bytes != NULL);
    }
    return c->fd >= 0;
}

struct extent {
    uint64_t length;
    bool is_closed, is_removed;
};

static struct extent look_at(const struct spill_cursor *c)
{
    const struct spill_segment *seg = c->at.segment;

    pthread_mutex_lock(&c->spill->lock);
    struct extent e = {seg->length, seg->is_closed, seg->is_removed};
    pthread_mutex_unlock(&c->spill->lock);
    return e;
}

/* What is not readable is not struck out either, so its segment stays, and the next start tries again. */
static void tell_unread(struct spill_cursor *c, uint64_t to, const char *why)
{
    struct spill_segment *seg = c->at.segment;
    char name[SPILL_NAME];

    seg->is_broken = true;
    if (to <= seg->told_to)
        return;
    seg->told_to = to;
    spill_name(seg->owner, seg->number, "events", name);
    LOG_ERROR(
        "spill.read",
        "can't read events that wait: what lies behind them is delivered, the file is left for the "
        "next start",
        LOG_C("dir", c->spill->dir.path), LOG_C("file", name), LOG_I("offset", c->at.offset),
        LOG_I("bytes", to - c->at.offset), LOG_C("why", why));
}

/* To the next record that can be read; to the end when there is none. False: not now. */
static bool skip_damage(struct spill_cursor *c, uint64_t length, const char *why)
{
    struct spill_holes holes;
    uint64_t to = length;
    char *bytes;
    size_t len;

    int rc = spill_read_file(c->spill, c->at.segment, "events", &bytes, &len, &holes);
    if (rc == ERR_SYSTEM && spill_is_short(errno))
        return false;
    if (rc == 0 && len >= length) {
        struct slice all = slice_of(bytes, (size_t)length);
        to = spill_find(all, (size_t)c->at.offset + 1, c->at.segment->seed);
    }
    free(bytes);
    tell_unread(c, to, why);
    c->at.offset = to;
    c->start = c->end = 0;
    return true;
}

/* --- bytes ----------------------------------------------------------------------------------------------------------- */

/* So that `needed` bytes of what lies at the cursor are there, if the file has them. False: it can't be read. */
static bool fill(struct spill_cursor *c, size_t needed, uint64_t length)
{
    memmove(c->bytes, c->bytes + c->start, c->end - c->start);
    c->end -= c->start;
    c->start = 0;
    if (needed > c->size || (c->size > PIECE && needed <= PIECE && c->end <= PIECE)) {
        c->size = MAX(needed, PIECE);
        c->bytes = realloc(c->bytes, c->size);
        REQUIRE(c->bytes != NULL);
    }
    while (c->end < needed) {
        uint64_t from = c->at.offset + c->end;
        size_t most = (size_t)MIN((uint64_t)(c->size - c->end), length - MIN(from, length));
        ssize_t n = most > 0 ? pread(c->fd, c->bytes + c->end, most, (off_t)from) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        c->end += (size_t)n;
    }
    return true;
}

/* The record at the cursor; 0, ERR_AGAIN at what is the end now, or another code. */
static int read_record(struct spill_cursor *c, uint64_t length, struct spill_record *out)
{
    size_t needed = SPILL_HEAD;

    if (c->at.offset >= length)
        return ERR_AGAIN;
    for (;;) {
        struct slice there = slice_of(c->bytes + c->start, c->end - c->start);
        ssize_t n =
            there.len < needed ? ERR_AGAIN : spill_look(there, c->at.segment->seed, out, &needed);
        if (n > 0) {
            c->start += (size_t)n;
            c->at.offset += (uint64_t)n;
            return 0;
        }
        if (n != ERR_AGAIN)
            return (int)n;
        if (!fill(c, needed, length))
            return ERR_SYSTEM;
        if (c->end - c->start < needed)
            return ERR_SYNTAX;
    }
}

/* 0; ERR_AGAIN: there is no more in this segment now; *is_over: nor will there be. */
static int next_here(struct spill_cursor *c, struct spill_record *out, bool *is_over)
{
    struct extent e = look_at(c);

    c->is_short = false;
    if (!e.is_removed && !c->at.segment->is_walked) {
        c->is_short = !spill_repair(c->spill, c->at.segment);
        e = look_at(c);
    }
    *is_over = false;
    if (c->is_short)
        return ERR_AGAIN;
    *is_over = e.is_removed;
    if (*is_over)
        return ERR_AGAIN;
    if (c->fd < 0 && !open_segment(c)) {
        int why = errno;
        c->is_short = spill_is_short(why);
        if (c->is_short)
            return ERR_AGAIN;
        if (!look_at(c).is_removed) /* just now */
            tell_unread(c, e.length, strerrordesc_np(why));
        *is_over = true;
        return ERR_AGAIN;
    }
    int rc;
    while ((rc = read_record(c, e.length, out)) < 0 && rc != ERR_AGAIN) {
        c->is_short =
            !skip_damage(c, e.length, rc == ERR_SYSTEM ? strerrordesc_np(errno) : "it is damaged");
        if (c->is_short)
            return ERR_AGAIN;
    }
    *is_over = e.is_closed;
    return rc < 0 ? ERR_AGAIN : 0;
}

int spill_cursor_next(struct spill_cursor *c, struct spill_record *record,
                      struct spill_place *place)
{
    bool is_over;

    if (!c->at.segment && !go_on(c))
        return ERR_AGAIN;
    for (;;) {
        int rc = next_here(c, record, &is_over);
        if (rc == 0 && spill_bit(c->at.segment, record->index))
            continue;
        if (rc == 0) {
            *place = c->at;
            place->offset -= SPILL_HEAD + record->event.len;
            return 0;
        }
        if (!is_over || !go_on(c))
            return ERR_AGAIN;
    }
}

bool spill_adopt(struct spill *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_mine = spill_dir_adopt(&s->dir);
    spill_segments_adopt(s);
    pthread_mutex_unlock(&s->lock);
    return is_mine;
}

void spill_on_commit(struct spill *s, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&s->lock);
    s->on_commit = fn;
    s->on_commit_arg = arg;
    pthread_mutex_unlock(&s->lock);
}
