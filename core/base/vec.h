/* SPDX-License-Identifier: Apache-2.0 */

/* Typed growable array on the heap: struct { T *items; size_t n, cap; } made by VEC(T). Grows by
 * doubling; allocation of what the program itself chooses cannot fail. */

#ifndef DML_BASE_VEC_H
#define DML_BASE_VEC_H

#include <stdlib.h>

#include "base/base.h"
#include "base/check.h"

#define VEC(T) \
    struct { \
        T *items; \
        size_t n, cap; \
    }

#define vec_push(v, ...) (vec_reserve_one(v), (v)->items[(v)->n++] = (__VA_ARGS__))
#define vec_pop(v) ((v)->items[--(v)->n])
#define vec_free(v) (free((v)->items), (v)->items = NULL, (v)->n = (v)->cap = 0)

#define vec_reserve_one(v) \
    ((v)->n < (v)->cap \
         ? (void)0 \
         : (void)((v)->items = vec_grow((v)->items, &(v)->cap, sizeof((v)->items[0]))))

static inline void *vec_grow(void *items, size_t *cap, size_t size)
{
    *cap = *cap ? *cap * 2 : 8;
    void *p = reallocarray(items, *cap, size);
    REQUIRE(p != NULL);
    return p;
}

#endif
