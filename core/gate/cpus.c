/* SPDX-License-Identifier: Apache-2.0 */

/* A container's share of the machine is a quota of its control group, which the affinity does not
 * show. A group is bounded by its own quota and those of all groups above it. Version 2 has
 * cpu.max ("200000 100000"), version 1 cpu.cfs_quota_us and cpu.cfs_period_us. In a container the
 * path that /proc tells may not exist under /sys: then the walk upwards ends at the root of the
 * mount, which is the container's own group. */

#include "gate/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

/* The first line of a file; false when there is none. */
static bool read_line(const char *path, char *out, int size)
{
    FILE *f = fopen(path, "re");

    if (!f)
        return false;
    bool ok = fgets(out, size, f) != NULL;
    fclose(f);
    return ok;
}

static int round_up(double quota, double period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    double cpus = quota / period;
    return cpus >= 100000 ? 0 : (int)cpus + ((double)(int)cpus < cpus);
}

/* Of one group; 0 = none. */
static int quota_v2(const char *dir)
{
    char path[PATH_MAX + 32], line[128];
    double quota, period;

    snprintf(path, sizeof(path), "%s/cpu.max", dir);
    if (!read_line(path, line, sizeof(line)) || sscanf(line, "%lf %lf", &quota, &period) != 2)
        return 0; /* "max 100000" */
    return round_up(quota, period);
}

static int quota_v1(const char *dir)
{
    char path[PATH_MAX + 32], quota[64], period[64];

    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", dir);
    if (!read_line(path, quota, sizeof(quota)))
        return 0;
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", dir);
    if (!read_line(path, period, sizeof(period)))
        return 0;
    return round_up(atof(quota), atof(period)); /* -1: none */
}

/* The least of the group's and those above it. */
static int least_upwards(const char *mount, const char *group, int (*quota_of)(const char *dir))
{
    char dir[PATH_MAX];
    size_t base = strlen(mount);
    int least = 0, n = snprintf(dir, sizeof(dir), "%s%s", mount, group);

    if (n < 0 || (size_t)n >= sizeof(dir))
        return 0;
    for (;;) {
        int quota = quota_of(dir);
        if (quota && (!least || quota < least))
            least = quota;
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < base)
            return least;
        *slash = '\0';
    }
}

/* "4:cpu,cpuacct:/group" or "0::/group". */
static int quota_of_line(const char *root, char *line)
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
        return least_upwards(mount, group, quota_v2);
    }
    struct slice rest = slice_from(controllers), name;
    while (slice_split(&rest, ',', &name)) {
        if (!slice_eq(name, SLICE("cpu")))
            continue;
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/cpu", root);
        return least_upwards(mount, group, quota_v1);
    }
    return 0;
}

int cpus_quota(const char *root)
{
    char path[PATH_MAX], line[PATH_MAX];
    int least = 0;

    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f)) {
        int quota = quota_of_line(root, line);
        if (quota && (!least || quota < least))
            least = quota;
    }
    fclose(f);
    return least;
}

int cpus_available(const char *root)
{
    cpu_set_t set;
    int n = 1, quota = cpus_quota(root);

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        n = CPU_COUNT(&set);
    if (quota && quota < n)
        n = quota;
    return n > 0 ? n : 1;
}
