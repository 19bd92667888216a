/* SPDX-License-Identifier: Apache-2.0 */

/* Series are found by name, so that they survive reloads; a worker remembers them by (name, code) in a map of its own.
 * In front of it a plan has the last ones of each route and upstream, whose requests tend to be answered alike. */

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
#include "net/tls.h"

static const double seconds_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                        0.25,  0.5,    1,     2.5,  5,     10,   30};

enum stats_kind {
    STAT_REQUESTS,
    STAT_DURATION,
    STAT_ATTEMPTS,
    STAT_UPSTREAM,
    STAT_RETRIES,
    STAT_BAD_HEADS,
    STAT_TLS_FAILURES,
    STAT_BAD_PROXY,
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
    [STAT_RETRIES] =
        {"demilune_retries_total",
         "Failed attempts that retry was asked about, by what it said: retried, or why not.",
         METRIC_COUNTER,
         {"upstream", "verdict"},
         2},
    [STAT_BAD_HEADS] = {"demilune_bad_heads_total",
                        "Request heads that were refused, by reason.",
                        METRIC_COUNTER,
                        {"reason"},
                        1},
    [STAT_TLS_FAILURES] =
        {"demilune_tls_handshake_failures_total",
         "TLS handshakes that have failed, of clients or with upstreams, by reason.",
         METRIC_COUNTER,
         {"side", "reason"},
         2},
    [STAT_BAD_PROXY] =
        {"demilune_bad_proxy_headers_total",
         "Connections closed for want of a PROXY header that is believed, by reason.",
         METRIC_COUNTER,
         {"reason"},
         1},
};

struct seen {
    struct metric_series *series;
    char key[];
};

struct gate_stats {
    struct metric_family *families[STAT_COUNT];
    struct metric_family *handshakes;
    struct metric_series *handshakes_of[2][2][2]; /* by side, version, resumption; or NULL */
    struct map seen[STAT_COUNT];
    int writer;
};

struct gate_stats *stats_new(int writer)
{
    struct gate_stats *s = calloc(1, sizeof(*s));

    REQUIRE(s != NULL);
    static const char *const labels[] = {"side", "version", "resumed"};

    s->writer = writer;
    s->handshakes = metric_family("demilune_tls_handshakes_total",
                                  "TLS handshakes made, of clients and with upstreams, by version.",
                                  METRIC_COUNTER, labels, COUNT_OF(labels), NULL, 0);
    REQUIRE(s->handshakes != NULL);
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
    char digits[24];
    struct slice values[2] = {name, SLICE("")};
    char *key = NULL;
    int len = asprintf(&key, "%d %.*s", code, SLICE_ARG(name));
    REQUIRE(len >= 0);
    struct seen *e = map_find(&s->seen[stat], slice_of(key, (size_t)len));
    if (!e) {
        e = calloc(1, sizeof(*e) + (size_t)len + 1);
        REQUIRE(e != NULL);
        memcpy(e->key, key, (size_t)len + 1);
        values[1] = word ? slice_from(word)
                         : slice_of(digits, text_from_u64((uint64_t)MAX(code, 0), digits));
        e->series = metric_series(s->families[stat], values);
        map_set(&s->seen[stat], slice_of(e->key, (size_t)len), e);
    }
    free(key);
    return e->series;
}

static void count(struct gate_stats *s, struct stats_memo *memo, enum stats_kind stat,
                  struct slice name, int code, const char *word)
{
    if (UNLIKELY(!memo->result || memo->code != code)) {
        memo->result = metric_cells(series_of(s, stat, name, code, word), s->writer);
        memo->code = code;
    }
    metric_cells_inc(memo->result);
}

static void observe(struct gate_stats *s, struct stats_memo *memo, enum stats_kind stat,
                    struct slice name, uint64_t us)
{
    if (UNLIKELY(!memo->duration))
        memo->duration = metric_cells(series_of(s, stat, name, 0, NULL), s->writer);
    metric_cells_observe(memo->duration, s->families[stat], (double)us / 1e6);
}

void stats_exchange(const struct exchange *x)
{
    struct gate_stats *s = x->gateway->stats;
    const struct route *r = x->route;
    struct stats_memo none = {0}, *memo = !r ? &x->plan->no_route_stats
                                          : r->index == ROUTE_GONE
                                              ? &none
                                              : &x->plan->route_stats[r->index];
    struct slice name = r ? r->name : SLICE("none");

    count(s, memo, STAT_REQUESTS, name, x->head_is_down ? x->response->status : 499, NULL);
    observe(s, memo, STAT_DURATION, name, x->end_us - x->start_us);
}

void stats_attempt(const struct attempt *a)
{
    const struct upstream *u = a->upstream;
    struct gate_stats *s = a->exchange->gateway->stats;
    struct stats_memo *memo = &a->exchange->plan->upstream_stats[u->index];

    count(s, memo, STAT_ATTEMPTS, u->name, a->err ? a->err : a->response->status,
          attempt_error_word(a));
    if (!a->err)
        observe(s, memo, STAT_UPSTREAM, u->name, a->head_us - a->start_us);
}

void stats_retry(const struct attempt *a, enum retry_verdict v)
{
    struct gateway *g = a->exchange->gateway;

    metric_inc(series_of(g->stats, STAT_RETRIES, a->upstream->name, (int)v, retry_word(v)),
               g->writer);
}

void stats_bad_head(struct gateway *g, int err)
{
    metric_inc(series_of(g->stats, STAT_BAD_HEADS, slice_from(err_word(err)), 0, NULL), g->writer);
}

void stats_handshake(struct gateway *g, bool is_upstream, const struct tls_end *end)
{
    struct gate_stats *s = g->stats;
    struct slice side = is_upstream ? SLICE("upstream") : SLICE("client");

    if (end->err < 0) {
        const struct slice values[] = {side, slice_from(end->reason)};
        metric_inc(metric_series(s->families[STAT_TLS_FAILURES], values), g->writer);
        return;
    }
    struct tls_facts facts = tls_facts(end->stream);
    bool is_13 = strcmp(facts.version, "1.3") == 0;
    struct metric_series **series = &s->handshakes_of[is_upstream][is_13][facts.is_resumed];
    if (!*series) {
        const struct slice values[] = {side, slice_from(facts.version),
                                       facts.is_resumed ? SLICE("yes") : SLICE("no")};
        *series = metric_series(s->handshakes, values);
    }
    metric_inc(*series, g->writer);
}

void stats_bad_proxy(struct gateway *g, struct slice reason)
{
    metric_inc(series_of(g->stats, STAT_BAD_PROXY, reason, 0, NULL), g->writer);
}
