/* SPDX-License-Identifier: Apache-2.0 */

/* A probe rests until its time, may have to wait for a place among those under way, connects, asks,
 * and is judged; each state but the first ends by the probe's one timer at the latest. The verdict
 * stands with the head of the answer; what follows of it is read up to a limit and dropped, so that
 * an ordinary answer is taken to its end and the server sees no reset. */

#include "gate/probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/metric.h"
#include "base/rand.h"
#include "gate/forward.h"
#include "gate/health.h"
#include "gate/opening.h"
#include "gate/snapshot.h"
#include "http/outbound.h"
#include "net/dns.h"
#include "net/loop.h"

#define SWEEP_MS 500
#define FIRST_WITHIN_MS 1000u
#define BODY_MAX (64 * KIB)
#define SPARE_BLOCKS 4
#define JITTER 0.1
#define CONTROL_WRITER 0 /* metrics */

enum probe_state { PROBE_RESTS, PROBE_QUEUED, PROBE_CONNECTS, PROBE_ASKS };

struct probe {
    /* owned */
    struct timer timer; /* at rest: the next one; under way: its end */
    struct opening *opening;
    struct wire *wire;
    struct arena *arena; /* of the wire's messages */
    /* borrowed */
    struct probes *all;
    const struct upstream *upstream; /* both of the snapshot that is followed */
    const struct endpoint *endpoint;
    struct endpoint_live *live; /* the key */
    /* state */
    struct list link; /* in the queue */
    enum probe_state state;
    uint64_t version; /* of the last snapshot that wants it */
    uint64_t began_us, answered_us;
    int status; /* of the answer, once its head is here */
    size_t body;
    uint32_t turn;   /* for opening_start */
    uint32_t in_row; /* that said the same as the last */
    enum probe_result last;
};

struct probes {
    /* owned */
    struct wire_env wire;
    struct blocks recv_blocks, head_blocks, arena_blocks;
    struct dns *dns; /* from the first configuration on */
    struct snapshot *snapshot;
    struct map by_live;
    struct timer sweeper;
    /* borrowed */
    struct metric_family *total, *duration;
    /* state */
    struct list queue; /* the longest waiting first */
    uint32_t under_way;
};

/* --- the next one ----------------------------------------------------------------------------- */

static void probe_begin(struct probe *p);

static void serve_queue(struct probes *ps)
{
    struct list *link;

    while (ps->under_way < PROBES_AT_ONCE && (link = list_pop(&ps->queue)))
        probe_begin(container_of(link, struct probe, link));
}

static void rest_for(struct probe *p, uint64_t ms)
{
    p->state = PROBE_RESTS;
    timer_set(&p->timer, ms);
}

static void rest_until_next(struct probe *p)
{
    double wanted = p->upstream->active.interval_ms * (1 - JITTER + 2 * JITTER * rand_unit());
    uint64_t took_ms = (clock_us() - p->began_us) / 1000;

    rest_for(p, wanted > (double)took_ms + 1 ? (uint64_t)wanted - took_ms : 1);
}

static void rest_at_first(struct probe *p)
{
    rest_for(p, (uint64_t)(rand_unit() * MIN(p->upstream->active.interval_ms, FIRST_WITHIN_MS)));
}

/* Out of whatever state it is in. */
static void break_off(struct probe *p)
{
    struct wire *w = p->wire;

    timer_stop(&p->timer);
    if (p->state == PROBE_QUEUED)
        list_remove(&p->link);
    if (p->state == PROBE_CONNECTS || p->state == PROBE_ASKS)
        p->all->under_way--;
    if (p->opening)
        opening_cancel(p->opening);
    p->opening = NULL;
    p->wire = NULL;
    if (w)
        wire_abort(w, ERR_CANCELLED);
    if (p->arena)
        arena_free(p->arena);
    p->arena = NULL;
    p->state = PROBE_RESTS;
}

/* --- the verdict ------------------------------------------------------------------------------ */

