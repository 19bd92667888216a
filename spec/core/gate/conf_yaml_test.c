/* SPDX-License-Identifier: Apache-2.0 */

/* YAML texts and the trees that they become, written on one line: i12 and n1.5 are numbers, "x" a
 * text, ~ nothing; an exclamation mark marks what came from ${} and is typed by its key. */

#include "gate/conf_yaml.h"

#include "support/config.h"

/* --- trees as text ---------------------------------------------------------------------------- */

static void put(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void put(struct buf *out, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    assert_int_equal(buf_add(out, slice_from(text)), 0);
}

static void dump(const struct conf *node, struct buf *out)
{
    if (node->is_open)
        put(out, "!");
    switch (node->type) {
    case CONF_NULL: put(out, "~"); break;
    case CONF_BOOL: put(out, "%s", node->boolean ? "true" : "false"); break;
    case CONF_INT: put(out, "i%.17g", node->number); break;
    case CONF_NUMBER: put(out, "n%.17g", node->number); break;
    case CONF_STRING: put(out, "\"%.*s\"", SLICE_ARG(node->text)); break;
    case CONF_LIST:
        put(out, "[");
        for (size_t i = 0; i < node->n; i++) {
            put(out, "%s", i ? " " : "");
            dump(node->items[i], out);
        }
        put(out, "]");
        break;
    case CONF_MAP:
        put(out, "{");
        for (size_t i = 0; i < node->n; i++) {
            put(out, "%s%.*s:", i ? " " : "", SLICE_ARG(node->pairs[i].key));
            dump(node->pairs[i].value, out);
        }
        put(out, "}");
        break;
    }
}

static void expect_tree_at(const struct conf *root, const char *expected, const char *file,
                           int line)
{
    struct buf out;

    buf_init(&out, 1 * MIB);
    if (root)
        dump(root, &out);
    assert_int_equal(buf_add(&out, slice_of("", 1)), 0);
    if (strcmp(buf_slice(&out).ptr, expected) != 0) {
        print_error("expected %s\n     got %s\n", expected, buf_slice(&out).ptr);
        _fail(file, line);
    }
    buf_deinit(&out);
}
#define expect_tree(root, text) expect_tree_at(root, text, __FILE__, __LINE__)

static struct conf *parse(struct config *c, const char *text)
{
    return conf_yaml_parse(slice_from(text), "t.yaml", ".", c->arena, &c->faults);
}

struct row {
    const char *yaml, *expected;
};

static void expect_trees(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct config c;
        config_init(&c);
        struct conf *root = parse(&c, rows[i].yaml);
        if (c.faults.nerrors)
            print_error("%s\n%s", rows[i].yaml, config_faults(&c));
        assert_int_equal(c.faults.nerrors, 0);
        expect_tree(root, rows[i].expected);
        config_deinit(&c);
    }
}

static void expect_faults(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct config c;
        config_init(&c);
        parse(&c, rows[i].yaml);
        assert_true(c.faults.nerrors > 0);
        expect_text(config_faults(&c), rows[i].expected);
        config_deinit(&c);
    }
}

/* --- plain YAML ------------------------------------------------------------------------------- */

