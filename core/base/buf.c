/* SPDX-License-Identifier: Apache-2.0 */

/* A byte queue in one piece of memory. Room comes from three places, in this order: behind the
 * content, in front of it (the content moves, at most every half turn of the memory while there is
 * a choice), from a larger piece. One byte more than `size` is always allocated, so that buf_take
 * can put its NUL. */

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

#define MIN_SIZE 256

void buf_init(struct buf *b, size_t cap)
{
    *b = (struct buf){.cap = cap};
}

void buf_deinit(struct buf *b)
{
    buf_release(b);
}

static void move_to_front(struct buf *b)
{
    size_t len = buf_len(b);

    if (b->start == 0)
        return;
    memmove(b->mem, b->mem + b->start, len);
    b->start = 0;
    b->end = len;
}

/* To at least `need` bytes in all, which the cap allows. */
static int grow(struct buf *b, size_t need)
{
    size_t size = MIN(MAX(MAX(b->size * 2, need), MIN_SIZE), b->cap);

    move_to_front(b);
    char *mem = realloc(b->mem, size + 1);
    if (!mem)
        return ERR_NOMEM;
    b->mem = mem;
    b->size = size;
    return 0;
}

static int make_room(struct buf *b, size_t n)
{
    size_t len = buf_len(b);

    if (n > b->cap || len > b->cap - n)
        return ERR_FULL;
    if (n <= b->size - b->end && b->mem)
        return 0;
    if (b->mem && len + n <= b->size && (b->start >= b->size / 2 || b->size >= b->cap)) {
        move_to_front(b);
        return 0;
    }
    return grow(b, len + n);
}

int buf_add(struct buf *b, struct slice s)
{
    if (s.len == 0)
        return 0;
    int rc = make_room(b, s.len);
    if (rc < 0)
        return rc;
    memcpy(b->mem + b->end, s.ptr, s.len);
    b->end += s.len;
    return 0;
}

static int vprint(struct buf *b, const char *fmt, va_list args)
{
    va_list again;
    size_t room = b->mem ? b->size - b->end : 0;

    va_copy(again, args);
    /* The spare byte takes vsnprintf's NUL. */
    int n = vsnprintf(room ? b->mem + b->end : NULL, room ? room + 1 : 0, fmt, args);
    REQUIRE(n >= 0);
    int rc = make_room(b, (size_t)n);
    if (rc == 0) {
        if ((size_t)n > room)
            vsnprintf(b->mem + b->end, (size_t)n + 1, fmt, again);
        b->end += (size_t)n;
    }
    va_end(again);
    return rc;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int rc = vprint(b, fmt, args);
    va_end(args);
    return rc;
}

int buf_reserve(struct buf *b, size_t n, char **out)
{
    int rc = make_room(b, n);

    if (rc == 0)
        *out = b->mem + b->end;
    return rc;
}

void buf_commit(struct buf *b, size_t n)
{
    REQUIRE(n <= b->size - b->end);
    b->end += n;
}

void buf_consume(struct buf *b, size_t n)
{
    REQUIRE(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void buf_clear(struct buf *b)
{
    b->start = b->end = 0;
}

void buf_release(struct buf *b)
{
    free(b->mem);
    b->mem = NULL;
    b->start = b->end = b->size = 0;
}

char *buf_take(struct buf *b, size_t *len)
{
    *len = buf_len(b);
    if (!b->mem)
        return slice_dup(SLICE(""));

    move_to_front(b);
    char *mem = b->mem;
    mem[b->end] = '\0';
    b->mem = NULL;
    buf_release(b);
    return mem;
}
