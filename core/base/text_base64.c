/* SPDX-License-Identifier: Apache-2.0 */

/* Base64 (RFC 4648) in both alphabets. Decoding is strict: one text for one value, so a token
 * cannot be written in two ways. That means no blanks, no stray padding, and zero in the bits that
 * the last character has too many. */

#include "base/text.h"

#include "base/err.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t text_base64(const void *bytes, size_t len, unsigned flags, char *out)
{
    const char *alphabet = flags & TEXT_URL ? url_safe : standard;
    const uint8_t *p = bytes;
    char *o = out;
    size_t i = 0;

    for (; i + 3 <= len; i += 3) {
        uint32_t w = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        *o++ = alphabet[w >> 18];
        *o++ = alphabet[w >> 12 & 63];
        *o++ = alphabet[w >> 6 & 63];
        *o++ = alphabet[w & 63];
    }
    size_t left = len - i;
    if (left > 0) {
        uint32_t w = (uint32_t)p[i] << 16 | (left == 2 ? (uint32_t)p[i + 1] << 8 : 0);
        *o++ = alphabet[w >> 18];
        *o++ = alphabet[w >> 12 & 63];
        if (left == 2)
            *o++ = alphabet[w >> 6 & 63];
        if (!(flags & TEXT_NO_PAD))
            for (; left < 3; left++)
                *o++ = '=';
    }
    return (size_t)(o - out);
}

/* What letters and digits stand for in both alphabets. */
/* clang-format off */
static const int8_t common[128] = {
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
    -1,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, -1,
    -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
};
/* clang-format on */

static int value_of(char c, bool is_url)
{
    int v = c >= 0 ? common[(uint8_t)c] : -1;

    if (LIKELY(v >= 0))
        return v;
    if (c == (is_url ? '-' : '+'))
        return 62;
    return c == (is_url ? '_' : '/') ? 63 : -1;
}

/* n characters at p, first the highest, as a number of 6 * n bits; -1 when one is foreign. */
static int32_t group(const char *p, size_t n, bool is_url)
{
    int32_t w = 0;

    for (size_t i = 0; i < n; i++) {
        int v = value_of(p[i], is_url);
        if (v < 0)
            return -1;
        w = w << 6 | v;
    }
    return w;
}

/* The text without its padding; ERR_ENCODING when that is not as it should be. */
static int strip_padding(struct slice *s, bool is_url)
{
    size_t whole = s->len, pad = 0;

    while (pad < 2 && s->len && s->ptr[s->len - 1] == '=') {
        s->len--;
        pad++;
    }
    if (pad > 0 || !is_url)
        return whole % 4 == 0 ? 0 : ERR_ENCODING;
    return 0;
}

ssize_t text_unbase64(struct slice s, unsigned flags, void *out)
{
    bool is_url = flags & TEXT_URL;
    uint8_t *o = out;
    size_t i = 0;

    if (strip_padding(&s, is_url) < 0)
        return ERR_ENCODING;
    for (; i + 4 <= s.len; i += 4) {
        int32_t w = group(s.ptr + i, 4, is_url);
        if (w < 0)
            return ERR_ENCODING;
        *o++ = (uint8_t)(w >> 16);
        *o++ = (uint8_t)(w >> 8);
        *o++ = (uint8_t)w;
    }
    size_t left = s.len - i;
    if (left > 0) {
        int32_t w = group(s.ptr + i, left, is_url);
        int spare = left == 3 ? 2 : 4; /* bits beyond the last whole byte */
        if (left == 1 || w < 0 || w & ((1 << spare) - 1))
            return ERR_ENCODING;
        w >>= spare;
        if (left == 3)
            *o++ = (uint8_t)(w >> 8);
        *o++ = (uint8_t)w;
    }
    return o - (uint8_t *)out;
}
