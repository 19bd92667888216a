/* SPDX-License-Identifier: Apache-2.0 */

/* The scripts run in the server, each as one step. A response that is read or written counts only if no purge has meant
 * it since the one who fetched it asked: by URL that is `g`; by prefix or tag, the list is read from its newest entry to
 * the one that was the newest then. Where that one is not there any more nobody knows, and the response is dropped. */

#include "gate/cache_tier.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/metric.h"
#include "gate/cache_parts.h"
#include "gate/cache_record.h"
#include "gate/gateway.h"
#include "side/redis.h"
#include "side/redis_server.h"

#define VARY_BYTES_MAX 2048u
#define FETCH_MS_MAX 300000u /* a purge by URL is remembered for twice as long there */
#define KEEP_S_MAX (30 * 86400)
#define FIELD_SIZE 32

/* KEYS: the URL's hash, the list. ARGV: a variant's field, the URL. Gives: generation, newest purge, Vary, record. */
static const char read_script[] =
    "local k,f=KEYS[1],ARGV[1] "
    "local newest=redis.call('LINDEX',KEYS[2],0) "
    "if not newest then "
    "local t=redis.call('TIME') "
    "newest=string.format('%.0f e ',t[1]*1000000+t[2]) "
    "redis.pcall('LPUSH',KEYS[2],newest) "
    "end "
    "local now=string.match(newest,'^%d+') "
    "local h=redis.call('HMGET',k,'g','v','r'..f,'p'..f,'t'..f) "
    "local r=h[3] "
    "if r and h[4]~=now then "
    "local holds=false "
    "for _,e in ipairs(redis.call('LRANGE',KEYS[2],0,-1)) do "
    "local at,kind,text=string.match(e,'^(%d+) (%a) (.*)$') "
    "if at==h[4] then holds=true break end "
    "if kind=='p' and string.sub(ARGV[2],1,#text)==text then break end "
    "if kind=='t' and string.find(' '..(h[5] or '')..' ',' '..text..' ',1,true) then break end "
    "end "
    "if holds then redis.pcall('HSET',k,'p'..f,now) "
    "else redis.call('HDEL',k,'r'..f,'p'..f,'t'..f) r=false end "
    "end "
    "return {h[1] or '0',now,h[2] or '',r}";

/* KEYS: the URL's hash. ARGV: generation, newest purge, Vary, field, record, tags, milliseconds. */
static const char write_script[] =
    "local k,f=KEYS[1],ARGV[4] "
    "local h=redis.call('HMGET',k,'g','v') "
    "if (h[1] or '0')~=ARGV[1] then return 0 end "
    "local ttl=tonumber(ARGV[7]) "
    "if h[1] then ttl=math.max(ttl,600000) end "
    "if h[2] and h[2]~=ARGV[3] or redis.call('HLEN',k)>194 then "
    "redis.call('DEL',k) "
    "if h[1] then redis.call('HSET',k,'g',h[1]) end "
    "end "
    "redis.call('HSET',k,'v',ARGV[3],'r'..f,ARGV[5],'p'..f,ARGV[2],'t'..f,ARGV[6]) "
    "if redis.call('PTTL',k)<ttl then redis.call('PEXPIRE',k,ttl) end "
    "return 1";

static const struct breaker_rules usual_rules = {
    .window_ms = 2000,
    .min_requests = 5,
    .failure_ratio = 0.5,
    .slow_ratio = 2,
    .open_ms = 500,
    .open_max_ms = 4000,
    .probes = 1,
};

enum outcome { TIER_HIT, TIER_MISS, TIER_FAILED, TIER_SKIPPED, TIER_REFUSED, TIER_KEPT, OUTCOMES };

static const char *const outcome_words[OUTCOMES] = {"hit",     "miss",    "failed",
                                                    "skipped", "refused", "kept"};

struct cache_tier {
    /* owned */
    struct redis_server *server; /* counted */
    struct breaker *breaker;     /* counted */
    struct redis_pool *pool;     /* used; NULL but between enter and leave */
    /* borrowed */
    struct metric_series *outcomes[OUTCOMES];
    struct slice prefix;
    /* state */
    uint32_t timeout_ms;
    int writer;
};

/* --- life ------------------------------------------------------------------------------------------------------------ */

void cache_tier_set(struct cache_conf *c, struct redis_server *server, uint32_t timeout_ms,
                    struct slice server_name, struct slice prefix)
{
    struct cache_tier *t = arena_zero(c->arena, sizeof(*t));
    struct slice name = arena_printf(c->arena, "cache %.*s", SLICE_ARG(server_name));

