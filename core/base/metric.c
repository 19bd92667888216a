/* SPDX-License-Identifier: Apache-2.0 */

/* The registry of families and series, and adding. A writer is the only one who writes its cells,
 * so an add is a load and a store that need not be one operation; readers see each cell whole. The
 * lock is a readers' lock: a worker that looks up an existing series does not wait for a page of
 * ten thousand lines to be printed. */

#include "base/metric.h"

#include <math.h>

#include "base/check.h"
#include "base/metric_registry.h"
#include "base/text.h"

/* Two bytes of length before each value. */
#define MAX_KEY (METRIC_MAX_LABELS * (METRIC_MAX_VALUE + 2))

struct metric_registry metric_registry = {.lock = PTHREAD_RWLOCK_INITIALIZER};
static struct metric_registry *const reg = &metric_registry;
static atomic_size_t series_limit;
static atomic_uint_fast64_t refused;

static double read_refused(void *arg UNUSED)
{
    return (double)atomic_load_explicit(&refused, memory_order_relaxed);
}

void metric_init(int nwriters, size_t max_series)
{
    REQUIRE(reg->nwriters == 0 && nwriters > 0);
    reg->arena = arena_new_heap(16 * KIB);
    reg->nwriters = nwriters;
    atomic_store(&series_limit, max_series);
    atomic_store(&refused, 0);
    map_init(&reg->names);

    struct metric_family *f =
        metric_family("demilune_metric_series_refused_total",
                      "Look-ups that got the overflow series because there were too many series.",
                      METRIC_COUNTER, NULL, 0, NULL, 0);
    metric_gauge_fn(f, NULL, read_refused, NULL);
}

bool metric_is_ready(void)
{
    return reg->nwriters > 0;
}

void metric_set_max_series(size_t max_series)
{
    atomic_store_explicit(&series_limit, max_series, memory_order_relaxed);
}

void metric_deinit(void)
{
    for (size_t i = 0; i < reg->families.n; i++) {
        map_deinit(&reg->families.items[i]->series_by_values);
        vec_free(&reg->families.items[i]->series);
    }
    vec_free(&reg->families);
    map_deinit(&reg->names);
    arena_free(reg->arena);
    reg->arena = NULL;
    reg->slab = NULL;
    reg->slab_used = 0;
    reg->nwriters = 0;
    reg->nseries = 0;
}

/* --- families --- */

static bool is_name(struct slice s, bool is_metric)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], small = c | 0x20;
        bool is_letter = (small >= 'a' && small <= 'z') || c == '_' || (c == ':' && is_metric);
        if (!is_letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.len > 0;
}

static bool are_labels(const struct metric_family *f)
{
    for (int i = 0; i < f->nlabels; i++) {
        if (!is_name(f->labels[i], false) || slice_starts(f->labels[i], SLICE("__")) ||
            (f->type == METRIC_HISTOGRAM && slice_eq(f->labels[i], SLICE("le"))))
            return false;
        for (int j = 0; j < i; j++)
            if (slice_eq(f->labels[i], f->labels[j]))
                return false;
    }
    return true;
}

static bool are_bounds(const struct metric_family *f)
{
    for (int i = 0; i < f->nbounds; i++)
        if (!isfinite(f->bounds[i]) || (i > 0 && f->bounds[i] <= f->bounds[i - 1]))
            return false;
    return (f->type == METRIC_HISTOGRAM) == (f->nbounds > 0);
}

static bool have_same_shape(const struct metric_family *a, const struct metric_family *b)
{
    if (a->type != b->type || a->nlabels != b->nlabels || a->nbounds != b->nbounds)
        return false;
    for (int i = 0; i < a->nlabels; i++)
        if (!slice_eq(a->labels[i], b->labels[i]))
            return false;
    for (int i = 0; i < a->nbounds; i++)
        if (a->bounds[i] != b->bounds[i])
            return false;
    return slice_eq(a->name, b->name);
}

/* The families of different names must not write the same sample: a reader would refuse the whole
 * page. */
