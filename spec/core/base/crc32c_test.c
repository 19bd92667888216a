/* SPDX-License-Identifier: Apache-2.0 */

#include "base/crc32c.h"

#include "base/rand.h"
#include "support/test.h"

/* RFC 3720, B.4, and the check value of the catalogue of CRCs. */
static void it_is_castagnolis(void **state)
{
    static char zeros[32];
    char ones[32];
    (void)state;

    memset(ones, 0xff, sizeof(ones));
    assert_int_equal(crc32c(0, SLICE("123456789")), 0xe3069283);
    assert_int_equal(crc32c(0, slice_of(zeros, 32)), 0x8a9136aa);
    assert_int_equal(crc32c(0, slice_of(ones, 32)), 0x62a8ab43);
    assert_int_equal(crc32c(0, SLICE("")), 0);
}

static void pieces_and_both_ways_agree(void **state)
{
    char bytes[300];
    (void)state;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)rand_u64();
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct slice all = slice_of(bytes, len);
        size_t at = rand_below((uint32_t)len + 1);
        uint32_t whole = crc32c(0, all);
        assert_int_equal(whole, crc32c_plain(0, all));
        assert_int_equal(whole, crc32c(crc32c(0, slice_of(bytes, at)), slice_from_index(all, at)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_castagnolis),
        cmocka_unit_test(pieces_and_both_ways_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