static void count(const struct probe *p, enum probe_result result, uint64_t us)
{
    static const char *const words[] = {
        [PROBE_GOOD] = "good", [PROBE_BAD] = "bad", [PROBE_SKIPPED] = "skipped"};
    const struct slice values[] = {p->upstream->name, p->endpoint->address,
                                   slice_from(words[result])};

    metric_inc(metric_series(p->all->total, values), CONTROL_WRITER);
    if (result != PROBE_SKIPPED)
        metric_observe(metric_series(p->all->duration, values), CONTROL_WRITER, (double)us / 1e6);
}

/* One that was skipped neither adds to a row nor ends it. */
static void decide(struct probe *p, enum probe_result result, int status, int err)
{
    bool is_first = p->last == PROBE_NONE;
    bool is_down = atomic_load(&p->live->is_down);
    char text[32];
    const char *why = err ? err_word(err) : "it can be connected to";

    if (result == PROBE_SKIPPED)
        return;
    p->in_row = result == p->last ? p->in_row + 1 : 1;
    p->last = result;
    if (status) {
        snprintf(text, sizeof(text), "status %d", status);
        why = text;
    }
    if (result == PROBE_BAD && !is_down &&
        (is_first || p->in_row >= p->upstream->active.unhealthy_after))
        health_set_down(p->upstream, p->endpoint, true, why);
    if (result == PROBE_GOOD && is_down && p->in_row >= p->upstream->active.healthy_after)
        health_set_down(p->upstream, p->endpoint, false, why);
}

/* err: 0, or why there was no answer. */
static void judge(struct probe *p, int err)
{
    struct probes *ps = p->all;
    bool is_good = p->status ? p->status >= 200 && p->status <= 399 : err == 0;
    enum probe_result result = is_good                                           ? PROBE_GOOD
                               : !p->status && err != 0 && !health_is_fault(err) ? PROBE_SKIPPED
                                                                                 : PROBE_BAD;
    uint64_t us = (p->answered_us ? p->answered_us : clock_us()) - p->began_us;

    err = p->status ? 0 : err;
    break_off(p);
    count(p, result, us);
    decide(p, result, p->status, err);
    p->live->probe = (struct probe_news){
        .result = result,
        .status = p->status,
        .err = err,
        .at_wall_ms = clock_wall_ms(),
        .took_us = (uint32_t)MIN(us, (uint64_t)UINT32_MAX),
        .in_row = p->in_row,
    };
    rest_until_next(p);
    serve_queue(ps);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void on_head(void *owner, struct wire *w, struct message *m, bool end)
{
    struct probe *p = owner;

    if (m->status < 200 && m->status != 101)
        return;
    p->status = m->status;
    p->answered_us = clock_us();
    if (end || m->body == BODY_TUNNEL)
        judge(p, 0);
    else
        wire_grant(w, BODY_MAX);
}

static void on_body(void *owner, struct wire *w UNUSED, const struct slice *pieces, int n, bool end)
{
    struct probe *p = owner;

    for (int i = 0; i < n; i++)
        p->body += pieces[i].len;
    if (end || p->body >= BODY_MAX)
        judge(p, 0);
}

static void on_room(void *owner UNUSED, struct wire *w UNUSED)
{
}

static void on_gone(void *owner, struct wire *w, int err)
{
    struct probe *p = owner;

    p->wire = NULL;
    wire_release(w);
    judge(p, err);
}

static const struct wire_events wire_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_gone = on_gone,
};

/* The connection ends with its one wire. */
static void on_connection(void *owner UNUSED, struct outbound *o UNUSED)
{
}

static const struct outbound_events connection_events = {
    .on_idle = on_connection,
    .on_closed = on_connection,
};

/* There is no client whose Host could be passed on. */
static struct slice authority(const struct probe *p)
{
    return p->upstream->host_mode == HOST_NAME ? p->upstream->host
                                               : target_authority(p->endpoint->target, p->arena);
}

