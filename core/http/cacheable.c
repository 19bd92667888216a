/* SPDX-License-Identifier: Apache-2.0 */

#include "http/cacheable.h"

#include "base/text.h"

#define HEURISTIC_PART 10 /* of the time since it was changed last (RFC 9111, 4.2.2) */
#define HEURISTIC_MAX_S (7 * 86400)

/* RFC 9110, 15.1; partial responses are not kept. */
static bool is_heuristic(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501: return true;
    default: return false;
    }
}

const char *cache_refusal_text(enum cache_refusal r)
{
    static const char *const texts[] = {
        [CACHE_KEPT] = "kept",         [CACHE_BY_METHOD] = "method",
        [CACHE_BY_STATUS] = "status",  [CACHE_BY_REQUEST] = "request-no-store",
        [CACHE_NO_STORE] = "no-store", [CACHE_PRIVATE] = "private",
        [CACHE_IDENTITY] = "identity", [CACHE_VARY] = "vary",
        [CACHE_COOKIE] = "set-cookie", [CACHE_NO_LIFE] = "no-freshness",
    };

    return texts[r];
}

static bool keeps_status(const struct cache_rules *rules, int status)
{
    if (status < 200 || status == 206 || status == 304)
        return false;
    for (uint32_t i = 0; i < rules->nstatuses; i++)
        if (rules->statuses[i] == status)
            return true;
    return rules->statuses == NULL;
}

/* --- dates ------------------------------------------------------------------------------------ */

/* A field that must stand there once. */
static bool read_date(const struct headers *h, enum header_id id, int64_t *out)
{
    const struct field *f = headers_find(h, id);
    time_t t;

    if (!f || headers_next(h, f) || text_to_http_date(f->value, &t) < 0)
        return false;
    *out = t;
    return true;
}

static int64_t date_of(const struct message *response, const struct cache_moment *moment)
{
    int64_t date;

    return read_date(&response->headers, HEADER_DATE, &date) ? date : moment->came_wall_s;
}

/* The first number of the first line (RFC 9111, 5.1); 0 when there is none. */
static int64_t age_field(const struct message *response)
{
    const struct field *f = headers_find(&response->headers, HEADER_AGE);
    struct slice rest = f ? f->value : SLICE_NONE;
    struct slice first;

    return slice_next_token(&rest, &first) ? MAX(cache_seconds(first), 0) : 0;
}

static int64_t initial_age(const struct message *response, const struct cache_moment *moment)
{
    int64_t delay = (int64_t)(moment->came_ms - moment->asked_ms) / 1000;
    int64_t corrected = age_field(response) + delay;

    return MIN(MAX(moment->came_wall_s - date_of(response, moment), corrected), CACHE_SECONDS_MAX);
}

/* --- freshness -------------------------------------------------------------------------------- */

static int64_t by_expires(const struct message *response, const struct cache_moment *moment)
{
    int64_t expires;

    if (!headers_find(&response->headers, HEADER_EXPIRES))
        return -1;
    if (!read_date(&response->headers, HEADER_EXPIRES, &expires))
        return 0; /* "0" and the like: it has expired */
    return MIN(MAX(expires - date_of(response, moment), 0), CACHE_SECONDS_MAX);
}

static int64_t by_last_change(const struct message *response, const struct cache_moment *moment)
{
    int64_t changed;

    if (!read_date(&response->headers, HEADER_LAST_MODIFIED, &changed))
        return -1;
    int64_t since = MAX(date_of(response, moment) - changed, 0);
    return MIN(since / HEURISTIC_PART, HEURISTIC_MAX_S);
}

/* -1: nothing tells. Of an answer to POST only what it says itself counts (RFC 9110, 9.3.3). */
static int64_t lifetime(const struct message *request, const struct message *response,
                        const struct cache_control *says, bool is_targeted,
                        const struct cache_rules *rules, const struct cache_moment *moment)
{
    int64_t s = says->s_maxage >= 0 ? says->s_maxage : says->max_age;

    if (s < 0 && !is_targeted)
        s = by_expires(response, moment);
    if (request->method == METHOD_POST)
        return s;
    if (s < 0 && (says->no_cache || says->must_revalidate))
        s = 0; /* to be asked for again each time */
    if (s < 0 && (is_heuristic(response->status) || says->is_public))
        s = by_last_change(response, moment);
    return s < 0 && is_heuristic(response->status) ? rules->ttl_s : s;
}

