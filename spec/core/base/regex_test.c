/* SPDX-License-Identifier: Apache-2.0 */

#include "base/regex.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"
#include "support/expect.h"

static struct regex *compile(const char *pattern, unsigned flags)
{
    char message[128];
    size_t offset;
    struct regex *re = regex_new(slice_from(pattern), flags, message, sizeof(message), &offset);

    if (!re)
        fail_msg("%s: %s", pattern, message);
    return re;
}

static void groups_are_parts_of_the_subject(void **state)
{
    struct regex *re = compile("^/users/(?<id>\\d+)(/x)?(/.*)?$", 0);
    struct slice groups[5];

    (void)state;
    assert_int_equal(regex_group_count(re), 3);
    assert_int_equal(regex_group(re, "id"), 1);
    assert_int_equal(regex_group(re, "no"), ERR_NOT_FOUND);
    assert_int_equal(regex_match(re, SLICE("/users/42/more"), 0, groups, 5), 4);
    expect_slice(groups[0], "/users/42/more");
    expect_slice(groups[1], "42");
    assert_null(groups[2].ptr);
    expect_slice(groups[3], "/more");
    assert_null(groups[4].ptr);
    assert_int_equal(regex_match(re, SLICE("/users/42"), 0, groups, 5), 2);
    assert_null(groups[3].ptr);
    assert_true(regex_match(re, SLICE("/users/42"), 0, NULL, 0) > 0);
    assert_int_equal(regex_match(re, SLICE("/users/x"), 0, groups, 5), 0);
    regex_free(re);
}

static void matching_starts_where_it_is_told(void **state)
{
    struct regex *re = compile("a.", 0);
    struct slice group;

    (void)state;
    assert_int_equal(regex_match(re, SLICE("abac"), 1, &group, 1), 1);
    expect_slice(group, "ac");
    assert_int_equal(regex_match(re, SLICE("abac"), 3, &group, 1), 0);
    assert_int_equal(regex_match(re, SLICE("abac"), 5, &group, 1), 0);
    assert_int_equal(regex_match(re, SLICE_NONE, 0, &group, 1), 0);
    regex_free(re);
}

static void flags_are_case_and_utf8(void **state)
{
    struct regex *re = compile("^H\xc3\x89.$", REGEX_CASELESS | REGEX_UTF);

    (void)state;
    assert_int_equal(regex_match(re, SLICE("h\xc3\xa9\xe2\x82\xac"), 0, NULL, 0), 1);
    regex_free(re);
    re = compile("^a.$", 0);
    assert_int_equal(regex_match(re, SLICE("a\xc3\xa9"), 0, NULL, 0), 0);
    assert_int_equal(regex_match(re, SLICE("A1"), 0, NULL, 0), 0);
    regex_free(re);
}

static void a_subject_that_is_no_utf8_does_not_match_there(void **state)
{
    struct regex *re = compile("b.", REGEX_UTF);

    (void)state;
    assert_int_equal(regex_match(re, SLICE("b\xff"), 0, NULL, 0), 0);
    assert_int_equal(regex_match(re, SLICE("\xff bc"), 0, NULL, 0), 1);
    regex_free(re);
}

static void a_bad_pattern_says_what_and_where(void **state)
{
    char message[128] = "", many[64 * 2 + 1] = "";
    size_t offset = 99;

    (void)state;
    assert_null(regex_new(SLICE("a(b"), 0, message, sizeof(message), &offset));
    assert_non_null(strstr(message, "missing closing parenthesis"));
    assert_int_equal(offset, 3);
    assert_null(regex_new(SLICE("\\C"), REGEX_UTF, message, sizeof(message), &offset));

    for (int i = 0; i < 64; i++)
        strcat(many, "()");
    assert_null(regex_new(slice_from(many), 0, message, sizeof(message), &offset));
    assert_string_equal(message, "more than 63 groups");
    regex_free(compile(many + 2, 0));
    regex_free(NULL);
}

/* Some 100,000 steps, which would end if nobody counted. With the interpreter too, which a pattern can ask for. */
static void backtracking_is_bounded(void **state)
{
    static const char *const patterns[] = {"^(a+)+$", "(*NO_JIT)^(a+)+$"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        struct regex *re = compile(patterns[i], 0);
        assert_int_equal(regex_match(re, SLICE("aaaaaaaaaaaaaaaaaab"), 0, NULL, 0), ERR_LIMIT);
        assert_int_equal(regex_match(re, SLICE("aaa"), 0, NULL, 0), 2);
        regex_free(re);
    }
}

static void a_long_subject_has_stack_enough(void **state)
{
    struct regex *re = compile("^(?:[a-z]|\\d)*$", 0);
    size_t len = 8000;
    char *text = malloc(len);

    (void)state;
    memset(text, 'a', len);
    assert_int_equal(regex_match(re, slice_of(text, len), 0, NULL, 0), 1);
    free(text);
    regex_free(re);
}

static void *match_often(void *arg)
{
    struct slice groups[2];

    for (int i = 0; i < 500; i++) {
        char text[16];
        int n = snprintf(text, sizeof(text), "id=%d;", i);
        if (regex_match(arg, slice_of(text, (size_t)n), 0, groups, 2) != 2 ||
            atoi(groups[1].ptr) != i)
            return arg;
    }
    return NULL;
}

static void threads_share_a_pattern(void **state)
{
    struct regex *re = compile("id=(\\d+);", 0);
    pthread_t threads[4];
    void *failed;

    (void)state;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, match_often, re);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    regex_free(re);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_parts_of_the_subject),
        cmocka_unit_test(matching_starts_where_it_is_told),
        cmocka_unit_test(flags_are_case_and_utf8),
        cmocka_unit_test(a_subject_that_is_no_utf8_does_not_match_there),
        cmocka_unit_test(a_bad_pattern_says_what_and_where),
        cmocka_unit_test(backtracking_is_bounded),
        cmocka_unit_test(a_long_subject_has_stack_enough),
        cmocka_unit_test(threads_share_a_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
