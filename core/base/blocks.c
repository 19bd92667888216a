/* SPDX-License-Identifier: Apache-2.0 */

/* The free list is a chain through the first word of each free block, so it costs no memory of its
 * own. The rest of a free block is poisoned for AddressSanitizer: recycling must not hide a use
 * after free. */

#include "base/blocks.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/poison.h"

struct block_link {
    struct block_link *next;
};

void blocks_init(struct blocks *b, size_t size, size_t max_free)
{
    REQUIRE(size >= sizeof(struct block_link));
    *b = (struct blocks){.size = size, .max_free = max_free};
}

void blocks_deinit(struct blocks *b)
{
    (void)CHECK(b->nused == 0);
    while (b->free) {
        struct block_link *link = b->free;
        b->free = link->next;
        free(link);
    }
    b->nfree = 0;
}

static inline void fetch(const struct block_link *next, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CACHE_LINE)
        __builtin_prefetch((const char *)next + at, 1);
}

void *blocks_take(struct blocks *b)
{
    struct block_link *link = b->free;

    b->nused++;
    if (LIKELY(link != NULL)) {
        b->free = link->next;
        b->nfree--;
        if (b->free)
            fetch(b->free, b->ahead);
        unpoison(link, b->size);
        return link;
    }
    link = malloc(b->size);
    REQUIRE(link != NULL);
    return link;
}

void blocks_give(struct blocks *b, void *ptr)
{
    struct block_link *link = ptr;

    REQUIRE(b->nused > 0);
    b->nused--;
    if (b->nfree >= b->max_free) {
        free(link);
        return;
    }
    link->next = b->free;
    b->free = link;
    b->nfree++;
    poison(link + 1, b->size - sizeof(*link));
}