static void test_scalars_by_the_core_schema(void **state UNUSED)
{
    static const struct row rows[] = {
        {"a: on", "{a:\"on\"}"},
        {"a: yes", "{a:\"yes\"}"},
        {"a: No", "{a:\"No\"}"},
        {"a: true", "{a:true}"},
        {"a: TRUE", "{a:true}"},
        {"a: False", "{a:false}"},
        {"a: tRUE", "{a:\"tRUE\"}"},
        {"a: ~", "{a:~}"},
        {"a: null", "{a:~}"},
        {"a: nUll", "{a:\"nUll\"}"},
        {"a:", "{a:~}"},
        {"a: ''", "{a:\"\"}"},
        {"a: 12", "{a:i12}"},
        {"a: -12", "{a:i-12}"},
        {"a: +12", "{a:i12}"},
        {"a: 010", "{a:i10}"},
        {"a: 0o17", "{a:i15}"},
        {"a: 0o18", "{a:\"0o18\"}"},
        {"a: 0x1F", "{a:i31}"},
        {"a: 0b1", "{a:\"0b1\"}"},
        {"a: 1_000", "{a:\"1_000\"}"},
        {"a: 12:30", "{a:\"12:30\"}"},
        {"a: 1.5", "{a:n1.5}"},
        {"a: .5", "{a:n0.5}"},
        {"a: 1.", "{a:n1}"},
        {"a: 1e3", "{a:n1000}"},
        {"a: 1e", "{a:\"1e\"}"},
        {"a: 1.2.3", "{a:\"1.2.3\"}"},
        {"a: 10.0.0.0/8", "{a:\"10.0.0.0/8\"}"},
        {"a: .", "{a:\".\"}"},
        {"a: .inf", "{a:ninf}"},
        {"a: -.INF", "{a:n-inf}"},
        {"a: .nan", "{a:nnan}"},
        {"a: 2001-12-14", "{a:\"2001-12-14\"}"},
        {"a: 10s", "{a:\"10s\"}"},
        {"a: '12'", "{a:\"12\"}"},
        {"a: \"true\"", "{a:\"true\"}"},
        {"a: !!str 12", "{a:\"12\"}"},
        {"a: ! 12", "{a:\"12\"}"},
        {"a: !!int \"12\"", "{a:i12}"},
        {"a: !!float 12", "{a:i12}"},
        {"a: !!map {}", "{a:{}}"},
        {"a: <<", "{a:\"<<\"}"},
        {"<<: 1", "{<<:i1}"},
        {"a: =", "{a:\"=\"}"},
    };

    expect_trees(rows, COUNT_OF(rows));
}

static void test_collections_and_texts(void **state UNUSED)
{
    static const struct row rows[] = {
        {"", "{}"},
        {"# nothing\n", "{}"},
        {"---\n...\n", "{}"},
        {"{}", "{}"},
        {"{\"a\": [1, {\"b\": null}, \"\\u00e9\\/\"], \"c\":true}",
         "{a:[i1 {b:~} \"\xc3\xa9/\"] c:true}"},
        {"{\"a\":1,\"b\":2}", "{a:i1 b:i2}"},
        {"a:\n- 1\n- [2, 3]\n-\n", "{a:[i1 [i2 i3] ~]}"},
        {"a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{a:\"x\ny\n\" b:\"x y\"}"},
        {"1: x\ntrue: y\n? z\n: w\n", "{1:\"x\" true:\"y\" z:\"w\"}"},
        {"%YAML 1.2\n---\na: 1\n", "{a:i1}"},
        {"\xef\xbb\xbf"
         "a: 1\n",
         "{a:i1}"},
        {"a: x # y\nb: x#y\n", "{a:\"x\" b:\"x#y\"}"},
    };

    expect_trees(rows, COUNT_OF(rows));
}

static void test_a_byte_order_mark_is_no_text(void **state UNUSED)
{
    static const struct row trees[] = {{"\xef\xbb\xbf"
                                        "a: 1\nb: 2\n",
                                        "{a:i1 b:i2}"}};
    static const struct row faults[] = {
        {"\xef\xbb\xbf"
         "a: *x\n",
         "t.yaml:1:4: no anchor of this name stands before it\n"
         "     1 | a: *x\n"
         "       |    ^~\n"},
    };

    expect_trees(trees, COUNT_OF(trees));
    expect_faults(faults, COUNT_OF(faults));
}

