/* SPDX-License-Identifier: Apache-2.0 */

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "support/expect.h"

static void whole_numbers_are_read_whole_or_not(void **state)
{
    uint64_t n;

    (void)state;
    assert_int_equal(text_to_u64(SLICE("00042"), UINT64_MAX, &n), 0);
    assert_int_equal(n, 42);
    assert_int_equal(text_to_u64(SLICE("18446744073709551615"), UINT64_MAX, &n), 0);
    assert_int_equal(n, UINT64_MAX);
    assert_int_equal(text_to_u64(SLICE("18446744073709551616"), UINT64_MAX, &n), ERR_RANGE);
    assert_int_equal(text_to_u64(SLICE("99999999999999999999999"), UINT64_MAX, &n), ERR_RANGE);
    assert_int_equal(text_to_u64(SLICE("65536"), 65535, &n), ERR_RANGE);
    assert_int_equal(text_to_u64(SLICE("99999999999999999999999x"), UINT64_MAX, &n), ERR_SYNTAX);
    assert_int_equal(text_to_u64(SLICE(""), UINT64_MAX, &n), ERR_SYNTAX);
    assert_int_equal(text_to_u64(SLICE("-1"), UINT64_MAX, &n), ERR_SYNTAX);
    assert_int_equal(text_to_u64(SLICE("+1"), UINT64_MAX, &n), ERR_SYNTAX);
    assert_int_equal(text_to_u64(SLICE(" 1"), UINT64_MAX, &n), ERR_SYNTAX);
}

static void signed_numbers_reach_both_ends(void **state)
{
    int64_t n;

    (void)state;
    assert_int_equal(text_to_i64(SLICE("-9223372036854775808"), &n), 0);
    assert_true(n == INT64_MIN);
    assert_int_equal(text_to_i64(SLICE("9223372036854775807"), &n), 0);
    assert_true(n == INT64_MAX);
    assert_int_equal(text_to_i64(SLICE("9223372036854775808"), &n), ERR_RANGE);
    assert_int_equal(text_to_i64(SLICE("-9223372036854775809"), &n), ERR_RANGE);
    assert_int_equal(text_to_i64(SLICE("-"), &n), ERR_SYNTAX);
    assert_int_equal(text_to_i64(SLICE("--1"), &n), ERR_SYNTAX);
}

static void whole_numbers_are_written(void **state)
{
    char out[24];

    (void)state;
    expect_slice(slice_of(out, text_from_u64(0, out)), "0");
    expect_slice(slice_of(out, text_from_u64(UINT64_MAX, out)), "18446744073709551615");
    expect_slice(slice_of(out, text_from_i64(INT64_MIN, out)), "-9223372036854775808");
    expect_slice(slice_of(out, text_from_i64(120, out)), "120");
}

static void numbers_of_every_length_are_written(void **state)
{
    char out[24], expected[24];

    (void)state;
    for (uint64_t power = 1, i = 0; i < 20; i++, power *= 10) {
        const uint64_t near[] = {power - 1, power, power + 1, power / 7, power * 9 / 10};
        for (size_t k = 0; k < COUNT_OF(near); k++) {
            snprintf(expected, sizeof(expected), "%llu", (unsigned long long)near[k]);
            expect_slice(slice_of(out, text_from_u64(near[k], out)), expected);
        }
    }
}

static void expect_double(const char *text, double expected)
{
    double n = -1;

    assert_int_equal(text_to_double(slice_from(text), &n), 0);
    if (memcmp(&n, &expected, sizeof(n)) != 0)
        fail_msg("%s read as %.17g", text, n);
}