static void ask(struct probe *p, struct outbound *o)
{
    struct message m = {
        .scheme = p->endpoint->target->tls ? SLICE("https") : SLICE("http"),
        .path = p->upstream->active.path,
        .query = p->upstream->active.query,
        .method = METHOD_GET,
        .version = HTTP_11,
        .body = BODY_NONE,
    };

    p->state = PROBE_ASKS;
    o->events = &connection_events;
    o->owner = NULL;
    p->arena = arena_new(&p->all->arena_blocks);
    p->wire = outbound_open(o, p->arena, &wire_events, p);
    p->wire->head_ms = p->upstream->active.timeout_ms;
    m.authority = authority(p);
    headers_init(&m.headers, p->arena, 4);
    headers_add_id(&m.headers, HEADER_USER_AGENT, SLICE(FORWARD_PSEUDONYM "-health"));
    headers_add_id(&m.headers, HEADER_ACCEPT, SLICE("*/*"));
    (void)!wire_head(p->wire, &m, true); /* a broken connection is told by on_gone */
}

static void on_opened(void *arg, struct outbound *o, int err)
{
    struct probe *p = arg;

    p->opening = NULL;
    if (!o) {
        judge(p, err);
    } else if (p->upstream->active.path.ptr) {
        ask(p, o);
    } else {
        outbound_close(o);
        judge(p, 0);
    }
}

static void probe_begin(struct probe *p)
{
    struct probes *ps = p->all;
    uint32_t timeout_ms = p->upstream->active.timeout_ms;

    p->state = PROBE_CONNECTS;
    ps->under_way++;
    p->began_us = clock_us();
    p->answered_us = 0;
    p->status = 0;
    p->body = 0;
    timer_set(&p->timer, timeout_ms);
    p->opening =
        opening_start(&ps->wire, ps->dns, p->endpoint->target, p->turn++, timeout_ms, on_opened, p);
}

static void on_timer(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);

    if (p->state != PROBE_RESTS) {
        judge(p, ERR_TIMEOUT);
    } else if (p->all->under_way < PROBES_AT_ONCE) {
        probe_begin(p);
    } else {
        p->state = PROBE_QUEUED;
        list_append(&p->all->queue, &p->link);
    }
}

/* --- who is probed ---------------------------------------------------------------------------- */

static struct slice key_of(struct endpoint_live *const *live)
{
    return slice_of((const char *)live, sizeof(*live));
}

static struct probe *probe_new(struct probes *ps, struct endpoint_live *live)
{
    struct probe *p = calloc(1, sizeof(*p));

    REQUIRE(p != NULL);
    p->all = ps;
    p->live = endpoint_live_hold(live);
    timer_init(&p->timer, ps->wire.loop, on_timer);
    list_init(&p->link);
    map_set(&ps->by_live, key_of(&p->live), p);
    return p;
}

static void probe_free(struct probe *p)
{
    break_off(p);
    timer_deinit(&p->timer);
    endpoint_live_unref(p->live);
    free(p);
}

static void want(struct probes *ps, const struct snapshot *s, const struct upstream *u,
                 const struct endpoint *e)
{
    struct probe *p = map_find(&ps->by_live, key_of(&e->live));
    uint32_t interval_before = p ? p->upstream->active.interval_ms : 0;

    if (!p)
        p = probe_new(ps, e->live);
    p->upstream = u;
    p->endpoint = e;
    p->version = s->version;
    if (p->state == PROBE_RESTS && u->active.interval_ms != interval_before)
        rest_at_first(p);
}

/* The endpoint may still be there, and get requests unprobed from now on. */
static void leave(struct probe *p, const struct snapshot *now)
{
    if (p->live->known_in == now->version)
        health_set_down(p->upstream, p->endpoint, false, "it is not probed any more");
    p->live->probe = (struct probe_news){0};
    probe_free(p);
}

