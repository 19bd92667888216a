/* SPDX-License-Identifier: Apache-2.0 */

/* Bump allocator with cleanup callbacks. Everything allocated from it dies together. One per
 * exchange, one per snapshot. The struct itself lives at the start of its first block. Not
 * thread-safe; a finished arena may be handed to another thread and read by many. */

#ifndef DML_BASE_ARENA_H
#define DML_BASE_ARENA_H

#include <stdarg.h>

#include "base/base.h"
#include "base/slice.h"

struct arena;
struct blocks;

typedef void (*arena_cleanup_fn)(void *arg);

/* First block from `pool` (exchanges), later ones from the heap. Given back by arena_free. */
struct arena *arena_new(struct blocks *pool);

/* All blocks from the heap, the first of `first_size` bytes (settings, tools). */
struct arena *arena_new_heap(size_t first_size);

/* The same for what may grow to many megabytes and is freed by another thread (snapshots): beyond the first, memory comes
 * from the system in large pages and goes back to it, and malloc has no part in either. */
struct arena *arena_new_large(void);

/* Runs the cleanups, the latest first, then frees everything. */
void arena_free(struct arena *a);

/* Aligned to 8, contents undefined. Never NULL: callers bound what the outside chooses. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((malloc, returns_nonnull));
void *arena_zero(struct arena *a, size_t size) __attribute__((malloc, returns_nonnull));

/* The same as arena_zero, from the begin of a cache line on: what is read together, out of many of its kind. */
void *arena_zero_line(struct arena *a, size_t size) __attribute__((malloc, returns_nonnull));

/* A copy; NUL follows it (not counted), so that ptr is a C string when the text holds no NUL. */
struct slice arena_dup(struct arena *a, struct slice s);
/* The texts one after another, as ARENA_JOIN(a, x, y, ...): what a printf of them would be, at a tenth of its cost. */
struct slice arena_join(struct arena *a, const struct slice *texts, size_t n);
#define ARENA_JOIN(a, ...) \
    arena_join(a, (const struct slice[]){__VA_ARGS__}, \
               sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice))

struct slice arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct slice arena_vprintf(struct arena *a, const char *fmt, va_list args);

/* fn(arg) runs in arena_free. */
void arena_on_free(struct arena *a, arena_cleanup_fn fn, void *arg);

/* Takes over a block from a pool: it is given back to `pool` with the arena, after the cleanups
 * have run. Costs no heap allocation while the arena has room for a note of 24 bytes. */
void arena_adopt(struct arena *a, struct blocks *pool, void *block);

/* The same for malloc'ed memory (whose size arena_size does not know). */
void arena_adopt_heap(struct arena *a, void *ptr);

/* Bytes taken from the heap and the pool so far. */
size_t arena_size(const struct arena *a);

#endif
