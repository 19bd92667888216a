/* SPDX-License-Identifier: Apache-2.0 */

/* What /metrics says of the stores of responses. */

#ifndef DML_SIDE_RESPONSE_STORE_METRICS_H
#define DML_SIDE_RESPONSE_STORE_METRICS_H

#include "base/base.h"

struct response_store;

/* From now on, or not any more: afterwards nobody reads s. Where there are metrics. */
void response_store_show(struct response_store *s, bool is_shown);

#endif
