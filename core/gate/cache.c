/* SPDX-License-Identifier: Apache-2.0 */

/* What is done with a request; cache_response.c has what is done with what upstream says to it. */

#include "gate/cache.h"

#include "base/clock.h"
#include "base/err.h"
#include "gate/cache_parts.h"
#include "gate/exchange_steps.h"
#include "gate/gateway.h"
#include "gate/reply.h"

#define WAITERS_MAX 10000
#define LEASE_MS 60000 /* where the route has no timeout */

/* --- what a place asks for --------------------------------------------------------------------------------------- */

struct cache_conf *cache_conf_new(struct slice store, size_t bytes)
{
    struct arena *a = arena_new_heap(1024);
    struct cache_conf *c = arena_zero(a, sizeof(*c));

    c->arena = a;
    atomic_init(&c->refs, 1);
    c->store = response_store_get(store, bytes);
    c->rules.ttl_s = -1;
    return c;
}

struct cache_conf *cache_conf_ref(struct cache_conf *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void cache_conf_unref(struct cache_conf *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    cache_tier_free(c);
    response_store_unref(c->store);
    arena_free(c->arena);
}

/* --- one exchange's use of it ------------------------------------------------------------------------------------ */

static void end_use(void *arg)
{
    struct cache_use *u = arg;

    stored_unref(u->stale);
    stored_unref(u->awaited);
    cache_conf_unref(u->conf);
}

static bool is_personal(const struct exchange *x)
{
    return x->consumer || x->claims.ptr ||
           headers_find(&x->request->headers, HEADER_AUTHORIZATION) != NULL;
}

static struct cache_use *begin_use(struct exchange *x, struct cache_conf *conf)
{
    struct cache_use *u = arena_zero(x->arena, sizeof(*u));

    u->x = x;
    u->conf = cache_conf_ref(conf);
    u->is_personal = is_personal(x);
    u->says = SLICE("fwd=bypass");
    arena_on_free(x->arena, end_use, u);
    x->cache = u;
    return u;
}

/* --- a request ----------------------------------------------------------------------------------------------------- */

static bool has(const struct exchange *x, enum header_id id)
{
    return headers_find(&x->request->headers, id) != NULL;
}

/* Is what upstream would say to this request worth keeping? */
static bool may_keep(const struct cache_use *u)
{
    const struct exchange *x = u->x;

    return x->request->method == METHOD_GET && !u->asked.no_store && !has(x, HEADER_RANGE) &&
           !has(x, HEADER_IF_MATCH) && !has(x, HEADER_IF_UNMODIFIED_SINCE);
}

static struct slice take_header(struct exchange *x, enum header_id id)
{
    struct slice value = headers_get_id(&x->request->headers, id);

    headers_remove_id(&x->request->headers, id);
    return value;
}

/* The client's conditions are kept for the answer; upstream hears the cache's own. */
static void ask_upstream(struct cache_use *u)
{
    struct exchange *x = u->x;

    u->role = ROLE_FETCH;
    u->moment.asked_ms = clock_ms();
    u->conditions.none_match = take_header(x, HEADER_IF_NONE_MATCH);
    u->conditions.modified_since = take_header(x, HEADER_IF_MODIFIED_SINCE);
    if (!u->stale)
        return;
    const struct cached_head *head = cached_head_of(u->stale);
    for (uint32_t i = 0; i < head->nfields; i++) {
        const struct field *f = &head->fields[i];
        if (f->id != HEADER_ETAG && f->id != HEADER_LAST_MODIFIED)
            continue;
        u->validates = true;
        headers_set_id(&x->request->headers,
                       f->id == HEADER_ETAG ? HEADER_IF_NONE_MATCH : HEADER_IF_MODIFIED_SINCE,
                       f->value);
    }
}

static void on_flight(void *arg, enum flight_event event, struct slice value)
{
    struct cache_use *u = arg;

    if (event == FLIGHT_LANDED) {
        u->seat = NULL;
        u->is_alone = value.ptr[0] != LAND_LOOK || u->has_waited;
        u->has_waited = true;
        u->has_failed = value.ptr[0] == LAND_FAILED;
    }
    u->on_wait(u->arg);
}

/* Nobody waits for what is somebody's own, nor for what could not be kept the last time. Who has waited and found what
 * must be asked for each time does not wait again, or all would ask one by one. */
static bool joins(const struct cache_use *u)
{
    return u->conf->coalesces && !u->is_alone && !u->is_personal && !(u->has_waited && u->stale) &&
           !response_store_is_marked(u->conf->store, &u->key);
}

/* By the Vary of what is kept of the URL: requests for other variants don't wait for this one. */
static enum cache_found join(struct cache_use *u)
{
    struct exchange *x = u->x;
    uint64_t left = exchange_time_left_ms(x);
    struct slice variant = cache_variant(u, cache_likely_vary(u));
    struct slice key = ARENA_JOIN(x->arena, SLICE("cache/"), response_store_name(u->conf->store),
                                  SLICE("\n"), u->key.text, SLICE("\n"), variant);
    int rc = flight_join(flights_shared(), key, left == UINT64_MAX ? LEASE_MS : left + 1,
                         WAITERS_MAX, x->gateway->mailbox, on_flight, u, &u->seat);

    if (rc == FLIGHT_WAITS)
        return CACHE_WAITS;
    u->is_alone = rc < 0;
    return CACHE_MISS;
}

/* What is kept and good may be asked about because the client wants it so. */
static struct slice why_forward(const struct cache_use *u)
{
    if (!u->stale)
        return u->knows_url ? SLICE("fwd=vary-miss") : SLICE("fwd=uri-miss");
    const struct cache_life *life = &cached_head_of(u->stale)->life;
    bool is_good = !life->always_validate && cache_age_s(life, clock_ms()) < life->lifetime_s;

    return is_good ? SLICE("fwd=request") : SLICE("fwd=stale");
}

/* Who wants nothing but what is kept goes no further (RFC 9111, 5.2.1.7). */
static enum cache_found go_upstream(struct cache_use *u)
{
    if (!u->asked.only_if_cached) {
        ask_upstream(u);
        return CACHE_MISS;
    }
    (void)!exchange_reply(u->x, 504, NULL,
                          reply_problem(u->x, 504, SLICE("Nothing is kept for this request.")));
    return CACHE_ANSWERED;
}

static enum cache_found miss(struct cache_use *u)
{
    u->says = why_forward(u);
    if (u->asked.only_if_cached)
        return may_keep(u) && cache_tier_ask(u) ? CACHE_WAITS : go_upstream(u);
    if (!may_keep(u)) {
        u->says = SLICE("fwd=bypass");
        return CACHE_MISS;
    }
    if ((joins(u) && join(u) == CACHE_WAITS) || cache_tier_ask(u))
        return CACHE_WAITS;
    ask_upstream(u);
    return CACHE_MISS;
}

/* Hooks that see the body want it whole. */
static bool wants_whole(const struct exchange *x)
{
    return exchange_hooks(x) & (PHASE_BIT(PHASE_BODY) | PHASE_BIT(PHASE_RESPONSE));
}

static void on_whole(void *arg)
{
    struct cache_use *u = arg;

    u->wait = NULL;
    u->on_wait(u->arg);
}

/* False: it is whole, or broken, by now. */
static bool awaits(struct cache_use *u, struct stored *r)
{
    u->wait = response_body_await(r->body, SIZE_MAX, u->x->gateway->mailbox, on_whole, u);
    if (!u->wait)
        return false;
    u->awaited = r;
    return true;
}

/* What another gateway has kept, for the one who would ask upstream, when it is better than what is here. */
static struct stored *take_from_tier(struct cache_use *u)
{
    struct stored *r = cache_tier_take(u);

    if (!r || cache_usable(&cached_head_of(r)->life, &u->asked, clock_ms()) != CACHE_STALE)
        return r;
    stored_unref(u->stale);
    u->stale = r;
    u->says = why_forward(u);
    return NULL;
}

static void fetch(struct cache_use *own)
{
    struct headers *h = &own->x->request->headers;

    headers_remove_id(h, HEADER_RANGE);
    headers_remove_id(h, HEADER_IF_RANGE);
    headers_remove_id(h, HEADER_IF_MATCH);
    headers_remove_id(h, HEADER_IF_UNMODIFIED_SINCE);
    ask_upstream(own);
    exchange_fetch(own->x);
}

/* The tier has answered to a request of the gateway's own. */
static void on_refreshed(void *arg)
{
    struct cache_use *own = arg;
    struct stored *r = take_from_tier(own);
    bool is_fresh =
        r && cache_usable(&cached_head_of(r)->life, &own->asked, clock_ms()) == CACHE_FRESH;

    stored_unref(r);
    if (!is_fresh) {
        fetch(own);
        return;
    }
    cache_land(own, LAND_LOOK);
    exchange_drop(own->x);
}

/* stale-while-revalidate (RFC 5861, 3): one asks in the background, for all. */
static void refresh(struct cache_use *u, struct stored *r)
{
    struct exchange *own = exchange_clone(u->x);

    if (!own)
        return;
    struct cache_use *v = begin_use(own, u->conf);
    v->is_personal = u->is_personal;
    v->key = (struct response_key){arena_dup(own->arena, u->key.text), u->key.hash};
    v->note = u->note;
    v->stale = stored_ref(r);
    cache_copy_variant(v, u, r->vary);
    cache_control_read(&own->request->headers, &v->asked);
    cache_await(own, on_refreshed, v);
    if (join(v) == CACHE_WAITS || v->is_alone) { /* somebody does */
        exchange_drop(own);
        return;
    }
    if (!cache_tier_ask(v))
        fetch(v);
}

static struct slice how(const struct cache_use *u, enum cache_state use)
{
    if (use == CACHE_STALE)
        return SLICE("hit; detail=stale-if-error");
    return u->is_from_tier ? SLICE("hit; detail=redis") : SLICE("hit");
}

static enum cache_found use_stored(struct cache_use *u, struct stored *r)
{
    enum response_body_state state;
    enum cache_state use = cache_usable(&cached_head_of(r)->life, &u->asked, clock_ms());

    response_body_seen(r->body, &state);
    if (state == RESPONSE_BODY_FILLING && wants_whole(u->x) && awaits(u, r))
        return CACHE_WAITS;
    response_body_seen(r->body, &state);
    if (state == RESPONSE_BODY_BROKEN) {
        response_store_remove(u->conf->store, r);
        stored_unref(r);
        return miss(u);
    }
    if (use == CACHE_STALE && !(u->has_failed && cache_usable_on_error(&cached_head_of(r)->life,
                                                                       &u->asked, clock_ms()))) {
        stored_unref(u->stale);
        u->stale = r;
        return miss(u);
    }
    if (use == CACHE_REVALIDATE)
        refresh(u, r);
    stored_used(r);
    cache_answer(u, r, how(u, use));
    u->x->reply_fresh = true;
    return CACHE_ANSWERED;
}

static enum cache_found look(struct cache_use *u)
{
    u->note = response_store_note(u->conf->store, &u->key);
    struct stored *r = cache_find(u);

    return r ? use_stored(u, r) : miss(u);
}

/* Content of a GET means nothing (RFC 9110, 9.3.1), but some upstreams read it: what they say to it is not for others. */
static bool is_for_cache(const struct message *request)
{
    if (!method_is_safe(request->method))
        return true;
    return (request->method == METHOD_GET || request->method == METHOD_HEAD) &&
           request->body == BODY_NONE && !request->wants_websocket;
}

enum cache_found cache_lookup(struct exchange *x, struct cache_conf *conf)
{
    enum method method = x->request->method;

    if (x->cache || !is_for_cache(x->request))
        return CACHE_PASS;
    struct cache_use *u = begin_use(x, conf);
    if (!cache_make_key(u))
        return CACHE_PASS;
    if (!method_is_safe(method)) {
        u->role = ROLE_INVALIDATE;
        u->moment.asked_ms = clock_ms();
        return CACHE_PASS;
    }
    cache_control_read(&x->request->headers, &u->asked);
    if (!u->asked.is_there &&
        slice_has_token(headers_get_id(&x->request->headers, HEADER_PRAGMA), SLICE("no-cache")))
        u->asked.no_cache = true;
    return look(u);
}

/* --- waiting --------------------------------------------------------------------------------------------------------- */

void cache_await(struct exchange *x, void (*fn)(void *arg), void *arg)
{
    x->cache->on_wait = fn;
    x->cache->arg = arg;
}

static enum cache_found back_from_tier(struct cache_use *u)
{
    struct stored *r = take_from_tier(u);

    if (!r)
        return go_upstream(u);
    cache_land(u, LAND_LOOK);
    u->is_from_tier = true;
    return use_stored(u, r);
}

enum cache_found cache_go_on(struct exchange *x)
{
    struct cache_use *u = x->cache;

    if (u->question.is_back)
        return back_from_tier(u);
    if (u->seat) { /* the one before has failed: this one fetches */
        ask_upstream(u);
        return CACHE_MISS;
    }
    stored_unref(u->awaited);
    u->awaited = NULL;
    return look(u);
}

static void stop_waiting(struct cache_use *u)
{
    cache_tier_forget(u);
    if (u->wait)
        response_wait_leave(u->wait);
    if (u->seat)
        flight_leave(u->seat);
    u->wait = NULL;
    u->seat = NULL;
}

void cache_give_up(struct exchange *x)
{
    struct cache_use *u = x->cache;

    stop_waiting(u);
    u->is_alone = true;
    (void)go_upstream(u);
}

/* --- the end of it --------------------------------------------------------------------------------------------------------- */

bool cache_has_readers(struct exchange *x)
{
    struct cache_use *u = x->cache;

    if (!u || !u->filling || !u->filling->body)
        return false;
    response_store_remove(u->conf->store, u->filling); /* there will be no more of them */
    return stored_is_shared(u->filling);
}

void cache_end(struct exchange *x)
{
    cache_break_fill(x->cache);
    stop_waiting(x->cache);
}

/* --- an answer that is still being filled -------------------------------------------------------------------------------- */

static void on_more(void *arg)
{
    struct cache_use *u = arg;

    u->wait = NULL;
    exchange_on_cached(u->x);
}

bool cache_is_reading(const struct exchange *x)
{
    return x->cache && x->cache->reading;
}

int cache_read(struct exchange *x, struct slice *out, bool *last)
{
    struct cache_use *u = x->cache;
    size_t from = x->flows[SIDE_RESPONSE].taken;
    enum response_body_state state;
    struct slice seen = response_body_seen(u->reading->body, &state);
    size_t to = MIN(seen.len, u->read_to);

    *out = slice_sub(seen, from, to > from ? to - from : 0);
    *last = to == u->read_to;
    if (out->len > 0 || *last)
        return 0;
    if (state == RESPONSE_BODY_BROKEN)
        return ERR_RESET;
    if (!u->wait)
        u->wait = response_body_await(u->reading->body, from, x->gateway->mailbox, on_more, u);
    return u->wait ? ERR_AGAIN : cache_read(x, out, last);
}
