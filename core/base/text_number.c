/* SPDX-License-Identifier: Apache-2.0 */

/* Decimal numbers, whole and with a fraction. The C library reads and writes what is hard; here are
 * the grammar (strtod takes far too much), the easy cases, which are nearly all, and the search for
 * the shortest text. */

#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

#define MAX_EXACT 9007199254740992 /* 2^53 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int text_to_u64(struct slice s, uint64_t max, uint64_t *out)
{
    size_t i = 0, sure = MIN(s.len, 19u); /* so many digits fit, whatever they are */
    uint64_t n = 0;
    bool is_over = false;

    if (s.len == 0)
        return ERR_SYNTAX;
    for (; i < sure; i++) {
        if (!is_digit(s.ptr[i]))
            return ERR_SYNTAX;
        n = n * 10 + (unsigned)(s.ptr[i] - '0');
    }
    for (; i < s.len; i++) {
        if (!is_digit(s.ptr[i]))
            return ERR_SYNTAX;
        is_over |= __builtin_mul_overflow(n, 10, &n);
        is_over |= __builtin_add_overflow(n, (unsigned)(s.ptr[i] - '0'), &n);
    }
    if (is_over || n > max)
        return ERR_RANGE;
    *out = n;
    return 0;
}

int text_to_i64(struct slice s, int64_t *out)
{
    bool is_negative = s.len && s.ptr[0] == '-';
    uint64_t n;

    int rc = text_to_u64(slice_from_index(s, is_negative), (uint64_t)INT64_MAX + is_negative, &n);
    if (rc == 0)
        *out = is_negative ? (int64_t)(0 - n) : (int64_t)n;
    return rc;
}

/* Two digits at a time. */
static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

static size_t digits_of(uint64_t n)
{
    size_t len = 1;

    for (; n >= 100; n /= 100)
        len += 2;
    return len + (n >= 10);
}

size_t text_from_u64(uint64_t n, char *out)
{
    size_t len = digits_of(n), i = len;

    for (; n >= 100; n /= 100)
        memcpy(out + (i -= 2), digit_pairs + 2 * (n % 100), 2);
    if (n >= 10)
        memcpy(out, digit_pairs + 2 * n, 2);
    else
        *out = (char)('0' + n);
    return len;
}

size_t text_from_i64(int64_t n, char *out)
{
    if (n >= 0)
        return text_from_u64((uint64_t)n, out);
    *out = '-';
    return 1 + text_from_u64(0 - (uint64_t)n, out + 1);
}

/* What the grammar finds: value = digits * 10^exponent when it is `easy`. */
struct decimal {
    uint64_t digits;
    int ndigits; /* significant ones */
    int exponent;
    bool is_negative;
};

/* Digits from s[*i] on are added to d; returns how many there were. */
static size_t scan_digits(struct slice s, size_t *i, struct decimal *d)
{
    size_t from = *i;

    for (; *i < s.len && is_digit(s.ptr[*i]); (*i)++) {
        if (d->ndigits > 0 || s.ptr[*i] != '0')
            d->ndigits += d->ndigits < 100;
        if (d->ndigits < 19)
            d->digits = d->digits * 10 + (unsigned)(s.ptr[*i] - '0');
    }
    return *i - from;
}

static int scan_exponent(struct slice s, size_t *i, int *exponent)
{
    struct decimal d = {0};

    if (*i == s.len || (s.ptr[*i] | 0x20) != 'e')
        return 0;
    (*i)++;
    if (*i < s.len && (s.ptr[*i] == '+' || s.ptr[*i] == '-'))
        d.is_negative = s.ptr[(*i)++] == '-';
    if (scan_digits(s, i, &d) == 0)
        return ERR_SYNTAX;
    /* Large ones are not easy anyway: all that matters is that they stay large. */
    int n = d.ndigits > 6 ? 1000000 : (int)d.digits;
    *exponent += d.is_negative ? -n : n;
    return 0;
}

static int scan(struct slice s, struct decimal *d)
{
    size_t i = 0;

    *d = (struct decimal){.is_negative = s.len && s.ptr[0] == '-'};
    i += d->is_negative;
    size_t n = scan_digits(s, &i, d);
    if (i < s.len && s.ptr[i] == '.') {
        i++;
        size_t nfraction = scan_digits(s, &i, d);
        n += nfraction;
        d->exponent = -(int)MIN(nfraction, 1000u);
    }
    if (n == 0 || scan_exponent(s, &i, &d->exponent) < 0)
        return ERR_SYNTAX;
    return i == s.len ? 0 : ERR_SYNTAX;
}

static const double powers_of_10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Both factors are exact doubles, so the one operation rounds correctly (Clinger's fast path). */
static bool to_double_easily(const struct decimal *d, double *out)
{
    int e = abs(d->exponent);

    if (d->ndigits > 18 || d->digits > MAX_EXACT || e >= (int)COUNT_OF(powers_of_10))
        return false;
    double n = (double)d->digits;
    n = d->exponent < 0 ? n / powers_of_10[e] : n * powers_of_10[e];
    *out = d->is_negative ? -n : n;
    return true;
}

int text_to_double(struct slice s, double *out)
{
    struct decimal d;
    char small[64];

    int rc = scan(s, &d);
    if (rc < 0 || to_double_easily(&d, out))
        return rc;

    /* strtod wants a NUL. */
    char *text = s.len < sizeof(small) ? small : slice_dup(s);
    if (text == small) {
        memcpy(small, s.ptr, s.len);
        small[s.len] = '\0';
    }
    double n = strtod(text, NULL);
    if (text != small)
        free(text);
    if (isinf(n))
        return ERR_RANGE;
    *out = n;
    return 0;
}

/* Up to six digits behind the dot, which is most of what people measure: if a decimal number of at
 * most 15 digits reads as n, it is the text that the search below would find. 0: not so. */
static size_t from_short_fraction(double n, char *out)
{
    double size = fabs(n), scale = 10;
    int ndigits = 1;

    if (!(size >= 1e-4 && size < 1e9))
        return 0;
    while (ndigits < 6 && rint(size * scale) / scale != size) {
        ndigits++;
        scale *= 10;
    }
    if (rint(size * scale) / scale != size)
        return 0;
    uint64_t digits = (uint64_t)rint(size * scale), whole = digits / (uint64_t)scale;
    uint64_t fraction = digits % (uint64_t)scale;
    size_t len = 0;
    if (n < 0)
        out[len++] = '-';
    len += text_from_u64(whole, out + len);
    out[len++] = '.';
    for (int i = ndigits - 1; i >= 0; i--, fraction /= 10)
        out[len + (size_t)i] = (char)('0' + fraction % 10);
    return len + (size_t)ndigits;
}

size_t text_from_double(double n, char *out)
{
    if (n == trunc(n) && fabs(n) <= MAX_EXACT && !(n == 0 && signbit(n)))
        return text_from_i64((int64_t)n, out);

    size_t short_len = from_short_fraction(n, out);
    if (short_len > 0)
        return short_len;
    for (int precision = 15;; precision++) {
        int len = snprintf(out, TEXT_DOUBLE_SIZE, "%.*g", precision, n);
        if (precision == 17 || strtod(out, NULL) == n)
            return (size_t)len;
    }
}
