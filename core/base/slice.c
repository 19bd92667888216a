/* SPDX-License-Identifier: Apache-2.0 */

/* Text views: compare, find, split. Header names are compared without case on every request, so
 * that comparison folds eight letters at a time; list fields are walked in place, nothing here
 * allocates but slice_dup. */

#include "base/slice.h"

#include <stdlib.h>

#include "base/check.h"

#define EACH_BYTE(b) (0x0101010101010101u * (uint64_t)(b))

static uint64_t load64(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

static uint32_t load32(const char *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

/* Lower case in each byte that is an ASCII capital. Adding to the low seven bits carries into bit 7
 * exactly where a byte is at least 'A', or above 'Z'; a byte is a capital when only the first is
 * so. Bit 5 makes it small. */
static uint64_t fold(uint64_t w)
{
    uint64_t low = w & EACH_BYTE(0x7f);
    uint64_t from_a = low + EACH_BYTE(0x80 - 'A');
    uint64_t above_z = low + EACH_BYTE(0x7f - 'Z');

    return w | (((from_a & ~above_z & ~w) & EACH_BYTE(0x80)) >> 2);
}

static char fold_byte(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    size_t i = 0, n = a.len;

    if (n != b.len)
        return false;
    if (n >= 8) {
        for (; i + 8 <= n; i += 8)
            if (fold(load64(a.ptr + i)) != fold(load64(b.ptr + i)))
                return false;
        /* The rest overlaps what has been compared. */
        return fold(load64(a.ptr + n - 8)) == fold(load64(b.ptr + n - 8));
    }
    if (n >= 4)
        return fold(load32(a.ptr)) == fold(load32(b.ptr)) &&
               fold(load32(a.ptr + n - 4)) == fold(load32(b.ptr + n - 4));
    for (; i < n; i++)
        if (fold_byte(a.ptr[i]) != fold_byte(b.ptr[i]))
            return false;
    return true;
}

bool slice_has_capital(struct slice s)
{
    size_t i = 0;

    for (; i + 8 <= s.len; i += 8)
        if (fold(load64(s.ptr + i)) != load64(s.ptr + i))
            return true;
    for (; i < s.len; i++)
        if (fold_byte(s.ptr[i]) != s.ptr[i])
            return true;
    return false;
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_of(s.ptr, prefix.len), prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_eq(slice_sub(s, s.len - suffix.len, suffix.len), suffix);
}

int slice_compare(struct slice a, struct slice b)
{
    size_t n = MIN(a.len, b.len);
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;

    if (order)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

struct slice slice_from_index(struct slice s, size_t from)
{
    return slice_sub(s, from, s.len);
}

struct slice slice_sub(struct slice s, size_t from, size_t len)
{
    if (!s.ptr)
        return s;
    from = MIN(from, s.len);
    return slice_of(s.ptr + from, MIN(len, s.len - from));
}

ssize_t slice_find_char(struct slice s, char c)
{
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;

    return at ? at - s.ptr : -1;
}

ssize_t slice_find_last_char(struct slice s, char c)
{
    const char *at = s.len ? memrchr(s.ptr, c, s.len) : NULL;

    return at ? at - s.ptr : -1;
}

ssize_t slice_find(struct slice s, struct slice needle)
{
    if (needle.len == 0)
        return 0;
    const char *at = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return at ? at - s.ptr : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.len && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool slice_split(struct slice *rest, char sep, struct slice *part)
{
    if (!rest->ptr)
        return false;

    ssize_t at = slice_find_char(*rest, sep);
    if (at < 0) {
        *part = *rest;
        *rest = SLICE_NONE;
    } else {
        *part = slice_of(rest->ptr, (size_t)at);
        *rest = slice_from_index(*rest, (size_t)at + 1);
    }
    return true;
}

/* Length of the text before the next comma that is not inside a quoted string (RFC 9110, 5.6.4). */
static size_t element_len(struct slice s)
{
    bool quoted = false;

    for (size_t i = 0; i < s.len; i++) {
        if (quoted && s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == '"')
            quoted = !quoted;
        else if (s.ptr[i] == ',' && !quoted)
            return i;
    }
    return s.len;
}

bool slice_next_token(struct slice *rest, struct slice *token)
{
    while (rest->len) {
        size_t n = element_len(*rest);
        struct slice element = slice_trim(slice_sub(*rest, 0, n));

        *rest = slice_from_index(*rest, n + 1);
        if (element.len) {
            *token = element;
            return true;
        }
    }
    return false;
}

bool slice_has_token(struct slice list, struct slice token)
{
    struct slice element;

    while (slice_next_token(&list, &element))
        if (slice_eq_nocase(element, token))
            return true;
    return false;
}

char *slice_dup(struct slice s)
{
    char *copy = malloc(s.len + 1);

    REQUIRE(copy != NULL);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}
