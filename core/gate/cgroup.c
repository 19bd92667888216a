/* SPDX-License-Identifier: Apache-2.0 */

/* A container's share of the machine is told by its control group: the affinity does not show a quota, and free memory no
 * limit. A group is bounded by its own values and those of all groups above it. Version 2 has cpu.max
 * ("200000 100000") and memory.max, version 1 cpu.cfs_quota_us, cpu.cfs_period_us and memory.limit_in_bytes. In a container
 * the path that /proc tells may not exist under /sys: then the walk upwards ends at the root of the mount, which is the
 * container's own group. */

#include "gate/cgroup.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

#define CPUS_MAX 100000
#define MEMORY_MAX \
    ((double)(1ull << 60)) /* version 1 has no other word for "no limit" than a very large number */

/* What one group says of itself; 0 = nothing. */
typedef double (*limit_fn)(const char *dir);

/* The same thing in both versions. */
struct limit {
    const char *controller; /* of version 1, and its mount */
    limit_fn v1, v2;
};

/* The first line of a file; false when there is none. */
static bool read_line(const char *dir, const char *file, char *out, int size)
{
    char path[PATH_MAX + 32];

    snprintf(path, sizeof(path), "%s/%s", dir, file);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool ok = fgets(out, size, f) != NULL;
    fclose(f);
    return ok;
}

static double round_up(double quota, double period)
{
    if (quota <= 0 || period <= 0 || quota / period >= CPUS_MAX)
        return 0;
    double cpus = quota / period;
    return (int)cpus + ((double)(int)cpus < cpus);
}

static double quota_v2(const char *dir)
{
    char line[128];
    double quota, period;

    if (!read_line(dir, "cpu.max", line, sizeof(line)) ||
        sscanf(line, "%lf %lf", &quota, &period) != 2)
        return 0; /* "max 100000" */
    return round_up(quota, period);
}

static double quota_v1(const char *dir)
{
    char quota[64], period[64];

    if (!read_line(dir, "cpu.cfs_quota_us", quota, sizeof(quota)) ||
        !read_line(dir, "cpu.cfs_period_us", period, sizeof(period)))
        return 0;
    return round_up(atof(quota), atof(period)); /* -1: none */
}

static double bytes_of(const char *dir, const char *file)
{
    char line[64];
    double bytes = read_line(dir, file, line, sizeof(line)) ? atof(line) : 0; /* "max" is 0, too */

    return bytes > 0 && bytes < MEMORY_MAX ? bytes : 0;
}

static double memory_v2(const char *dir)
{
    return bytes_of(dir, "memory.max");
}

static double memory_v1(const char *dir)
{
    return bytes_of(dir, "memory.limit_in_bytes");
}

static const struct limit cpu_quota = {"cpu", quota_v1, quota_v2};
static const struct limit memory = {"memory", memory_v1, memory_v2};

static double lesser(double a, double b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The least of the group's and those above it. */
static double least_upwards(const char *mount, const char *group, limit_fn limit_of)
{
    char dir[PATH_MAX];
    size_t base = strlen(mount);
    int n = snprintf(dir, sizeof(dir), "%s%s", mount, group);
    double least = 0;

    if (n < 0 || (size_t)n >= sizeof(dir))
        return 0;
    for (;;) {
        least = lesser(least, limit_of(dir));
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < base)
            return least;
        *slash = '\0';
    }
}

/* A line of /proc/self/cgroup: "4:cpu,cpuacct:/group" or "0::/group". */
static double limit_of_line(const char *root, char *line, const struct limit *limit)
{
    char mount[PATH_MAX];
    char *controllers = strchr(line, ':'),
         *group = controllers ? strchr(controllers + 1, ':') : NULL;

    if (!group)
        return 0;
    *controllers++ = '\0';
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    if (*controllers == '\0') {
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
        return least_upwards(mount, group, limit->v2);
    }
    struct slice rest = slice_from(controllers), name;
    while (slice_split(&rest, ',', &name)) {
        if (!slice_eq(name, slice_from(limit->controller)))
            continue;
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/%s", root, limit->controller);
        return least_upwards(mount, group, limit->v1);
    }
    return 0;
}

static double limit_of_process(const char *root, const struct limit *limit)
{
    char path[PATH_MAX], line[PATH_MAX];
    double least = 0;

    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f))
        least = lesser(least, limit_of_line(root, line, limit));
    fclose(f);
    return least;
}

int cgroup_quota(const char *root)
{
    return (int)limit_of_process(root, &cpu_quota);
}

int cgroup_cpus(const char *root)
{
    cpu_set_t set;
    int n = 1, quota = cgroup_quota(root);

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        n = CPU_COUNT(&set);
    if (quota && quota < n)
        n = quota;
    return n > 0 ? n : 1;
}

uint64_t cgroup_memory(const char *root)
{
    return (uint64_t)limit_of_process(root, &memory);
}
