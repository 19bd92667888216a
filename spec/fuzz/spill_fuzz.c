/* SPDX-License-Identifier: Apache-2.0 */

/* Segments of any bytes. What is found hangs together: records and damage are all bytes in order, but for a torn end;
 * and the readable rest, written anew, is read as the same records without any damage. The first bytes say which parts of
 * a sound segment are overwritten, so that there are records to be found. */

#include <stdlib.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "side/spill_record.h"

#define SEED 77u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

struct seen {
    const char *next; /* where the next stretch begins */
    size_t ngood, nbad;
    uint32_t sum; /* of all records */
    struct buf good;
};

static void on_good(void *arg, const struct spill_record *r, struct slice place)
{
    struct seen *s = arg;

    expect(place.ptr == s->next && place.len == SPILL_HEAD + r->event.len);
    expect(r->event.ptr == place.ptr + SPILL_HEAD && r->index < SPILL_INDEX_MAX);
    s->next += place.len;
    s->ngood++;
    s->sum = crc32c(s->sum, place);
    expect(buf_add(&s->good, place) == 0);
}

static void on_bad(void *arg, struct slice place)
{
    struct seen *s = arg;

    expect(place.ptr == s->next && place.len > 0);
    s->next += place.len;
    s->nbad++;
}

static struct seen walk(struct slice bytes)
{
    struct seen s = {.next = bytes.ptr};
    struct spill_walk w = {on_good, on_bad, &s};

    buf_init(&s.good, 64 * MIB);
    size_t end = spill_walk(bytes, SEED, &w);
    expect(end <= bytes.len && s.next == bytes.ptr + end);
    return s;
}

static void on_strike(void *arg, uint32_t first, uint32_t count)
{
    (void)arg;
    expect(first < SPILL_INDEX_MAX && first + count <= SPILL_INDEX_MAX);
}

static void check(struct slice bytes)
{
    struct seen first = walk(bytes);
    struct seen again = walk(buf_slice(&first.good));

    expect(again.ngood == first.ngood && again.nbad == 0 && again.sum == first.sum);
    spill_strikes_walk(bytes, SEED, on_strike, NULL);
    buf_deinit(&first.good);
    buf_deinit(&again.good);
}

/* A sound segment, into which the rest is laid at places that it says itself. */
static void check_damaged(struct slice bytes)
{
    char segment[40 * (SPILL_HEAD + 16)];
    size_t len = 0;

    for (uint32_t i = 0; i < 40 && i < bytes.len; i++) {
        size_t event = (uint8_t)bytes.ptr[i] % 16;
        memset(segment + len + SPILL_HEAD, 'e', event);
        spill_seal(segment + len, event, i, i, SEED);
        len += SPILL_HEAD + event;
    }
    for (size_t i = 40; i + 4 < bytes.len && len > 0; i += 4) {
        size_t at = ((uint8_t)bytes.ptr[i] * 256u + (uint8_t)bytes.ptr[i + 1]) % len;
        segment[at] = bytes.ptr[i + 2];
    }
    check(slice_of(segment, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice all = slice_of((const char *)bytes, len);

    check(all);
    check_damaged(all);
    return 0;
}
