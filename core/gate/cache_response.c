/* SPDX-License-Identifier: Apache-2.0 */

/* What is done with what upstream says: kept, taken as word that what is kept still holds, or, when upstream fails,
 * answered by what is stale. */

#include "base/clock.h"
#include "base/err.h"
#include "gate/cache_parts.h"
#include "gate/exchange_steps.h"
#include "gate/forward.h"
#include "gate/gateway.h"

static bool is_failure(int status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

static bool stands_in(struct cache_use *u)
{
    if (!u->stale || !cache_usable_on_error(&cached_head_of(u->stale)->life, &u->asked, clock_ms()))
        return false;
    cache_land(u, LAND_FAILED);
    cache_answer(u, stored_ref(u->stale), SLICE("hit; detail=stale-if-error"));
    return true;
}

/* An operator's word stands for a missing stale-if-error, but not against must-revalidate, s-maxage or no-cache, nor
 * against a client that wants no such answer (RFC 9111, 4.2.4). A hedge that is refused leaves the answer to the other. */
bool cache_stand_in(struct exchange *x)
{
    struct cache_use *u = x->cache;

    if (!u || !u->stale || x->rival || u->asked.no_cache || u->asked.max_age >= 0 ||
        u->asked.min_fresh >= 0)
        return false;
    const struct cache_life *life = &cached_head_of(u->stale)->life;
    if (life->always_validate || life->never_stale || life->is_shared)
        return false;
    cache_land(u, LAND_FAILED);
    cache_answer(u, stored_ref(u->stale), SLICE("hit; detail=circuit-open"));
    x->reply_fresh = true;
    return true;
}

static void answer_validated(struct cache_use *u, struct stored *r)
{
    cache_answer(u, r, ARENA_JOIN(u->x->arena, u->says, SLICE("; fwd-status=304")));
}

static void freshen(struct cache_use *u, const struct message *response)
{
    struct message *fresh = cache_freshen(u, u->stale, response);
    struct cache_life life;
    bool is_kept = cache_judge(u->x->request, fresh, u->is_personal, &u->conf->rules, &u->moment,
                               &life) == CACHE_KEPT;

    if (!is_kept) { /* it may be used this once */
        life = (struct cache_life){.came_ms = u->moment.came_ms};
        response_store_remove(u->conf->store, u->stale);
    }
    struct stored *r = cache_store_head(u, fresh, &life, response_body_ref(u->stale->body));
    if (is_kept && r && response_store_put(u->conf->store, r, u->note) == 0)
        cache_tier_keep(u, r);
    cache_land(u, is_kept ? LAND_LOOK : LAND_GO);
    answer_validated(u, r ? r : stored_ref(u->stale));
}

/* One that speaks of another response than it was asked about renews nothing: what is kept is used for who asked, and
 * the next one asks without a condition. */
static void on_not_modified(struct cache_use *u, const struct message *response)
{
    if (cache_is_meant(u->stale, response)) {
        freshen(u, response);
        return;
    }
    response_store_remove(u->conf->store, u->stale);
    cache_land(u, LAND_LOOK);
    answer_validated(u, stored_ref(u->stale));
}

/* The one who fetched it may have had it all along. */
static bool answers_fetcher(struct cache_use *u, const struct message *response)
{
    if (!u->filling || !u->filling->body || response->status != 200 ||
        !cache_client_has(&u->conditions, &response->headers))
        return false;
    cache_answer(u, stored_ref(u->filling), u->says);
    return true;
}

static enum cache_verdict keep(struct cache_use *u, struct message *response, bool end)
{
    if (u->stale && !is_failure(response->status))
        response_store_remove(u->conf->store, u->stale);
    cache_begin_fill(u, response, end);
    if (answers_fetcher(u, response))
        return CACHE_BOTH;
    headers_add_id(&response->headers, HEADER_CACHE_STATUS,
                   ARENA_JOIN(u->x->arena, SLICE(FORWARD_PSEUDONYM "; "), u->says));
    return CACHE_THEIRS;
}

/* What was kept is not true any more. The answer to a POST may stand for it: it says that it is what its URL has now (RFC
 * 9110, 9.3.3). */
static void on_written(struct cache_use *u, const struct message *response)
{
    cache_invalidate(u, response);
    if (u->x->request->method != METHOD_POST || response->status != 200 || u->conf->key ||
        !cache_is_own_url(u, headers_get_id(&response->headers, HEADER_CONTENT_LOCATION)))
        return;
    u->role = ROLE_FETCH;
    u->says = SLICE("fwd=method");
    u->note = response_store_note(u->conf->store, &u->key);
}

enum cache_verdict cache_on_response(struct exchange *x, struct message *response, bool end)
{
    struct cache_use *u = x->cache;

    u->moment.came_ms = clock_ms();
    u->moment.came_wall_s = (int64_t)(clock_wall_ms() / 1000);
    if (u->role == ROLE_INVALIDATE && response->status >= 200 && response->status < 400)
        on_written(u, response);
    if (u->role != ROLE_FETCH)
        return CACHE_THEIRS;
    if (is_failure(response->status) && stands_in(u))
        return CACHE_OURS;
    if (response->status == 304 && u->validates) {
        on_not_modified(u, response);
        return CACHE_OURS;
    }
    return keep(u, response, end);
}

bool cache_on_failure(struct exchange *x, int err)
{
    struct cache_use *u = x->cache;

    return u->role == ROLE_FETCH && x->state == EXCHANGE_UPSTREAM && err != ERR_CLIENT_GONE &&
           err != ERR_STOPPING && stands_in(u);
}
