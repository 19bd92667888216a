/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json_strict.h"

#include <stdio.h>

#include "base/err.h"
#include "support/expect.h"

/* JSON_END, or the error that the reader ends in. */
static int end_of(struct slice text)
{
    struct json_strict s;
    int event;

    json_strict_init(&s, text);
    do
        event = json_strict_read(&s);
    while (event > 0 && event != JSON_END);
    json_strict_deinit(&s);
    return event;
}

static void a_member_is_there_once(void **state)
{
    (void)state;
    assert_int_equal(
        end_of(SLICE("{\"a\":1,\"b\":{\"a\":2,\"b\":[{\"a\":3},{\"a\":4}]},\"c\":{\"a\":5}}")),
        JSON_END);
    assert_int_equal(end_of(SLICE("{\"a\":1,\"a\":2}")), ERR_EXISTS);
    assert_int_equal(end_of(SLICE("{\"a\":1,\"b\":{\"x\":[]},\"a\":2}")), ERR_EXISTS);
    assert_int_equal(end_of(SLICE("[{\"b\":{\"c\":1,\"c\":1}}]")), ERR_EXISTS);
    assert_int_equal(end_of(SLICE("{\"a\":1,\"\\u0061\":2}")), ERR_EXISTS);
    assert_int_equal(end_of(SLICE("{\"\":1,\"\":2}")), ERR_EXISTS);
}

static void depth_and_members_are_bounded(void **state)
{
    char text[20000];
    size_t len = 0;

    (void)state;
    memset(text, '[', 33);
    memset(text + 33, ']', 33);
    assert_int_equal(end_of(slice_of(text, 66)), ERR_DEPTH);
    assert_int_equal(end_of(slice_of(text + 1, 64)), JSON_END);
    for (int i = 0; i < 513; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"m%d\":0", i ? "," : "{", i);
    text[len] = '}';
    assert_int_equal(end_of(slice_of(text, len + 1)), ERR_LIMIT);
    text[len - 9] = '}'; /* without the last */
    assert_int_equal(end_of(slice_of(text, len - 8)), JSON_END);
}

static void a_value_is_skipped_as_a_whole(void **state)
{
    struct json_strict s;

    (void)state;
    json_strict_init(&s, SLICE("{\"a\":{\"b\":[1,{\"c\":[]}]},\"d\":5,\"e\":[[\"x\"]]}"));
    assert_int_equal(json_strict_read(&s), JSON_OBJECT);
    for (const char *name = "ade"; *name; name++) {
        assert_int_equal(json_strict_read(&s), JSON_KEY);
        assert_int_equal(s.json.string.ptr[0], *name);
        int event = json_strict_read(&s);
        assert_int_equal(json_strict_skip(&s, event), 0);
    }
    assert_int_equal(json_strict_read(&s), JSON_OBJECT_END);
    assert_int_equal(json_strict_read(&s), JSON_END);
    json_strict_deinit(&s);

    json_strict_init(&s, SLICE("{\"a\":{\"b\":1,\"b\":2}}"));
    assert_int_equal(json_strict_read(&s), JSON_OBJECT);
    assert_int_equal(json_strict_skip(&s, JSON_OBJECT), ERR_EXISTS);
    json_strict_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_there_once),
        cmocka_unit_test(depth_and_members_are_bounded),
        cmocka_unit_test(a_value_is_skipped_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
