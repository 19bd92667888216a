/* SPDX-License-Identifier: Apache-2.0 */

/* How many CPUs this process may use: its affinity, cut by the quota of its control group. */

#ifndef DML_GATE_CPUS_H
#define DML_GATE_CPUS_H

#include "base/base.h"

/* At least 1. root: where /proc and /sys are, "" but in tests. */
int cpus_available(const char *root);

/* The quota alone, rounded up; 0 = none. */
int cpus_quota(const char *root);

#endif
