/* SPDX-License-Identifier: Apache-2.0 */

/* Prints the registry in one of two formats that differ little: OpenMetrics names a counter's
 * family without "_total", writes bucket bounds as floats and ends the page with a mark. Errors of
 * the buffer (its cap) end the printing; half a page is of no use. */

#include "base/metric.h"

#include <math.h>

#include "base/metric_registry.h"
#include "base/text.h"

static const char *const type_names[] = {"counter", "gauge", "histogram"};

struct page {
    struct buf *out;
    bool is_openmetrics;
    int err;
};

static void put(struct page *p, struct slice s)
{
    if (p->err == 0)
        p->err = buf_add(p->out, s);
}

static void put_number(struct page *p, double n)
{
    char text[TEXT_DOUBLE_SIZE];

    if (isnan(n))
        put(p, SLICE("NaN"));
    else if (isinf(n))
        put(p, n > 0 ? SLICE("+Inf") : SLICE("-Inf"));
    else
        put(p, slice_of(text, text_from_double(n, text)));
}

static void put_help(struct page *p, struct slice help)
{
    for (size_t i = 0; i < help.len; i++) {
        char c = help.ptr[i];
        if (c == '\\' || c == '\n' || (c == '"' && p->is_openmetrics))
            put(p, SLICE("\\"));
        put(p, c == '\n' ? SLICE("n") : slice_of(&c, 1));
    }
}

/* One of the two lines before a family's samples. */
static void put_about(struct page *p, const struct metric_family *f, struct slice what)
{
    put(p, SLICE("# "));
    put(p, what);
    put(p, SLICE(" "));
    put(p, f->name);
    if (f->type == METRIC_COUNTER && !p->is_openmetrics)
        put(p, SLICE("_total"));
    put(p, SLICE(" "));
}

static void put_sample(struct page *p, const struct metric_series *s, struct slice suffix,
                       double value)
{
    put(p, s->family->name);
    put(p, suffix);
    if (s->labels.len) {
        put(p, SLICE("{"));
        put(p, s->labels);
        put(p, SLICE("}"));
    }
    put(p, SLICE(" "));
    put_number(p, value);
    put(p, SLICE("\n"));
}

static void put_bucket(struct page *p, const struct metric_series *s, double bound, double count)
{
    put(p, s->family->name);
    put(p, SLICE("_bucket{"));
    put(p, s->labels);
    put(p, s->labels.len ? SLICE(",le=\"") : SLICE("le=\""));
    put_number(p, bound);
    if (p->is_openmetrics && bound == trunc(bound) && fabs(bound) <= 1e15)
        put(p, SLICE(".0"));
    put(p, SLICE("\"} "));
    put_number(p, count);
    put(p, SLICE("\n"));
}

/* The count is the last bucket's sum, read once: it must not differ from it, whatever is added
 * meanwhile. */
static void put_histogram(struct page *p, const struct metric_series *s)
{
    const struct metric_family *f = s->family;
    double count = 0;

    for (int i = 0; i <= f->nbounds; i++) {
        count += metric_cell(s, METRIC_BUCKETS + i);
        put_bucket(p, s, i < f->nbounds ? f->bounds[i] : INFINITY, count);
    }
    put_sample(p, s, SLICE("_sum"), metric_cell(s, METRIC_SUM));
    put_sample(p, s, SLICE("_count"), count);
}

static void put_family(struct page *p, const struct metric_family *f)
{
    put_about(p, f, SLICE("HELP"));
    put_help(p, f->help);
    put(p, SLICE("\n"));
    put_about(p, f, SLICE("TYPE"));
    put(p, slice_from(type_names[f->type]));
    put(p, SLICE("\n"));
    for (size_t i = 0; i < f->series.n && p->err == 0; i++) {
        const struct metric_series *s = f->series.items[i];
        if (s->is_hidden)
            continue;
        if (f->type == METRIC_HISTOGRAM)
            put_histogram(p, s);
        else
            put_sample(p, s, f->type == METRIC_COUNTER ? SLICE("_total") : SLICE(""),
                       metric_value_locked(s));
    }
}

int metric_write(struct buf *out, bool openmetrics)
{
    struct page page = {.out = out, .is_openmetrics = openmetrics};

    pthread_rwlock_rdlock(&metric_registry.lock);
    for (size_t i = 0; i < metric_registry.families.n && page.err == 0; i++)
        if (metric_registry.families.items[i]->series.n)
            put_family(&page, metric_registry.families.items[i]);
    pthread_rwlock_unlock(&metric_registry.lock);
    if (openmetrics)
        put(&page, SLICE("# EOF\n"));
    return page.err;
}
