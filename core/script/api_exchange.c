/* SPDX-License-Identifier: Apache-2.0 */

/* The exchange and its request, for Lua: leaf functions that look a handle up and read or change one thing. */

#include <math.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "gate/exchange_note.h"
#include "gate/snapshot.h"
#include "script/api_find.h"
#include "script/api_traffic.h"

#define ID_MAX 256 /* bytes of a request id that a plugin may set */

static struct slice method_slice(const struct exchange *x)
{
    return slice_from(method_text(x->request->method));
}

/* The path that a hook has set for the upstream counts as the request's path from then on. */
static struct slice path_slice(const struct exchange *x)
{
    return x->rewritten.ptr ? x->rewritten : x->path;
}

static struct slice error_slice(const struct exchange *x)
{
    return x->err ? slice_from(err_word(x->err)) : SLICE_NONE;
}

static struct slice exchange_part(struct exchange *x, int which)
{
    switch ((enum dml_text)which) {
    case DML_TEXT_METHOD: return method_slice(x);
    case DML_TEXT_SCHEME: return x->scheme;
    case DML_TEXT_HOST: return x->request->host;
    case DML_TEXT_PATH: return path_slice(x);
    case DML_TEXT_QUERY: return x->request->query;
    case DML_TEXT_CLIENT_IP: return x->client_ip;
    case DML_TEXT_ID: return exchange_id(x);
    case DML_TEXT_ROUTE: return x->route ? x->route->name : SLICE_NONE;
    case DML_TEXT_PATTERN: return x->match.path ? x->match.path->text : SLICE_NONE;
    case DML_TEXT_CONSUMER: return x->consumer ? x->consumer->name : SLICE_NONE;
    case DML_TEXT_UPSTREAM: return x->upstream ? x->upstream->name : SLICE_NONE;
    case DML_TEXT_CLAIMS: return x->claims;
    case DML_TEXT_ERROR: return error_slice(x);
    }
    return SLICE_NONE;
}

int dml_exchange_text(struct gateway *g, double handle, int which, struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);

    return x ? api_give(out, exchange_part(x, which)) : ERR_GONE;
}

/* --- changes ------------------------------------------------------------------------------------------------------- */

/* Goes into headers and logs: printable ASCII without blanks. */
static int set_id(struct exchange *x, struct slice id)
{
    if (id.len == 0 || id.len > ID_MAX)
        return ERR_ARG;
    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] <= ' ' || id.ptr[i] > '~')
            return ERR_ARG;
    }
    exchange_set_id(x, id);
    return 0;
}

static int set_consumer(struct exchange *x, struct slice name)
{
    const struct consumer *c = NULL;

    if (name.ptr && !(c = snapshot_consumer(x->plan->snapshot, name)))
        return ERR_NOT_FOUND;
    exchange_set_consumer(x, c);
    return 0;
}

static int set_upstream(struct exchange *x, struct slice name)
{
    if (x->state > EXCHANGE_ACCESS)
        return ERR_LIMIT;
    struct upstream *u = name.ptr ? snapshot_upstream(x->plan->snapshot, name) : NULL;
    if (!u)
        return ERR_NOT_FOUND;
    x->upstream = u;
    return 0;
}

static int set_claims(struct exchange *x, struct slice json)
{
    x->claims = json.ptr ? arena_dup(x->arena, json) : SLICE_NONE;
    return 0;
}

int dml_exchange_set_text(struct gateway *g, double handle, int which, const char *ptr, size_t len)
{
    struct exchange *x = api_find(g, handle);
    struct slice s = slice_of(ptr, len);

    if (!x)
        return ERR_GONE;
    switch ((enum dml_text)which) {
    case DML_TEXT_ID: return set_id(x, s);
    case DML_TEXT_CONSUMER: return set_consumer(x, s);
    case DML_TEXT_UPSTREAM: return set_upstream(x, s);
    case DML_TEXT_CLAIMS: return set_claims(x, s);
    default: break;
    }
    if (x->state >= EXCHANGE_RESPONSE)
        return ERR_LIMIT;
    switch ((enum dml_text)which) {
    case DML_TEXT_METHOD: return exchange_set_method(x, s);
    case DML_TEXT_PATH: return exchange_set_path(x, s);
    case DML_TEXT_QUERY: return exchange_set_query(x, s);
    case DML_TEXT_HOST: return exchange_set_host(x, s);
    default: return ERR_ARG;
    }
}

