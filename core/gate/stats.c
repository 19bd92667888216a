/* SPDX-License-Identifier: Apache-2.0 */

/* Series are found by name, so that they survive reloads; a worker remembers them by (name, code) in a map of its own,
 * and the last one of each kind in front of it, since requests in a row tend to be alike. */

#include "gate/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/map.h"
#include "base/metric.h"
#include "base/text.h"
#include "gate/attempt.h"
#include "gate/exchange.h"
#include "gate/gateway.h"

static const double seconds_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                        0.25,  0.5,    1,     2.5,  5,     10,   30};

enum stats_kind {
    STAT_REQUESTS,
    STAT_DURATION,
    STAT_ATTEMPTS,
    STAT_UPSTREAM,
    STAT_BAD_HEADS,
    STAT_COUNT
};

static const struct {
    const char *name, *help;
    enum metric_type type;
    const char *labels[2];
    int nlabels;
} stats[STAT_COUNT] = {
    [STAT_REQUESTS] = {"demilune_requests_total",
                       "Requests answered, by route and status.",
                       METRIC_COUNTER,
                       {"route", "status"},
                       2},
    [STAT_DURATION] = {"demilune_request_duration_seconds",
                       "Time from request head to the last byte of the answer.",
                       METRIC_HISTOGRAM,
                       {"route"},
                       1},
    [STAT_ATTEMPTS] = {"demilune_upstream_attempts_total",
                       "Attempts, by upstream and result: a status, or the kind of failure.",
                       METRIC_COUNTER,
                       {"upstream", "result"},
                       2},
    [STAT_UPSTREAM] = {"demilune_upstream_duration_seconds",
                       "Time of an attempt to its response head.",
                       METRIC_HISTOGRAM,
                       {"upstream"},
                       1},
    [STAT_BAD_HEADS] = {"demilune_bad_heads_total",
                        "Request heads that were refused, by reason.",
                        METRIC_COUNTER,
                        {"reason"},
                        1},
};

struct seen {
    struct metric_series *series;
    struct slice name;
    int code;
    char key[];
};

struct gate_stats {
    struct metric_family *families[STAT_COUNT];
    struct map seen[STAT_COUNT];
    struct seen *last[STAT_COUNT];
    int writer;
};

struct gate_stats *stats_new(int writer)
{
    struct gate_stats *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    s->writer = writer;
    for (int i = 0; i < STAT_COUNT; i++) {
        bool histogram = stats[i].type == METRIC_HISTOGRAM;
        s->families[i] = metric_family(stats[i].name, stats[i].help, stats[i].type, stats[i].labels,
                                       stats[i].nlabels, histogram ? seconds_bounds : NULL,
                                       histogram ? (int)COUNT_OF(seconds_bounds) : 0);
        REQUIRE(s->families[i] != NULL);
        map_init(&s->seen[i]);
    }
    return s;
}

void stats_free(struct gate_stats *s)
{
    for (int i = 0; i < STAT_COUNT; i++) {
        struct map_entry *e;
        for (size_t at = 0; (e = map_next(&s->seen[i], &at));)
            free(e->value);
        map_deinit(&s->seen[i]);
    }
    free(s);
}

/* code 0: `name` alone. word: the second label's text when it is not the code in digits. */
static struct metric_series *series_of(struct gate_stats *s, enum stats_kind stat,
                                       struct slice name, int code, const char *word)
{
    struct seen *last = s->last[stat];
    char digits[24];
    struct slice values[2] = {name, SLICE("")};

    if (LIKELY(last && last->code == code && slice_eq(last->name, name)))
        return last->series;
    char *key = NULL;
    int len = asprintf(&key, "%d %.*s", code, SLICE_ARG(name));
    REQUIRE(len >= 0);
    struct seen *e = map_find(&s->seen[stat], slice_of(key, (size_t)len));
    if (!e) {
        e = calloc(1, sizeof(*e) + (size_t)len + 1);
        REQUIRE(e != NULL);
        memcpy(e->key, key, (size_t)len + 1);
        e->code = code;
        e->name = slice_of(e->key + (size_t)len - name.len, name.len);
        values[1] = word ? slice_from(word)
                         : slice_of(digits, text_from_u64((uint64_t)MAX(code, 0), digits));
        e->series = metric_series(s->families[stat], values);
        map_set(&s->seen[stat], slice_of(e->key, (size_t)len), e);
    }
    free(key);
    s->last[stat] = e;
    return e->series;
}

void stats_exchange(const struct exchange *x)
{
    struct gate_stats *s = x->gateway->stats;
    struct slice route = x->route ? x->route->name : SLICE("none");
    int status = x->head_is_down ? x->response->status : 499;

    metric_inc(series_of(s, STAT_REQUESTS, route, status, NULL), s->writer);
    metric_observe(series_of(s, STAT_DURATION, route, 0, NULL), s->writer,
                   (double)(x->end_us - x->start_us) / 1e6);
}

void stats_attempt(const struct attempt *a)
{
    struct gate_stats *s = a->exchange->gateway->stats;
    struct slice name = a->upstream->name;

    metric_inc(series_of(s, STAT_ATTEMPTS, name, a->err ? a->err : a->response->status,
                         attempt_error_word(a)),
               s->writer);
    if (!a->err)
        metric_observe(series_of(s, STAT_UPSTREAM, name, 0, NULL), s->writer,
                       (double)(a->head_us - a->start_us) / 1e6);
}

void stats_bad_head(struct gateway *g, int err)
{
    metric_inc(series_of(g->stats, STAT_BAD_HEADS, slice_from(err_word(err)), 0, NULL), g->writer);
}
