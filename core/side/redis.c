/* SPDX-License-Identifier: Apache-2.0 */

/* Pools. The connection with the fewest requests is taken; another one is dialled when even that one has many, and does
 * not carry anything before it is ready. */

#include "side/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/rand.h"
#include "side/redis_server.h"

#define BUSY 64         /* requests on a connection that ask for another one */
#define LINGER_MS 10000 /* a pool that nobody uses */
#define BACKOFF_MS 100
#define BACKOFF_MAX_MS 2000

struct redis {
    struct redis_env env;
    struct list pools;
    struct metric_family *commands, *errors, *duration, *connections;
};

struct redis_pool {
    struct list link;
    /* owned */
    struct redis_server *server;
    struct list conns;
    struct timer timer; /* down: the next try; nobody uses it: its end */
    /* borrowed */
    struct redis *redis;
    struct metric_series *commands, *duration;
    /* state */
    uint32_t users, nconns, nready;
    uint32_t backoff_ms; /* of the next failure */
    bool is_down;
    struct redis_fault why;
};

/* --- metrics ---------------------------------------------------------------------------------- */

static const double seconds_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                        0.025,  0.05,    0.1,    0.25,  0.5,    1,     2.5};

static void register_metrics(struct redis *r)
{
    static const char *const by_name[] = {"redis"}, *const by_error[] = {"redis", "error"},
                             *const by_result[] = {"redis", "result"};

    r->commands = metric_family("demilune_redis_commands_total", "Commands sent to Redis servers.",
                                METRIC_COUNTER, by_name, 1, NULL, 0);
    r->errors = metric_family("demilune_redis_errors_total",
                              "Commands that have failed, by reason; `reply`: the server said so.",
                              METRIC_COUNTER, by_error, 2, NULL, 0);
    r->duration = metric_family(
        "demilune_redis_duration_seconds", "Time from a command (or pipeline) to its last reply.",
        METRIC_HISTOGRAM, by_name, 1, seconds_bounds, (int)COUNT_OF(seconds_bounds));
    r->connections = metric_family("demilune_redis_connections_total",
                                   "Connections to Redis servers, by result: ok, or why not.",
                                   METRIC_COUNTER, by_result, 2, NULL, 0);
    REQUIRE(r->commands && r->errors && r->duration && r->connections);
}

static void count(struct redis_pool *p, struct metric_family *f, const char *word)
{
    const struct slice values[] = {p->server->options.name, slice_from(word)};

    metric_inc(metric_series(f, values), p->redis->env.writer);
}

/* --- pools ------------------------------------------------------------------------------------ */

static void free_pool(void *p)
{
    free(p);
}

static void close_pool(struct redis_pool *p)
{
    struct list *link;

    while ((link = list_first(&p->conns)))
        redis_conn_close(container_of(link, struct redis_conn, link), ERR_CLOSED);
    list_remove(&p->link);
    timer_deinit(&p->timer);
    redis_server_unref(p->server);
    loop_free_later(p->redis->env.loop, p, free_pool);
}

static bool is_idle(const struct redis_pool *p)
{
    LIST_EACH (link, &p->conns)
        if (container_of(link, struct redis_conn, link)->nrequests > 0)
            return false;
    return true;
}

static void dial(struct redis_pool *p);

static void on_timer(struct timer *t)
{
    struct redis_pool *p = container_of(t, struct redis_pool, timer);

    if (p->users > 0 && p->nconns == 0)
        dial(p);
    else if (p->users == 0 && is_idle(p))
        close_pool(p);
    else if (p->users == 0)
        timer_set(t, LINGER_MS);
}

static void on_ready(struct redis_conn *c)
{
    struct redis_pool *p = c->owner;

    p->nready++;
    p->backoff_ms = BACKOFF_MS;
    count(p, p->redis->connections, "ok");
    if (p->is_down)
        LOG_INFO("redis.up", "a Redis server can be used again",
                 LOG_S("redis", p->server->options.name));
    p->is_down = false;
}

/* delay_ms, give or take a quarter. */
static void try_later(struct redis_pool *p, uint32_t delay_ms)
{
    if (p->users > 0)
        timer_set(&p->timer, delay_ms - delay_ms / 4 + rand_below(delay_ms / 2 + 1));
}

static void go_down(struct redis_pool *p)
{
    if (!p->is_down)
        LOG_WARN("redis.down", "a Redis server can't be used",
                 LOG_S("redis", p->server->options.name), LOG_C("error", err_word(p->why.err)),
                 LOG_C("why", p->why.text));
    p->is_down = true;
    try_later(p, p->backoff_ms);
    p->backoff_ms = MIN(p->backoff_ms * 2, (uint32_t)BACKOFF_MAX_MS);
}

/* One that was ready and closed by the server is made again by the next command. One that did not answer is tried in
 * the background first. */
