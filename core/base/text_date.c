/* SPDX-License-Identifier: Apache-2.0 */

/* Dates of HTTP and of logs. The calendar is computed here: the C library's functions depend on
 * locale and time zone, or take a lock. Years are counted from March, so that the leap day is the
 * last one of its year. */

#include "base/text.h"

#include "base/clock.h"
#include "base/err.h"

#define DAY_S 86400
#define MAX_S 253402300799 /* the last second of the year 9999 */

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";

struct date {
    int year, month, day; /* month 1 to 12 */
    int hour, minute, second;
};

/* Days since 1970-01-01 of a day in the proleptic Gregorian calendar; year >= 0. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t from_march = (month + 9) % 12;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * from_march + 2) / 5 + day - 1 - 719468;
}

static void date_from_days(int64_t days, struct date *out)
{
    int64_t n = days + 719468; /* since 0000-03-01 */
    int64_t era = n / 146097, day_of_era = n % 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * day_of_year + 2) / 153;

    out->day = (int)(day_of_year - (153 * from_march + 2) / 5 + 1);
    out->month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    out->year = (int)(year_of_era + era * 400 + (out->month <= 2));
}

static void date_from_time(int64_t when, struct date *out)
{
    int64_t second = when % DAY_S;

    date_from_days(when / DAY_S, out);
    out->hour = (int)(second / 3600);
    out->minute = (int)(second / 60 % 60);
    out->second = (int)(second % 60);
}

static char *put_number(char *out, int n, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + n % 10);
        n /= 10;
    }
    return out + digits;
}

