/* SPDX-License-Identifier: Apache-2.0 */

/* Limits of control groups, read from a tree that looks like /proc and /sys. */

#include "gate/cgroup.h"

#include "support/config.h"

static int quota(const struct folder *f)
{
    return cgroup_quota(f->path);
}

static void test_version_2(void **state UNUSED)
{
    struct folder f;

    folder_init(&f);
    assert_int_equal(quota(&f), 0);
    folder_write(&f, "proc/self/cgroup", "0::/a/b\n");
    assert_int_equal(quota(&f), 0);
    folder_write(&f, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(quota(&f), 0);
    folder_write(&f, "sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
    assert_int_equal(quota(&f), 3);
    folder_write(&f, "sys/fs/cgroup/a/cpu.max", "150000 100000\n"); /* above it: less */
    assert_int_equal(quota(&f), 2);
    folder_write(&f, "sys/fs/cgroup/a/b/cpu.max", "10000 100000\n");
    assert_int_equal(quota(&f), 1);
    folder_deinit(&f);
}

static void test_version_1(void **state UNUSED)
{
    struct folder f;

    folder_init(&f);
    folder_write(&f, "proc/self/cgroup",
                 "12:memory:/x\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/x\n");
    folder_write(&f, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n");
    folder_write(&f, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota(&f), 3); /* the container's own group is the root of its mount */
    folder_write(&f, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(quota(&f), 0);
    folder_deinit(&f);
}

static void test_never_less_than_one(void **state UNUSED)
{
    struct folder f;

    folder_init(&f);
    assert_true(cgroup_cpus(f.path) >= 1);
    folder_write(&f, "proc/self/cgroup", "0::/\n");
    folder_write(&f, "sys/fs/cgroup/cpu.max", "1000 100000\n");
    assert_int_equal(cgroup_cpus(f.path), 1);
    folder_write(&f, "sys/fs/cgroup/cpu.max", "garbage\n");
    assert_true(cgroup_cpus(f.path) >= 1);
    folder_deinit(&f);
}

static void test_memory_of_version_2(void **state UNUSED)
{
    struct folder f;

    folder_init(&f);
    assert_int_equal(cgroup_memory(f.path), 0);
    folder_write(&f, "proc/self/cgroup", "0::/a/b\n");
    folder_write(&f, "sys/fs/cgroup/a/b/memory.max", "max\n");
    assert_int_equal(cgroup_memory(f.path), 0);
    folder_write(&f, "sys/fs/cgroup/a/memory.max", "268435456\n");
    assert_int_equal(cgroup_memory(f.path), 256 * MIB);
    folder_write(&f, "sys/fs/cgroup/a/b/memory.max", "134217728\n");
    assert_int_equal(cgroup_memory(f.path), 128 * MIB);
    folder_deinit(&f);
}

static void test_memory_of_version_1(void **state UNUSED)
{
    struct folder f;

    folder_init(&f);
    folder_write(&f, "proc/self/cgroup", "12:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n");
    folder_write(&f, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(cgroup_memory(f.path), 0); /* what no limit looks like there */
    folder_write(&f, "sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
    assert_int_equal(cgroup_memory(f.path), 512 * MIB);
    folder_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_2),           cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_memory_of_version_2), cmocka_unit_test(test_memory_of_version_1),
        cmocka_unit_test(test_never_less_than_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
