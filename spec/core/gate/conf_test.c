/* SPDX-License-Identifier: Apache-2.0 */

/* Faults as a person reads them, and what is never shown. */

#include "gate/conf.h"

#include "gate/conf_keys.h"
#include "gate/conf_yaml.h"
#include "support/config.h"

static struct conf *parse(struct config *c, const char *text)
{
    config_init(c);
    return conf_yaml_parse(slice_from(text), "demilune.yaml", ".", c->arena, &c->faults);
}

static void test_a_fault_shows_its_line(void **state UNUSED)
{
    struct config c;
    struct conf *root = parse(&c, "a: 1\nroutes:\n  - name: x\n    limt: 100\n");
    const struct conf *route = conf_get(root, SLICE("routes"))->items[0];

    fault_at_key(&c.faults, route, SLICE("limt"), SLICE("routes[0].limt"),
                 "unknown key, did you mean \"%s\"?", "limit");
    assert_string_equal(config_faults(&c),
                        "demilune.yaml:4:5: routes[0].limt: unknown key, did you mean \"limit\"?\n"
                        "     4 |     limt: 100\n"
                        "       |     ^~~~\n");
    config_deinit(&c);
}

static void test_caret_under_other_letters(void **state UNUSED)
{
    struct config c;
    struct conf *root = parse(&c, "{\"\xc3\xa4\xe2\x82\xac\": \"b c\", d: x}");

    fault_at(&c.faults, conf_get(root, SLICE("\xc3\xa4\xe2\x82\xac")), SLICE_NONE, "here");
    assert_string_equal(config_faults(&c), "demilune.yaml:1:8: here\n"
                                           "     1 | {\"\xc3\xa4\xe2\x82\xac\": \"b c\", d: x}\n"
                                           "       |        ^~~~~\n");
    config_deinit(&c);
}

static void test_faults_are_sorted(void **state UNUSED)
{
    struct config c;
    struct conf *root = parse(&c, "a: 1\nb: 2\nc: {d: 3, e: 4}\n");
    const struct conf *inner = conf_get(root, SLICE("c"));

    fault_at(&c.faults, conf_get(inner, SLICE("e")), SLICE_NONE, "five");
    fault_at(&c.faults, conf_get(inner, SLICE("d")), SLICE_NONE, "three");
    warn_at(&c.faults, conf_get(root, SLICE("b")), SLICE("b"), "two");
    fault_at(&c.faults, conf_get(inner, SLICE("d")), SLICE_NONE, "four");
    fault_plain(&c.faults, "one");
    const char *text = config_faults(&c), *last = text;
    static const char *const order[] = {"one", "demilune.yaml:2:4: warning: b: two", "three",
                                        "four", "five"};
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        last = strstr(last, order[i]);
        assert_non_null(last);
    }
    assert_int_equal(c.faults.nerrors, 4);
    config_deinit(&c);
}

static void test_files_come_in_the_order_of_reading(void **state UNUSED)
{
    struct folder f;
    struct config c;

    folder_init(&f);
    folder_write(&f, "a.yaml", "x: 1\n");
    const char *path = folder_write(&f, "main.yaml", "include: [a.yaml]\n\n\n\ny: 1\n");
    config_init(&c);
    struct conf *root = conf_yaml_load(path, c.arena, &c.faults);
    fault_at(&c.faults, conf_get(root, SLICE("x")), SLICE_NONE, "second");
    fault_at(&c.faults, conf_get(root, SLICE("y")), SLICE_NONE, "first");
    const char *text = config_faults(&c);
    assert_true(strstr(text, "first") < strstr(text, "second"));
    folder_deinit(&f);
    config_deinit(&c);
}

static void test_a_hundred_are_enough(void **state UNUSED)
{
    struct config c;
    struct conf *root = parse(&c, "a: 1\n");

    for (int i = 0; i < 107; i++)
        fault_at(&c.faults, conf_get(root, SLICE("a")), SLICE_NONE, "fault %03d", i);
    const char *text = config_faults(&c);
    expect_text(text, "fault 099");
    expect_no_text(text, "fault 100");
    expect_text(text, "\nand 7 more\n");
    config_deinit(&c);
}

static void test_colours_only_when_asked(void **state UNUSED)
{
    struct config c;
    struct conf *root = parse(&c, "a: 1\n");
    struct buf out;

    fault_at(&c.faults, root, SLICE_NONE, "x");
    expect_no_text(config_faults(&c), "\033");
    buf_init(&out, 4096);
    faults_print(&c.faults, &out, true);
    assert_true(slice_find(buf_slice(&out), SLICE("\033[")) >= 0);
    buf_deinit(&out);
    config_deinit(&c);
}

static void test_a_long_line_is_cut_around_the_place(void **state UNUSED)
{
    struct config c;
    char text[2000];

    memset(text, ' ', sizeof(text));
    text[0] = '{';
    memcpy(text + 1000, "key: value", 10);
    memcpy(text + 1990, "}", 2);
    struct conf *root = parse(&c, text);
    fault_at(&c.faults, conf_get(root, SLICE("key")), SLICE_NONE, "x");
    const char *printed = config_faults(&c), *line = strchr(printed, '\n') + 1;
    const char *carets = strchr(line, '\n') + 1;
    assert_true(carets - line < 160);
    assert_ptr_equal(strstr(line, "value") - line + carets, strchr(carets, '^'));
    config_deinit(&c);
}

static void test_a_message_is_one_plain_line(void **state UNUSED)
{
    struct config c;
    struct conf *root = parse(&c, "\"a\\n\\e[31mb\": 1\n");

    conf_check(root, &c.faults);
    const char *text = config_faults(&c);
    expect_text(text, "demilune.yaml:1:1: a  [31mb: unknown key\n");
    expect_no_text(text, "\033");
    config_deinit(&c);
}

