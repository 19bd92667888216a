/* SPDX-License-Identifier: Apache-2.0 */

/* The face of the response cache: what a place asks for, told once at load, and the question of an access hook. What has
 * to wait is call_cache.c's. */

#include "gate/cache.h"

#include <stdlib.h>

#include "base/err.h"
#include "gate/cache_tier.h"
#include "script/api_cache.h"
#include "script/api_find.h"
#include "script/scope.h"

#define VARY_MAX 8
#define STATUSES_MAX 64

struct cache_conf *dml_cache_new(const char *name, size_t len, const struct dml_cache_options *o)
{
    struct cache_conf *c = cache_conf_new(slice_of(name, len), (size_t)o->size);

    c->max_object = (size_t)o->max_object;
    c->rules.ttl_s = o->ttl < 0 ? -1 : (int64_t)o->ttl;
    c->rules.keeps_set_cookie = o->set_cookie;
    c->coalesces = o->coalesce;
    c->tag_header = arena_dup(c->arena, slice_from(o->tag_header));
    c->vary = arena_alloc(c->arena, VARY_MAX * sizeof(c->vary[0]));
    return c;
}

void dml_cache_free(struct cache_conf *c)
{
    cache_conf_unref(c);
}

int dml_cache_key(struct cache_conf *c, const char *ptr, size_t len, const struct dml_scope *scope,
                  struct dml_slice *error)
{
    struct slice params[SCOPE_PARAMS_MAX], message;
    struct selector_scope allowed = scope_of(scope, params);

    c->key = template_compile(slice_of(ptr, len), &allowed, c->arena, &message);
    if (!c->key)
        scope_error(error, message);
    return c->key ? 0 : ERR_SYNTAX;
}

int dml_cache_vary(struct cache_conf *c, const char *ptr, size_t len, const struct dml_scope *scope,
                   struct dml_slice *error)
{
    struct slice params[SCOPE_PARAMS_MAX], message = SLICE("at most 8 parts keep responses apart");
    struct selector_scope allowed = scope_of(scope, params);
    struct selector *s = c->nvary < VARY_MAX
                             ? selector_compile(slice_of(ptr, len), &allowed, c->arena, &message)
                             : NULL;

    if (!s) {
        scope_error(error, message);
        return ERR_SYNTAX;
    }
    c->vary[c->nvary++] = s;
    return 0;
}

int dml_cache_status(struct cache_conf *c, int status)
{
    if (c->rules.nstatuses == STATUSES_MAX)
        return ERR_LIMIT;
    uint16_t *statuses = c->rules.nstatuses == 0
                             ? arena_alloc(c->arena, STATUSES_MAX * sizeof(statuses[0]))
                             : (uint16_t *)(uintptr_t)c->rules.statuses;
    statuses[c->rules.nstatuses++] = (uint16_t)status;
    c->rules.statuses = statuses;
    return 0;
}

int dml_cache_find(struct gateway *g, double handle, struct cache_conf *c)
{
    struct exchange *x = api_find(g, handle);

    return x ? (int)cache_lookup(x, c) : ERR_GONE;
}

int dml_cache_stand_in(struct gateway *g, double handle)
{
    struct exchange *x = api_find(g, handle);

    return x && x->phase == PHASE_BALANCE && cache_stand_in(x);
}

/* --- the tier ------------------------------------------------------------------------------------------------------ */

void dml_cache_enter(struct gateway *g, struct cache_conf *c)
{
    cache_tier_enter(g, c);
}

void dml_cache_leave(struct cache_conf *c)
{
    cache_tier_leave(c);
}

static const char letters[] = {
    [RESPONSE_PURGE_KEY] = 'k', [RESPONSE_PURGE_PREFIX] = 'p', [RESPONSE_PURGE_TAG] = 't'};

int dml_cache_purge_next(struct cache_conf *c, double *number, struct dml_slice *text)
{
    static _Thread_local char found[RESPONSE_PURGE_TEXT_MAX];
    enum response_purge what;
    uint64_t n;
    size_t len;

    if (!response_purges_first(response_store_purges(c->store), &n, &what, found, &len))
        return 0;
    *number = (double)n;
    *text = (struct dml_slice){.ptr = found, .len = (int32_t)len};
    return letters[what];
}

void dml_cache_purge_done(struct cache_conf *c, double number)
{
    response_purges_done(response_store_purges(c->store), (uint64_t)number);
}

void dml_cache_hear(struct cache_conf *c, double number, int what, const char *text, size_t len)
{
    enum response_purge meant = what == 'k'   ? RESPONSE_PURGE_KEY
                                : what == 't' ? RESPONSE_PURGE_TAG
                                              : RESPONSE_PURGE_PREFIX;

    response_store_hear(c->store, (uint64_t)number, meant, slice_of(text, len));
}

void dml_cache_hear_number(struct cache_conf *c, double number)
{
    response_store_hear_number(c->store, (uint64_t)number);
}

void dml_cache_hear_nothing(struct cache_conf *c)
{
    response_store_hear_nothing(c->store);
}