    t->server = redis_server_ref(server);
    t->breaker = breaker_ref(SLICE("plugin"), name, &usual_rules);
    t->prefix = arena_dup(c->arena, prefix);
    t->timeout_ms = timeout_ms;
    c->tier = t;
    response_store_share(c->store, true);
}

void cache_tier_free(struct cache_conf *c)
{
    if (!c->tier)
        return;
    (void)CHECK(!c->tier->pool);
    response_store_share(c->store, false);
    breaker_unref(c->tier->breaker);
    redis_server_unref(c->tier->server);
}

static void find_metrics(struct cache_tier *t, struct slice store)
{
    static const char *const labels[] = {"place", "result"};
    struct metric_family *f = metric_family(
        "demilune_cache_redis_total",
        "What Redis was asked or told, and what came of it: hit, miss, kept, refused (by us), failed, "
        "skipped (it fails).",
        METRIC_COUNTER, labels, COUNT_OF(labels), NULL, 0);
    struct slice place = store;

    if (slice_starts(store, SLICE("cache/")))
        place = slice_from_index(store, 6);
    for (int i = 0; i < OUTCOMES; i++) {
        const struct slice values[] = {place, slice_from(outcome_words[i])};
        t->outcomes[i] = metric_series(f, values);
    }
}

void cache_tier_enter(struct gateway *g, struct cache_conf *c)
{
    struct cache_tier *t = c->tier;

    t->writer = g->writer;
    find_metrics(t, response_store_name(c->store));
    t->pool = redis_use(g->redis, t->server);
}

void cache_tier_leave(struct cache_conf *c)
{
    if (c->tier->pool)
        redis_unuse(c->tier->pool);
    c->tier->pool = NULL;
}

