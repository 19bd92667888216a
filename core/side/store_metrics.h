/* SPDX-License-Identifier: Apache-2.0 */

/* What /metrics says of the stores that a configuration names. */

#ifndef DML_SIDE_STORE_METRICS_H
#define DML_SIDE_STORE_METRICS_H

#include "base/base.h"

struct store;

/* From now on, or not any more: afterwards nobody reads s. Where there are metrics. */
void store_show(struct store *s, bool is_shown);

#endif