static void test_what_is_no_configuration(void **state UNUSED)
{
    static const struct row rows[] = {
        {"a: [1", "t.yaml:2:1: no YAML: "},
        {"a: 1\nb:\n\t- x\n", "t.yaml:3:"},
        {"a: [/x, /x/{id}]",
         "t.yaml:1:12: no YAML: inside { } and [ ] a text with a brace in it wants quotes: "},
        {"x: 1\na: { b: 1,\n  \xc3\xa4: ${X} }",
         "t.yaml:3:7: no YAML: inside { } and [ ] a text with"},
        {"a: { b: 1 {c: 2} }", "t.yaml:1:11: no YAML: did not find"},
        {"a: \"x\n", "no YAML: "},
        {"- 1\n", "t.yaml:1:1: a configuration is a map, and this is a list"},
        {"text", "a configuration is a map, and this is a text"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document"},
        {"a: 1\nb: 2\na: 3\n",
         "t.yaml:3:1: the key \"a\" stands here a second time, the first is on line 1"},
        {"x: {a: 1, b: {c: 1, \"c\": 2}}", "t.yaml:1:21: the key \"c\" stands here a second time"},
        {"[1]: 2", "t.yaml:1:1: a key is a text"},
        {"a: \"x\\0y\"", "a text may not hold a NUL"},
        {"a: \xff", "t.yaml:1:4: no UTF-8 text"},
        {"a: !x 1", "t.yaml:1:4: this tag is none of YAML's core schema"},
        {"a: !!binary aGk=", "none of YAML's core schema"},
        {"a: !!timestamp 2001-12-14", "none of YAML's core schema"},
        {"a: !!set {x}", "none of YAML's core schema"},
        {"a: !!int x", "or its value does not fit it"},
        {"a: !x [1]", "none of YAML's core schema"},
    };

    expect_faults(rows, COUNT_OF(rows));
}

static void test_duplicates_in_a_large_map(void **state UNUSED)
{
    struct config c;
    char text[8192], *p = text;

    for (int i = 0; i < 500; i++)
        p += sprintf(p, "key%d: %d\n", i, i);
    strcpy(p, "key7: again\n");
    config_init(&c);
    parse(&c, text);
    expect_text(config_faults(&c),
                "t.yaml:501:1: the key \"key7\" stands here a second time, the first is on line 8");
    assert_int_equal(c.faults.nerrors, 1);
    config_deinit(&c);
}

static void test_nesting_is_bounded(void **state UNUSED)
{
    struct config c;
    char text[4096] = "a: ";

    config_init(&c);
    memset(text + 3, '[', 60);
    memset(text + 63, ']', 60);
    assert_non_null(parse(&c, text));
    assert_int_equal(c.faults.nerrors, 0);
    memset(text + 3, '[', 2000);
    parse(&c, text);
    expect_text(config_faults(&c), "t.yaml:1:68: nested more than 64 levels deep");
    config_deinit(&c);
}

/* --- aliases ---------------------------------------------------------------------------------- */

static void test_aliases_are_copies(void **state UNUSED)
{
    static const struct row rows[] = {
        {"a: &x {b: [1, 2]}\nc: *x\nd: *x\n", "{a:{b:[i1 i2]} c:{b:[i1 i2]} d:{b:[i1 i2]}}"},
        {"a: &x 1\nb: &x 2\nc: *x\n", "{a:i1 b:i2 c:i2}"},
        {"a: &x []\nb: *x\n", "{a:[] b:[]}"},
    };
    static const struct row bad[] = {
        {"a: *x\n", "t.yaml:1:4: no anchor of this name stands before it"},
        {"a: &x [*x]\n", "t.yaml:1:8: this alias stands inside its own anchor"},
        {"a: &x {b: {c: *x}}\n", "this alias stands inside its own anchor"},
    };

    expect_trees(rows, COUNT_OF(rows));
    expect_faults(bad, COUNT_OF(bad));
}

static void test_a_copy_is_not_shared(void **state UNUSED)
{
    struct config c;

    config_init(&c);
    struct conf *root = parse(&c, "a: &x {b: [1]}\nc: *x\n");
    struct conf *a = conf_get(root, SLICE("a")), *copy = conf_get(root, SLICE("c"));
    assert_ptr_not_equal(a, copy);
    assert_ptr_not_equal(conf_get(a, SLICE("b")), conf_get(copy, SLICE("b")));
    assert_ptr_not_equal(a->pairs, copy->pairs);
    config_deinit(&c);
}

static void test_aliases_are_bounded(void **state UNUSED)
{
    struct config c;
    char text[4096], *p = text;

    p += sprintf(p, "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++)
        p += sprintf(p, "l%d: &l%d [*l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d]\n", i, i,
                     i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    config_init(&c);
    parse(&c, text);
    expect_text(config_faults(&c), "aliases make the tree too large");
    assert_true(arena_size(c.arena) < 16 * MIB);
    config_deinit(&c);
}

static void test_aliases_do_not_nest_deeper(void **state UNUSED)
{
    struct config c;
    char text[4096], *p = text;

    p += sprintf(p, "l0: &l0 [x]\n");
    for (int i = 1; i < 70; i++)
        p += sprintf(p, "l%d: &l%d [*l%d]\n", i, i, i - 1);
    config_init(&c);
    parse(&c, text);
    expect_text(config_faults(&c), "aliases make the tree too large");
    config_deinit(&c);
}

/* --- ${} -------------------------------------------------------------------------------------- */

static void test_environment(void **state UNUSED)
{
    static const struct row rows[] = {
        {"a: ${DML_T}", "{a:!\"value\"}"},
        {"a: \"${DML_T}\"", "{a:!\"value\"}"},
        {"a: x${DML_T}y${DML_N}", "{a:!\"xvaluey12\"}"},
        {"a: \"x${DML_T}\"", "{a:\"xvalue\"}"},
        {"a: \"${DML_T}${DML_N}\"", "{a:\"value12\"}"},
        {"a: ${DML_N}", "{a:!i12}"},
        {"a: {b: \"${DML_N}\"}", "{a:{b:!i12}}"},
        {"a: '1${DML_N}'", "{a:\"112\"}"},
        {"a: !!str ${DML_N}", "{a:\"12\"}"},
        {"a: ${DML_NONE:-default}", "{a:!\"default\"}"},
        {"a: ${DML_EMPTY:-default}", "{a:!\"default\"}"},
        {"a: ${DML_EMPTY}", "{a:!~}"},
        {"a: ${DML_NONE:-}", "{a:!~}"},
        {"a: ${DML_NONE:-a:-b}", "{a:!\"a:-b\"}"},
        {"a: ${DML_T:-default}", "{a:!\"value\"}"},
        {"a: $${DML_T}", "{a:\"${DML_T}\"}"},
        {"a: $$${DML_T}", "{a:\"$${DML_T}\"}"},
        {"a: $DML_T $ 5$", "{a:\"$DML_T $ 5$\"}"},
        {"a: ${DML_NESTED}", "{a:!\"${DML_T}\"}"},
        {"a: ${DML_YAML}", "{a:!\"x: [1, 2] # y\"}"},
        {"${DML_T}: 1", "{${DML_T}:i1}"},
        {"a: |\n  ${DML_T}\n", "{a:\"value\n\"}"},
    };
    static const struct row bad[] = {
        {"a: ${DML_NONE}", "t.yaml:1:4: the environment variable DML_NONE is not set"},
        {"a: 1\nb: [x, \"y${DML_NONE}\"]",
         "t.yaml:2:8: the environment variable DML_NONE is not set"},
        {"a: ${DML_T", "\"${\" has no \"}\""},
        {"a: ${}", "none of ${NAME}"},
        {"a: ${1A}", "none of ${NAME}"},
        {"a: ${env:X}", "none of ${NAME}"},
        {"a: ${DML_BINARY}", "DML_BINARY holds bytes that are not UTF-8 text"},
    };

    setenv("DML_T", "value", 1);
    setenv("DML_N", "12", 1);
    setenv("DML_EMPTY", "", 1);
    setenv("DML_NESTED", "${DML_T}", 1);
    setenv("DML_YAML", "x: [1, 2] # y", 1);
    setenv("DML_BINARY", "\xff\xfe", 1);
    unsetenv("DML_NONE");
    expect_trees(rows, COUNT_OF(rows));
    expect_faults(bad, COUNT_OF(bad));
}

static void test_secrets_of_files(void **state UNUSED)
{
    struct folder f;
    struct config c;
    char text[512];

    folder_init(&f);
    folder_write(&f, "one", "s3cret\n");
    folder_write(&f, "two", "a\nb\r\n");
    folder_write(&f, "three", "no newline");
    folder_write(&f, "empty", "");
    config_init(&c);
    struct conf *root = conf_yaml_parse(
        SLICE("a: ${file:one}\nb: \"${file:two}\"\nc: 'x ${file:three}'\nd: ${file:empty}\n"
              "e: ${DML_T}\nf: plain\n"),
        "t.yaml", f.path, c.arena, &c.faults);
    assert_string_equal(config_faults(&c), "");
    expect_tree(root, "{a:!\"s3cret\" b:!\"a\nb\" c:\"x no newline\" d:!~ e:!\"value\" "
                      "f:\"plain\"}");
    assert_true(conf_get(root, SLICE("a"))->is_secret);
    assert_true(conf_get(root, SLICE("c"))->is_secret);
    assert_false(conf_get(root, SLICE("a"))->is_from_env);
    assert_true(conf_get(root, SLICE("e"))->is_from_env);
    assert_false(conf_get(root, SLICE("e"))->is_secret);
    assert_false(conf_get(root, SLICE("f"))->is_secret);

    snprintf(text, sizeof(text), "a: ${file:%s/one}", f.path);
    expect_tree(parse(&c, text), "{a:!\"s3cret\"}");
    folder_deinit(&f);
    config_deinit(&c);
}

static void test_a_secret_that_cannot_be_read_is_the_systems_fault(void **state UNUSED)
{
    struct config c;

    config_init(&c);
    parse(&c, "a: 1\nb: ${file:/nowhere/at/all}\n");
    expect_text(config_faults(&c),
                "t.yaml:2:4: can't read the file /nowhere/at/all: No such file or directory");
    assert_int_equal(c.faults.nerrors, 1);
    assert_int_equal(c.faults.nsystem, 1);
    parse(&c, "a: ${DML_NONE}\n");
    assert_int_equal(c.faults.nsystem, 1);
    config_deinit(&c);
}

static void test_passwords_of_urls_are_secret(void **state UNUSED)
{
    static const struct {
        const char *yaml;
        bool is_secret;
    } rows[] = {
        {"a: redis://:pass@127.0.0.1:6379/0", true},
        {"a: http://user:pass@host/", true},
        {"a: redis://:pa/ss@host", true},
        {"a: http://user@host/", false},
        {"a: http://host:8080/x@y", false},
        {"a: https://example.com/@me", false},
        {"a: user:pass@host", false},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config c;
        config_init(&c);
        assert_int_equal(conf_get(parse(&c, rows[i].yaml), SLICE("a"))->is_secret,
                         rows[i].is_secret);
        config_deinit(&c);
    }
}

/* --- files ------------------------------------------------------------------------------------ */

static void test_a_file_that_cannot_be_read_has_no_place(void **state UNUSED)
{
    struct config c;

    config_init(&c);
    assert_null(conf_yaml_load("/nowhere/demilune.yaml", c.arena, &c.faults));
    assert_string_equal(config_faults(&c),
                        "can't read /nowhere/demilune.yaml: No such file or directory\n");
    assert_int_equal(c.faults.nsystem, c.faults.nerrors);
    config_deinit(&c);
}

static struct conf *load(struct config *c, const char *path)
{
    config_init(c);
    return conf_yaml_load(path, c->arena, &c->faults);
}

static void test_include_merges(void **state UNUSED)
{
    struct folder f;
    struct config c;

    folder_init(&f);
    folder_write(&f, "conf.d/b.yaml", "routes: [b1, b2]\nlimits: {headers: 5}\n");
    folder_write(&f, "conf.d/a.yaml",
                 "routes: [a]\nadmin: {address: x}\ninclude: [../more.yaml]\n");
    folder_write(&f, "conf.d/c.txt", "routes: [never]\n");
    folder_write(&f, "more.yaml", "routes: [more]\nempty:\n");
    const char *path = folder_write(&f, "main.yaml",
                                    "include: [conf.d/*.yaml, none/*.yaml]\nroutes: [main]\n"
                                    "limits: {connections: 1}\nadmin:\n");
    struct conf *root = load(&c, path);
    assert_string_equal(config_faults(&c), "");
    expect_tree(root, "{include:[\"conf.d/*.yaml\" \"none/*.yaml\"] "
                      "routes:[\"main\" \"a\" \"more\" \"b1\" \"b2\"] "
                      "limits:{connections:i1 headers:i5} admin:{address:\"x\"} empty:~}");
    expect_text(conf_get(root, SLICE("routes"))->items[3]->file->name.ptr, "conf.d/b.yaml");
    folder_deinit(&f);
    config_deinit(&c);
}

static void test_what_include_refuses(void **state UNUSED)
{
    struct folder f;
    struct config c;

    folder_init(&f);
    folder_write(&f, "twice.yaml", "workers: 2\nlimits:\n  headers: 3\n");
    folder_write(&f, "broken.yaml", "a: [\n");
    const char *path = folder_write(&f, "main.yaml",
                                    "workers: 1\nlimits: {headers: 1}\n"
                                    "include: [twice.yaml, broken.yaml, none.yaml, main.yaml]\n");
    load(&c, path);
    const char *faults = config_faults(&c);
    expect_text(faults, "twice.yaml:1:1: workers: is set twice, the first time at ");
    expect_text(faults, "main.yaml:1\n");
    expect_text(faults, "twice.yaml:3:3: limits.headers: is set twice, the first time at ");
    expect_text(faults, "broken.yaml:2:1: no YAML");
    expect_text(faults, "main.yaml:3:36: can't read ");
    expect_text(faults, "none.yaml: No such file or directory");
    expect_text(faults, "main.yaml:3:47: include: ");
    expect_text(faults, "main.yaml is included already");
    assert_int_equal(c.faults.nerrors, 5);
    assert_int_equal(c.faults.nsystem, 1);
    folder_deinit(&f);
    config_deinit(&c);
}

static void test_many_included_files(void **state UNUSED)
{
    struct folder f;
    struct config c;
    char name[32], text[64];

    folder_init(&f);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "d/%03d.yaml", i);
        snprintf(text, sizeof(text), "routes: [%d, x, y, z]\n", i);
        folder_write(&f, name, text);
    }
    struct conf *root = load(&c, folder_write(&f, "main.yaml", "include: [d/*]\n"));
    struct conf *routes = conf_get(root, SLICE("routes"));
    assert_string_equal(config_faults(&c), "");
    assert_int_equal(routes->n, 2000);
    for (int i = 0; i < 500; i++)
        assert_true(routes->items[4 * i]->number == i);
    folder_deinit(&f);
    config_deinit(&c);
}

static void test_nodes_know_their_place(void **state UNUSED)
{
    struct config c;

    config_init(&c);
    struct conf *root =
        parse(&c, "a: 1\nb:\n  - \"\xc3\xa9\": {c: x}\n  - |\n    l1\n    l2\nd: 1\n");
    struct conf *b = conf_get(root, SLICE("b"));
    struct conf *inner = conf_get(b->items[0], SLICE("\xc3\xa9"));
    assert_int_equal(b->line, 3);
    assert_int_equal(b->end_line, 6);
    assert_int_equal(inner->line, 3);
    assert_int_equal(inner->column, 10);
    assert_int_equal(b->items[1]->line, 4);
    assert_int_equal(b->items[1]->end_line, 6);
    assert_int_equal(root->pairs[2].line, 7);
    config_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_by_the_core_schema),
        cmocka_unit_test(test_collections_and_texts),
        cmocka_unit_test(test_a_byte_order_mark_is_no_text),
        cmocka_unit_test(test_what_is_no_configuration),
        cmocka_unit_test(test_duplicates_in_a_large_map),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_aliases_are_copies),
        cmocka_unit_test(test_a_copy_is_not_shared),
        cmocka_unit_test(test_aliases_are_bounded),
        cmocka_unit_test(test_aliases_do_not_nest_deeper),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_secrets_of_files),
        cmocka_unit_test(test_a_secret_that_cannot_be_read_is_the_systems_fault),
        cmocka_unit_test(test_passwords_of_urls_are_secret),
        cmocka_unit_test(test_a_file_that_cannot_be_read_has_no_place),
        cmocka_unit_test(test_include_merges),
        cmocka_unit_test(test_what_include_refuses),
        cmocka_unit_test(test_many_included_files),
        cmocka_unit_test(test_nodes_know_their_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
