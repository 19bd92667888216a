/* SPDX-License-Identifier: Apache-2.0 */

/* Counters, gauges and histograms. A metric family has a name, help, type and label names; a series
 * is a family with label values. Each series has one cell per writer (worker); a writer adds to its
 * own cell without a lock, a reader sums them. The registry is process-wide; series live until the
 * process ends and are found again by (family, label values), so they survive reloads. The number
 * of series of plugins and routes is capped (metrics.max_series): beyond it metric_series returns
 * the family's overflow series (labels "other") and counts that in
 * demilune_metric_series_refused_total. Series without labels do not count, nor do those that are
 * computed when read. Registration locks; adding never does. */

#ifndef DML_BASE_METRIC_H
#define DML_BASE_METRIC_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/slice.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_family;
struct metric_series;

/* A cell: for a counter or gauge one value; for a histogram buckets + sum. Writers never share a
 * cache line. Gauges sum over writers too (each holds its share). */

enum { METRIC_MAX_LABELS = 8, METRIC_MAX_BOUNDS = 24, METRIC_MAX_VALUE = 256 };

/* Before threads start, once. nwriters: workers + 1 (index 0 is the control thread). */
void metric_init(int nwriters, size_t max_series);
bool metric_is_ready(void);                    /* it was called */
void metric_set_max_series(size_t max_series); /* any thread; series that exist stay */
void metric_deinit(void);

/* Finds or makes. labels: names, at most 8. For a histogram `bounds` (ascending upper bounds, n of
 * them, at most 24), else NULL, 0. A counter's name ends in "_total", which is added where it is
 * missing. NULL when the name exists with another shape, would repeat a name that another family
 * writes ("x_sum" beside a histogram "x"), or is not a metric name; so for labels. The texts are
 * copied. */
struct metric_family *metric_family(const char *name, const char *help, enum metric_type type,
                                    const char *const *labels, int nlabels, const double *bounds,
                                    int nbounds);

/* Finds or makes; values has nlabels entries, each cut at 256 bytes; bytes that are no UTF-8 become
 * "?". Never NULL. Takes a lock (shared with other readers, when the series exists): keep the
 * result. */
struct metric_series *metric_series(struct metric_family *f, const struct slice *values);

/* Add in the calling writer's own cell: plain (relaxed) adds. writer is the index given to the
 * thread; no two threads use the same one. metric_add is for counters (n >= 0) and gauges,
 * metric_set for gauges (the writer's own share of them), metric_observe for histograms. */
void metric_add(struct metric_series *s, int writer, double n);
void metric_set(struct metric_series *s, int writer, double value);
void metric_inc(struct metric_series *s, int writer);
void metric_observe(struct metric_series *s, int writer, double value);

/* For who adds to the same series again and again: the writer's own cells of it, which last as long as the process. With
 * many series each is memory that has to be waited for, and these are all that an add needs. Of a counter, of a histogram. */
struct metric_cells;
struct metric_cells *metric_cells(struct metric_series *s, int writer);
void metric_cells_inc(struct metric_cells *cells);
void metric_cells_observe(struct metric_cells *cells, const struct metric_family *f, double value);

/* Gauges, and counters that are counted elsewhere, are computed when read: fn is called under the
 * registry's lock by the reading thread, and must not call back here. fn NULL ends that: afterwards
 * fn is not running any more, and the series is not written until there is one again. */
typedef double (*metric_read_fn)(void *arg);
void metric_gauge_fn(struct metric_family *f, const struct slice *values, metric_read_fn fn,
                     void *arg);

/* What one object shows of itself, a row for each family. */
struct metric_row {
    const char *name, *help;
    enum metric_type type; /* METRIC_GAUGE or METRIC_COUNTER */
    metric_read_fn fn;     /* with the object */
};

/* From now on, or not any more, under a single label: metric_gauge_fn for each row. Nothing happens
 * where there are no metrics. */
void metric_show_rows(const struct metric_row *rows, size_t n, const char *label,
                      struct slice value, void *object, bool is_shown);

/* Sum over writers (tests, admin). For histograms the count. */
double metric_value(const struct metric_series *s);

/* Exposition, Prometheus text 0.0.4 or OpenMetrics 1.0.0. ERR_FULL when out's cap is reached. */
MUST_CHECK int metric_write(struct buf *out, bool openmetrics);

#endif
