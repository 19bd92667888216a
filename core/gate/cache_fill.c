/* SPDX-License-Identifier: Apache-2.0 */

/* Keeping what comes from upstream. A response whose length is known is in the store from its head on, and others read
 * along; of one that only its end measures, the bytes are gathered and it is put in when it is whole. */

#include "base/err.h"
#include "gate/cache_parts.h"
#include "gate/gateway.h"

void cache_land(struct cache_use *u, char what)
{
    struct flight_seat *seat = u->seat;

    u->seat = NULL;
    if (seat)
        flight_land(seat, slice_of(&what, 1));
}

/* What can't be kept is not waited for: this time, and for a while where it would be the same for others. What one client
 * gets for himself, or an upstream says while it fails, tells nothing of that. */
static void refuse(struct cache_use *u, bool is_usual)
{
    if (is_usual && !u->is_personal && u->x->request->method == METHOD_GET)
        response_store_mark(u->conf->store, &u->key);
    cache_land(u, LAND_GO);
}

static void let_go(struct cache_use *u)
{
    stored_unref(u->filling);
    u->filling = NULL;
}

/* After something was purged meanwhile, those who wait ask once more, together: ERR_GONE lets them look again. */
static void begin_known(struct cache_use *u, const struct message *response,
                        const struct cache_life *life, bool end)
{
    size_t size = end ? 0 : (size_t)response->content_length;
    struct response_body *body = response_body_new(size);

    u->filling = body ? cache_store_head(u, response, life, body) : NULL;
    int rc = u->filling ? response_store_put(u->conf->store, u->filling, u->note) : ERR_LIMIT;
    if (rc < 0) {
        if (rc == ERR_GONE)
            cache_land(u, LAND_LOOK);
        else
            refuse(u, true);
        let_go(u);
        return;
    }
    u->says = ARENA_JOIN(u->x->arena, u->says, SLICE("; stored"));
    if (size == 0)
        cache_on_body(u->x, NULL, 0, true);
    cache_land(u, LAND_LOOK);
}

/* What is stale from the first helps nobody unless it can be asked for by a validator, or may be used stale. An event
 * stream comes with no-cache, and has no end to wait for. */
static bool is_of_use(const struct cache_life *life, const struct message *response)
{
    bool is_fresh = life->initial_age_s < life->lifetime_s && !life->always_validate;

    return is_fresh || life->stale_while_revalidate_s > 0 || life->stale_if_error_s > 0 ||
           headers_find(&response->headers, HEADER_ETAG) ||
           headers_find(&response->headers, HEADER_LAST_MODIFIED);
}

static bool is_event_stream(const struct message *response)
{
    struct slice type = headers_get_id(&response->headers, HEADER_CONTENT_TYPE);
    struct slice events = SLICE("text/event-stream");

    return slice_eq_nocase(slice_sub(type, 0, events.len), events);
}

static enum cache_refusal judge(struct cache_use *u, const struct message *response)
{
    enum cache_refusal why =
        cache_judge(u->x->request, response, u->is_personal, &u->conf->rules, &u->moment, &u->life);

    if (why == CACHE_KEPT && (!is_of_use(&u->life, response) || is_event_stream(response)))
        return CACHE_NO_LIFE;
    return why;
}

void cache_begin_fill(struct cache_use *u, const struct message *response, bool end)
{
    enum cache_refusal why = judge(u, response);
    bool is_known = end || (response->body == BODY_LENGTH && response->has_length);

    if (why != CACHE_KEPT)
        u->says = ARENA_JOIN(u->x->arena, u->says, SLICE("; detail="),
                             slice_from(cache_refusal_text(why)));
    if (why != CACHE_KEPT || response->body == BODY_TUNNEL ||
        (is_known && !end && response->content_length > u->conf->max_object)) {
        refuse(u, response->status < 500);
        return;
    }
    if (is_known) {
        begin_known(u, response, &u->life, end);
        return;
    }
    u->filling = cache_store_head(u, response, &u->life, NULL);
    if (u->filling)
        buf_init(&u->gathered, u->conf->max_object);
    else
        refuse(u, true);
}

static void end_known(struct cache_use *u, bool is_broken)
{
    if (response_body_end(u->filling->body, is_broken) == RESPONSE_BODY_BROKEN)
        response_store_remove(u->conf->store, u->filling);
    else
        cache_tier_keep(u, u->filling);
    let_go(u);
}

static void end_gathering(struct cache_use *u, bool is_broken)
{
    struct slice all = buf_slice(&u->gathered);
    struct response_body *body = is_broken ? NULL : response_body_new(all.len);
    int rc = ERR_LIMIT;

    response_store_release(u->conf->store, &u->key, u->reserved);
    u->reserved = 0;
    if (body) {
        bool fits = response_body_fill(body, &all, 1);
        (void)response_body_end(body, !fits);
        stored_set_body(u->filling, body);
        rc = response_store_put(u->conf->store, u->filling, u->note);
        if (rc == 0)
            cache_tier_keep(u, u->filling);
    }
    cache_land(u, rc == 0 || rc == ERR_GONE ? LAND_LOOK : LAND_GO);
    buf_deinit(&u->gathered);
    let_go(u);
}

/* False: larger than max_object, or there is no room in the budget. */
static bool add_gathered(struct cache_use *u, struct slice piece)
{
    if (!response_store_reserve(u->conf->store, &u->key, piece.len))
        return false;
    u->reserved += piece.len;
    return buf_add(&u->gathered, piece) == 0;
}

static void gather(struct cache_use *u, const struct slice *pieces, int n, bool end)
{
    bool fits = true;

    for (int i = 0; i < n && fits; i++)
        fits = add_gathered(u, pieces[i]);
    if (!fits)
        refuse(u, true);
    if (!fits || end)
        end_gathering(u, !fits);
}

void cache_on_body(struct exchange *x, const struct slice *pieces, int n, bool end)
{
    struct cache_use *u = x->cache;

    if (!u || !u->filling)
        return;
    if (!u->filling->body) {
        gather(u, pieces, n, end);
        return;
    }
    bool fits = response_body_fill(u->filling->body, pieces, n);
    if (end || !fits)
        end_known(u, !fits);
}

bool cache_is_filling(const struct exchange *x)
{
    return x->cache && x->cache->filling;
}

void cache_break_fill(struct cache_use *u)
{
    if (u->filling && u->filling->body)
        end_known(u, true);
    else if (u->filling)
        end_gathering(u, true);
}
