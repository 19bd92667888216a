/* SPDX-License-Identifier: Apache-2.0 */

/* The pools and balancers count in atomics that all workers share; here they are read when somebody looks. So are the
 * dates of certificates, which a reload may change. */

#include "app/upstream_metrics.h"

#include "base/check.h"
#include "base/metric.h"
#include "gate/snapshot.h"

struct metric {
    const char *name, *help;
    enum metric_type type;
    metric_read_fn fn;
};

/* --- of each upstream ------------------------------------------------------------------------------------------------ */

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
        n += endpoint_is_usable(u->endpoints[i].live);
    return n;
}

static const struct metric metrics[] = {
    {"demilune_upstream_connections", "Connections to endpoints, open or being opened.",
     METRIC_GAUGE, connections},
    {"demilune_upstream_shelved_connections",
     "Those of them that are idle and that any worker may take.", METRIC_GAUGE, idle_on_shelves},
    {"demilune_upstream_connections_opened_total",
     "Connections opened to the endpoints, of other upstreams with the same endpoints too.",
     METRIC_COUNTER, opened},
    {"demilune_upstream_pending", "Requests that wait for a connection.", METRIC_GAUGE, pending},
    {"demilune_upstream_endpoints", "Endpoints.", METRIC_GAUGE, endpoints},
    {"demilune_upstream_usable_endpoints",
     "Endpoints that are neither ejected nor drained nor down.", METRIC_GAUGE, usable_endpoints},
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

/* --- of each endpoint ------------------------------------------------------------------------------------------------ */

static double is_usable(void *arg)
{
    return endpoint_is_usable(arg);
}

static double active(void *arg)
{
    return atomic_load(&((const struct endpoint_live *)arg)->active);
}

static double ejections(void *arg)
{
    return (double)atomic_load(&((const struct endpoint_live *)arg)->ejections);
}

static const struct metric endpoint_metrics[] = {
    {"demilune_upstream_endpoint_up",
     "1: may get requests; 0: drained, ejected, or down by its probes.", METRIC_GAUGE, is_usable},
    {"demilune_upstream_endpoint_active", "Attempts under way.", METRIC_GAUGE, active},
    {"demilune_upstream_endpoint_ejections_total", "Times that errors in a row have ejected it.",
     METRIC_COUNTER, ejections},
};

static struct metric_family *family_of(const struct metric *m, int nlabels)
{
    static const char *const labels[] = {"upstream", "endpoint"};
    struct metric_family *f = metric_family(m->name, m->help, m->type, labels, nlabels, NULL, 0);

    REQUIRE(f != NULL);
    return f;
}

static void set_endpoints(const struct upstream *u, bool shows)
{
    for (size_t i = 0; i < COUNT_OF(endpoint_metrics); i++) {
        struct metric_family *f = family_of(&endpoint_metrics[i], 2);
        for (uint32_t k = 0; k < u->nendpoints; k++) {
            const struct endpoint *e = &u->endpoints[k];
            const struct slice values[] = {u->name, e->address};
            metric_gauge_fn(f, values, shows ? endpoint_metrics[i].fn : NULL, e->live);
        }
    }
}

static void set_all(const struct snapshot *s, bool shows)
{
    set_certificates(s, shows);
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        struct metric_family *f = family_of(&metrics[i], 1);
        for (uint32_t k = 0; k < s->nupstreams; k++)
            metric_gauge_fn(f, &s->upstreams[k]->name, shows ? metrics[i].fn : NULL,
                            s->upstreams[k]);
    }
    for (uint32_t k = 0; k < s->nupstreams; k++)
        set_endpoints(s->upstreams[k], shows);
}

void upstream_metrics_show(const struct snapshot *s)
{
    set_all(s, true);
}

void upstream_metrics_hide(const struct snapshot *s)
{
    set_all(s, false);
}
