/* SPDX-License-Identifier: Apache-2.0 */

/* What the metrics tell of the process as a whole. */

#ifndef DML_APP_PROCESS_H
#define DML_APP_PROCESS_H

struct control;

/* After metric_init; c must stay until metric_deinit. */
void process_register_metrics(struct control *c);

#endif
