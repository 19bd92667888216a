/* SPDX-License-Identifier: Apache-2.0 */

/* Metrics of plugins. Families and series live until the process ends, so Lua may keep them. */

#include <string.h>

#include "base/metric.h"
#include "gate/gateway.h"
#include "script/api_lib.h"

#define LABELS_MAX 8

struct metric_family *dml_metric_family(const char *name, const char *help, int type,
                                        const char *labels, const double *bounds, int nbounds)
{
    static const enum metric_type types[] = {[DML_COUNTER] = METRIC_COUNTER,
                                             [DML_GAUGE] = METRIC_GAUGE,
                                             [DML_HISTOGRAM] = METRIC_HISTOGRAM};
    const char *names[LABELS_MAX];
    int n = 0;

    for (const char *p = labels; *p; p += strlen(p) + 1) {
        if (n == LABELS_MAX)
            return NULL;
        names[n++] = p;
    }
    if (type < 0 || (size_t)type >= COUNT_OF(types))
        return NULL;
    return metric_family(name, help, types[type], names, n, nbounds > 0 ? bounds : NULL, nbounds);
}

struct metric_series *dml_metric_series(struct metric_family *f, const struct dml_slice *values)
{
    struct slice texts[LABELS_MAX];

    for (int i = 0; i < LABELS_MAX; i++)
        texts[i] = values[i].ptr ? slice_of(values[i].ptr, (size_t)values[i].len) : SLICE("");
    return metric_series(f, texts);
}

void dml_metric_add(struct gateway *g, struct metric_series *s, double n)
{
    metric_add(s, g ? g->writer : 0, n);
}

void dml_metric_set(struct gateway *g, struct metric_series *s, double value)
{
    metric_set(s, g ? g->writer : 0, value);
}

void dml_metric_observe(struct gateway *g, struct metric_series *s, double value)
{
    metric_observe(s, g ? g->writer : 0, value);
}
