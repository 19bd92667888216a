/* SPDX-License-Identifier: Apache-2.0 */

/* Upstreams and the state of their endpoints, and the two orders that an operator has for an endpoint: drain, enable.
 *
 *     state       healthy, slow_start, ejected, down or drained: the strongest that holds
 *     usable      may get requests (when none is, all that are not drained do)
 *     share       of its weight, less than 1 in slow start
 *     ejected_for seconds that are left
 *     probe       with active checks: what the last one said
 *
 * The circuit breakers stand behind them (admin_breakers.c). */

#include "app/admin.h"
#include "app/admin_json.h"
#include "app/control.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "gate/health.h"
#include "gate/snapshot.h"

/* --- GET /upstreams -------------------------------------------------------------------------------------------------- */

static void put_probe(struct json_writer *w, const struct probe_news *news)
{
    static const char *const results[] = {[PROBE_NONE] = "none",
                                          [PROBE_GOOD] = "good",
                                          [PROBE_BAD] = "bad",
                                          [PROBE_SKIPPED] = "skipped"};
    char at[25];

    put_object(w, "probe");
    put_text(w, "result", slice_from(results[news->result]));
    if (news->result != PROBE_NONE) {
        text_iso_date(news->at_wall_ms, at);
        put_text(w, "at", slice_from(at));
        put_number(w, "in_row", news->in_row);
        put_number(w, "seconds", news->took_us / 1e6);
    }
    if (news->status)
        put_number(w, "status", news->status);
    if (news->err)
        put_text(w, "error", slice_from(err_word(news->err)));
    json_object_end(w);
}

static void put_endpoint(struct json_writer *w, const struct upstream *u, const struct endpoint *e)
{
    const struct endpoint_live *l = e->live;
    bool is_ejected = endpoint_is_ejected(l);

    json_object(w);
    put_text(w, "address", e->address);
    put_number(w, "weight", e->weight);
    put_text(w, "state", slice_from(health_word(health_state(u, e))));
    put_flag(w, "usable", endpoint_is_usable(l));
    put_number(w, "share", health_share(u, e));
    put_flag(w, "ejected", is_ejected);
    if (is_ejected)
        put_number(w, "ejected_for",
                   (double)(atomic_load(&l->ejected_until_ms) - clock_ms()) / 1e3);
    put_flag(w, "down", atomic_load(&l->is_down));
    put_flag(w, "drained", atomic_load(&l->drained));
    put_number(w, "ejections", (double)atomic_load(&l->ejections));
    put_number(w, "errors_in_row", atomic_load(&l->errors_in_row));
    put_number(w, "active", atomic_load(&l->active));
    put_number(w, "connections", atomic_load(&e->target->connections));
    put_number(w, "requests", (double)atomic_load(&l->requests));
    put_number(w, "failures", (double)atomic_load(&l->failures));
    if (u->active.interval_ms)
        put_probe(w, &l->probe);
    json_object_end(w);
}

static void put_upstream(struct json_writer *w, const struct upstream *u)
{
    json_object(w);
    put_text(w, "name", u->name);
    put_number(w, "connections", atomic_load(&u->live->connections));
    put_number(w, "max_connections", u->max_connections);
    put_number(w, "pending", atomic_load(&u->live->pending));
    put_number(w, "max_pending", u->max_pending);
    put_list(w, "endpoints");
    for (uint32_t i = 0; i < u->nendpoints; i++)
        put_endpoint(w, u, &u->endpoints[i]);
    json_array_end(w);
    json_object_end(w);
}

int admin_page_upstreams(struct admin_answer *answer)
{
    const struct snapshot *s = answer->control->snapshot;
    struct json_writer w;

    json_writer_init(&w, &answer->body, ADMIN_INDENT);
    json_object(&w);
    put_list(&w, "upstreams");
    for (uint32_t i = 0; i < s->nupstreams; i++)
        put_upstream(&w, s->upstreams[i]);
    json_array_end(&w);
    admin_put_breakers(&w);
    json_object_end(&w);
    return json_writer_end(&w);
}

/* --- POST /upstreams/NAME/endpoints/ADDRESS/{drain,enable} ----------------------------------------------------------- */

struct slice admin_segment(const struct admin_answer *answer, int n)
{
    struct slice path = answer->request->path, one = SLICE_NONE;

    for (int i = 0; i <= n; i++)
        slice_split(&path, '/', &one);
    char *out = arena_alloc(answer->arena, one.len);
    ssize_t len = text_percent_decode(one, false, out);
    return len < 0 ? SLICE_NONE : slice_of(out, (size_t)len);
}

/* As /upstreams shows it. */
static const struct endpoint *endpoint_find(const struct upstream *u, struct slice address)
{
    for (uint32_t i = 0; i < u->nendpoints; i++)
        if (slice_eq(u->endpoints[i].address, address))
            return &u->endpoints[i];
    return NULL;
}

static int set_drained(struct admin_answer *answer, bool drained)
{
    const struct upstream *u =
        snapshot_upstream(answer->control->snapshot, admin_segment(answer, 2));
    const struct endpoint *e = u ? endpoint_find(u, admin_segment(answer, 4)) : NULL;
    struct json_writer w;

    if (!e) {
        admin_problem(answer, 404,
                      u ? "The upstream has no endpoint with this address; /upstreams shows them."
                        : "There is no upstream of this name; /upstreams shows them.");
        return 0;
    }
    health_set_drained(u, e, drained);
    json_writer_init(&w, &answer->body, ADMIN_INDENT);
    put_endpoint(&w, u, e);
    return json_writer_end(&w);
}

int admin_page_drain(struct admin_answer *answer)
{
    return set_drained(answer, true);
}

int admin_page_enable(struct admin_answer *answer)
{
    return set_drained(answer, false);
}