static const char *const *suffixes_of(enum metric_type type)
{
    static const char *const of_counter[] = {"", "_total", NULL};
    static const char *const of_gauge[] = {"", NULL};
    static const char *const of_histogram[] = {"", "_bucket", "_sum", "_count", NULL};

    return type == METRIC_COUNTER ? of_counter : type == METRIC_GAUGE ? of_gauge : of_histogram;
}

static bool claim_names(struct metric_family *f)
{
    struct slice names[4];
    int n = 0;

    for (const char *const *suffix = suffixes_of(f->type); *suffix; suffix++) {
        names[n] = arena_printf(reg->arena, "%.*s%s", SLICE_ARG(f->name), *suffix);
        if (map_find(&reg->names, names[n++]))
            return false;
    }
    while (n > 0)
        map_set(&reg->names, names[--n], f);
    return true;
}

static void insert_in_order(struct metric_family *f)
{
    vec_push(&reg->families, f);
    size_t i = reg->families.n - 1;
    for (; i > 0 && slice_compare(reg->families.items[i - 1]->name, f->name) > 0; i--)
        reg->families.items[i] = reg->families.items[i - 1];
    reg->families.items[i] = f;
}

/* A lasting copy of `draft`, whose texts are the caller's; NULL when its names are taken. */
static struct metric_family *add_family(const struct metric_family *draft)
{
    struct metric_family *f = arena_zero(reg->arena, sizeof(*f));

    *f = *draft;
    f->name = arena_dup(reg->arena, draft->name);
    f->help = arena_dup(reg->arena, draft->help);
    for (int i = 0; i < f->nlabels; i++)
        f->labels[i] = arena_dup(reg->arena, draft->labels[i]);
    if (!claim_names(f))
        return NULL;
    insert_in_order(f);
    return f;
}

struct metric_family *metric_family(const char *name, const char *help, enum metric_type type,
                                    const char *const *labels, int nlabels, const double *bounds,
                                    int nbounds)
{
    struct metric_family draft = {.name = slice_from(name),
                                  .help = slice_from(help),
                                  .type = type,
                                  .nlabels = nlabels,
                                  .nbounds = nbounds};

    REQUIRE(reg->nwriters > 0);
    if (nlabels < 0 || nlabels > METRIC_MAX_LABELS || nbounds < 0 || nbounds > METRIC_MAX_BOUNDS)
        return NULL;
    for (int i = 0; i < nlabels; i++)
        draft.labels[i] = slice_from(labels[i]);
    if (nbounds)
        memcpy(draft.bounds, bounds, (size_t)nbounds * sizeof(*bounds));
    if (type == METRIC_COUNTER && slice_ends(draft.name, SLICE("_total")))
        draft.name.len -= strlen("_total");
    if (!is_name(draft.name, true) || !are_labels(&draft) || !are_bounds(&draft))
        return NULL;

    pthread_rwlock_wrlock(&reg->lock);
    struct metric_family *f = map_find(&reg->names, draft.name);
    if (!f)
        f = add_family(&draft);
    else if (!have_same_shape(f, &draft))
        f = NULL;
    pthread_rwlock_unlock(&reg->lock);
    return f;
}

/* --- series --- */

/* The value as it is kept and printed, into out, which has METRIC_MAX_VALUE bytes. */
static size_t clean_value(struct slice s, char *out)
{
    size_t i = 0;

    while (i < s.len) {
        size_t n = text_utf8_len(s, i), len = MAX(n, 1u);
        if (i + len > METRIC_MAX_VALUE)
            break;
        if (n)
            memcpy(out + i, s.ptr + i, n);
        else
            out[i] = '?';
        i += len;
    }
    return i;
}

static struct slice make_key(const struct metric_family *f, const struct slice *values, char *out)
{
    char *p = out;

    for (int i = 0; i < f->nlabels; i++) {
        size_t n = clean_value(values[i], p + 2);
        p[0] = (char)(n >> 8);
        p[1] = (char)n;
        p += 2 + n;
    }
    return slice_of(out, (size_t)(p - out));
}