static void on_gone(struct redis_conn *c, const struct redis_fault *why)
{
    struct redis_pool *p = c->owner;
    bool was_ready = c->state == REDIS_READY;

    p->nconns--;
    p->nready -= was_ready;
    p->why = *why;
    if (!was_ready)
        count(p, p->redis->connections, err_word(why->err));
    if (p->nready == 0 && (!was_ready || why->err == ERR_TIMEOUT))
        go_down(p);
}

static bool has_error(const struct redis_reply *reply)
{
    for (size_t i = 0; i < reply->values.n; i++)
        if (reply->values.items[i].kind == REDIS_ERROR)
            return true;
    return false;
}

static void on_end(struct redis_conn *c, const struct redis_request *r, int err,
                   const struct redis_reply *reply)
{
    struct redis_pool *p = c->owner;

    if (err == 0)
        metric_observe(p->duration, p->redis->env.writer, (double)(clock_us() - r->from_us) / 1e6);
    if (err != 0 || has_error(reply))
        count(p, p->redis->errors, err != 0 ? err_word(err) : "reply");
}

static const struct redis_conn_events conn_events = {
    .on_ready = on_ready, .on_gone = on_gone, .on_end = on_end};

static void dial(struct redis_pool *p)
{
    struct redis_conn *c = redis_conn_new(&p->redis->env, p->server, &conn_events, p);

    list_append(&p->conns, &c->link);
    p->nconns++;
}

/* Prefers a connection that is ready. NULL: there is none. */
static struct redis_conn *choose(struct redis_pool *p, size_t *pending)
{
    struct redis_conn *best = NULL;

    *pending = 0;
    LIST_EACH (link, &p->conns) {
        struct redis_conn *c = container_of(link, struct redis_conn, link);
        bool better = !best || (c->state == REDIS_READY) > (best->state == REDIS_READY) ||
                      ((c->state == REDIS_READY) == (best->state == REDIS_READY) &&
                       c->nrequests < best->nrequests);
        *pending += c->nrequests;
        if (better)
            best = c;
    }
    return best;
}

static int failed(struct redis_pool *p, int err)
{
    count(p, p->redis->errors, err_word(err));
    return err;
}

int redis_send(struct redis_pool *p, const struct redis_batch *batch, uint32_t timeout_ms,
               redis_reply_fn fn, void *arg, struct redis_request **out)
{
    size_t pending;

    if (UNLIKELY(p->is_down))
        return failed(p, p->why.err);
    struct redis_conn *c = choose(p, &pending);
    if (UNLIKELY(pending >= p->server->options.max_pending))
        return failed(p, ERR_FULL);
    if (!c || (c->nrequests >= BUSY && p->nconns == p->nready &&
               p->nconns < p->server->options.pool_size)) {
        dial(p);
        c = choose(p, &pending);
    }
    int rc = redis_conn_send(c, batch, timeout_ms, fn, arg, out);
    if (rc < 0)
        return failed(p, rc);
    metric_add(p->commands, p->redis->env.writer, batch->ncommands);
    return 0;
}

const char *redis_why(const struct redis_pool *p)
{
    return p->why.text;
}

/* --- uses ------------------------------------------------------------------------------------- */

static struct redis_pool *make_pool(struct redis *r, struct redis_server *server)
{
    struct redis_pool *p = calloc(1, sizeof(*p));

    REQUIRE(p != NULL);
    p->server = redis_server_ref(server);
    list_init(&p->conns);
    timer_init(&p->timer, r->env.loop, on_timer);
    p->redis = r;
    p->commands = metric_series(r->commands, &server->options.name);
    p->duration = metric_series(r->duration, &server->options.name);
    p->backoff_ms = BACKOFF_MS;
    list_append(&r->pools, &p->link);
    return p;
}

struct redis_pool *redis_use(struct redis *r, struct redis_server *server)
{
    struct redis_pool *p = NULL;

    LIST_EACH (link, &r->pools) {
        struct redis_pool *it = container_of(link, struct redis_pool, link);
        if (slice_eq(it->server->identity, server->identity))
            p = it;
    }
    if (!p)
        p = make_pool(r, server);
    if (p->users++ == 0) {
        timer_stop(&p->timer);
        if (p->is_down)
            try_later(p, 1);
    }
    return p;
}

void redis_unuse(struct redis_pool *p)
{
    if (--p->users == 0)
        timer_set(&p->timer, LINGER_MS);
}

struct redis_env *redis_env(struct redis *r)
{
    return &r->env;
}

struct redis *redis_new(const struct redis_env *env)
{
    struct redis *r = calloc(1, sizeof(*r));

    REQUIRE(r != NULL);
    r->env = *env;
    list_init(&r->env.spare);
    list_init(&r->pools);
    register_metrics(r);
    return r;
}

void redis_free(struct redis *r)
{
    struct list *link;

    while ((link = list_first(&r->pools))) {
        struct redis_pool *p = container_of(link, struct redis_pool, link);
        (void)CHECK(p->users == 0);
        close_pool(p);
    }
    while ((link = list_pop(&r->env.spare)))
        free(container_of(link, struct redis_request, link));
    free(r);
}
