/* SPDX-License-Identifier: Apache-2.0 */

/* What the hooks of plugins take, by plugin and hook, in the metrics. Control thread. */

#ifndef DML_APP_PLUGIN_METRICS_H
#define DML_APP_PLUGIN_METRICS_H

struct plugin_metrics;

struct plugin_metrics *plugin_metrics_new(void);
void plugin_metrics_free(struct plugin_metrics *m);

/* After a configuration was read: shows the plugins and hooks that are new. */
void plugin_metrics_follow(struct plugin_metrics *m);

#endif
