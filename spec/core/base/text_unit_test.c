/* SPDX-License-Identifier: Apache-2.0 */

#include "base/err.h"
#include "base/text.h"
#include "support/test.h"

static void expect_duration(const char *text, uint64_t us)
{
    uint64_t out = 1;

    if (text_to_duration_us(slice_from(text), &out) != 0 || out != us)
        fail_msg("%s: %llu", text, (unsigned long long)out);
}

static void durations_have_a_unit(void **state)
{
    static const char *const bad[] = {"",    "5",   "0.5", "s",      "-1s",   "+1s",  "1 s", "1S",
                                      "1ns", "1.s", ".5s", "1.2.3s", "1m30s", "1e3s", "00"};
    uint64_t us;

    (void)state;
    expect_duration("0", 0);
    expect_duration("0s", 0);
    expect_duration("250ms", 250000);
    expect_duration("10s", 10000000);
    expect_duration("5m", 300000000);
    expect_duration("1h", 3600000000);
    expect_duration("1d", 86400000000);
    expect_duration("1.5s", 1500000);
    expect_duration("0.25ms", 250);
    expect_duration("0.00001d", 864000);
    expect_duration("0.99999999999999999999d", 86399999136);
    expect_duration("1.0000000000000000001s", 1000000);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(text_to_duration_us(slice_from(bad[i]), &us), ERR_SYNTAX);
    expect_duration("36500d", 36500 * 86400000000);
    assert_int_equal(text_to_duration_us(SLICE("36501d"), &us), ERR_RANGE);
    assert_int_equal(text_to_duration_us(SLICE("99999999999999999999s"), &us), ERR_RANGE);
}

static void expect_size(const char *text, uint64_t bytes)
{
    uint64_t out = 1;

    if (text_to_size(slice_from(text), &out) != 0 || out != bytes)
        fail_msg("%s: %llu", text, (unsigned long long)out);
}

static void sizes_count_in_thousands_or_in_1024s(void **state)
{
    static const char *const bad[] = {"",   "KiB",    "64k",   "64K",    "1.5MiB",
                                      "-1", "64 KiB", "64kib", "64KiBs", "0x10"};
    uint64_t bytes;

    (void)state;
    expect_size("0", 0);
    expect_size("512", 512);
    expect_size("512B", 512);
    expect_size("64KiB", 65536);
    expect_size("1MiB", 1048576);
    expect_size("2GiB", 2147483648);
    expect_size("1TiB", 1099511627776);
    expect_size("10kB", 10000);
    expect_size("10MB", 10000000);
    expect_size("1GB", 1000000000);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(text_to_size(slice_from(bad[i]), &bytes), ERR_SYNTAX);
    assert_int_equal(text_to_size(SLICE("9999999999GiB"), &bytes), ERR_RANGE);
}

static void ratios_are_percent_or_fractions(void **state)
{
    double n;

    (void)state;
    assert_int_equal(text_to_ratio(SLICE("20%"), &n), 0);
    assert_true(n == 0.2);
    assert_int_equal(text_to_ratio(SLICE("0.2"), &n), 0);
    assert_true(n == 0.2);
    assert_int_equal(text_to_ratio(SLICE("0.5%"), &n), 0);
    assert_true(n == 0.005);
    assert_int_equal(text_to_ratio(SLICE("100%"), &n), 0);
    assert_true(n == 1);
    assert_int_equal(text_to_ratio(SLICE("101%"), &n), ERR_RANGE);
    assert_int_equal(text_to_ratio(SLICE("20"), &n), ERR_RANGE);
    assert_int_equal(text_to_ratio(SLICE("-0.1"), &n), ERR_RANGE);
    assert_int_equal(text_to_ratio(SLICE("%"), &n), ERR_SYNTAX);
    assert_int_equal(text_to_ratio(SLICE("a"), &n), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_have_a_unit),
        cmocka_unit_test(sizes_count_in_thousands_or_in_1024s),
        cmocka_unit_test(ratios_are_percent_or_fractions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
