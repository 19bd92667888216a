/* SPDX-License-Identifier: Apache-2.0 */

#include "fakes/pool_world.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "fakes/fake_outbound.h"
#include "net/dns.h"

struct world_worker workers[WORKERS];
struct upstream up;
struct target *targets[ENDPOINTS];
struct world_names names;

static struct endpoint endpoints[ENDPOINTS];
static struct dns_query *const silent = (struct dns_query *)&names;

struct dns_query *dns_resolve(struct dns *d, struct slice name, dns_fn fn, void *arg)
{
    struct addr addrs[3];
    struct dns_answer answer = {.addrs = addrs, .naddrs = 3, .ttl_ms = 1000};
    (void)d;

    assert_true(slice_eq(name, SLICE("orders.internal")));
    if (names.is_silent)
        return silent;
    for (int i = 0; i < 3; i++) {
        const char *text[] = {"10.9.0.1", "10.9.0.2", "10.9.0.3"};
        assert_int_equal(addr_parse_ip(slice_from(text[i]), 0, &addrs[i]), 0);
    }
    fn(arg, names.err, names.err ? NULL : &answer);
    return NULL;
}

struct dns *dns_new(struct loop *l, const struct dns_options *o)
{
    (void)l;
    (void)o;
    return NULL; /* as no worker here has one */
}

void dns_free(struct dns *d)
{
    (void)d;
}

void dns_configure(struct dns *d, const struct dns_options *o)
{
    (void)d;
    (void)o;
}

void dns_cancel(struct dns_query *q)
{
    assert_ptr_equal(q, silent);
    names.cancelled++;
}

struct wire_env world_env(struct loop *l)
{
    return (struct wire_env){.loop = l};
}

static void start_worker(struct world_worker *w)
{
    w->loop = loop_new();
    w->mailbox = mailbox_new(w->loop, NULL);
    w->wire = world_env(w->loop);
    struct pool_env env = {.wire = &w->wire, .mailbox = w->mailbox, .nworkers = WORKERS};
    w->pool = pool_new(&env);
}

void world_stop_worker(int worker)
{
    struct world_worker *w = &workers[worker];

    if (!w->loop)
        return;
    pool_free(w->pool);
    mailbox_free(w->mailbox);
    loop_free(w->loop);
    *w = (struct world_worker){0};
}

static void make_upstream(void)
{
    targets[0] = target_ref(SLICE("http1"), SLICE("10.0.0.1"), 8000);
    targets[1] = target_ref(SLICE("http1"), SLICE("10.0.0.2"), 8001);
    targets[NAMED] = target_ref(SLICE("http1"), SLICE("orders.internal"), 8080);
    for (int i = 0; i < ENDPOINTS; i++)
        endpoints[i] = (struct endpoint){.weight = 1, .target = targets[i]};
    up = (struct upstream){
        .name = SLICE("orders"),
        .endpoints = endpoints,
        .nendpoints = ENDPOINTS,
        .connect_timeout_ms = 1000,
        .timeout_ms = 15000,
        .max_connections = 1024,
        .max_pending = 1024,
        .live = upstream_live_ref(SLICE("orders")),
    };
    up.keepalive.max_idle = 256;
    up.keepalive.idle_timeout_ms = 60000;
    up.keepalive.max_requests = 10000;
}

int world_set_up(void **state)
{
    (void)state;
    hash_set_key(1, 2);
    fake_outbound_reset();
    names = (struct world_names){0};
    make_upstream();
    for (int i = 0; i < WORKERS; i++)
        start_worker(&workers[i]);
    return 0;
}

int world_tear_down(void **state)
{
    (void)state;
    turn_all();
    for (int i = 0; i < WORKERS; i++)
        world_stop_worker(i);
    for (int i = 0; i < ENDPOINTS; i++)
        target_unref(targets[i]); /* closes what is on the shelf */
    assert_int_equal(fake_outbound_open(), 0);
    assert_int_equal(up.live->connections, 0);
    assert_int_equal(up.live->pending, 0);
    assert_int_equal(up.live->shelved, 0);
    assert_int_equal(up.live->refs, 1);
    upstream_live_unref(up.live);
    return 0;
}

void turn_all(void)
{
    for (int round = 0; round < 12; round++)
        for (int i = 0; i < WORKERS; i++)
            if (workers[i].loop)
                loop_turn(workers[i].loop, 0);
}

void pass_time(int ms)
{
    turn_all();
    while (ms > 0) {
        clock_advance_ms(MIN(ms, 50));
        ms -= 50;
        turn_all();
    }
}

static void on_done(struct pool_claim *c, struct outbound *o, int err)
{
    struct wish *w = container_of(c, struct wish, claim);

    assert_false(w->got);
    w->got = true;
    w->o = o;
    w->err = err;
}

void prepare(struct wish *w, int worker, int target)
{
    *w = (struct wish){.worker = worker};
    w->claim.upstream = &up;
    w->claim.target = targets[target];
    w->claim.connect_timeout_ms = up.connect_timeout_ms;
    w->claim.on_done = on_done;
}

int ask_prepared(struct wish *w)
{
    int rc = pool_take(workers[w->worker].pool, &w->claim, &w->o);

    w->got = rc == 0;
    return rc;
}

int ask(struct wish *w, int worker, int target)
{
    prepare(w, worker, target);
    return ask_prepared(w);
}

void get(struct wish *w, int worker, int target)
{
    if (ask(w, worker, target) == ERR_AGAIN)
        turn_all();
    assert_true(w->got);
    assert_int_equal(w->err, 0);
}