static void fractions_are_read_to_the_nearest_double(void **state)
{
    static const char *const texts[] = {
        "0.1",
        "1.5",
        "-2.5e3",
        "1e22",
        "1e23",
        "9007199254740993",
        "1e-7",
        "123456789012345678",
        "4.9e-324",
        "2.2250738585072011e-308",
        "1.7976931348623157e308",
        "0.000001",
        "5.",
        ".5",
        "1E+2",
        "00.10",
        "-0",
        "0e999999999",
        "1e-999999999",
        "179769313486231570000000000000000000000000000000000000000000000000000000",
        "0.30000000000000004",
        "1000000000000000000000.00000000000000000000000000000000000000000000000000000001"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        expect_double(texts[i], strtod(texts[i], NULL));
}

static void what_is_no_decimal_number_is_refused(void **state)
{
    static const char *const bad[] = {"",    "-",  ".",  "-.", "e5",    "1e",  "1e+", "0x10", "inf",
                                      "nan", "+1", " 1", "1 ", "1.2.3", "1,5", "--1", "1e5.0"};
    double n;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(text_to_double(slice_from(bad[i]), &n), ERR_SYNTAX);
    assert_int_equal(text_to_double(SLICE("1e309"), &n), ERR_RANGE);
    assert_int_equal(text_to_double(SLICE("-1e999999999999"), &n), ERR_RANGE);
}

static void expect_shortest(double n, const char *text)
{
    char out[TEXT_DOUBLE_SIZE];

    expect_slice(slice_of(out, text_from_double(n, out)), text);
}

static void numbers_are_written_in_their_shortest_form(void **state)
{
    (void)state;
    expect_shortest(0.1, "0.1");
    expect_shortest(0.1 + 0.2, "0.30000000000000004");
    expect_shortest(1.0, "1");
    expect_shortest(-7, "-7");
    expect_shortest(0, "0");
    expect_shortest(-0.0, "-0");
    expect_shortest(9007199254740992.0, "9007199254740992");
    expect_shortest(1e15 + 0.5, "1000000000000000.5");
    expect_shortest(1e300, "1e+300");
    expect_shortest(5e-324, "4.94065645841247e-324");
    expect_shortest(-DBL_MAX, "-1.7976931348623157e+308");
}

/* What printf's 15 digits say, wherever they are enough. */
static void short_fractions_are_written_as_printf_does(void **state)
{
    char expected[40];

    (void)state;
    for (int i = 0; i < 50000; i++) {
        static const double scales[] = {10, 1000, 1e5, 1e6, 1e7};
        double n = (double)(int64_t)(rand_u64() >> (34 + i % 29)) / scales[i % COUNT_OF(scales)];
        if (i % 2)
            n = -n;
        snprintf(expected, sizeof(expected), "%.15g", n);
        if (n != trunc(n) && strtod(expected, NULL) == n)
            expect_shortest(n, expected);
    }
    expect_shortest(0.0001, "0.0001");
    expect_shortest(0.00001, "1e-05");
    expect_shortest(999999999.999999, "999999999.999999");
    expect_shortest(0.000123, "0.000123");
    expect_shortest(-1.05, "-1.05");
}

static void whatever_is_written_reads_back_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rand_u64();
        char out[TEXT_DOUBLE_SIZE];
        double n, back;
        memcpy(&n, &bits, sizeof(n));
        if (!isfinite(n))
            continue;
        size_t len = text_from_double(n, out);
        assert_true(len < sizeof(out));
        assert_int_equal(text_to_double(slice_of(out, len), &back), 0);
        assert_memory_equal(&n, &back, sizeof(n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_read_whole_or_not),
        cmocka_unit_test(signed_numbers_reach_both_ends),
        cmocka_unit_test(whole_numbers_are_written),
        cmocka_unit_test(numbers_of_every_length_are_written),
        cmocka_unit_test(fractions_are_read_to_the_nearest_double),
        cmocka_unit_test(what_is_no_decimal_number_is_refused),
        cmocka_unit_test(numbers_are_written_in_their_shortest_form),
        cmocka_unit_test(short_fractions_are_written_as_printf_does),
        cmocka_unit_test(whatever_is_written_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
