/* SPDX-License-Identifier: Apache-2.0 */

/* Three steps: resolve (the timer runs), connect to one address after another (each with a
 * deadline of the outbound's own), done. The end is always told from the loop, though a resolver
 * may answer at once. */

#include "gate/opening.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "http/outbound.h"
#include "net/dns.h"
#include "net/loop.h"

#define ADDRESSES_MAX 8
#define NO_TIMEOUT_MS 3600000u /* the system gives up long before */

struct opening {
    /* owned */
    struct dns_query *query;
    struct outbound *connecting;
    struct timer timer;
    struct later give_up;
    struct addr addrs[ADDRESSES_MAX]; /* those not tried begin at `next` */
    /* borrowed */
    struct wire_env *wire;
    struct dns *dns;
    struct target *target;
    opening_fn on_done;
    void *arg;
    /* state */
    uint32_t naddrs, next;
    uint32_t turn;
    uint64_t deadline_ms;
    int err; /* of the addresses tried */
};

static void opening_free(void *ptr)
{
    struct opening *op = ptr;

    timer_deinit(&op->timer);
    later_cancel(&op->give_up);
    free(op);
}

static void finish(struct opening *op, struct outbound *o, int err)
{
    timer_stop(&op->timer);
    later_cancel(&op->give_up);
    loop_free_later(op->wire->loop, op, opening_free);
    op->on_done(op->arg, o, err);
}

static void on_give_up(struct later *l)
{
    struct opening *op = container_of(l, struct opening, give_up);

    finish(op, NULL, op->err);
}

static void fail_later(struct opening *op, int err)
{
    op->err = err;
    loop_later(op->wire->loop, &op->give_up);
}

static int weight_of(int err)
{
    switch (err) {
    case 0: return 0;
    case ERR_UNREACHABLE: return 1;
    case ERR_TLS: return 3;
    default: return 2;
    }
}

int opening_worst(int before, int err)
{
    return weight_of(err) > weight_of(before) ? err : before;
}

static void on_connected(void *owner, struct outbound *o, int err);

static const struct outbound_events events = {.on_connected = on_connected};

static void connect_next(struct opening *op)
{
    uint64_t now = clock_ms();

    if (op->next == op->naddrs) {
        fail_later(op, op->err);
    } else if (op->deadline_ms <= now) {
        fail_later(op, ERR_TIMEOUT);
    } else {
        uint64_t share_ms = MAX((op->deadline_ms - now) / (op->naddrs - op->next), 1u);
        struct outbound_to to = {.addr = &op->addrs[op->next++],
                                 .timeout_ms = share_ms,
                                 .tls = op->target->tls,
                                 .session = op->target->session,
                                 .server_name = op->target->server_name};
        op->connecting = outbound_connect(op->wire, &to, &events, op);
    }
}

static void on_connected(void *owner, struct outbound *o, int err)
{
    struct opening *op = owner;

    op->connecting = NULL;
    if (err == 0) {
        finish(op, o, 0);
        return;
    }
    op->err = opening_worst(op->err, err);
    connect_next(op);
}

static void on_resolved(void *arg, int err, const struct dns_answer *answer)
{
    struct opening *op = arg;

    op->query = NULL;
    timer_stop(&op->timer);
    if (err < 0) {
        fail_later(op, err);
        return;
    }
    op->naddrs = (uint32_t)MIN(answer->naddrs, (size_t)ADDRESSES_MAX);
    for (uint32_t i = 0; i < op->naddrs; i++) {
        op->addrs[i] = answer->addrs[(op->turn + i) % answer->naddrs];
        addr_set_port(&op->addrs[i], op->target->port);
    }
    if (op->naddrs > 0)
        connect_next(op);
    else
        fail_later(op, ERR_DNS);
}

static void on_timeout(struct timer *t)
{
    struct opening *op = container_of(t, struct opening, timer);

    if (op->query)
        dns_cancel(op->query);
    finish(op, NULL, ERR_TIMEOUT);
}

struct opening *opening_start(struct wire_env *wire, struct dns *dns, struct target *t,
                              uint32_t turn, uint64_t timeout_ms, opening_fn on_done, void *arg)
{
    struct opening *op = calloc(1, sizeof(*op));

    REQUIRE(op != NULL);
    op->wire = wire;
    op->dns = dns;
    op->target = t;
    op->turn = turn;
    op->on_done = on_done;
    op->arg = arg;
    timeout_ms = timeout_ms ? timeout_ms : NO_TIMEOUT_MS;
    op->deadline_ms = clock_ms() + timeout_ms;
    timer_init(&op->timer, wire->loop, on_timeout);
    later_init(&op->give_up, on_give_up);

    if (!t->is_name) {
        op->addrs[op->naddrs++] = t->addr;
        connect_next(op);
        return op;
    }
    timer_set(&op->timer, timeout_ms);
    op->query = dns_resolve(dns, t->host, on_resolved, op);
    return op;
}

void opening_cancel(struct opening *op)
{
    if (op->query)
        dns_cancel(op->query);
    if (op->connecting)
        outbound_close(op->connecting);
    timer_stop(&op->timer);
    later_cancel(&op->give_up);
    loop_free_later(op->wire->loop, op, opening_free);
}
