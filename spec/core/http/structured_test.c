/* SPDX-License-Identifier: Apache-2.0 */

#include "http/structured.h"

#include "support/test.h"

static void test_what_is_a_dictionary(void **state)
{
    static const char *const good[] = {
        "",
        "a",
        "a=1",
        " a=1 ",
        "max-age=3600, no-store",
        "a=?1;b;c=2,\td=\"x, \\\"y\\\"\" , e=tok*en/1:2",
        "a=-12.5, b=:aGk=:, c=(1 \"x\";p ?0), *d.e_f-1=*",
        "a=123456789012345",
        "a=()",
    };
    static const char *const bad[] = {
        "A=1",        "a=",
        "a,",         ",a",
        "a b",        "a=1 2",
        "a=\"x",      "a=1,,b",
        "a=?2",       "a=(1",
        "a=(1\"x\")", "a =1",
        "a= 1",       "a=1234567890123456",
        "a=1.",       "a=1.2345",
        "a=\"\\x\"",  "a=:x",
        "1=1",        "a=1234567890123.1",
        "a;B",        "foo=(unknown type))",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (!structured_is_dictionary(slice_from(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (structured_is_dictionary(slice_from(bad[i])))
            fail_msg("taken: %s", bad[i]);
}

static void test_members(void **state)
{
    struct slice rest = SLICE("max-age=-60;x=1 ,\tno-store, private=?0, foo=bar, d=1.5, l=(1 2)");
    static const struct {
        const char *key;
        enum structured_kind kind;
        int64_t integer;
    } want[] = {
        {"max-age", STRUCTURED_INTEGER, -60}, {"no-store", STRUCTURED_TRUE, 0},
        {"private", STRUCTURED_FALSE, 0},     {"foo", STRUCTURED_OTHER, 0},
        {"d", STRUCTURED_OTHER, -1},          {"l", STRUCTURED_OTHER, -1},
    };
    struct structured_member m;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_true(structured_next(&rest, &m));
        assert_true(slice_eq(m.key, slice_from(want[i].key)));
        assert_int_equal(m.kind, want[i].kind);
        if (want[i].integer >= 0 || m.kind == STRUCTURED_INTEGER)
            assert_int_equal(m.integer, want[i].integer);
    }
    assert_false(structured_next(&rest, &m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_a_dictionary),
        cmocka_unit_test(test_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
