/* SPDX-License-Identifier: Apache-2.0 */

/* Text coding: numbers, hex, base64, percent, HTTP dates, UTF-8, durations and sizes. Functions
 * that write to `out` need the room that their comment names and return the bytes written, or a
 * negative code. */

#ifndef DML_BASE_TEXT_H
#define DML_BASE_TEXT_H

#include <time.h>

#include "base/base.h"
#include "base/slice.h"

/* Decimal without sign, leading zeros allowed, whole text; ERR_SYNTAX, ERR_RANGE (above max). */
MUST_CHECK int text_to_u64(struct slice s, uint64_t max, uint64_t *out);
MUST_CHECK int text_to_i64(struct slice s, int64_t *out); /* may begin with '-' */
/* [-] digits [. digits] [e [+-] digits], where digits before or after the dot may be left out; no
 * inf, nan, hex. The nearest double; ERR_RANGE beyond the largest. */
MUST_CHECK int text_to_double(struct slice s, double *out);

/* Decimal digits; out needs 20 bytes. */
size_t text_from_u64(uint64_t n, char *out);
size_t text_from_i64(int64_t n, char *out);

/* The shortest text that reads back as the same finite number, without a dot for integers up to
 * 2^53. out needs TEXT_DOUBLE_SIZE bytes; not NUL-terminated. */
enum { TEXT_DOUBLE_SIZE = 32 };
size_t text_from_double(double n, char *out);

/* Lower-case hex; out needs 2 * len. Decoding takes both cases and needs len / 2. */
size_t text_hex(const void *bytes, size_t len, char *out);
ssize_t text_unhex(struct slice s, void *out);

/* A UUID (RFC 9562) of 16 bytes, in which its version and variant are set. */
enum { TEXT_UUID = 36 };
void text_uuid(uint8_t bytes[16], int version, char out[TEXT_UUID]);

/* RFC 4648. out needs text_base64_size(len). Decoding accepts missing padding only with TEXT_URL;
 * needs 3/4 len; everything else that an encoder would not have written is ERR_ENCODING. */
enum { TEXT_URL = 1, TEXT_NO_PAD = 2 };
#define TEXT_BASE64_SIZE(len) (((len) + 2) / 3 * 4)
size_t text_base64(const void *bytes, size_t len, unsigned flags, char *out);
ssize_t text_unbase64(struct slice s, unsigned flags, void *out);

/* Percent coding (RFC 3986, 2.1). Encoding keeps unreserved characters and those in `keep`; out
 * needs 3 * len. Decoding: ERR_ENCODING for a bad escape; out needs len and may be s.ptr;
 * plus_is_space for form data. */
size_t text_percent_encode(struct slice s, const char *keep, char *out);
ssize_t text_percent_decode(struct slice s, bool plus_is_space, char *out);

/* RFC 9110, 5.6.7: all three date forms are read, IMF-fixdate is written (out needs 30,
 * NUL-terminated). What is written is kept within the years 1970 to 9999. */
MUST_CHECK int text_to_http_date(struct slice s, time_t *out);
void text_http_date(time_t when, char *out);

/* "2026-11-21T13:39:35.123Z"; out needs 25, NUL-terminated. */
void text_iso_date(uint64_t wall_ms, char *out);

bool text_is_utf8(struct slice s);

/* Bytes of the UTF-8 character at s[at], 1 to 4, or 0 when what stands there is none. at <
 * s.len. */
size_t text_utf8_len(struct slice s, size_t at);

/* "250ms" "10s" "5m" "1h" "1d", "1.5s" -> microseconds; "0" -> 0; a bare number other than 0 is
 * ERR_SYNTAX, more than 100 years ERR_RANGE. */
MUST_CHECK int text_to_duration_us(struct slice s, uint64_t *out);

/* "64KiB" "1MiB" "2GiB" "1TiB", "10kB" "10MB" "1GB" "1TB" (thousands), "512B", "512" -> bytes.
 * Whole numbers only. */
MUST_CHECK int text_to_size(struct slice s, uint64_t *out);

/* "20%" or "0.2" -> 0.2; ERR_RANGE outside of 0 to 1. */
MUST_CHECK int text_to_ratio(struct slice s, double *out);

/* "did you mean": optimal string alignment distance, and the nearest of n candidates within a third
 * of the word's length (at least 1), or NULL. */
int text_distance(struct slice a, struct slice b);
const char *text_nearest(struct slice word, const char *const *candidates, size_t n);

/* RFC 9110 tchar; field value without CR, LF, NUL and other controls but HTAB. */
bool text_is_token(struct slice s);
bool text_is_field_value(struct slice s);

/* How many of the first bytes are such. */
size_t text_token_len(struct slice s);
size_t text_field_value_len(struct slice s);

#endif
