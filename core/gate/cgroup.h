/* SPDX-License-Identifier: Apache-2.0 */

/* What this process may use up: CPUs by its affinity and the quota of its control group, memory by the group's limit. */

#ifndef DML_GATE_CGROUP_H
#define DML_GATE_CGROUP_H

#include "base/base.h"

/* CPUs that threads can run on at one time, at least 1. root: where /proc and /sys are, "" but in tests. */
int cgroup_cpus(const char *root);

/* The quota alone, rounded up; 0 = none. */
int cgroup_quota(const char *root);

/* The memory beyond which the system kills, in bytes; 0 = none but the machine's. */
uint64_t cgroup_memory(const char *root);

#endif
