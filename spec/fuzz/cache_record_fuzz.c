/* SPDX-License-Identifier: Apache-2.0 */

/* What Redis may say a kept response is: read, and when it is one, written and read again with the same bytes. The sum at
 * the end is made here, or nothing would get past it. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "gate/cache_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct arena *a = arena_new_heap(4096);
    char *copy = malloc(len + 8);
    struct cache_record r, again;
    struct buf out;

    REQUIRE(copy != NULL);
    if (len)
        memcpy(copy, bytes, len);
    uint64_t sum = hash_stable(slice_of(copy, len), 0);
    for (int i = 0; i < 8; i++)
        copy[len + (size_t)i] = (char)(sum >> (8 * i));
    (void)!cache_record_read(slice_of(copy, len), a, &r);
    if (cache_record_read(slice_of(copy, len + 8), a, &r) == 0) {
        buf_init(&out, SIZE_MAX);
        REQUIRE(cache_record_write(&r, &out) == 0);
        REQUIRE(cache_record_read(buf_slice(&out), a, &again) == 0);
        REQUIRE(slice_eq(r.body, again.body) && r.head.headers.n == again.head.headers.n);
        buf_deinit(&out);
    }
    free(copy);
    arena_free(a);
    return 0;
}
