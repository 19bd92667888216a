/* SPDX-License-Identifier: Apache-2.0 */

/* Numbers with a unit, as configurations write them: durations, sizes, ratios. */

#include "base/text.h"

#include "base/err.h"

#define MAX_DURATION_US (100 * 365 * 86400ull * 1000000)

struct unit {
    const char *name;
    uint64_t factor;
};

/* The number's length at the front of s; what follows is the unit. */
static size_t number_len(struct slice s)
{
    size_t n = 0;

    while (n < s.len && ((s.ptr[n] >= '0' && s.ptr[n] <= '9') || s.ptr[n] == '.'))
        n++;
    return n;
}

static const struct unit *find_unit(const struct unit *units, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(slice_from(units[i].name), name))
            return &units[i];
    return NULL;
}

/* digits of a decimal fraction times factor, rounded down: ".5" of 1000 is 500. */
static int fraction_of(struct slice digits, uint64_t factor, uint64_t *out)
{
    uint64_t sum = 0, scale = 1;

    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return ERR_SYNTAX;
        /* More would overflow below, and stand for less than a millisecond of a day. */
        if (i < 8) {
            sum = sum * 10 + (unsigned)(digits.ptr[i] - '0');
            scale *= 10;
        }
    }
    *out = sum * factor / scale;
    return 0;
}

int text_to_duration_us(struct slice s, uint64_t *out)
{
    static const struct unit units[] = {
        {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}, {"d", 86400000000}};
    size_t n = number_len(s);
    const struct unit *unit = find_unit(units, COUNT_OF(units), slice_from_index(s, n));
    struct slice rest = slice_sub(s, 0, n), whole, fraction = SLICE_NONE;
    uint64_t count, part;

    if (slice_eq(s, SLICE("0"))) {
        *out = 0;
        return 0;
    }
    if (!unit || !slice_split(&rest, '.', &whole))
        return ERR_SYNTAX;
    fraction = rest;
    if (fraction.ptr && fraction.len == 0)
        return ERR_SYNTAX;
    int rc = text_to_u64(whole, MAX_DURATION_US / unit->factor, &count);
    if (rc == 0)
        rc = fraction_of(fraction, unit->factor, &part);
    if (rc == 0)
        *out = count * unit->factor + part;
    return rc;
}

int text_to_size(struct slice s, uint64_t *out)
{
    static const struct unit units[] = {{"", 1},
                                        {"B", 1},
                                        {"kB", 1000},
                                        {"KB", 1000},
                                        {"MB", 1000000},
                                        {"GB", 1000000000},
                                        {"TB", 1000000000000},
                                        {"KiB", 1ull << 10},
                                        {"MiB", 1ull << 20},
                                        {"GiB", 1ull << 30},
                                        {"TiB", 1ull << 40}};
    size_t n = number_len(s);
    const struct unit *unit = find_unit(units, COUNT_OF(units), slice_from_index(s, n));
    uint64_t count;

    if (!unit)
        return ERR_SYNTAX;
    int rc = text_to_u64(slice_sub(s, 0, n), INT64_MAX / unit->factor, &count);
    if (rc == 0)
        *out = count * unit->factor;
    return rc;
}

int text_to_ratio(struct slice s, double *out)
{
    bool is_percent = slice_ends(s, SLICE("%"));
    double n;

    int rc = text_to_double(slice_sub(s, 0, s.len - is_percent), &n);
    if (rc < 0)
        return rc;
    if (is_percent)
        n /= 100;
    if (!(n >= 0 && n <= 1))
        return ERR_RANGE;
    *out = n;
    return 0;
}
