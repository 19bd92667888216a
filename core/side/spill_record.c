/* SPDX-License-Identifier: Apache-2.0 */

/* Behind damage the next record is looked for by its mark. A client may have put many marks into an event, and each is
 * worth a checksum over what it claims for a length; so the work that this may take is bounded by the size of the file,
 * and what is not looked at any more counts as damaged. */

#include "side/spill_record.h"

#include "base/crc32c.h"
#include "base/err.h"

#define MARK 0x3147b5e5u /* e5 b5 47: no UTF-8 text has these bytes */
#define PATIENCE 8       /* checksums over so many times the file */

struct head {
    uint32_t mark, checksum, length, index;
    uint64_t at_ms;
};
_Static_assert(sizeof(struct head) == SPILL_HEAD, "the head has no gaps");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they are");

#define SUMMED offsetof(struct head, length) /* the checksum is over what stands from here on */

uint32_t spill_seed(struct slice file_name)
{
    return crc32c(0, file_name);
}

void spill_reserve(char *record, size_t length)
{
    struct head h = {.length = (uint32_t)length};

    memcpy(record, &h, sizeof(h));
}

size_t spill_reserved(const char *record)
{
    struct head h;

    memcpy(&h, record, sizeof(h));
    return h.length;
}

void spill_seal(char *record, size_t length, uint32_t index, uint64_t at_ms, uint32_t seed)
{
    struct head h = {.mark = MARK, .length = (uint32_t)length, .index = index, .at_ms = at_ms};

    memcpy(record, &h, sizeof(h));
    h.checksum = crc32c(seed, slice_of(record + SUMMED, SPILL_HEAD - SUMMED + length));
    memcpy(record, &h, sizeof(h));
}

ssize_t spill_look(struct slice bytes, uint32_t seed, struct spill_record *out, size_t *needed)
{
    struct head h;

    *needed = SPILL_HEAD;
    if (bytes.len < SPILL_HEAD)
        return ERR_AGAIN;
    memcpy(&h, bytes.ptr, sizeof(h));
    if (h.mark != MARK || h.length > SPILL_EVENT_MAX || h.index >= SPILL_INDEX_MAX)
        return ERR_SYNTAX;
    size_t whole = SPILL_HEAD + h.length;
    *needed = whole;
    if (bytes.len < whole)
        return ERR_AGAIN;
    if (crc32c(seed, slice_of(bytes.ptr + SUMMED, whole - SUMMED)) != h.checksum)
        return ERR_SYNTAX;
    *out = (struct spill_record){
        .event = slice_of(bytes.ptr + SPILL_HEAD, h.length), .index = h.index, .at_ms = h.at_ms};
    return (ssize_t)whole;
}

/* Where the next record begins behind `from`; the end when there is none. */
static size_t find_record(struct slice bytes, size_t from, uint32_t seed, size_t *work)
{
    static const uint32_t mark = MARK;
    struct spill_record r;
    size_t needed;

    while (*work > 0) {
        struct slice rest = slice_from_index(bytes, from);
        const char *hit = memmem(rest.ptr, rest.len, &mark, sizeof(mark));
        if (!hit)
            break;
        from = (size_t)(hit - bytes.ptr);
        if (spill_look(slice_from_index(bytes, from), seed, &r, &needed) > 0)
            return from;
        if (needed <= bytes.len - from)
            *work -= MIN(*work, needed);
        from++;
    }
    return bytes.len;
}

size_t spill_find(struct slice bytes, size_t from, uint32_t seed)
{
    size_t work = PATIENCE * bytes.len;

    return from < bytes.len ? find_record(bytes, from, seed, &work) : bytes.len;
}

static bool is_zeros(struct slice s)
{
    return s.len > 0 && s.ptr[0] == 0 && memcmp(s.ptr, s.ptr + 1, s.len - 1) == 0;
}

/* What lies at the end without a record behind it: is it one that was being written? */
static bool is_torn(struct slice rest)
{
    uint32_t mark = MARK;
    struct head h;

    if (rest.len < SPILL_HEAD)
        return is_zeros(rest) || memcmp(rest.ptr, &mark, MIN(rest.len, sizeof(mark))) == 0;
    memcpy(&h, rest.ptr, sizeof(h));
    return is_zeros(rest) || (h.mark == MARK && h.length <= SPILL_EVENT_MAX &&
                              rest.len < SPILL_HEAD + (size_t)h.length);
}

size_t spill_walk(struct slice bytes, uint32_t seed, const struct spill_walk *walk)
{
    size_t at = 0, work = PATIENCE * bytes.len, needed;
    struct spill_record r;

    while (at < bytes.len) {
        struct slice rest = slice_from_index(bytes, at);
        ssize_t len = spill_look(rest, seed, &r, &needed);
        if (len > 0) {
            walk->good(walk->arg, &r, slice_of(rest.ptr, (size_t)len));
            at += (size_t)len;
            continue;
        }
        size_t next = find_record(bytes, at + 1, seed, &work);
        if (next == bytes.len && is_torn(rest))
            break;
        walk->bad(walk->arg, slice_of(rest.ptr, next - at));
        at = next;
    }
    return at;
}

void spill_strike_seal(char out[SPILL_STRIKE], uint32_t first, uint32_t count, uint32_t seed)
{
    uint32_t words[3] = {first, count, 0};

    words[2] = crc32c(seed, slice_of((const char *)words, 2 * sizeof(words[0])));
    memcpy(out, words, sizeof(words));
}

void spill_strikes_walk(struct slice bytes, uint32_t seed,
                        void (*fn)(void *arg, uint32_t first, uint32_t count), void *arg)
{
    uint32_t words[3];

    for (size_t at = 0; at + SPILL_STRIKE <= bytes.len; at += SPILL_STRIKE) {
        memcpy(words, bytes.ptr + at, sizeof(words));
        uint32_t sum = crc32c(seed, slice_of((const char *)words, 2 * sizeof(words[0])));
        if (sum == words[2] && words[0] < SPILL_INDEX_MAX && words[1] <= SPILL_INDEX_MAX - words[0])
            fn(arg, words[0], words[1]);
    }
}
