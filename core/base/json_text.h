/* SPDX-License-Identifier: Apache-2.0 */

/* The one question about text that json.c and json_read.c both ask, most of their time: how far do
 * the bytes stand for themselves? Eight are judged at once. Nobody else includes this. */

#ifndef DML_BASE_JSON_TEXT_H
#define DML_BASE_JSON_TEXT_H

#include "base/slice.h"
#include "base/text.h"

#define JSON_EACH_BYTE(b) (0x0101010101010101u * (uint64_t)(b))

/* True when none of the 8 bytes at p is a control, a quote, a backslash or not ASCII. Subtracting
 * borrows into bit 7 of a byte below the subtrahend; a borrow reaches the next byte only where
 * something has been found already. */
static inline bool json_are_plain(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    uint64_t quotes = w ^ JSON_EACH_BYTE('"'), slashes = w ^ JSON_EACH_BYTE('\\');
    uint64_t found = (w - JSON_EACH_BYTE(0x20)) | (quotes - JSON_EACH_BYTE(1)) |
                     (slashes - JSON_EACH_BYTE(1)) | w;
    return (found & JSON_EACH_BYTE(0x80)) == 0;
}

/* From `i` on, the index of the first control, quote, backslash or byte that is no UTF-8. */
static inline size_t json_run_end(struct slice s, size_t i)
{
    while (i < s.len) {
        if (s.len - i >= 8 && json_are_plain(s.ptr + i)) {
            i += 8;
            continue;
        }
        uint8_t c = (uint8_t)s.ptr[i];
        if (c < 0x20 || c == '"' || c == '\\')
            break;
        size_t n = c < 0x80 ? 1 : text_utf8_len(s, i);
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

#endif