static void count(const struct cache_tier *t, enum outcome o)
{
    metric_inc(t->outcomes[o], t->writer);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

static struct slice url_key(struct cache_use *u)
{
    return ARENA_JOIN(u->x->arena, u->conf->tier->prefix, SLICE("u:"), u->key.text);
}

/* A short name for a variant; the record says which it really is. */
static struct slice field_of(struct slice variant, char out[static FIELD_SIZE + 1])
{
    snprintf(out, FIELD_SIZE + 1, "%016llx%016llx", (unsigned long long)hash_stable(variant, 1),
             (unsigned long long)hash_stable(variant, 2));
    return slice_of(out, FIELD_SIZE);
}

static void on_reply(void *arg, int err, const char *why, const struct redis_reply *reply);

static void on_patience(struct timer *t);

static void on_back(struct later *l)
{
    struct cache_use *u = container_of(l, struct cache_use, question.back);

    u->question.is_back = true;
    u->on_wait(u->arg);
}

static void leave(struct cache_use *u, enum breaker_outcome outcome)
{
    struct cache_question *q = &u->question;

    breaker_leave(u->conf->tier->breaker, q->pass, outcome, clock_ms() - q->asked_ms);
}

static bool send_question(struct cache_use *u, struct slice vary)
{
    struct cache_tier *t = u->conf->tier;
    struct cache_question *q = &u->question;
    uint64_t wait_ms;
    char field[FIELD_SIZE + 1];

    if (!t->pool || !breaker_enter(t->breaker, &q->pass, &wait_ms)) {
        count(t, TIER_SKIPPED);
        return false;
    }
    const struct slice words[] = {
        SLICE("EVAL"),
        slice_from(read_script),
        SLICE("2"),
        url_key(u),
        ARENA_JOIN(u->x->arena, t->prefix, SLICE("log")),
        field_of(cache_variant(u, vary), field),
        u->key.text,
    };
    uint32_t n = COUNT_OF(words);
    q->vary = vary;
    q->asked_ms = clock_ms();
    if (redis_send(t->pool, &(struct redis_batch){words, &n, 1}, t->timeout_ms, on_reply, u,
                   &q->request) == 0)
        return true;
    leave(u, BREAKER_FAILED);
    count(t, TIER_FAILED);
    return false;
}

bool cache_tier_ask(struct cache_use *u)
{
    struct response_store *s = u->conf->store;
    struct cache_question *q = &u->question;

    if (!u->conf->tier || !u->conf->tier->pool || q->was_asked ||
        response_store_is_marked(s, &u->key) ||
        response_purges_mean(response_store_purges(s), u->key.text))
        return false;
    q->was_asked = true;
    later_init(&q->back, on_back);
    timer_init(&q->patience, u->x->gateway->loop, on_patience);
    if (!send_question(u, cache_likely_vary(u)))
        return false;
    timer_set(&q->patience, u->conf->tier->timeout_ms);
    return true;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* Is it what was asked for, and would it be kept here? What the request was, and who came with it, says nothing of what
 * others may have. */
static bool is_it(struct cache_use *u, const struct cache_record *r)
{
    uint64_t now = clock_ms();
    struct cache_moment moment = {now, now, r->came_wall_ms / 1000};
    struct cache_life life;

    return slice_eq(r->key, u->key.text) && r->body.len <= u->conf->max_object &&
           slice_eq(cache_vary_of(u, &r->head), u->question.vary) &&
           slice_eq(cache_variant(u, u->question.vary), r->variant) &&
           cache_judge(u->x->request, &r->head, false, &u->conf->rules, &moment, &life) ==
               CACHE_KEPT;
}

static struct stored *stored_of(struct cache_use *u, struct slice bytes)
{
    struct cache_record r;

    if (cache_record_read(bytes, u->x->arena, &r) < 0 || !is_it(u, &r))
        return NULL;
    int64_t elapsed_ms = (int64_t)clock_wall_ms() - r.came_wall_ms; /* clocks differ a little */
    r.life.came_ms = clock_ms();
    r.life.initial_age_s += elapsed_ms > 0 ? elapsed_ms / 1000 : 0;
    struct response_body *body = response_body_new(r.body.len);
    if (!body)
        return NULL;
    bool fits = response_body_fill(body, &r.body, 1);
    (void)response_body_end(body, !fits);
    return cache_store_head(u, &r.head, &r.life, body);
}

/* Not from inside of the connection that has read it. */
static void come_back(struct cache_use *u)
{
    timer_deinit(&u->question.patience);
    loop_later(u->x->gateway->loop, &u->question.back);
}

/* A connection that others share has more patience than this request. */
static void on_patience(struct timer *timer)
{
    struct cache_use *u = container_of(timer, struct cache_use, question.patience);
    struct cache_question *q = &u->question;

    redis_request_give_up(q->request);
    q->request = NULL;
    leave(u, BREAKER_FAILED);
    count(u->conf->tier, TIER_FAILED);
    come_back(u);
}

/* True: another variant is asked for now. */
static bool asks_again(struct cache_use *u, struct slice vary)
{
    struct cache_question *q = &u->question;

    if (q->was_asked_twice || vary.len > VARY_BYTES_MAX || slice_eq(vary, q->vary))
        return false;
    q->was_asked_twice = true;
    return send_question(u, arena_dup(u->x->arena, vary));
}

static bool is_answer(const struct redis_reply *reply)
{
    const struct redis_value *v = reply->values.items;

    return reply->values.n == 5 && v[0].kind == REDIS_LIST && v[1].kind == REDIS_TEXT &&
           v[2].kind == REDIS_TEXT && v[3].kind == REDIS_TEXT &&
           (v[4].kind == REDIS_TEXT || v[4].kind == REDIS_NIL);
}

static void on_reply(void *arg, int err, const char *why UNUSED, const struct redis_reply *reply)
{
    struct cache_use *u = arg;
    struct cache_question *q = &u->question;
    struct cache_tier *t = u->conf->tier;
    bool is_good = err == 0 && is_answer(reply);

    q->request = NULL;
    leave(u, is_good ? BREAKER_GOOD : BREAKER_FAILED);
    if (!is_good) {
        count(t, TIER_FAILED);
        come_back(u);
        return;
    }
    const struct redis_value *v = reply->values.items;
    q->generation = arena_dup(u->x->arena, redis_text(reply, &v[1]));
    q->purges = arena_dup(u->x->arena, redis_text(reply, &v[2]));
    if (v[4].kind == REDIS_TEXT) {
        q->found = stored_of(u, redis_text(reply, &v[4]));
        count(t, q->found ? TIER_HIT : TIER_REFUSED);
    } else if (asks_again(u, redis_text(reply, &v[3]))) {
        return;
    } else {
        count(t, TIER_MISS);
    }
    come_back(u);
}

struct stored *cache_tier_take(struct cache_use *u)
{
    struct cache_question *q = &u->question;
    struct stored *found = q->found;

    q->is_back = false;
    q->found = NULL;
    if (found && response_store_put(u->conf->store, found, u->note) == ERR_GONE) {
        stored_unref(found);
        found = NULL;
    }
    return found;
}

void cache_tier_forget(struct cache_use *u)
{
    struct cache_question *q = &u->question;

    if (q->request) {
        redis_request_give_up(q->request);
        leave(u, BREAKER_VOID);
    }
    if (q->was_asked) {
        later_cancel(&q->back);
        timer_deinit(&q->patience);
    }
    stored_unref(q->found);
    q->request = NULL;
    q->found = NULL;
    q->is_back = false;
}

/* --- telling --------------------------------------------------------------------------------------------------------- */

struct telling {
    struct cache_conf *conf; /* counted */
    struct breaker_pass pass;
    uint64_t from_ms;
};

static void end_telling(struct telling *w, enum breaker_outcome outcome, enum outcome counts)
{
    breaker_leave(w->conf->tier->breaker, w->pass, outcome, clock_ms() - w->from_ms);
    count(w->conf->tier, counts);
    cache_conf_unref(w->conf);
    free(w);
}

/* A server that is full says so at once, and can be read: that is no failure of the kind that a breaker is for. */
static void on_told(void *arg, int err, const char *why UNUSED, const struct redis_reply *reply)
{
    bool is_word = err == 0 && reply->values.n == 1 && reply->values.items[0].kind == REDIS_INTEGER;

    if (!is_word)
        end_telling(arg, err == 0 ? BREAKER_GOOD : BREAKER_FAILED, TIER_FAILED);
    else
        end_telling(arg, BREAKER_GOOD, reply->values.items[0].number ? TIER_KEPT : TIER_REFUSED);
}

/* How long it may be of use to anybody. */
static int64_t keep_ms(const struct cache_life *life)
{
    int64_t seconds = life->lifetime_s - cache_age_s(life, clock_ms()) +
                      MAX(life->stale_while_revalidate_s, life->stale_if_error_s);

    return MIN(seconds, (int64_t)KEEP_S_MAX) * 1000;
}

static int record_of(const struct cache_use *u, const struct stored *r, struct buf *out)
{
    const struct cached_head *head = cached_head_of(r);
    enum response_body_state state;
    struct cache_record record = {
        .key = r->key.text,
        .variant = r->variant,
        .head = {.status = head->status,
                 .headers = {.items = (struct field *)(uintptr_t)head->fields,
                             .n = head->nfields,
                             .arena = u->x->arena}},
        .life = head->life,
        .came_wall_ms = (int64_t)(clock_wall_ms() - (clock_ms() - head->life.came_ms)),
        .body = response_body_seen(r->body, &state),
    };

    return state == RESPONSE_BODY_WHOLE ? cache_record_write(&record, out) : ERR_AGAIN;
}

static void tell(struct cache_use *u, const struct stored *r, struct slice record, int64_t ms)
{
    struct cache_tier *t = u->conf->tier;
    struct telling *w = calloc(1, sizeof(*w));
    struct redis_request *request;
    uint64_t wait_ms;
    char field[FIELD_SIZE + 1];

    REQUIRE(w != NULL);
    if (!breaker_enter(t->breaker, &w->pass, &wait_ms)) {
        count(t, TIER_SKIPPED);
        free(w);
        return;
    }
    w->conf = cache_conf_ref(u->conf);
    w->from_ms = clock_ms();
    const struct slice words[] = {
        SLICE("EVAL"),
        slice_from(write_script),
        SLICE("1"),
        url_key(u),
        u->question.generation,
        u->question.purges,
        r->vary,
        field_of(r->variant, field),
        record,
        r->tags,
        arena_printf(u->x->arena, "%lld", (long long)ms),
    };
    uint32_t n = COUNT_OF(words);
    if (redis_send(t->pool, &(struct redis_batch){words, &n, 1}, t->timeout_ms, on_told, w,
                   &request) < 0)
        end_telling(w, BREAKER_FAILED, TIER_FAILED);
}

void cache_tier_keep(struct cache_use *u, const struct stored *r)
{
    struct cache_tier *t = u->conf->tier;
    const struct cache_question *q = &u->question;
    struct buf record;

    if (!t || !t->pool || !q->generation.ptr || clock_ms() - q->asked_ms > FETCH_MS_MAX ||
        response_purges_mean(response_store_purges(u->conf->store), u->key.text))
        return;
    int64_t ms = keep_ms(&cached_head_of(r)->life);
    if (ms <= 0)
        return;
    buf_init(&record, (size_t)t->server->options.max_reply);
    if (record_of(u, r, &record) == 0)
        tell(u, r, buf_slice(&record), ms);
    buf_deinit(&record);
}