/* By everything, or by so much that it comes to the same. */
static bool varies_by_all(const struct message *response)
{
    struct slice rest = headers_get_id(&response->headers, HEADER_VARY), name;
    int n = 0;

    while (slice_next_token(&rest, &name))
        if (++n > CACHE_VARY_MAX || slice_eq(name, SLICE("*")))
            return true;
    return false;
}

/* What an unknown status may want of a cache nobody knows. */
static bool is_understood(int status)
{
    return status_text(status)[0] != '\0';
}

/* must-understand takes the place of no-store where the status is known (RFC 9111, 5.2.2.3). */
static bool forbids(const struct message *response, const struct cache_control *says)
{
    return says->no_store && !(says->must_understand && is_understood(response->status));
}

static bool is_for_all(const struct cache_control *says)
{
    return says->is_public || says->must_revalidate || says->s_maxage >= 0;
}

enum cache_refusal cache_judge(const struct message *request, const struct message *response,
                               bool is_personal, const struct cache_rules *rules,
                               const struct cache_moment *moment, struct cache_life *life)
{
    struct cache_control asked, says;

    cache_control_read(&request->headers, &asked);
    bool is_targeted = cache_control_read_targeted(&response->headers, &says);
    if (!is_targeted)
        cache_control_read(&response->headers, &says);

    if (request->method != METHOD_GET && request->method != METHOD_POST)
        return CACHE_BY_METHOD;
    if (!keeps_status(rules, response->status) ||
        (says.must_understand && !is_understood(response->status)))
        return CACHE_BY_STATUS;
    if (asked.no_store)
        return CACHE_BY_REQUEST;
    if (forbids(response, &says))
        return CACHE_NO_STORE;
    if (says.is_private)
        return CACHE_PRIVATE;
    if (is_personal && !is_for_all(&says))
        return CACHE_IDENTITY;
    if (varies_by_all(response))
        return CACHE_VARY;
    if (!rules->keeps_set_cookie && headers_find(&response->headers, HEADER_SET_COOKIE))
        return CACHE_COOKIE;

    int64_t lifetime_s = lifetime(request, response, &says, is_targeted, rules, moment);
    if (lifetime_s < 0)
        return CACHE_NO_LIFE;
    *life = (struct cache_life){
        .came_ms = moment->came_ms,
        .initial_age_s = initial_age(response, moment),
        .lifetime_s = lifetime_s,
        .stale_while_revalidate_s = MAX(says.stale_while_revalidate, 0),
        .stale_if_error_s = MAX(says.stale_if_error, 0),
        .always_validate = says.no_cache,
        .never_stale = says.must_revalidate || says.proxy_revalidate,
        .is_shared = says.s_maxage >= 0,
    };
    return CACHE_KEPT;
}

/* --- use -------------------------------------------------------------------------------------- */

int64_t cache_age_s(const struct cache_life *life, uint64_t now_ms)
{
    uint64_t resident = now_ms > life->came_ms ? now_ms - life->came_ms : 0;

    return life->initial_age_s + (int64_t)(resident / 1000);
}

/* Would the client take one that is `over` seconds past its lifetime? */
static bool takes_stale(const struct cache_control *asked, int64_t over)
{
    return asked->max_stale_any || asked->max_stale >= over;
}

enum cache_state cache_usable(const struct cache_life *life, const struct cache_control *asked,
                              uint64_t now_ms)
{
    int64_t age = cache_age_s(life, now_ms);
    int64_t over = age - life->lifetime_s;
    bool is_fresh = over < 0 && over + MAX(asked->min_fresh, 0) < 0;

    if (asked->no_cache || life->always_validate || (asked->max_age >= 0 && age > asked->max_age))
        return CACHE_STALE;
    if (is_fresh)
        return CACHE_FRESH;
    if (life->never_stale || asked->min_fresh >= 0)
        return CACHE_STALE;
    if (!life->is_shared && takes_stale(asked, over))
        return CACHE_FRESH;
    return over < life->stale_while_revalidate_s ? CACHE_REVALIDATE : CACHE_STALE;
}

bool cache_usable_on_error(const struct cache_life *life, const struct cache_control *asked,
                           uint64_t now_ms)
{
    int64_t over = cache_age_s(life, now_ms) - life->lifetime_s;
    int64_t wanted = life->is_shared ? 0 : asked->stale_if_error;
    int64_t allowed = MAX(life->stale_if_error_s, wanted);

    return !life->never_stale && !life->always_validate && !asked->no_cache && over < allowed;
}