/* Each text is loaded and checked; `hidden` may not show in what is printed, and there is a fault
 * in its line. */
static void test_secrets_are_not_shown(void **state UNUSED)
{
    static const char *const rows[] = {
        "admin: {adress: x, token: hidden}",
        "admin: {token: [hidden], address: x}",
        "admin:\n  address: 1\n  token: {x: hidden}\n",
        "log: {level: \"${DML_HIDDEN}\"}",
        "log: {level: x, format: \"${DML_NONE:-hidden}\"}",
        "workers: ${DML_HIDDEN}",
        "drain: {delay: \"x${DML_HIDDEN}\"}",
        "routes: [{name: \"/${DML_HIDDEN}\"}]",
        "redis: [{name: [], url: \"redis://:hidden@h\"}]",
        "routes: [{name: r, upstream: \"http://u:hidden@host\", x: 1}]",
        "consumers: [{name: a, credentials: {key-auth: [{key: hidden}]}, x: 1}]",
        "consumers: [{nam: a, credentials: {key-auth: hidden}}]",
        "kafka: [{name: e, brokers: 1, options: {sasl.password: hidden}}]",
        "plugins: [{name: p, config: {client_secret: hidden}, x: 1}]",
        "plugins: [{name: p, config: {password: hidden}, x: 1}]",
        /* no tree: the words of the line decide */
        "admin: {token: \"hidden",
        "a: {key: hidden ]",
        "a: [ redis://:hidden@x\nb: ]\n",
    };

    setenv("DML_HIDDEN", "hidden", 1);
    unsetenv("DML_NONE");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config c;
        struct conf *root = parse(&c, rows[i]);
        if (root)
            conf_check(root, &c.faults);
        assert_true(c.faults.nerrors > 0);
        expect_no_text(config_faults(&c), "hidden@");
        expect_no_text(config_faults(&c), "\"hidden");
        expect_no_text(config_faults(&c), ": hidden");
        expect_no_text(config_faults(&c), "xhidden");
        expect_no_text(config_faults(&c), "/hidden");
        expect_no_text(config_faults(&c), "[hidden");
        config_deinit(&c);
    }
}

/* Is the line shown when something is wrong in it? */
static bool is_line_shown(const char *text, uint32_t line)
{
    struct config c;
    struct conf *root = parse(&c, text);

    assert_non_null(root);
    conf_check(root, &c.faults);
    faults_deinit(&c.faults);
    faults_init(&c.faults, c.arena);
    fault_at_place(&c.faults, root->file, line, 1, "here");
    bool is_shown = strstr(config_faults(&c), " | ") != NULL;
    config_deinit(&c);
    return is_shown;
}

/* Lines in which no word tells, but the key above them, or the value. */
static void test_lines_of_secrets_are_hidden_by_their_keys(void **state UNUSED)
{
    static const char credentials[] = "consumers:\n- name: a\n  credentials:\n    key-auth:\n"
                                      "    - key: hidden\n      more: |\n        x\n  groups: []\n";
    static const char options[] = "kafka:\n- options:\n    ssl.pem: hidden\n  name: x\n";

    assert_true(is_line_shown(credentials, 2));
    assert_false(is_line_shown(credentials, 5));
    assert_false(is_line_shown(credentials, 7));
    assert_true(is_line_shown(credentials, 8));
    assert_false(is_line_shown(options, 3));
    assert_true(is_line_shown(options, 4));
    assert_false(is_line_shown("admin:\n  token:\n    - hidden\n", 3));
    assert_false(is_line_shown("a: |\n  one\n  ${DML_HIDDEN}\nb: 1\n", 2));
    assert_true(is_line_shown("a: |\n  one\n  ${DML_HIDDEN}\nb: 1\n", 4));
    assert_false(is_line_shown("{\"a\": \"http:\\/\\/u:hidden@h\"}", 1));
    assert_true(is_line_shown("a: {key: x}\n", 1));
}

static void test_other_lines_are_shown(void **state UNUSED)
{
    struct config c;
    struct conf *root = parse(&c, "admin:\n  adress: x\n  token: hidden\n  address: y\n");

    conf_check(root, &c.faults);
    expect_text(config_faults(&c), "     2 |   adress: x\n       |   ^~~~~~\n");
    config_deinit(&c);
}

static void test_paths(void **state UNUSED)
{
    struct config c;
    const struct conf_path a = {.key = SLICE("routes")}, b = {.up = &a, .index = 2};
    const struct conf_path d = {.up = &b, .key = SLICE("name")};

    config_init(&c);
    assert_string_equal(conf_path_text(&d, c.arena).ptr, "routes[2].name");
    assert_string_equal(conf_path_text(NULL, c.arena).ptr, "");
    config_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fault_shows_its_line),
        cmocka_unit_test(test_caret_under_other_letters),
        cmocka_unit_test(test_faults_are_sorted),
        cmocka_unit_test(test_files_come_in_the_order_of_reading),
        cmocka_unit_test(test_a_hundred_are_enough),
        cmocka_unit_test(test_colours_only_when_asked),
        cmocka_unit_test(test_a_long_line_is_cut_around_the_place),
        cmocka_unit_test(test_a_message_is_one_plain_line),
        cmocka_unit_test(test_secrets_are_not_shown),
        cmocka_unit_test(test_lines_of_secrets_are_hidden_by_their_keys),
        cmocka_unit_test(test_other_lines_are_shown),
        cmocka_unit_test(test_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
