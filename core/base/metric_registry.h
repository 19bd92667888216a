/* SPDX-License-Identifier: Apache-2.0 */

/* What metric.c (which changes the registry) and metric_write.c (which prints it) share; nobody
 * else includes it. */

#ifndef DML_BASE_METRIC_REGISTRY_H
#define DML_BASE_METRIC_REGISTRY_H

#include <pthread.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/metric.h"
#include "base/vec.h"

struct metric_cells {
    _Atomic double first;
};

struct metric_series {
    /* borrowed */
    const struct metric_family *family;
    struct slice labels;   /* as printed, without braces: a="b",c="d" */
    _Atomic double *cells; /* of writer 0; those of writer i are i * METRIC_STRIDE further */
    metric_read_fn fn;     /* NULL: the cells count */
    void *arg;
    /* state */
    int nwriters;
    enum metric_type type;
    bool is_hidden; /* what it was read from is gone */
};

/* Name and labels are those of the header; name is without "_total". */
struct metric_family {
    /* owned */
    struct map series_by_values;
    VEC(struct metric_series *) series;
    /* borrowed (from the registry's arena) */
    struct slice name, help;
    struct slice labels[METRIC_MAX_LABELS];
    struct metric_series *overflow; /* NULL until needed */
    /* state */
    enum metric_type type;
    int nlabels, nbounds;
    double bounds[METRIC_MAX_BOUNDS];
};

/* Cells lie writer by writer in slabs, so that a writer's cells are next to each other and to no
 * other's. */
enum { METRIC_STRIDE = 512 };

/* A histogram's: the sum beside the buckets of what is quick, so that most values touch one line. */
enum { METRIC_SUM, METRIC_BUCKETS };

struct metric_registry {
    /* owned */
    struct arena *arena;
    struct map names;                     /* each name that a family writes, to the family */
    VEC(struct metric_family *) families; /* in order of name */
    /* borrowed (from the arena) */
    _Atomic double *slab;
    /* state */
    int slab_used;
    int nwriters;   /* 0: not initialised */
    size_t nseries; /* that count against the limit */
    pthread_rwlock_t lock;
};

extern struct metric_registry metric_registry;

/* Sum of cell `index` over the writers. */
double metric_cell(const struct metric_series *s, int index);

/* As metric_value; the lock is held. */
double metric_value_locked(const struct metric_series *s);

#endif
