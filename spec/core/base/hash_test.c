/* SPDX-License-Identifier: Apache-2.0 */

#include "base/hash.h"

#include "support/test.h"

/* Made with other implementations: SipHash-1-3 with a zero key, XXH64 with seed 0 and with
 * another. */
static const struct {
    size_t len;
    uint64_t keyed, stable, seeded;
} vectors[] = {
    {1, 0x407448d2b89b1813, 0xd24ec4f1a98c6e5b, 0x393da8b78992279b},
    {3, 0xc03bc3a0042630f2, 0x44bc2cf5ad770999, 0x1318df30094a85fd},
    {4, 0xe3d1d5fdd52aae89, 0xde0327b0d25d92cc, 0x66150d50767198ee},
    {7, 0x6db12aae9070f506, 0x1860940e2902822d, 0xec472d1bcfbb2cbc},
    {8, 0x3f7b849c0b8e35ea, 0x3ad351775b4634b7, 0xdcf6c3eae6ea060f},
    {13, 0x954aa964997ae4e6, 0x934adbc0ebc51325, 0x7657b9cba136469a},
    {31, 0xeccabec0ef393716, 0xf7d421c242541ac9, 0xb617f40499fd71bc},
    {32, 0x4cdfbfa792cc16f8, 0x4da6cbe536cf55c7, 0xb38b6d1886362fdf},
    {33, 0x762839d1851035c8, 0x9ac581034b031f72, 0x5b582f00197180cf},
    {64, 0x732f9d16c2eba9ef, 0x14696b774542d718, 0x91acb7b2e7625295},
    {71, 0x0cd65f0607a9f71b, 0x55d31823cadc60a5, 0x2e1cecb915a0e01c},
    {100, 0xb7a94976b1052375, 0x79c9fa152bb53c71, 0x3aae7f414930a90f},
};

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                               "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

static void both_hashes_agree_with_other_implementations(void **state)
{
    (void)state;
    hash_set_key(0, 0);
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        struct slice s = slice_of(alphabet, vectors[i].len);
        assert_int_equal(hash_keyed(s), vectors[i].keyed);
        assert_int_equal(hash_stable(s, 0), vectors[i].stable);
        assert_int_equal(hash_stable(s, 2654435761), vectors[i].seeded);
    }
    assert_int_equal(hash_stable(SLICE(""), 0), 0xef46db3751d8e999);
    assert_int_equal(hash_stable(SLICE_NONE, 0), 0xef46db3751d8e999);
}

static void the_key_changes_one_hash_and_not_the_other(void **state)
{
    (void)state;
    hash_set_key(0, 0);
    uint64_t keyed = hash_keyed(SLICE("x")), stable = hash_stable(SLICE("x"), 0);
    hash_set_key(0, 1);
    assert_int_not_equal(hash_keyed(SLICE("x")), keyed);
    hash_set_key(1, 0);
    assert_int_not_equal(hash_keyed(SLICE("x")), keyed);
    hash_init();
    assert_int_not_equal(hash_keyed(SLICE("x")), keyed);
    keyed = hash_keyed(SLICE("x"));
    hash_init();
    assert_int_not_equal(hash_keyed(SLICE("x")), keyed);
    assert_int_equal(hash_stable(SLICE("x"), 0), stable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_hashes_agree_with_other_implementations),
        cmocka_unit_test(the_key_changes_one_hash_and_not_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
