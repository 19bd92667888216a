/* SPDX-License-Identifier: Apache-2.0 */

/* The pages of health, and those that are the snapshot in JSON. */

#include <stdlib.h>

#include "app/admin.h"
#include "app/admin_json.h"
#include "app/control.h"
#include "app/describe.h"
#include "base/check.h"
#include "gate/hook_time.h"
#include "gate/snapshot.h"

#define HIDDEN "(hidden)"

/* --- health ---------------------------------------------------------------------------------------------------------- */

static int write_status(struct admin_answer *answer, const char *status)
{
    struct json_writer w;

    json_writer_init(&w, &answer->body, 0);
    json_object(&w);
    put_text(&w, "status", slice_from(status));
    json_object_end(&w);
    return json_writer_end(&w);
}

int admin_page_live(struct admin_answer *answer)
{
    return write_status(answer, "live");
}

int admin_page_ready(struct admin_answer *answer)
{
    static const char *const names[] = {
        [CONTROL_STARTING] = "starting",
        [CONTROL_READY] = "ready",
        [CONTROL_DRAINING] = "draining",
        [CONTROL_STOPPING] = "stopping",
    };
    enum control_state state = answer->control->state;

    answer->status = state == CONTROL_READY ? 200 : 503;
    return write_status(answer, names[state]);
}

/* --- configuration --------------------------------------------------------------------------------------------------- */

static void put_conf(struct json_writer *w, const struct conf *node)
{
    if (!node || node->is_secret || node->is_from_env) {
        json_string(w, SLICE(HIDDEN));
        return;
    }
    switch (node->type) {
    case CONF_NULL: json_null(w); break;
    case CONF_BOOL: json_bool(w, node->boolean); break;
    case CONF_INT:
    case CONF_NUMBER: json_number(w, node->number); break;
    case CONF_STRING: json_string_lossy(w, node->text); break;
    case CONF_LIST:
        json_array(w);
        for (size_t i = 0; i < node->n; i++)
            put_conf(w, node->items[i]);
        json_array_end(w);
        break;
    case CONF_MAP:
        json_object(w);
        for (size_t i = 0; i < node->n; i++) {
            json_key_lossy(w, node->pairs[i].key);
            put_conf(w, node->pairs[i].value);
        }
        json_object_end(w);
        break;
    }
}

int admin_page_config(struct admin_answer *answer)
{
    const struct snapshot *s = answer->control->snapshot;
    struct json_writer w;

    json_writer_init(&w, &answer->body, ADMIN_INDENT);
    json_object(&w);
    put_text(&w, "id", s->id);
    put_number(&w, "version", (double)s->version);
    admin_put_last_reload(&w, answer->control);
    json_key(&w, SLICE("config"));
    put_conf(&w, s->conf);
    json_object_end(&w);
    return json_writer_end(&w);
}

/* --- routes ---------------------------------------------------------------------------------------------------------- */

static void put_conditions(struct json_writer *w, const struct route *r)
{
    put_list(w, "hosts");
    for (uint32_t i = 0; i < r->nhosts; i++)
        json_string_lossy(w, r->hosts[i]);
    json_array_end(w);
    put_list(w, "paths");
    for (uint32_t i = 0; i < r->npaths; i++)
        json_string_lossy(w, r->paths[i].text);
    json_array_end(w);
    put_list(w, "methods");
    for (int m = METHOD_UNKNOWN + 1; m < METHOD_COUNT; m++)
        if (r->methods >> m & 1)
            json_string(w, slice_from(method_text((enum method)m)));
    json_array_end(w);
    json_key(w, SLICE("headers"));
    json_object(w);
    for (uint32_t i = 0; i < r->nheaders; i++) {
        json_key_lossy(w, r->headers[i].name);
        json_string_lossy(w, describe_value(&r->headers[i]));
    }
    json_object_end(w);
}

static void put_route(struct json_writer *w, const struct route *r)
{
    static const char *const actions[] = {[ROUTE_PROXY] = "proxy",
                                          [ROUTE_RESPOND] = "respond",
                                          [ROUTE_REDIRECT] = "redirect",
                                          [ROUTE_PLUGIN] = "plugin"};

    json_object(w);
    put_text(w, "name", r->name);
    put_conditions(w, r);
    put_text(w, "action", slice_from(actions[r->action]));
    if (r->action == ROUTE_PROXY)
        put_text(w, "upstream", r->upstream->name);
    put_list(w, "plugins");
    for (uint32_t i = 0; i < r->chain.n; i++)
        json_string_lossy(w, r->chain.uses[i]->name);
    json_array_end(w);
    json_object_end(w);
}

/* In match order. */
int admin_page_routes(struct admin_answer *answer)
{
    const struct snapshot *s = answer->control->snapshot;
    const struct route **routes = calloc(s->nroutes + 1, sizeof(*routes));
    struct json_writer w;

    REQUIRE(routes != NULL);
    size_t n = router_order(s->router, routes, s->nroutes);
    json_writer_init(&w, &answer->body, ADMIN_INDENT);
    json_object(&w);
    put_list(&w, "routes");
    for (size_t i = 0; i < n; i++)
        put_route(&w, routes[i]);
    json_array_end(&w);
    json_object_end(&w);
    free(routes);
    return json_writer_end(&w);
}

/* --- plugins --------------------------------------------------------------------------------------------------------- */

static double read_sum(const atomic_ullong *sum)
{
    return (double)atomic_load_explicit(sum, memory_order_relaxed);
}

/* Estimates over all runs, from those that were timed (gate/hook_time.h). */
static void put_time(struct json_writer *w, const char *hook, const struct hook_time *t)
{
    put_object(w, hook);
    put_number(w, "samples", read_sum(&t->samples));
    put_number(w, "runs", read_sum(&t->runs));
    put_number(w, "busy_seconds", read_sum(&t->busy_ns) / 1e9);
    put_number(w, "waiting_seconds", read_sum(&t->waited_ns) / 1e9);
    json_object_end(w);
}

static void put_use(struct json_writer *w, const struct plugin_use *use)
{
    json_object(w);
    put_text(w, "name", use->name);
    put_text(w, "scope", use->scope);
    put_text(w, "place", use->path);
    put_list(w, "hooks");
    for (enum phase p = 0; p < PHASE_COUNT; p++)
        if (use->hooks & PHASE_BIT(p))
            json_string(w, slice_from(phase_name(p)));
    json_array_end(w);
    put_object(w, "time");
    for (enum phase p = PHASE_REWRITE; p < PHASE_START; p++)
        if (use->hooks & PHASE_BIT(p))
            put_time(w, phase_name(p), hook_time_of(use, p));
    json_object_end(w);
    json_object_end(w);
}

int admin_page_plugins(struct admin_answer *answer)
{
    const struct snapshot *s = answer->control->snapshot;
    struct json_writer w;

    json_writer_init(&w, &answer->body, ADMIN_INDENT);
    json_object(&w);
    put_list(&w, "plugins");
    for (uint32_t i = 0; i < s->nuses; i++)
        put_use(&w, s->uses[i]);
    json_array_end(&w);
    json_object_end(&w);
    return json_writer_end(&w);
}