static char *put_text(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

static char *put_clock(char *out, const struct date *d)
{
    out = put_number(out, d->hour, 2);
    *out++ = ':';
    out = put_number(out, d->minute, 2);
    *out++ = ':';
    return put_number(out, d->second, 2);
}

void text_http_date(time_t when, char *out)
{
    struct date d;

    when = MIN(MAX(when, 0), MAX_S);
    date_from_time(when, &d);
    out = put_text(out, day_names + (when / DAY_S + 4) % 7 * 3, 3);
    out = put_text(out, ", ", 2);
    out = put_number(out, d.day, 2);
    *out++ = ' ';
    out = put_text(out, month_names + (d.month - 1) * 3, 3);
    *out++ = ' ';
    out = put_number(out, d.year, 4);
    *out++ = ' ';
    out = put_clock(out, &d);
    put_text(out, " GMT", 5);
}

void text_iso_date(uint64_t wall_ms, char *out)
{
    struct date d;

    wall_ms = MIN(wall_ms, (uint64_t)MAX_S * 1000 + 999);
    date_from_time((int64_t)(wall_ms / 1000), &d);
    out = put_number(out, d.year, 4);
    *out++ = '-';
    out = put_number(out, d.month, 2);
    *out++ = '-';
    out = put_number(out, d.day, 2);
    *out++ = 'T';
    out = put_clock(out, &d);
    *out++ = '.';
    out = put_number(out, (int)(wall_ms % 1000), 3);
    put_text(out, "Z", 2);
}

/* Reading: each take_ function removes what it expects from the front of *s, or says false. */

static bool take_char(struct slice *s, char c)
{
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = slice_from_index(*s, 1);
    return true;
}

static bool take_text(struct slice *s, struct slice text)
{
    if (!slice_eq_nocase(slice_sub(*s, 0, text.len), text))
        return false;
    *s = slice_from_index(*s, text.len);
    return true;
}

static bool take_number(struct slice *s, int digits, int *out)
{
    int n = 0;

    if (s->len < (size_t)digits)
        return false;
    for (int i = 0; i < digits; i++) {
        if (s->ptr[i] < '0' || s->ptr[i] > '9')
            return false;
        n = n * 10 + (s->ptr[i] - '0');
    }
    *out = n;
    *s = slice_from_index(*s, (size_t)digits);
    return true;
}

/* Three letters as a number, whatever their case; nothing but a letter becomes one of it. */
static uint32_t letters(const char *three)
{
    return ((uint32_t)(unsigned char)three[0] << 16 | (uint32_t)(unsigned char)three[1] << 8 |
            (uint32_t)(unsigned char)three[2]) |
           0x202020;
}

/* One of n names of three letters, numbered from 1. */
static bool take_name(struct slice *s, const char *names, int n, int *out)
{
    if (s->len < 3)
        return false;
    uint32_t wanted = letters(s->ptr);
    for (int i = 0; i < n; i++) {
        if (letters(names + 3 * i) == wanted) {
            *out = i + 1;
            *s = slice_from_index(*s, 3);
            return true;
        }
    }
    return false;
}

static bool take_clock(struct slice *s, struct date *d)
{
    return take_number(s, 2, &d->hour) && take_char(s, ':') && take_number(s, 2, &d->minute) &&
           take_char(s, ':') && take_number(s, 2, &d->second);
}

/* "06 Nov 1994 08:49:37 GMT", behind "Sun, ". */
static bool take_fixdate(struct slice *s, struct date *d)
{
    return take_number(s, 2, &d->day) && take_char(s, ' ') &&
           take_name(s, month_names, 12, &d->month) && take_char(s, ' ') &&
           take_number(s, 4, &d->year) && take_char(s, ' ') && take_clock(s, d) &&
           take_text(s, SLICE(" GMT"));
}

/* RFC 9110, 5.6.7: a year that seems more than 50 years in the future is the last one with these
 * digits. */
static int full_year(int two_digits)
{
    struct date now;

    date_from_time((int64_t)(clock_wall_ms() / 1000), &now);
    int year = now.year / 100 * 100 + two_digits;
    return year > now.year + 50 ? year - 100 : year;
}

/* "day, 06-Nov-94 08:49:37 GMT", behind "Sun". */
static bool take_rfc850_date(struct slice *s, int weekday, struct date *d)
{
    static const char *const rest[] = {"", "day", "day", "sday", "nesday", "rsday", "day", "urday"};

    if (!take_text(s, slice_from(rest[weekday])) || !take_text(s, SLICE(", ")) ||
        !take_number(s, 2, &d->day) || !take_char(s, '-') ||
        !take_name(s, month_names, 12, &d->month) || !take_char(s, '-') ||
        !take_number(s, 2, &d->year) || !take_char(s, ' ') || !take_clock(s, d))
        return false;
    d->year = full_year(d->year);
    return take_text(s, SLICE(" GMT"));
}

/* "Nov  6 08:49:37 1994", behind "Sun ". */
static bool take_asctime_date(struct slice *s, struct date *d)
{
    if (!take_name(s, month_names, 12, &d->month) || !take_char(s, ' '))
        return false;
    int digits = take_char(s, ' ') ? 1 : 2;
    return take_number(s, digits, &d->day) && take_char(s, ' ') && take_clock(s, d) &&
           take_char(s, ' ') && take_number(s, 4, &d->year);
}

static bool is_real(const struct date *d)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
    int length = lengths[d->month - 1] + (d->month == 2 && is_leap);

    return d->day >= 1 && d->day <= length && d->hour < 24 && d->minute < 60 && d->second <= 60;
}

int text_to_http_date(struct slice s, time_t *out)
{
    struct date d;
    int weekday;

    if (!take_name(&s, day_names, 7, &weekday))
        return ERR_SYNTAX;
    bool ok = take_text(&s, SLICE(", ")) ? take_fixdate(&s, &d)
              : take_char(&s, ' ')       ? take_asctime_date(&s, &d)
                                         : take_rfc850_date(&s, weekday, &d);
    if (!ok || s.len || !is_real(&d))
        return ERR_SYNTAX;
    *out =
        days_from_date(d.year, d.month, d.day) * DAY_S + d.hour * 3600 + d.minute * 60 + d.second;
    return 0;
}
