/* SPDX-License-Identifier: Apache-2.0 */

/* Pointer + length views of text owned elsewhere. Not NUL-terminated. A slice with ptr NULL is
 * "absent"; one with len 0 and a pointer is "empty". */

#ifndef DML_BASE_SLICE_H
#define DML_BASE_SLICE_H

#include <string.h>

#include "base/base.h"

struct slice {
    const char *ptr;
    size_t len;
};

#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
/* For printf("%.*s"). */
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *ptr, size_t len)
{
    return (struct slice){ptr, len};
}

/* From a NUL-terminated text; NULL gives SLICE_NONE. */
static inline struct slice slice_from(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Copies s to `out`, where there is room for it, and returns the end of the copy. Inline, because
 * the texts that heads are made of are shorter than what a call of memcpy is worth: two copies of
 * a fixed size, which may overlap, do for all lengths between it and its double. */
static inline char *slice_put(char *out, struct slice s)
{
    char *end = out + s.len;

    if (s.len > 32) {
        memcpy(out, s.ptr, s.len);
    } else if (s.len >= 16) {
        memcpy(out, s.ptr, 16);
        memcpy(end - 16, s.ptr + s.len - 16, 16);
    } else if (s.len >= 8) {
        memcpy(out, s.ptr, 8);
        memcpy(end - 8, s.ptr + s.len - 8, 8);
    } else if (s.len >= 4) {
        memcpy(out, s.ptr, 4);
        memcpy(end - 4, s.ptr + s.len - 4, 4);
    } else if (s.len >= 2) {
        memcpy(out, s.ptr, 2);
        memcpy(end - 2, s.ptr + s.len - 2, 2);
    } else if (s.len == 1) {
        *out = *s.ptr;
    }
    return end;
}

/* ASCII letters only (RFC 9110, 5.1: field names). */
bool slice_eq_nocase(struct slice a, struct slice b);

bool slice_has_capital(struct slice s);

bool slice_starts(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);

/* <0, 0, >0 like memcmp, the shorter first. */
int slice_compare(struct slice a, struct slice b);

/* From `from` to the end; beyond the end gives an empty slice. */
struct slice slice_from_index(struct slice s, size_t from);
struct slice slice_sub(struct slice s, size_t from, size_t len);

/* Index of the first c / needle, or -1. */
ssize_t slice_find_char(struct slice s, char c);
ssize_t slice_find_last_char(struct slice s, char c);
ssize_t slice_find(struct slice s, struct slice needle);

/* Without leading and trailing SP and HTAB. */
struct slice slice_trim(struct slice s);

/* Takes the text before the next `sep` out of *rest into *part and moves *rest behind it. False
 * when *rest is absent. The last part leaves *rest absent, so "a," gives "a" and "". */
bool slice_split(struct slice *rest, char sep, struct slice *part);

/* Next element of a comma-separated list field (RFC 9110, 5.6.1), quoted strings respected,
 * trimmed, empty elements skipped. False at the end. */
bool slice_next_token(struct slice *rest, struct slice *token);

/* True when the list field `list` has `token`, compared without case. */
bool slice_has_token(struct slice list, struct slice token);

/* A heap copy, NUL-terminated; the caller frees it. */
char *slice_dup(struct slice s);

#endif
