/* SPDX-License-Identifier: Apache-2.0 */

/* Resolve -> connect -> handshake. Each step has what the steps before it have left of the time; an address that can't
 * be reached hands on to the next one, an answer that is a failure (TLS) ends it. */

#include "net/dial.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/dns.h"
#include "net/loop.h"
#include "net/tcp.h"
#include "net/tls.h"

#define ADDRS_MAX 8

struct dial {
    /* owned */
    struct dns_query *query;
    struct tcp_connect *connecting;
    struct tls_handshake *shaking;
    struct timer deadline; /* of the steps that have none of their own */
    /* borrowed */
    struct loop *loop;
    struct dial_to to;
    dial_fn on_done;
    void *arg;
    /* state */
    struct addr addrs[ADDRS_MAX];
    size_t naddrs, next;
    uint64_t deadline_ms;
    int err; /* why the last address, or the name, was no good */
};

static void free_dial(void *d)
{
    free(d);
}

static void release(struct dial *d)
{
    timer_deinit(&d->deadline);
    loop_free_later(d->loop, d, free_dial);
}

static void done(struct dial *d, struct stream *s, int err, const char *why)
{
    release(d);
    d->on_done(d->arg, s, err, why);
}

static uint64_t time_left(const struct dial *d)
{
    uint64_t now = clock_ms();

    return d->deadline_ms > now ? d->deadline_ms - now : 1;
}

static void on_handshake(void *arg, const struct tls_end *end)
{
    struct dial *d = arg;

    d->shaking = NULL;
    done(d, end->stream, end->err, end->err == ERR_TLS ? end->why : NULL);
}

static void try_next(struct dial *d);

static void on_connected(void *arg, struct stream *s, int err)
{
    struct dial *d = arg;
    const struct tls_to to = {d->to.tls, d->to.session, d->to.server_name};

    d->connecting = NULL;
    if (s == NULL) {
        d->err = err;
        try_next(d);
    } else if (to.client == NULL) {
        done(d, s, 0, NULL);
    } else {
        d->shaking = tls_connect(d->loop, tcp_release(s), &to, time_left(d), on_handshake, d);
    }
}

static void try_next(struct dial *d)
{
    while (d->next < d->naddrs) {
        const struct addr *to = &d->addrs[d->next++];
        if (d->to.is_denied && d->to.is_denied(d->to.denied_arg, to)) {
            d->err = ERR_DENIED;
            continue;
        }
        if (clock_ms() >= d->deadline_ms) {
            d->err = ERR_TIMEOUT;
            break;
        }
        d->connecting = tcp_connect(d->loop, to, time_left(d), on_connected, d);
        return;
    }
    done(d, NULL, d->err, NULL);
}

/* Also fires at once when the name needed no query, since nothing is told from inside dial_start. */
static void on_timer(struct timer *t)
{
    struct dial *d = container_of(t, struct dial, deadline);

    if (d->query) {
        dns_cancel(d->query);
        d->query = NULL;
        d->err = ERR_TIMEOUT;
    }
    try_next(d);
}

static void on_resolved(void *arg, int err, const struct dns_answer *answer)
{
    struct dial *d = arg;
    bool was_asked = d->query != NULL;

    d->query = NULL;
    d->err = err;
    for (size_t i = 0; err == 0 && i < answer->naddrs && d->naddrs < ADDRS_MAX; i++) {
        d->addrs[d->naddrs] = answer->addrs[i];
        addr_set_port(&d->addrs[d->naddrs++], d->to.port);
    }
    if (was_asked) {
        timer_stop(&d->deadline);
        try_next(d);
    }
}

struct dial *dial_start(struct loop *l, struct dns *dns, const struct dial_to *to, dial_fn on_done,
                        void *arg)
{
    struct dial *d = calloc(1, sizeof(*d));

    REQUIRE(d != NULL);
    d->loop = l;
    d->to = *to;
    d->on_done = on_done;
    d->arg = arg;
    d->deadline_ms = clock_ms() + to->timeout_ms;
    timer_init(&d->deadline, l, on_timer);
    if (slice_starts(to->host, SLICE("unix:"))) {
        d->err = addr_parse(to->host, &d->addrs[0]);
        d->naddrs = d->err == 0;
    } else {
        d->query = dns_resolve(dns, to->host, on_resolved, d);
    }
    timer_set(&d->deadline, d->query ? to->timeout_ms : 0);
    return d;
}

void dial_cancel(struct dial *d)
{
    if (d->query)
        dns_cancel(d->query);
    if (d->connecting)
        tcp_connect_cancel(d->connecting);
    if (d->shaking)
        tls_cancel(d->shaking);
    release(d);
}
