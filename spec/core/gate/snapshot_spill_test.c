/* SPDX-License-Identifier: Apache-2.0 */

/* The spill that a configuration names. */

#include "gate/snapshot.h"
#include "support/config.h"
#include "support/expect.h"

static struct snapshot *load(struct config *c, const char *text)
{
    config_init(c);
    return snapshot_load(
        &(struct snapshot_source){.text = slice_from(text), .name = "t", .dir = "/etc/d"},
        &c->faults);
}

static void test_its_options_are_read(void **state UNUSED)
{
    struct config c;
    struct snapshot *s = load(&c, "spill: {dir: spill}\n");

    assert_non_null(s);
    expect_slice(s->spill_dir, "/etc/d/spill");
    assert_int_equal(s->spill.size, 1024 * MIB);
    assert_int_equal(s->spill.fsync, SPILL_INTERVAL);
    assert_false(s->spill.drops_oldest);
    snapshot_unref(s);
    config_deinit(&c);

    s = load(&c, "spill: {dir: /x, size: 2MiB, fsync: always, on_full: drop_oldest}\n");
    assert_non_null(s);
    expect_slice(s->spill_dir, "/x");
    assert_int_equal(s->spill.size, 2 * MIB);
    assert_int_equal(s->spill.fsync, SPILL_ALWAYS);
    assert_true(s->spill.drops_oldest);
    snapshot_unref(s);
    config_deinit(&c);

    s = load(&c, "spill: {dir: /x, fsync: never}\n");
    assert_int_equal(s->spill.fsync, SPILL_NEVER);
    snapshot_unref(s);
    config_deinit(&c);

    s = load(&c, "spill:\n");
    assert_null(s->spill_dir.ptr);
    snapshot_unref(s);
    config_deinit(&c);
}

static void test_what_is_wrong_is_told(void **state UNUSED)
{
    static const struct {
        const char *yaml, *fault;
    } rows[] = {
        {"spill: {}", "spill: \"dir\" is missing"},
        {"spill: {dir: x, size: 1kB}", "spill.size"},
        {"spill: {dir: x, size: 2000TiB}", "spill.size"},
        {"spill: {dir: x, fsync: sometimes}", "spill.fsync"},
        {"spill: {dir: x, on_full: block}", "spill.on_full"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config c;
        assert_null(load(&c, rows[i].yaml));
        expect_text(config_faults(&c), rows[i].fault);
        assert_int_equal(c.faults.nerrors, 1);
        config_deinit(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_its_options_are_read),
        cmocka_unit_test(test_what_is_wrong_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
