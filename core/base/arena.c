/* SPDX-License-Identifier: Apache-2.0 */

/* A bump allocator. The arena's own struct, its allocations and its notes about cleanups and
 * adopted memory all live in its blocks, so a request that fits the first block (which the worker
 * recycles) allocates nothing. What is large gets a heap block of its own, lest it waste the rest
 * of the current one; otherwise heap blocks double up to a limit. Cleanups run before any memory
 * goes, as they may look at all of it. */

#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/blocks.h"
#include "base/check.h"
#include "base/poison.h"

#define ALIGN 8
#define MIN_BLOCK 1024
#define MAX_BLOCK (64 * KIB)
#define MAX_ALLOC (SIZE_MAX / 4)
#define LARGE_FROM MIB        /* a large arena that has so much takes its blocks from the system */
#define LARGE_BLOCK (2 * MIB) /* a page, where the system has large ones */

/* Heap memory of this arena, behind the first block. */
struct heap_block {
    struct heap_block *next;
    size_t mapped; /* bytes from the system; 0: from malloc */
    char bytes[];
};

struct cleanup {
    struct cleanup *next;
    arena_cleanup_fn fn;
    void *arg;
};

struct adopted {
    struct adopted *next;
    struct blocks *pool; /* NULL: from malloc */
    void *ptr;
};

struct arena {
    /* owned */
    struct heap_block *heap_blocks;
    struct cleanup *cleanups;
    struct adopted *adopted;
    /* borrowed */
    struct blocks *pool; /* of the first block; NULL: from malloc */
    /* state */
    char *next, *end; /* free part of the current block */
    size_t block_size;
    size_t size;
    bool is_large;
};

