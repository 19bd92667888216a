/* SPDX-License-Identifier: Apache-2.0 */

/* Characters and plain codings: hex, percent, UTF-8, tokens, and how near two words are. Numbers,
 * base64, dates and units have files of their own (text_number.c, text_base64.c, text_date.c,
 * text_unit.c). */

#include "base/text.h"

#include <endian.h>
#include <stdlib.h>

#include "base/err.h"

static const char hex_digits[] = "0123456789abcdef";

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t text_hex(const void *bytes, size_t len, char *out)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex_digits[p[i] >> 4];
        out[2 * i + 1] = hex_digits[p[i] & 15];
    }
    return 2 * len;
}

void text_uuid(uint8_t bytes[16], int version, char out[TEXT_UUID])
{
    static const uint8_t lengths[] = {4, 2, 2, 2, 6};

    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        if (i > 0)
            *out++ = '-';
        out += text_hex(bytes, lengths[i], out);
        bytes += lengths[i];
    }
}

/* Two digits at p as a byte, or -1. */
static int hex_pair(const char *p)
{
    int high = hex_value(p[0]), low = hex_value(p[1]);

    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

ssize_t text_unhex(struct slice s, void *out)
{
    uint8_t *p = out;

    if (s.len % 2)
        return ERR_ENCODING;
    for (size_t i = 0; i < s.len; i += 2) {
        int byte = hex_pair(s.ptr + i);
        if (byte < 0)
            return ERR_ENCODING;
        *p++ = (uint8_t)byte;
    }
    return (ssize_t)(s.len / 2);
}

static bool is_alnum(char c)
{
    char small = c | 0x20;

    return (c >= '0' && c <= '9') || (small >= 'a' && small <= 'z');
}

/* A member of `set`; NUL, which ends the set, is none. */
static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

size_t text_percent_encode(struct slice s, const char *keep, char *out)
{
    char *p = out;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (is_alnum(c) || is_one_of(c, "-._~") || is_one_of(c, keep)) {
            *p++ = c;
        } else {
            *p++ = '%';
            *p++ = "0123456789ABCDEF"[(uint8_t)c >> 4];
            *p++ = "0123456789ABCDEF"[(uint8_t)c & 15];
        }
    }
    return (size_t)(p - out);
}

ssize_t text_percent_decode(struct slice s, bool plus_is_space, char *out)
{
    char *p = out;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            int byte = s.len - i > 2 ? hex_pair(s.ptr + i + 1) : -1;
            if (byte < 0)
                return ERR_ENCODING;
            c = (char)byte;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        *p++ = c;
    }
    return p - out;
}

static bool is_tail(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* RFC 3629, 4: the second byte's range shuts out overlong forms, surrogates and what is above
 * U+10FFFF. */
size_t text_utf8_len(struct slice s, size_t at)
{
    const uint8_t *p = (const uint8_t *)s.ptr + at;
    size_t left = s.len - at;
    uint8_t c = p[0];

    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    if (c < 0xe0)
        return left >= 2 && is_tail(p[1]) ? 2 : 0;
    if (c < 0xf0) {
        uint8_t min = c == 0xe0 ? 0xa0 : 0x80, max = c == 0xed ? 0x9f : 0xbf;
        return left >= 3 && p[1] >= min && p[1] <= max && is_tail(p[2]) ? 3 : 0;
    }
    uint8_t min = c == 0xf0 ? 0x90 : 0x80, max = c == 0xf4 ? 0x8f : 0xbf;
    return left >= 4 && p[1] >= min && p[1] <= max && is_tail(p[2]) && is_tail(p[3]) ? 4 : 0;
}

static bool is_ascii_word(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return (w & 0x8080808080808080u) == 0;
}

bool text_is_utf8(struct slice s)
{
    for (size_t i = 0; i < s.len;) {
        if (s.len - i >= 8 && is_ascii_word(s.ptr + i)) {
            i += 8;
            continue;
        }
        size_t n = text_utf8_len(s, i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static int min3(int a, int b, int c)
{
    return MIN(MIN(a, b), c);
}

#define MAX_WORD 64

/* Three rows of the usual table: a transposition looks two rows back. Longer texts are no words:
 * they are as far apart as the longer one is long. */
int text_distance(struct slice a, struct slice b)
{
    int rows[3][MAX_WORD + 1];
    int *above2 = rows[0], *above = rows[1], *row = rows[2];

    if (a.len > MAX_WORD || b.len > MAX_WORD)
        return slice_eq(a, b) ? 0 : (int)MIN(MAX(a.len, b.len), (size_t)INT32_MAX);
    for (size_t j = 0; j <= b.len; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= a.len; i++) {
        int *recycled = above2;
        above2 = above;
        above = row;
        row = recycled;
        row[0] = (int)i;
        for (size_t j = 1; j <= b.len; j++) {
            int replace = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, replace);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
                row[j] = MIN(row[j], above2[j - 2] + 1);
        }
    }
    return row[b.len];
}

const char *text_nearest(struct slice word, const char *const *candidates, size_t n)
{
    const char *nearest = NULL;
    int limit = (int)MAX(MIN(word.len, MAX_WORD) / 3, 1u);

    for (size_t i = 0; i < n; i++) {
        int distance = text_distance(word, slice_from(candidates[i]));
        if (distance <= limit) {
            nearest = candidates[i];
            limit = distance - 1;
        }
    }
    return nearest;
}

static const bool is_tchar[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,  ['#'] = true,
    ['$'] = true,         ['%'] = true,         ['&'] = true,         ['\''] = true, ['*'] = true,
    ['+'] = true,         ['-'] = true,         ['.'] = true,         ['^'] = true,  ['_'] = true,
    ['`'] = true,         ['|'] = true,         ['~'] = true,
};

size_t text_token_len(struct slice s)
{
    size_t i = 0;

    while (i < s.len && is_tchar[(uint8_t)s.ptr[i]])
        i++;
    return i;
}

bool text_is_token(struct slice s)
{
    return s.len > 0 && text_token_len(s) == s.len;
}

#define EACH_BYTE(n) (UINT64_C(0x0101010101010101) * (n))

/* For eight bytes at a time: the high bits of those below ' ' and of DEL. A byte above one that is found may be told
 * wrongly, since a borrow ran into it. */
static uint64_t controls_of(uint64_t word)
{
    uint64_t below = word - EACH_BYTE(0x20), del = (word ^ EACH_BYTE(0x7f)) - EACH_BYTE(1);

    return (below | del) & ~word & EACH_BYTE(0x80);
}

size_t text_field_value_len(struct slice s)
{
    size_t i = 0;

    for (uint64_t word; i + 8 <= s.len;) {
        memcpy(&word, s.ptr + i, 8);
        uint64_t found = controls_of(le64toh(word));
        i += found ? (size_t)__builtin_ctzll(found) / 8 : 8;
        if (found && s.ptr[i++] != '\t')
            return i - 1;
    }
    for (; i < s.len; i++) {
        uint8_t c = (uint8_t)s.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            break;
    }
    return i;
}

bool text_is_field_value(struct slice s)
{
    return text_field_value_len(s) == s.len;
}
