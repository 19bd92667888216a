/* SPDX-License-Identifier: Apache-2.0 */

#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "support/expect.h"

static void the_three_forms_are_one_time(void **state)
{
    static const char *const forms[] = {
        "Sun, 06 Nov 1994 08:49:37 GMT", "sUN, 06 nov 1994 08:49:37 gmt",
        "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        time_t when = 0;
        assert_int_equal(text_to_http_date(slice_from(forms[i]), &when), 0);
        assert_int_equal(when, 784111777);
    }
}

static void dates_agree_with_the_c_library(void **state)
{
    char ours[30], theirs[30], iso[25];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        time_t when = (time_t)(rand_u64() % 253402300800), back;
        struct tm tm;
        gmtime_r(&when, &tm);
        strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        text_http_date(when, ours);
        assert_string_equal(ours, theirs);
        assert_int_equal(text_to_http_date(slice_from(ours), &back), 0);
        assert_int_equal(back, when);

        strftime(theirs, sizeof(theirs), "%a %b %e %H:%M:%S %Y", &tm);
        assert_int_equal(text_to_http_date(slice_from(theirs), &back), 0);
        assert_int_equal(back, when);

        strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%S.007Z", &tm);
        text_iso_date((uint64_t)when * 1000 + 7, iso);
        assert_string_equal(iso, theirs);
    }
}

static void every_weekday_has_its_long_name(void **state)
{
    static const char *const good[] = {
        "Monday, 07-Nov-94 08:49:37 GMT",    "Tuesday, 08-Nov-94 08:49:37 GMT",
        "Wednesday, 09-Nov-94 08:49:37 GMT", "Thursday, 10-Nov-94 08:49:37 GMT",
        "Friday, 11-Nov-94 08:49:37 GMT",    "Saturday, 12-Nov-94 08:49:37 GMT",
        "Sunday, 13-Nov-94 08:49:37 GMT"};

    (void)state;
    for (int i = 0; i < 7; i++) {
        time_t when;
        assert_int_equal(text_to_http_date(slice_from(good[i]), &when), 0);
        assert_int_equal(when, 784111777 + (i + 1) * 86400);
    }
}

static void two_digits_of_a_year_are_near_now(void **state)
{
    char text[40];
    time_t when;
    struct tm tm;

    (void)state;
    clock_refresh();
    int year = 1970 + (int)(clock_wall_ms() / 1000 / 31556952);
    for (int ahead = -48; ahead <= 49; ahead++) {
        snprintf(text, sizeof(text), "Sunday, 15-Jun-%02d 08:49:37 GMT", (year + ahead) % 100);
        assert_int_equal(text_to_http_date(slice_from(text), &when), 0);
        gmtime_r(&when, &tm);
        assert_int_equal(tm.tm_year + 1900, year + ahead);
    }
}

static void what_is_no_date_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "Sun",
                                      "Sun, ",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 GMT ",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "Sun, 31 Nov 1994 08:49:37 GMT",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Sun, 29 Feb 1900 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:00:00 GMT",
                                      "Sun, 06 Nov 1994 08:60:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:61 GMT",
                                      "Sun, 06 Nox 1994 08:49:37 GMT",
                                      "Sundy, 06-Nov-94 08:49:37 GMT",
                                      "Sun, 06-Nov-1994 08:49:37 GMT",
                                      "Sun Nov 6 08:49:37 1994",
                                      "Sun Nov  6 08:49:37 94",
                                      "0",
                                      "-1",
                                      "Sun, -6 Nov 1994 08:49:37 GMT"};
    time_t when;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(text_to_http_date(slice_from(bad[i]), &when), ERR_SYNTAX);
    assert_int_equal(text_to_http_date(SLICE("Thu, 29 Feb 2024 23:59:60 GMT"), &when), 0);
}

static void what_is_written_stays_within_four_digits_of_a_year(void **state)
{
    char date[30];

    (void)state;
    text_http_date(-5, date);
    assert_string_equal(date, "Thu, 01 Jan 1970 00:00:00 GMT");
    text_http_date(INT64_MAX, date);
    assert_string_equal(date, "Fri, 31 Dec 9999 23:59:59 GMT");
    text_iso_date(UINT64_MAX, date);
    assert_string_equal(date, "9999-12-31T23:59:59.999Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_forms_are_one_time),
        cmocka_unit_test(dates_agree_with_the_c_library),
        cmocka_unit_test(every_weekday_has_its_long_name),
        cmocka_unit_test(two_digits_of_a_year_are_near_now),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(what_is_written_stays_within_four_digits_of_a_year),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
