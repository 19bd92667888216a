/* SPDX-License-Identifier: Apache-2.0 */

/* The C half of plugins: configuration values become Lua values, and what Lua finds wrong with them becomes faults that
 * point at their place in the file. */

#include "script/plugin.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/map.h"
#include "base/vec.h"
#include "gate/conf.h"
#include "gate/snapshot.h"
#include "script/calls.h"
#include "script/hooks.h"

struct checker {
    struct plugin_host base;
    /* owned */
    VEC(const struct plugin_use *) stopped; /* where a plugin ran away */
    struct map converted;                   /* texts of configs, in the snapshot */
    /* borrowed */
    struct vm *vm;
    const struct snapshot *snapshot;
};

/* --- configuration -> Lua ------------------------------------------------------------------------------------------ */

static void push_conf(lua_State *L, const struct conf *conf);

static void push_map(lua_State *L, const struct conf *conf)
{
    lua_createtable(L, 0, (int)conf->n);
    for (size_t i = 0; i < conf->n; i++) {
        lua_pushlstring(L, conf->pairs[i].key.ptr, conf->pairs[i].key.len);
        push_conf(L, conf->pairs[i].value);
        lua_rawset(L, -3);
    }
    json_mark(L, false);
}

static void push_list(lua_State *L, const struct conf *conf)
{
    lua_createtable(L, (int)conf->n, 0);
    for (size_t i = 0; i < conf->n; i++) {
        push_conf(L, conf->items[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    json_mark(L, true);
}

static void push_open(lua_State *L, const struct conf *conf)
{
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, conf->text.ptr, conf->text.len);
    lua_setfield(L, -2, "text");
    lua_getfield(L, LUA_REGISTRYINDEX, PLUGIN_OPEN);
    lua_setmetatable(L, -2);
}

/* Maps and lists become tables, scalars what YAML made of them, null json.null. A value that came from ${} becomes
 * { text = "..." } with the metatable that is kept under PLUGIN_OPEN in the registry: its type is the schema's to decide. */
static void push_conf(lua_State *L, const struct conf *conf)
{
    luaL_checkstack(L, 6, "the configuration is nested too deeply");
    if (conf->is_open) {
        push_open(L, conf);
        return;
    }
    switch (conf->type) {
    case CONF_NULL: lua_pushlightuserdata(L, NULL); break;
    case CONF_BOOL: lua_pushboolean(L, conf->boolean); break;
    case CONF_INT:
    case CONF_NUMBER: lua_pushnumber(L, conf->number); break;
    case CONF_STRING: lua_pushlstring(L, conf->text.ptr, conf->text.len); break;
    case CONF_LIST: push_list(L, conf); break;
    case CONF_MAP: push_map(L, conf); break;
    }
}

static void push_slice(lua_State *L, struct slice s)
{
    if (s.ptr)
        lua_pushlstring(L, s.ptr, s.len);
    else
        lua_pushnil(L);
}

void plugin_push_consumer(lua_State *L, const struct consumer *c)
{
    lua_createtable(L, 0, 2);
    push_slice(L, c->name);
    lua_setfield(L, -2, "name");
    lua_createtable(L, (int)c->ngroups, 0);
    for (uint32_t i = 0; i < c->ngroups; i++) {
        push_slice(L, c->groups[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "groups");
}

void plugin_push_credentials(lua_State *L, const struct snapshot *s, struct slice kind)
{
    int n = 0;

    for (uint32_t i = 0; i < s->nconsumers; i++) {
        const struct consumer *c = s->consumers[i];
        const struct conf *list = c->credentials ? conf_get(c->credentials, kind) : NULL;
        if (!list || list->type != CONF_LIST || list->n == 0)
            continue;
        plugin_push_consumer(L, c);
        for (size_t k = 0; k < list->n; k++) {
            lua_createtable(L, 0, 4);
            lua_pushvalue(L, -2);
            lua_setfield(L, -2, "consumer");
            lua_pushnumber(L, i);
            lua_setfield(L, -2, "number");
            push_conf(L, list->items[k]);
            lua_setfield(L, -2, "credential");
            lua_pushfstring(L, "consumers[%d].credentials.%s[%d]", (int)c->index, kind.ptr, (int)k);
            lua_setfield(L, -2, "place");
            lua_rawseti(L, -3, ++n);
        }
        lua_pop(L, 1);
    }
}

/* --- faults -------------------------------------------------------------------------------------------------------- */

/* Follows "a.b[1]" (indices from 0) as far as the tree goes; *rest is where it does not. *map and *key: the pair that it
 * led through last. */
static const struct conf *follow(const struct conf *at, struct slice *rest, const struct conf **map,
                                 struct slice *key)
{
    struct slice path = *rest;

    *map = NULL;
    while (at && path.len) {
        size_t n = 0;
        const struct conf *next = NULL;
        if (path.ptr[0] == '[') {
            size_t index = strtoul(path.ptr + 1, NULL, 10);
            ssize_t close = slice_find_char(path, ']');
            n = close < 0 ? path.len : (size_t)close + 1;
            next = at->type == CONF_LIST && index < at->n ? at->items[index] : NULL;
        } else {
            while (n < path.len && path.ptr[n] != '.' && path.ptr[n] != '[')
                n++;
            next = conf_get(at, slice_of(path.ptr, n));
            if (next) {
                *map = at;
                *key = slice_of(path.ptr, n);
            }
        }
        if (!next)
            return at;
        at = next;
        path = slice_from_index(path, n);
        if (path.len && path.ptr[0] == '.')
            path = slice_from_index(path, 1);
        *rest = path;
    }
    return at;
}

static struct slice field_text(lua_State *L, int table, const char *name)
{
    struct slice s = SLICE_NONE;

    lua_getfield(L, table, name);
    if (lua_isstring(L, -1))
        s.ptr = lua_tolstring(L, -1, &s.len);
    lua_pop(L, 1); /* the table keeps it */
    return s;
}

/* What a fault's path is within: the node that it is followed from (or none), what that one is called, and where to point
 * when there is no path. */
struct whole {
    const struct conf *conf, *place;
    struct slice conf_path, place_path;
};

static bool field_bool(lua_State *L, int table, const char *name)
{
    lua_getfield(L, table, name);
    bool yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

static struct slice full_path(const struct whole *whole, struct slice path, struct arena *a)
{
    if (!path.len)
        return path.ptr && whole->conf ? whole->conf_path : whole->place_path;
    return arena_printf(a, "%.*s%s%.*s", SLICE_ARG(whole->conf_path), path.ptr[0] == '[' ? "" : ".",
                        SLICE_ARG(path));
}

/* The message of a fault whose value may not be shown. */
static struct slice without_value(lua_State *L, int table, struct arena *a)
{
    struct slice expected = field_text(L, table, "expected");

    return expected.ptr ? arena_printf(a, "expected %.*s, got a hidden value", SLICE_ARG(expected))
                        : SLICE("this value, which is hidden, is wrong");
}

/* What the plugin's schema calls writeOnly: the list of paths on top of L. */
static void mark_secrets(lua_State *L, const struct plugin_use *use)
{
    const struct conf *map;
    struct slice key, path;

    for (int i = 1; use->config && lua_istable(L, -1); i++) {
        lua_rawgeti(L, -1, i);
        path.ptr = lua_tolstring(L, -1, &path.len);
        lua_pop(L, 1); /* the list keeps it */
        if (!path.ptr)
            break;
        const struct conf *at = follow(use->config, &path, &map, &key);
        if (path.len == 0)
            conf_mark_secret((struct conf *)(uintptr_t)at);
    }
}

/* One { text = path, message } on top of L. An unknown key is pointed at itself, a wrong value at the value. */
static void add_fault(lua_State *L, const struct whole *whole, struct faults *faults)
{
    int table = lua_gettop(L);
    struct slice path = field_text(L, table, "text"), message = field_text(L, table, "message");
    struct slice text = arena_dup(faults->arena, message.ptr ? message : SLICE("is wrong")), key;
    struct slice full = full_path(whole, path, faults->arena);
    const struct conf *map, *at = whole->place;

    if (whole->conf && path.ptr) {
        at = follow(whole->conf, &path, &map, &key);
        if (path.len == 0 && (at->is_secret || at->is_from_env) && !field_bool(L, table, "is_bare"))
            text = without_value(L, table, faults->arena);
        if (map && field_bool(L, table, "is_key")) {
            fault_at_key(faults, map, key, full, "%.*s", SLICE_ARG(text));
            return;
        }
    }
    (field_bool(L, table, "is_warning") ? warn_at : fault_at)(faults, at, full, "%.*s",
                                                              SLICE_ARG(text));
}

/* What is wrong with the name itself. */
static void add_fault_of_name(lua_State *L, const struct plugin_use *use, struct faults *faults)
{
    const struct conf *name = conf_get(use->place, SLICE("name"));
    struct slice message = field_text(L, lua_gettop(L), "message");

    fault_at(faults, name ? name : use->place, use->path, "%.*s", SLICE_ARG(message));
}

static void add_fault_of_use(lua_State *L, const struct plugin_use *use, struct faults *faults)
{
    struct whole whole = {
        .conf = use->config,
        .conf_path = arena_printf(faults->arena, "%.*s.config", SLICE_ARG(use->path)),
        .place = use->place,
        .place_path = use->path,
    };

    if (field_bool(L, lua_gettop(L), "of_name"))
        add_fault_of_name(L, use, faults);
    else
        add_fault(L, &whole, faults);
}

/* The fault says where the credential stands: `place`. */
static void add_fault_of_credential(lua_State *L, const struct conf *root, struct faults *faults)
{
    struct slice place = field_text(L, lua_gettop(L), "place"), path = place, key;
    const struct conf *map, *at = follow(root, &path, &map, &key);
    struct whole whole = {.conf = at, .conf_path = place, .place = at, .place_path = place};

    add_fault(L, &whole, faults);
}

/* Puts the next fault of the list on top of it; false when there are no more. */
static bool next_fault(lua_State *L, int *i)
{
    lua_rawgeti(L, -1, ++*i);
    if (lua_istable(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

static void add_error(lua_State *L, const struct plugin_use *use, int err, struct faults *faults)
{
    struct slice message = slice_from(lua_tostring(L, -1)), first = SLICE_NONE;

    if (err == ERR_BUDGET) { /* the place that ran away says it all */
        slice_split(&message, '\n', &first);
        fault_at(faults, use->place, use->path, "the plugin \"%.*s\" was stopped: %.*s",
                 SLICE_ARG(use->name), SLICE_ARG(first));
    } else {
        fault_at(faults, use->place, use->path, "the plugin \"%.*s\" failed: %.*s",
                 SLICE_ARG(use->name), SLICE_ARG(message));
    }
}

static void add_faults(lua_State *L, const struct plugin_use *use, struct faults *faults)
{
    for (int i = 0; lua_istable(L, -1) && next_fault(L, &i); lua_pop(L, 1))
        add_fault_of_use(L, use, faults);
}

/* --- checking ------------------------------------------------------------------------------------------------------ */

/* What `new` is told of the place, in so far as it differs from place to place. Where there are no params templates may name
 * any. */
static void push_context(lua_State *L, const struct plugin_use *use, uint64_t version)
{
    const struct route *route = use->route;

    lua_createtable(L, 0, 5);
    push_slice(L, use->scope);
    lua_setfield(L, -2, "scope");
    lua_pushnumber(L, (double)version);
    lua_setfield(L, -2, "version");
    if (!route)
        return;
    push_slice(L, route->name);
    lua_setfield(L, -2, "route");
    lua_pushboolean(L, route->action == ROUTE_PLUGIN);
    lua_setfield(L, -2, "must_answer");
    lua_createtable(L, (int)route->nparams, 0);
    for (uint32_t i = 0; i < route->nparams; i++) {
        push_slice(L, route->params[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "params");
}

#define USE_ARGUMENTS 5

/* Calls check or make_again of plugin.lua. In the latter's case the config has been converted. */
static int call_of_use(struct vm *vm, const char *function, const struct plugin_use *use,
                       uint64_t version, int nresults)
{
    lua_State *L = vm->L;

    vm_push_function(vm, "demilune.plugin", function);
    lua_pushnumber(L, use->index);
    push_slice(L, use->name);
    if (use->converted.ptr)
        push_slice(L, use->converted);
    else if (use->config)
        push_conf(L, use->config);
    else
        lua_pushnil(L);
    push_context(L, use, version);
    lua_pushboolean(L, use->continues_on_error);
    return vm_call(vm, USE_ARGUMENTS, nresults);
}

bool plugin_make_again(struct vm *vm, const struct snapshot *s, const struct plugin_use *use,
                       struct faults *faults)
{
    int top = lua_gettop(vm->L), rc = call_of_use(vm, "make_again", use, s->version, 1);

    if (rc < 0)
        add_error(vm->L, use, rc, faults);
    else
        add_faults(vm->L, use, faults);
    lua_settop(vm->L, top);
    return rc != ERR_BUDGET;
}

static struct vm *vm_of_host(struct plugin_host *h)
{
    return container_of(h, struct checker, base)->vm;
}

/* It costs seconds to stop one: what is stopped at one place is not tried at others. */
static bool was_stopped(struct checker *c, const struct plugin_use *use, struct faults *faults)
{
    for (size_t i = 0; i < c->stopped.n; i++) {
        const struct plugin_use *before = c->stopped.items[i];
        if (!slice_eq(before->name, use->name))
            continue;
        fault_at(faults, use->place, use->path,
                 "the plugin \"%.*s\" was not looked at here, for it was stopped at %.*s",
                 SLICE_ARG(use->name), SLICE_ARG(before->path));
        return true;
    }
    return false;
}

/* Of equal configs there is one copy. */
static struct slice keep_converted(struct checker *c, struct slice text)
{
    const char *known = map_find(&c->converted, text);

    if (known)
        return slice_of(known, text.len);
    text = arena_dup(c->snapshot->arena, text);
    map_set(&c->converted, text, (void *)(uintptr_t)text.ptr);
    return text;
}

/* On top: bits of the hooks or nil, warnings or faults, paths of secrets, and the converted config. */
static void take_checked(struct checker *c, struct plugin_use *use, struct faults *faults)
{
    lua_State *L = c->vm->L;
    struct slice text;

    text.ptr = lua_tolstring(L, -1, &text.len);
    if (text.ptr)
        use->converted = keep_converted(c, text);
    lua_pop(L, 1);
    mark_secrets(L, use);
    lua_pop(L, 1);
    if (text.ptr)
        use->hooks = (uint32_t)lua_tointeger(L, -2);
    add_faults(L, use, faults);
}

static bool host_check(struct plugin_host *h, struct plugin_use *use, struct faults *faults)
{
    struct checker *c = container_of(h, struct checker, base);
    lua_State *L = c->vm->L;
    int top = lua_gettop(L);
    size_t before = faults->nerrors;

    if (was_stopped(c, use, faults))
        return false;
    int rc = call_of_use(c->vm, "check", use, c->snapshot->version, 4);
    if (rc == 0)
        take_checked(c, use, faults);
    else
        add_error(L, use, rc, faults);
    if (rc == ERR_BUDGET)
        vec_push(&c->stopped, use);
    lua_settop(L, top);
    return faults->nerrors == before;
}

static bool ask(struct vm *vm, const char *question, struct slice name, struct slice other)
{
    lua_State *L = vm->L;

    vm_push_function(vm, "demilune.plugin", question);
    push_slice(L, name);
    push_slice(L, other);
    bool yes = vm_call(vm, 2, 1) == 0 && lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

static bool host_stands_after(struct plugin_host *h, const struct plugin_use *plugin,
                              const struct plugin_use *other)
{
    return ask(vm_of_host(h), "stands_after", plugin->name, other->name);
}

static bool host_guards(struct plugin_host *h, const struct plugin_use *plugin)
{
    return ask(vm_of_host(h), "guards", plugin->name, SLICE_NONE);
}

static bool host_answers_preflights(struct plugin_host *h, const struct plugin_use *plugin)
{
    return ask(vm_of_host(h), "answers_preflights", plugin->name, SLICE_NONE);
}

static bool host_answers(struct plugin_host *h, const struct plugin_use *plugin)
{
    return ask(vm_of_host(h), "answers", plugin->name, SLICE_NONE);
}

static bool host_looks_back(struct plugin_host *h, const struct plugin_use *plugin)
{
    return ask(vm_of_host(h), "looks_back", plugin->name, SLICE_NONE);
}

/* On top of the stack: a text, or nil, which goes. */
static struct slice take_text(lua_State *L, struct arena *a)
{
    struct slice text;

    text.ptr = lua_tolstring(L, -1, &text.len);
    text = text.ptr ? arena_dup(a, text) : SLICE_NONE;
    lua_pop(L, 1);
    return text;
}

static struct slice host_remark(struct plugin_host *h, const struct plugin_use *plugin,
                                const struct plugin_use *before, struct arena *a)
{
    struct vm *vm = vm_of_host(h);

    vm_push_function(vm, "demilune.plugin", "remark");
    lua_pushinteger(vm->L, (lua_Integer)plugin->index);
    lua_pushinteger(vm->L, (lua_Integer)before->index);
    (void)!vm_call(vm, 2, 1);
    return take_text(vm->L, a);
}

static struct slice host_missing(struct plugin_host *h, struct slice name, struct arena *a)
{
    struct vm *vm = vm_of_host(h);

    vm_push_function(vm, "demilune.plugin", "missing");
    push_slice(vm->L, name);
    (void)!vm_call(vm, 1, 1);
    return take_text(vm->L, a);
}

static void host_credentials(struct plugin_host *h, struct slice kind, struct faults *faults)
{
    struct vm *vm = vm_of_host(h);
    lua_State *L = vm->L;
    const struct conf *root = container_of(h, struct checker, base)->snapshot->conf;
    int top = lua_gettop(L);

    vm_push_function(vm, "demilune.plugin", "check_credentials");
    push_slice(L, kind);
    if (vm_call(vm, 1, 1) < 0)
        fault_plain(faults, "the credentials of %.*s can't be checked: %s", SLICE_ARG(kind),
                    lua_tostring(L, -1));
    for (int i = 0; lua_istable(L, -1) && next_fault(L, &i); lua_pop(L, 1))
        add_fault_of_credential(L, root, faults);
    lua_settop(L, top);
}

/* strict.lua has noted them. */
static void host_saw(struct plugin_host *h, struct faults *faults)
{
    lua_State *L = vm_of_host(h)->L;
    int top = lua_gettop(L);

    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "demilune.strict");
    lua_getfield(L, -1, "seen");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        struct conf_seen seen = {.path = slice_from(lua_tostring(L, -2))};
        memcpy(&seen.print, lua_tostring(L, -1), sizeof(seen.print));
        faults_saw_print(faults, seen);
    }
    lua_settop(L, top);
}

static const struct plugin_host_ops checker_ops = {
    .check = host_check,
    .stands_after = host_stands_after,
    .guards = host_guards,
    .answers_preflights = host_answers_preflights,
    .answers = host_answers,
    .looks_back = host_looks_back,
    .remark = host_remark,
    .missing = host_missing,
    .credentials = host_credentials,
    .saw = host_saw,
};

struct plugin_host *plugin_host_new(struct vm *vm, const struct snapshot *partly)
{
    struct checker *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL);
    c->base.ops = &checker_ops;
    c->vm = vm;
    c->snapshot = partly;
    map_init(&c->converted);
    vm->snapshot = partly; /* plugins may ask for consumers */
    return &c->base;
}

void plugin_host_free(struct plugin_host *host)
{
    struct checker *c = container_of(host, struct checker, base);

    vec_free(&c->stopped);
    map_deinit(&c->converted);
    free(c);
}