static char *put_escaped(char *out, char c)
{
    if (c == '\\' || c == '"' || c == '\n')
        *out++ = '\\';
    *out++ = c == '\n' ? 'n' : c;
    return out;
}

/* a="b",c="d" from a key. */
static struct slice print_labels(const struct metric_family *f, struct slice key)
{
    size_t room = 2 * key.len;

    for (int i = 0; i < f->nlabels; i++)
        room += f->labels[i].len + 4;
    char *text = arena_alloc(reg->arena, room + 1), *out = text;
    const char *p = key.ptr;
    for (int i = 0; i < f->nlabels; i++) {
        size_t n = (size_t)(uint8_t)p[0] << 8 | (uint8_t)p[1];
        if (i > 0)
            *out++ = ',';
        memcpy(out, f->labels[i].ptr, f->labels[i].len);
        out += f->labels[i].len;
        *out++ = '=';
        *out++ = '"';
        for (p += 2; n > 0; n--)
            out = put_escaped(out, *p++);
        *out++ = '"';
    }
    return slice_of(text, (size_t)(out - text));
}

static _Atomic double *take_cells(int n)
{
    if (!reg->slab || reg->slab_used + n > METRIC_STRIDE) {
        size_t size = (size_t)reg->nwriters * METRIC_STRIDE * sizeof(double);
        uintptr_t at = (uintptr_t)arena_zero(reg->arena, size + 63);
        reg->slab = (_Atomic double *)((at + 63) & ~(uintptr_t)63);
        reg->slab_used = 0;
    }
    _Atomic double *cells = reg->slab + reg->slab_used;
    reg->slab_used += n;
    return cells;
}

static struct metric_series *add_series(struct metric_family *f, struct slice key)
{
    struct metric_series *s = arena_zero(reg->arena, sizeof(*s));

    s->family = f;
    s->type = f->type;
    s->nwriters = reg->nwriters;
    s->labels = print_labels(f, key);
    s->cells = take_cells(f->type == METRIC_HISTOGRAM ? f->nbounds + 2 : 1);
    map_set(&f->series_by_values, arena_dup(reg->arena, key), s);
    vec_push(&f->series, s);
    return s;
}

static bool is_full(const struct metric_family *f)
{
    return f->nlabels > 0 &&
           reg->nseries >= atomic_load_explicit(&series_limit, memory_order_relaxed);
}

/* The series that exists, or the overflow series when it exists and no other may be made; else
 * NULL. */
static struct metric_series *find_series(const struct metric_family *f, struct slice key)
{
    struct metric_series *s = map_find(&f->series_by_values, key);

    if (!s && f->overflow && is_full(f)) {
        atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
        s = f->overflow;
    }
    return s;
}

static struct metric_series *make_series(struct metric_family *f, struct slice key)
{
    struct slice others[METRIC_MAX_LABELS];
    char text[MAX_KEY];

    if (!is_full(f)) {
        reg->nseries += f->nlabels > 0;
        return add_series(f, key);
    }
    atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
    for (int i = 0; i < f->nlabels; i++)
        others[i] = SLICE("other");
    key = make_key(f, others, text);
    /* Somebody may have meant "other" as a value. */
    f->overflow = map_find(&f->series_by_values, key);
    if (!f->overflow)
        f->overflow = add_series(f, key);
    return f->overflow;
}

struct metric_series *metric_series(struct metric_family *f, const struct slice *values)
{
    char text[MAX_KEY];
    struct slice key = make_key(f, values, text);

    pthread_rwlock_rdlock(&reg->lock);
    struct metric_series *s = find_series(f, key);
    pthread_rwlock_unlock(&reg->lock);
    if (s)
        return s;

    pthread_rwlock_wrlock(&reg->lock);
    s = find_series(f, key);
    if (!s)
        s = make_series(f, key);
    pthread_rwlock_unlock(&reg->lock);
    return s;
}

/* --- values --- */

