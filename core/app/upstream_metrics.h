/* SPDX-License-Identifier: Apache-2.0 */

/* What the metrics tell of upstreams and their pools, and of the certificates in use. */

#ifndef DML_APP_UPSTREAM_METRICS_H
#define DML_APP_UPSTREAM_METRICS_H

struct snapshot;

/* After metric_init, when the snapshot comes into use; hide before it is let go. Control thread. */
void upstream_metrics_show(const struct snapshot *s);
void upstream_metrics_hide(const struct snapshot *s);

#endif
