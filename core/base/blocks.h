/* SPDX-License-Identifier: Apache-2.0 */

/* A free list of memory blocks of one size. One per worker and size; never shared by threads. What
 * a request needs first (receive buffer, arena) comes from here, last in first out, so it is warm
 * in the cache. */

#ifndef DML_BASE_BLOCKS_H
#define DML_BASE_BLOCKS_H

#include "base/base.h"

struct blocks {
    /* owned */
    struct block_link *free;
    /* state */
    size_t size;     /* bytes of each block */
    size_t nfree;    /* in the list */
    size_t max_free; /* beyond it a given block goes back to the heap */
    size_t nused;    /* taken and not given back */
    size_t
        ahead; /* what who takes a block is sure to write of it: so many bytes of the next free one are fetched into the
                        cache meanwhile, which among many is cold. 0 at first */
};

/* size >= sizeof(void *). max_free bounds what an idle worker holds. */
void blocks_init(struct blocks *b, size_t size, size_t max_free);

/* Frees the list. All blocks must have been given back (CHECKed). */
void blocks_deinit(struct blocks *b);

/* Never NULL. Contents are undefined; aligned to 16. */
void *blocks_take(struct blocks *b);

/* ptr must come from blocks_take of the same b. */
void blocks_give(struct blocks *b, void *ptr);

#endif