static void leave_unwanted(struct probes *ps, const struct snapshot *now)
{
    struct map kept;
    struct map_entry *entry;

    map_init(&kept);
    for (size_t i = 0; (entry = map_next(&ps->by_live, &i));) {
        struct probe *p = entry->value;
        if (p->version == now->version)
            map_set(&kept, entry->key, p);
        else
            leave(p, now);
    }
    map_deinit(&ps->by_live);
    ps->by_live = kept;
}

void probes_follow(struct probes *ps, struct snapshot *s)
{
    struct snapshot *before = ps->snapshot;

    if (ps->dns)
        dns_configure(ps->dns, &s->dns);
    else
        ps->dns = dns_new(ps->wire.loop, &s->dns);
    ps->snapshot = snapshot_ref(s);
    health_follow(s, before);
    for (uint32_t i = 0; i < s->nupstreams; i++) {
        const struct upstream *u = s->upstreams[i];
        for (uint32_t k = 0; u->active.interval_ms && k < u->nendpoints; k++)
            want(ps, s, u, &u->endpoints[k]);
    }
    leave_unwanted(ps, s);
    serve_queue(ps);
    if (before)
        snapshot_unref(before);
}

/* --- the whole -------------------------------------------------------------------------------- */

static void on_sweep(struct timer *t)
{
    struct probes *ps = container_of(t, struct probes, sweeper);

    if (ps->snapshot)
        health_sweep(ps->snapshot);
    timer_set(t, SWEEP_MS);
}

static void register_metrics(struct probes *ps)
{
    static const char *const labels[] = {"upstream", "endpoint", "result"};
    static const double seconds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                     0.25,  0.5,    1,     2.5,  5,     10};

    ps->total =
        metric_family("demilune_upstream_probes_total",
                      "Probes, by result: good, bad, skipped (the gateway lacked descriptors).",
                      METRIC_COUNTER, labels, 3, NULL, 0);
    ps->duration = metric_family("demilune_upstream_probe_duration_seconds",
                                 "Time of a probe to the head of its answer, or to its failure.",
                                 METRIC_HISTOGRAM, labels, 1, seconds, COUNT_OF(seconds));
    REQUIRE(ps->total && ps->duration);
}

struct probes *probes_new(struct loop *l)
{
    static const struct http_limits limits = {.idle_timeout_ms = 3600000}; /* ours is shorter */
    struct probes *ps = calloc(1, sizeof(*ps));

    REQUIRE(ps != NULL);
    blocks_init(&ps->recv_blocks, WIRE_RECV_BLOCK, SPARE_BLOCKS);
    blocks_init(&ps->head_blocks, WIRE_HEAD_BLOCK, SPARE_BLOCKS);
    blocks_init(&ps->arena_blocks, WIRE_ARENA_BLOCK, SPARE_BLOCKS);
    ps->wire = (struct wire_env){
        .loop = l,
        .recv_blocks = &ps->recv_blocks,
        .head_blocks = &ps->head_blocks,
        .arena_blocks = &ps->arena_blocks,
        .scratch = malloc(WIRE_SCRATCH),
        .limits = &limits,
        .server_name = SLICE(FORWARD_PSEUDONYM),
    };
    REQUIRE(ps->wire.scratch != NULL);
    map_init(&ps->by_live);
    list_init(&ps->queue);
    timer_init(&ps->sweeper, l, on_sweep);
    timer_set(&ps->sweeper, SWEEP_MS);
    register_metrics(ps);
    return ps;
}

void probes_free(struct probes *ps)
{
    struct map_entry *entry;

    for (size_t i = 0; (entry = map_next(&ps->by_live, &i));)
        probe_free(entry->value);
    map_deinit(&ps->by_live);
    timer_deinit(&ps->sweeper);
    if (ps->dns)
        dns_free(ps->dns);
    if (ps->snapshot)
        snapshot_unref(ps->snapshot);
    free(ps->wire.scratch);
    blocks_deinit(&ps->recv_blocks);
    blocks_deinit(&ps->head_blocks);
    blocks_deinit(&ps->arena_blocks);
    free(ps);
}
