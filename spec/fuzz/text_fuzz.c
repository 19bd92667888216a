/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes through each coding of base/text: what is accepted and written again says the same, and
 * numbers agree with the C library. */

#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_date(struct slice s)
{
    time_t when, again;
    char text[30];

    if (text_to_http_date(s, &when) < 0)
        return;
    REQUIRE(when > -62200000000 && when < 253402300800);
    if (when < 0)
        return;
    text_http_date(when, text);
    REQUIRE(text_to_http_date(slice_from(text), &again) == 0);
    REQUIRE(again == when);
}

/* Base64 and hex have one text for each value. */
static void check_bytes(struct slice s, char *decoded, char *coded)
{
    for (unsigned flags = 0; flags <= TEXT_URL; flags++) {
        ssize_t n = text_unbase64(s, flags, decoded);
        if (n < 0)
            continue;
        REQUIRE((size_t)n <= s.len * 3 / 4);
        unsigned no_pad = s.len % 4 ? TEXT_NO_PAD : 0;
        REQUIRE(
            slice_eq(slice_of(coded, text_base64(decoded, (size_t)n, flags | no_pad, coded)), s));
    }
    ssize_t n = text_unhex(s, decoded);
    if (n >= 0)
        REQUIRE(slice_eq_nocase(slice_of(coded, text_hex(decoded, (size_t)n, coded)), s));
}

static void check_percent(struct slice s, char *decoded, char *coded)
{
    ssize_t n = text_percent_decode(s, false, decoded);

    REQUIRE(n <= (ssize_t)s.len);
    size_t len = text_percent_encode(s, "/", coded);
    REQUIRE(len <= 3 * s.len);
    REQUIRE(text_percent_decode(slice_of(coded, len), true, coded) == (ssize_t)s.len);
    REQUIRE(slice_eq(slice_of(coded, s.len), s));
}

static void check_number(struct slice s)
{
    double n, again;
    char text[TEXT_DOUBLE_SIZE];

    if (text_to_double(s, &n) < 0)
        return;
    char *copy = slice_dup(s);
    double expected = strtod(copy, NULL);
    REQUIRE(memcmp(&n, &expected, sizeof(n)) == 0);
    free(copy);
    REQUIRE(text_to_double(slice_of(text, text_from_double(n, text)), &again) == 0);
    REQUIRE(memcmp(&n, &again, sizeof(n)) == 0);
}

static void check_units(struct slice s)
{
    uint64_t n;
    int64_t i;
    double ratio;

    if (text_to_duration_us(s, &n) == 0)
        REQUIRE(n <= 36501 * 86400000000);
    if (text_to_size(s, &n) == 0)
        REQUIRE(n <= INT64_MAX);
    if (text_to_ratio(s, &ratio) == 0)
        REQUIRE(ratio >= 0 && ratio <= 1);
    if (text_to_i64(s, &i) == 0) {
        char *copy = slice_dup(s);
        REQUIRE(strtoll(copy, NULL, 10) == i);
        free(copy);
    }
}

static void check_words(struct slice s)
{
    size_t half = s.len / 2;
    /* Not long: the table of distances would be most of the work. */
    struct slice a = slice_sub(s, 0, MIN(half, 12)), b = slice_sub(s, half, 12);

    REQUIRE(text_distance(a, b) == text_distance(b, a));
    REQUIRE((text_distance(a, b) == 0) == slice_eq(a, b));
    (void)text_is_utf8(s);
    if (text_is_token(s))
        REQUIRE(text_is_field_value(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct slice s = slice_of((const char *)bytes, size);
    /* Exactly the room that the header asks for, so that the sanitizer sees one byte more. */
    char *decoded = malloc(size), *coded = malloc(3 * size);

    check_date(s);
    check_bytes(s, decoded, coded);
    check_percent(s, decoded, coded);
    check_number(s);
    check_units(s);
    check_words(s);
    free(decoded);
    free(coded);
    return 0;
}
