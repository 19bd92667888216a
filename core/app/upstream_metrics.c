/* SPDX-License-Identifier: Apache-2.0 */

/* The pools and balancers count in atomics that all workers share; here they are read when somebody looks. So are the
 * dates of certificates, which a reload may change. */

#include "app/upstream_metrics.h"

#include "base/check.h"
#include "base/metric.h"
#include "gate/snapshot.h"

static double connections(void *arg)
{
    return atomic_load(&((const struct upstream *)arg)->live->connections);
}

static double idle_on_shelves(void *arg)
{
    return atomic_load(&((const struct upstream *)arg)->live->shelved);
}

static double pending(void *arg)
{
    return atomic_load(&((const struct upstream *)arg)->live->pending);
}

static double opened(void *arg)
{
    const struct upstream *u = arg;
    double sum = 0;

    for (uint32_t i = 0; i < u->nendpoints; i++)
        sum += (double)atomic_load(&u->endpoints[i].target->opened);
    return sum;
}

static double endpoints(void *arg)
{
    return ((const struct upstream *)arg)->nendpoints;
}

static double usable_endpoints(void *arg)
{
    const struct upstream *u = arg;
    double n = 0;

    for (uint32_t i = 0; i < u->nendpoints; i++)
        n += target_is_usable(u->endpoints[i].target);
    return n;
}

static const struct {
    const char *name, *help;
    enum metric_type type;
    metric_read_fn fn;
} metrics[] = {
    {"demilune_upstream_connections", "Connections to endpoints, open or being opened.",
     METRIC_GAUGE, connections},
    {"demilune_upstream_shelved_connections",
     "Those of them that are idle and that any worker may take.", METRIC_GAUGE, idle_on_shelves},
    {"demilune_upstream_connections_opened_total",
     "Connections opened to the endpoints, of other upstreams with the same endpoints too.",
     METRIC_COUNTER, opened},
    {"demilune_upstream_pending", "Requests that wait for a connection.", METRIC_GAUGE, pending},
    {"demilune_upstream_endpoints", "Endpoints.", METRIC_GAUGE, endpoints},
    {"demilune_upstream_usable_endpoints", "Endpoints that are neither ejected nor drained.",
     METRIC_GAUGE, usable_endpoints},
};

static double not_after(void *arg)
{
    return (double)((const struct certificate_conf *)arg)->not_after;
}

static void set_certificates(const struct snapshot *s, bool shows)
{
    static const char *const labels[] = {"certificate"};
    struct metric_family *f = metric_family(
        "demilune_tls_certificate_not_after_seconds",
        "When a certificate of the configuration expires, in seconds since 1970, by its file.",
        METRIC_GAUGE, labels, COUNT_OF(labels), NULL, 0);

    REQUIRE(f != NULL);
    for (uint32_t i = 0; i < s->ncertificates; i++)
        metric_gauge_fn(f, &s->certificates[i].file, shows ? not_after : NULL, &s->certificates[i]);
}

static void set_all(const struct snapshot *s, bool shows)
{
    set_certificates(s, shows);
    static const char *const labels[] = {"upstream"};

    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        struct metric_family *f = metric_family(metrics[i].name, metrics[i].help, metrics[i].type,
                                                labels, COUNT_OF(labels), NULL, 0);
        REQUIRE(f != NULL);
        for (uint32_t k = 0; k < s->nupstreams; k++)
            metric_gauge_fn(f, &s->upstreams[k]->name, shows ? metrics[i].fn : NULL,
                            s->upstreams[k]);
    }
}

void upstream_metrics_show(const struct snapshot *s)
{
    set_all(s, true);
}

void upstream_metrics_hide(const struct snapshot *s)
{
    set_all(s, false);
}