static inline void add(_Atomic double *cell, double n)
{
    double sum = atomic_load_explicit(cell, memory_order_relaxed) + n;
    atomic_store_explicit(cell, sum, memory_order_relaxed);
}

static inline bool is_writer(const struct metric_series *s, int writer)
{
    return (unsigned)writer < (unsigned)s->nwriters;
}

void metric_add(struct metric_series *s, int writer, double n)
{
    if (CHECK(is_writer(s, writer)) &&
        CHECK(s->type == METRIC_GAUGE || (s->type == METRIC_COUNTER && n >= 0)))
        add(s->cells + writer * METRIC_STRIDE, n);
}

void metric_inc(struct metric_series *s, int writer)
{
    if (CHECK(is_writer(s, writer)) && CHECK(s->type != METRIC_HISTOGRAM))
        add(s->cells + writer * METRIC_STRIDE, 1);
}

void metric_set(struct metric_series *s, int writer, double value)
{
    if (CHECK(is_writer(s, writer)) && CHECK(s->type == METRIC_GAUGE))
        atomic_store_explicit(s->cells + writer * METRIC_STRIDE, value, memory_order_relaxed);
}

static inline void observe(_Atomic double *cells, const struct metric_family *f, double value)
{
    int bucket = 0;

    while (bucket < f->nbounds && value > f->bounds[bucket])
        bucket++;
    add(cells + METRIC_SUM, value);
    add(cells + METRIC_BUCKETS + bucket, 1);
}

void metric_observe(struct metric_series *s, int writer, double value)
{
    if (CHECK(is_writer(s, writer)) && CHECK(s->type == METRIC_HISTOGRAM && !isnan(value)))
        observe(s->cells + writer * METRIC_STRIDE, s->family, value);
}

struct metric_cells *metric_cells(struct metric_series *s, int writer)
{
    REQUIRE(is_writer(s, writer));
    return (struct metric_cells *)(s->cells + writer * METRIC_STRIDE);
}

void metric_cells_inc(struct metric_cells *cells)
{
    add(&cells->first, 1);
}

void metric_cells_observe(struct metric_cells *cells, const struct metric_family *f, double value)
{
    observe(&cells->first, f, value);
}

void metric_gauge_fn(struct metric_family *f, const struct slice *values, metric_read_fn fn,
                     void *arg)
{
    char text[MAX_KEY];
    struct slice key = make_key(f, values, text);

    if (!CHECK(f->type != METRIC_HISTOGRAM))
        return;
    pthread_rwlock_wrlock(&reg->lock);
    struct metric_series *s = map_find(&f->series_by_values, key);
    if (!s)
        s = add_series(f, key);
    s->fn = fn;
    s->arg = arg;
    s->is_hidden = fn == NULL;
    pthread_rwlock_unlock(&reg->lock);
}

void metric_show_rows(const struct metric_row *rows, size_t n, const char *label,
                      struct slice value, void *object, bool is_shown)
{
    for (size_t i = 0; i < n && metric_is_ready(); i++) {
        struct metric_family *f =
            metric_family(rows[i].name, rows[i].help, rows[i].type, &label, 1, NULL, 0);
        if (f)
            metric_gauge_fn(f, &value, is_shown ? rows[i].fn : NULL, object);
    }
}

double metric_cell(const struct metric_series *s, int index)
{
    double sum = 0;

    for (int i = 0; i < s->nwriters; i++)
        sum += atomic_load_explicit(s->cells + i * METRIC_STRIDE + index, memory_order_relaxed);
    return sum;
}

double metric_value_locked(const struct metric_series *s)
{
    double sum = 0;

    if (s->fn)
        return s->fn(s->arg);
    if (s->type != METRIC_HISTOGRAM)
        return metric_cell(s, 0);
    for (int i = 0; i <= s->family->nbounds; i++)
        sum += metric_cell(s, METRIC_BUCKETS + i);
    return sum;
}

double metric_value(const struct metric_series *s)
{
    pthread_rwlock_rdlock(&reg->lock);
    double value = metric_value_locked(s);
    pthread_rwlock_unlock(&reg->lock);
    return value;
}
