/* SPDX-License-Identifier: Apache-2.0 */

/* All is read when somebody looks. The names that begin with process_ are those that every Prometheus client has. */

#include "app/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app/control.h"
#include "app/lifeline.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "gate/access_log.h"

static double cpu_seconds(void *arg UNUSED)
{
    struct timespec t;

    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0
               ? (double)t.tv_sec + (double)t.tv_nsec / 1e9
               : 0;
}

static double resident_bytes(void *arg UNUSED)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long size, resident = 0;

    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void *arg UNUSED)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    int n = -1; /* the folder's own */

    if (!folder)
        return 0;
    while ((entry = readdir(folder)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(folder);
    return n;
}

static double most_descriptors(void *arg UNUSED)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}

static double start_seconds(void *arg)
{
    return *(const double *)arg;
}

static double workers(void *arg)
{
    return ((const struct control *)arg)->nworkers;
}

static double connections(void *arg)
{
    return atomic_load(&((struct control *)arg)->quota.open);
}

static double is_ready(void *arg)
{
    return ((const struct control *)arg)->state == CONTROL_READY;
}

static double lost_lines(void *arg UNUSED)
{
    return (double)access_logs_lost();
}

static double lost_log_lines(void *arg UNUSED)
{
    return (double)log_lost();
}

static double restarts(void *arg)
{
    return (double)lifeline_welcome(arg)->restarts;
}

static double handovers(void *arg)
{
    return (double)lifeline_welcome(arg)->handovers;
}

static double supervisor_started(void *arg)
{
    return (double)lifeline_welcome(arg)->started_ms / 1000;
}

static void add(const char *name, const char *help, enum metric_type type, metric_read_fn fn,
                void *arg)
{
    struct metric_family *f = metric_family(name, help, type, NULL, 0, NULL, 0);

    REQUIRE(f != NULL);
    metric_gauge_fn(f, NULL, fn, arg);
}

static void add_build_info(void)
{
    static const char *const labels[] = {"version", "commit"};
    struct slice values[] = {slice_from(DML_VERSION), slice_from(DML_COMMIT)};
    struct metric_family *f =
        metric_family("demilune_build_info", "1, with the version of this program.", METRIC_GAUGE,
                      labels, 2, NULL, 0);

    metric_add(metric_series(f, values), 0, 1);
}

static void add_supervisor(struct lifeline *l)
{
    add("demilune_supervisor_restarts_total", "Gateways that were started again after a crash.",
        METRIC_COUNTER, restarts, l);
    add("demilune_supervisor_handovers_total", "Gateways that have taken over from another.",
        METRIC_COUNTER, handovers, l);
    add("demilune_supervisor_start_time_seconds", "When the supervisor started, since 1970.",
        METRIC_GAUGE, supervisor_started, l);
}

void process_register_metrics(struct control *c)
{
    static double started;

    started = (double)clock_wall_ms() / 1000;
    add_build_info();
    add_supervisor(c->lifeline);
    add("demilune_workers", "Threads that carry traffic.", METRIC_GAUGE, workers, c);
    add("demilune_connections", "Open connections of clients.", METRIC_GAUGE, connections, c);
    add("demilune_access_log_lost_lines_total", "Lines of access logs that could not be written.",
        METRIC_COUNTER, lost_lines, NULL);
    add("demilune_log_lost_lines_total", "Lines of this process's log that could not be written.",
        METRIC_COUNTER, lost_log_lines, NULL);
    add("demilune_ready", "1 while the gateway is ready, 0 while it starts or drains.",
        METRIC_GAUGE, is_ready, c);
    add("process_cpu_seconds_total", "CPU time used.", METRIC_COUNTER, cpu_seconds, NULL);
    add("process_resident_memory_bytes", "Memory in use.", METRIC_GAUGE, resident_bytes, NULL);
    add("process_open_fds", "Open file descriptors.", METRIC_GAUGE, open_descriptors, NULL);
    add("process_max_fds", "Most file descriptors that may be open.", METRIC_GAUGE,
        most_descriptors, NULL);
    add("process_start_time_seconds", "When the process started, since 1970.", METRIC_GAUGE,
        start_seconds, &started);
}
