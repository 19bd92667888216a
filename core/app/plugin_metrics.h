/* SPDX-License-Identifier: Apache-2.0 */

/* What the hooks of plugins take, by plugin and hook, in the metrics. Control thread. */

#ifndef DML_APP_PLUGIN_METRICS_H
#define DML_APP_PLUGIN_METRICS_H

struct plugin_metrics;
struct snapshot;

struct plugin_metrics *plugin_metrics_new(void);
void plugin_metrics_free(struct plugin_metrics *m);

/* This is the current one from now on: what was counted in the one before, which must still be there, is kept. */
void plugin_metrics_follow(struct plugin_metrics *m, const struct snapshot *s);

#endif