int dml_exchange_set_status(struct gateway *g, double handle, int status)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    if (!x->response)
        return ERR_NOT_FOUND;
    int rc = exchange_set_status(x, status);
    return rc == ERR_GONE ? ERR_LIMIT : rc;
}

/* --- numbers ------------------------------------------------------------------------------------------------------- */

static double port_of(const struct exchange *x)
{
    if (x->request->port)
        return x->request->port;
    return slice_eq(x->scheme, SLICE("https")) ? 443 : 80;
}

double dml_exchange_number(struct gateway *g, double handle, int which)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    switch ((enum dml_number)which) {
    case DML_NUMBER_PORT: return port_of(x);
    case DML_NUMBER_VERSION: return x->request->version;
    case DML_NUMBER_STATUS: return x->response ? x->response->status : ERR_NOT_FOUND;
    case DML_NUMBER_ATTEMPTS: return x->attempts;
    case DML_NUMBER_BYTES: return (double)x->bytes_down;
    case DML_NUMBER_BYTES_IN: return (double)x->flows[SIDE_REQUEST].bytes;
    case DML_NUMBER_ATTEMPT: return x->attempt ? x->attempt->number : 0;
    case DML_NUMBER_TRUSTED: return x->client_is_trusted;
    }
    return ERR_ARG;
}

static double seconds_between(uint64_t from_us, uint64_t to_us)
{
    return from_us && to_us >= from_us ? (double)(to_us - from_us) / 1e6 : -1;
}

int dml_exchange_timings(struct gateway *g, double handle, struct dml_timings *out)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    out->start = (double)x->start_wall_ms / 1000;
    out->total = seconds_between(x->start_us, x->end_us ? x->end_us : clock_us_now());
    out->before = seconds_between(x->start_us, x->upstream_us);
    out->upstream = x->upstream_us ? seconds_between(x->upstream_us, x->head_us) : -1;
    return 0;
}

int dml_exchange_replied(struct gateway *g, double handle)
{
    const struct exchange *x = api_find(g, handle);

    return !x || x->reply_fresh;
}

int dml_exchange_lives(struct gateway *g, double handle)
{
    return api_find(g, handle) != NULL;
}

int dml_exchange_keep(struct gateway *g, double handle)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    x->keeps_context = true;
    return 0;
}

/* --- parameters ---------------------------------------------------------------------------------------------------- */

int dml_param_name(struct gateway *g, double handle, int index, struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    const struct route_path *path = x->match.path;
    if (!path || index < 0 || (uint32_t)index >= path->nparams)
        return ERR_NOT_FOUND;
    return api_give(out, path->params[index]);
}

int dml_param(struct gateway *g, double handle, const char *name, size_t len, struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);

    return x ? api_give(out, exchange_param(x, slice_of(name, len), false)) : ERR_GONE;
}

int dml_query_value(struct gateway *g, double handle, const char *name, size_t len,
                    struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    if (!x->request->query.ptr)
        return ERR_NOT_FOUND;
    return api_give(out, uri_query_get(x->request->query, slice_of(name, len), x->arena));
}

int dml_consumer_group(struct gateway *g, double handle, int index, struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    if (!x->consumer || index < 0 || (uint32_t)index >= x->consumer->ngroups)
        return ERR_NOT_FOUND;
    return api_give(out, x->consumer->groups[index]);
}

/* --- notes --------------------------------------------------------------------------------------------------------- */

int dml_exchange_note(struct gateway *g, double handle, const char *name, size_t len,
                      const char *text, size_t text_len)
{
    struct exchange *x = api_find(g, handle);

    if (!x)
        return ERR_GONE;
    exchange_note(x, slice_of(name, len), slice_of(text, text_len));
    return 0;
}

int dml_exchange_noted(struct gateway *g, double handle, const char *name, size_t len,
                       struct dml_slice *out)
{
    struct exchange *x = api_find(g, handle);

    return x ? api_give(out, exchange_noted(x, slice_of(name, len))) : ERR_GONE;
}
