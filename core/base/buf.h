/* SPDX-License-Identifier: Apache-2.0 */

/* Growable contiguous byte queue with a hard cap: written at the end, read from the front. Holds no
 * memory while empty and released. */

#ifndef DML_BASE_BUF_H
#define DML_BASE_BUF_H

#include <stdarg.h>

#include "base/base.h"
#include "base/slice.h"

struct buf {
    /* owned */
    char *mem;
    /* state */
    size_t start, end; /* content is mem[start..end) */
    size_t size;       /* allocated */
    size_t cap;        /* content may never be longer */
};

void buf_init(struct buf *b, size_t cap);
void buf_deinit(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->mem ? b->mem + b->start : "", b->end - b->start);
}

/* ERR_FULL when the cap would be passed, ERR_NOMEM when the heap refuses; then nothing is added.
 * The text must not be part of this buffer. */
MUST_CHECK int buf_add(struct buf *b, struct slice s);
MUST_CHECK int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Room for at least n more bytes; *out points at it. The caller then calls buf_commit. ERR_FULL as
 * above. */
MUST_CHECK int buf_reserve(struct buf *b, size_t n, char **out);
void buf_commit(struct buf *b, size_t n);

/* Drops n bytes from the front. */
void buf_consume(struct buf *b, size_t n);

/* Empties it; keeps / frees the memory. */
void buf_clear(struct buf *b);
void buf_release(struct buf *b);

/* The content moves to the caller, NUL-terminated (free() it); the buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *len);

#endif