static size_t round_up(size_t size)
{
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static struct arena *start(void *block, size_t size, struct blocks *pool)
{
    struct arena *a = block;

    *a = (struct arena){
        .pool = pool,
        .next = (char *)block + round_up(sizeof(*a)),
        .end = (char *)block + size / ALIGN * ALIGN,
        .block_size = MAX(size, MIN_BLOCK),
        .size = size,
    };
    REQUIRE(a->next <= a->end);
    poison(a->next, (size_t)(a->end - a->next));
    return a;
}

struct arena *arena_new(struct blocks *pool)
{
    return start(blocks_take(pool), pool->size, pool);
}

struct arena *arena_new_heap(size_t first_size)
{
    size_t size = MAX(round_up(first_size), round_up(sizeof(struct arena)));
    void *block = malloc(size);

    REQUIRE(block != NULL);
    return start(block, size, NULL);
}

struct arena *arena_new_large(void)
{
    struct arena *a = arena_new_heap(MAX_BLOCK);

#if !DML_SANITIZER /* they look for leaks in malloc's memory alone */
    a->is_large = true;
#endif
    return a;
}

static void free_heap_block(struct heap_block *block)
{
    if (block->mapped)
        munmap(block, block->mapped);
    else
        free(block);
}

static void free_adopted(struct arena *a)
{
    for (struct adopted *it = a->adopted; it; it = it->next) {
        if (it->pool)
            blocks_give(it->pool, it->ptr);
        else
            free(it->ptr);
    }
}

void arena_free(struct arena *a)
{
    /* A cleanup may register another one. */
    while (a->cleanups) {
        struct cleanup *c = a->cleanups;
        a->cleanups = c->next;
        c->fn(c->arg);
    }
    free_adopted(a);
    while (a->heap_blocks) {
        struct heap_block *block = a->heap_blocks;
        a->heap_blocks = block->next;
        free_heap_block(block);
    }
    if (a->pool)
        blocks_give(a->pool, a);
    else
        free(a);
}

static char *new_heap_block(struct arena *a, size_t bytes)
{
    struct heap_block *block = malloc(sizeof(*block) + bytes);

    REQUIRE(block != NULL);
    block->mapped = 0;
    block->next = a->heap_blocks;
    a->heap_blocks = block;
    a->size += sizeof(*block) + bytes;
    return block->bytes;
}

/* NULL: the system has none. */
static char *new_large_block(struct arena *a)
{
    struct heap_block *block =
        mmap(NULL, LARGE_BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED)
        return NULL;
    (void)!madvise(block, LARGE_BLOCK, MADV_HUGEPAGE);
    block->mapped = LARGE_BLOCK;
    block->next = a->heap_blocks;
    a->heap_blocks = block;
    a->size += LARGE_BLOCK;
    return block->bytes;
}

static char *new_block(struct arena *a, size_t *size)
{
    char *bytes = a->is_large && a->size >= LARGE_FROM ? new_large_block(a) : NULL;

    *size = LARGE_BLOCK - sizeof(struct heap_block);
    if (bytes)
        return bytes;
    a->block_size = MIN(a->block_size * 2, MAX(MAX_BLOCK, a->block_size));
    *size = a->block_size;
    return new_heap_block(a, *size);
}

/* The current block has no room for `size` (rounded) bytes. */
static void *alloc_from_heap(struct arena *a, size_t size)
{
    size_t room;

    if (size > a->block_size / 4)
        return new_heap_block(a, size);
    char *bytes = new_block(a, &room);
    a->next = bytes + size;
    a->end = bytes + room / ALIGN * ALIGN;
    poison(a->next, (size_t)(a->end - a->next));
    return bytes;
}

void *arena_alloc(struct arena *a, size_t size)
{
    REQUIRE(size < MAX_ALLOC);
    size_t rounded = round_up(size + !size) + POISON_GAP;

    if (UNLIKELY(rounded > (size_t)(a->end - a->next)))
        return alloc_from_heap(a, rounded);

    void *ptr = a->next;
    a->next += rounded;
    unpoison(ptr, size);
    return ptr;
}

void *arena_zero(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

void *arena_zero_line(struct arena *a, size_t size)
{
    uintptr_t ptr = (uintptr_t)arena_alloc(a, size + CACHE_LINE - ALIGN);

    return memset((void *)((ptr + CACHE_LINE - 1) & ~(uintptr_t)(CACHE_LINE - 1)), 0, size);
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    if (!s.ptr)
        return s;
    char *copy = arena_alloc(a, s.len + 1);
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return slice_of(copy, s.len);
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    struct slice s = arena_vprintf(a, fmt, args);
    va_end(args);
    return s;
}

struct slice arena_vprintf(struct arena *a, const char *fmt, va_list args)
{
    char text[256];
    va_list again;

    va_copy(again, args);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    REQUIRE(n >= 0);
    char *out = arena_alloc(a, (size_t)n + 1);
    if ((size_t)n < sizeof(text))
        memcpy(out, text, (size_t)n + 1);
    else
        vsnprintf(out, (size_t)n + 1, fmt, again);
    va_end(again);
    return slice_of(out, (size_t)n);
}

struct slice arena_join(struct arena *a, const struct slice *texts, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        len += texts[i].len;
    char *start = arena_alloc(a, len + 1), *p = start;
    for (size_t i = 0; i < n; i++)
        p = slice_put(p, texts[i]);
    *p = '\0';
    return slice_of(start, len);
}

void arena_on_free(struct arena *a, arena_cleanup_fn fn, void *arg)
{
    struct cleanup *c = arena_alloc(a, sizeof(*c));

    *c = (struct cleanup){.next = a->cleanups, .fn = fn, .arg = arg};
    a->cleanups = c;
}

static void adopt(struct arena *a, struct blocks *pool, void *ptr)
{
    struct adopted *note = arena_alloc(a, sizeof(*note));

    *note = (struct adopted){.next = a->adopted, .pool = pool, .ptr = ptr};
    a->adopted = note;
}

void arena_adopt(struct arena *a, struct blocks *pool, void *block)
{
    adopt(a, pool, block);
    a->size += pool->size;
}

void arena_adopt_heap(struct arena *a, void *ptr)
{
    adopt(a, NULL, ptr);
}

size_t arena_size(const struct arena *a)
{
    return a->size;
}
