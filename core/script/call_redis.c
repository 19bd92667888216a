/* SPDX-License-Identifier: Apache-2.0 */

/* Redis for Lua: commands, pipelines, transactions. lua/demilune/redis.lua is the face; subscriptions are in
 * call_redis_sub.c.
 *
 * A client is a userdata: a server, how patient its user is, and, from the first command on, the worker's pool. It gives
 * the pool back when it is forgotten or its VM leaves the thread. */

#include "script/call_redis.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/text.h"
#include "gate/gateway.h"
#include "net/tls_client.h"
#include "script/call_net.h"
#include "script/call_tls.h"
#include "script/calls.h"
#include "side/redis.h"
#include "side/redis_server.h"

#define CLIENT "demilune.redis"
#define FAILURE "demilune.redis_failure"
#define COMMANDS_MAX 10000 /* of a pipeline */
#define WORDS_MAX 1000000

struct client {
    /* owned */
    struct redis_server *server; /* a reference */
    struct redis_pool *pool;     /* used; NULL: not yet */
    struct vm_part part;
    /* state */
    uint32_t timeout_ms;
};

static struct client *check_client(lua_State *L, int arg)
{
    return luaL_checkudata(L, arg, CLIENT);
}

struct redis_server *redis_check_server(lua_State *L, int arg)
{
    return check_client(L, arg)->server;
}

/* --- words --------------------------------------------------------------------------------------------------------- */

void redis_words_init(lua_State *L, struct redis_words *w, uint32_t room)
{
    w->n = 0;
    w->items = w->few;
    w->numbers = w->few_numbers;
    if (LIKELY(room <= REDIS_WORDS))
        return;
    luaL_argcheck(L, room <= WORDS_MAX, 1, "too many words");
    w->items = lua_newuserdata(L, room * (sizeof(w->items[0]) + REDIS_NUMBER));
    w->numbers = (char *)(w->items + room);
}

void redis_words_add(lua_State *L, struct redis_words *w, int index)
{
    struct slice *out = &w->items[w->n];
    double n;

    switch (lua_type(L, index)) {
    case LUA_TSTRING: out->ptr = lua_tolstring(L, index, &out->len); break;
    case LUA_TNUMBER:
        n = lua_tonumber(L, index);
        if (!isfinite(n))
            luaL_error(L, "a command's number is inf or nan");
        out->ptr = w->numbers + (size_t)w->n * REDIS_NUMBER;
        out->len = text_from_double(n, (char *)(uintptr_t)out->ptr);
        break;
    default:
        luaL_error(L, "a command is made of texts and numbers: its word %d is a %s", (int)w->n + 1,
                   luaL_typename(L, index));
    }
    w->n++;
}

/* Word `from` and those behind it are a command. */
static void check_command(lua_State *L, const struct slice *words, uint32_t n)
{
    if (n == 0)
        luaL_error(L, "a command has a name");
    const char *why = redis_command_fault(words, n);
    if (UNLIKELY(why != NULL)) {
        lua_pushlstring(L, words[0].ptr, words[0].len);
        luaL_error(L, "%s %s", lua_tostring(L, -1), why);
    }
}

/* --- replies ------------------------------------------------------------------------------------------------------- */

/* Whole numbers that a Lua number can't hold are texts. */
static void push_integer(lua_State *L, int64_t n)
{
    char text[20];

    if (n <= (INT64_C(1) << 53) && n >= -(INT64_C(1) << 53))
        lua_pushnumber(L, (double)n);
    else
        lua_pushlstring(L, text, text_from_i64(n, text));
}

static void push_slice(lua_State *L, struct slice s)
{
    lua_pushlstring(L, s.ptr, s.len);
}

/* An error that stands among values: { error = word, message = text }. */
static void push_failure(lua_State *L, struct slice text)
{
    lua_createtable(L, 0, 2);
    push_slice(L, redis_error_word(text));
    lua_setfield(L, -2, "error");
    push_slice(L, text);
    lua_setfield(L, -2, "message");
    luaL_getmetatable(L, FAILURE);
    lua_setmetatable(L, -2);
}

/* The value at i and what belongs to it; gives the index behind. Lists are at most eight deep (hiredis). */
static size_t push_value(lua_State *L, const struct redis_reply *r, size_t i)
{
    const struct redis_value *v = &r->values.items[i++];

    switch (v->kind) {
    case REDIS_TEXT:
    case REDIS_STATUS: push_slice(L, redis_text(r, v)); break;
    case REDIS_INTEGER: push_integer(L, v->number); break;
    case REDIS_NIL: lua_pushlightuserdata(L, NULL); break; /* json.null */
    case REDIS_ERROR: push_failure(L, redis_text(r, v)); break;
    case REDIS_LIST:
        lua_createtable(L, (int)v->number, 0);
        for (int64_t n = 1; n <= v->number; n++) {
            i = push_value(L, r, i);
            lua_rawseti(L, -2, (int)n);
        }
        break;
    }
    return i;
}

/* nil, word, text */
static int push_refusal(lua_State *L, struct slice text)
{
    lua_pushnil(L);
    push_slice(L, redis_error_word(text));
    push_slice(L, text);
    return 3;
}

/* The one at i as what a function returns. */
static int push_result(lua_State *L, const struct redis_reply *r, size_t i)
{
    const struct redis_value *v = &r->values.items[i];

    if (v->kind == REDIS_ERROR)
        return push_refusal(L, redis_text(r, v));
    if (v->kind == REDIS_NIL)
        lua_pushnil(L);
    else
        push_value(L, r, i);
    return 1;
}

/* nil, word and, where there is one, a text for people. */
static int push_failed(lua_State *L, int err, const char *why)
{
    co_push_error(L, err);
    if (!why[0])
        return 2;
    lua_pushstring(L, why);
    return 3;
}

static void on_command(void *arg, int err, const char *why, const struct redis_reply *reply)
{
    struct co *co = arg;
    lua_State *T = co->thread;

    lua_checkstack(T, 32);
    co_wake_later(co, err ? push_failed(T, err, why) : push_result(T, reply, 0));
}

static void on_pipeline(void *arg, int err, const char *why, const struct redis_reply *reply)
{
    struct co *co = arg;
    lua_State *T = co->thread;
    int n = 0;

    lua_checkstack(T, 32);
    if (err) {
        co_wake_later(co, push_failed(T, err, why));
        return;
    }
    lua_newtable(T);
    for (size_t i = 0; i < reply->values.n;) {
        i = push_value(T, reply, i);
        lua_rawseti(T, -2, ++n);
    }
    co_wake_later(co, 1);
}

/* MULTI's reply, one for each command that is queued, and EXEC's, which has their replies. What was refused when it was
 * queued says more than EXEC, which only says that something was. */
static void on_transaction(void *arg, int err, const char *why, const struct redis_reply *reply)
{
    struct co *co = arg;
    lua_State *T = co->thread;
    size_t i = 0;

    lua_checkstack(T, 32);
    if (err) {
        co_wake_later(co, push_failed(T, err, why));
        return;
    }
    while (i + 1 < reply->values.n && reply->values.items[i].kind == REDIS_STATUS)
        i++;
    co_wake_later(co, push_result(T, reply, i));
}

/* --- sending ------------------------------------------------------------------------------------------------------- */

static void cancel_request(struct co *co UNUSED, void *wait)
{
    redis_request_give_up(wait);
}

static void leave_thread(struct vm_part *part)
{
    struct client *c = container_of(part, struct client, part);

    if (c->pool)
        redis_unuse(c->pool);
    c->pool = NULL;
    list_remove(&part->link);
}

static int wait_for(lua_State *L, struct client *c, const struct redis_batch *batch,
                    redis_reply_fn fn)
{
    struct vm *vm = net_vm(L);
    struct co *co = co_current(L);
    struct redis_request *request;

    if (co->is_cancelled)
        return co_push_error(L, ERR_CANCELLED);
    if (UNLIKELY(!c->pool)) {
        c->pool = redis_use(vm->gateway->redis, c->server);
        list_append(&vm->parts, &c->part.link);
    }
    int rc = redis_send(c->pool, batch, c->timeout_ms, fn, co, &request);
    if (rc < 0)
        return push_failed(L, rc, rc == ERR_FULL || rc == ERR_LIMIT ? "" : redis_why(c->pool));
    return co_wait(L, co, cancel_request, request, c->timeout_ms);
}

/* redis_command(client, name, ...): the reply, nil when that is nil; or nil, word, text. */
static int redis_command(lua_State *L)
{
    struct client *c = check_client(L, 1);
    int top = lua_gettop(L);
    struct redis_words w;

    redis_words_init(L, &w, (uint32_t)top);
    for (int i = 2; i <= top; i++)
        redis_words_add(L, &w, i);
    check_command(L, w.items, w.n);
    return wait_for(L, c, &(struct redis_batch){w.items, &w.n, 1}, on_command);
}

/* Adds all items of the table at index. */
static void add_items(lua_State *L, struct redis_words *w, int index)
{
    size_t n = lua_objlen(L, index);

    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, index, (int)i);
        redis_words_add(L, w, -1); /* the table keeps it */
        lua_pop(L, 1);
    }
}

/* redis_eval(client, name, script, keys, args): EVALSHA or EVAL. */
static int redis_eval(lua_State *L)
{
    struct client *c = check_client(L, 1);
    struct redis_words w;

    luaL_checktype(L, 4, LUA_TTABLE);
    luaL_checktype(L, 5, LUA_TTABLE);
    lua_settop(L, 5);
    lua_pushinteger(L, (lua_Integer)lua_objlen(L, 4));
    redis_words_init(L, &w, (uint32_t)(3 + lua_objlen(L, 4) + lua_objlen(L, 5)));
    redis_words_add(L, &w, 2);
    redis_words_add(L, &w, 3);
    redis_words_add(L, &w, 6);
    add_items(L, &w, 4);
    add_items(L, &w, 5);
    return wait_for(L, c, &(struct redis_batch){w.items, &w.n, 1}, on_command);
}

/* Words in all the commands of the list at 2, each of which must be a table. */
static uint32_t count_words(lua_State *L, uint32_t ncommands)
{
    size_t n = 0;

    for (uint32_t i = 1; i <= ncommands; i++) {
        lua_rawgeti(L, 2, (int)i);
        if (!lua_istable(L, -1))
            luaL_error(L, "command %d is a %s, not a list of words", (int)i, luaL_typename(L, -1));
        n += lua_objlen(L, -1);
        lua_pop(L, 1);
    }
    luaL_argcheck(L, n <= WORDS_MAX, 2, "too many words");
    return (uint32_t)n;
}

/* redis_pipeline(client, commands, is_transaction): the list of their replies; or nil, word, text. */
static int redis_pipeline(lua_State *L)
{
    struct client *c = check_client(L, 1);
    bool is_transaction = lua_toboolean(L, 3);
    struct redis_words w;

    luaL_checktype(L, 2, LUA_TTABLE);
    uint32_t n = (uint32_t)lua_objlen(L, 2), at = 0;
    luaL_argcheck(L, n <= COMMANDS_MAX, 2, "at most 10000 commands");
    if (n == 0) {
        lua_newtable(L);
        return 1;
    }
    redis_words_init(L, &w, count_words(L, n) + 2);
    uint32_t *nwords = lua_newuserdata(L, (n + 2) * sizeof(nwords[0]));
    if (is_transaction) {
        w.items[w.n++] = SLICE("MULTI");
        nwords[at++] = 1;
    }
    for (uint32_t i = 1; i <= n; i++) {
        uint32_t before = w.n;
        lua_rawgeti(L, 2, (int)i);
        add_items(L, &w, lua_gettop(L));
        lua_pop(L, 1);
        nwords[at] = w.n - before;
        check_command(L, w.items + before, nwords[at++]);
    }
    if (is_transaction) {
        w.items[w.n++] = SLICE("EXEC");
        nwords[at++] = 1;
    }
    return wait_for(L, c, &(struct redis_batch){w.items, nwords, at},
                    is_transaction ? on_transaction : on_pipeline);
}

/* --- clients ------------------------------------------------------------------------------------------------------- */

static int client_gc(lua_State *L)
{
    struct client *c = lua_touserdata(L, 1);

    leave_thread(&c->part);
    redis_server_unref(c->server);
    return 0;
}

/* Pushes a client without a server. */
static struct client *push_client(lua_State *L)
{
    struct client *c = lua_newuserdata(L, sizeof(*c));

    *c = (struct client){.part = {.leave = leave_thread}};
    list_init(&c->part.link);
    luaL_getmetatable(L, CLIENT);
    lua_setmetatable(L, -2);
    return c;
}

/* redis_use(name, timeout): a client of a server of the configuration. timeout: in seconds, or nil. */
static int redis_use_call(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct slice name;

    name.ptr = luaL_checklstring(L, 1, &name.len);
    uint64_t timeout_ms = lua_isnoneornil(L, 2) ? 0 : net_timeout(L, 2);
    if (!vm->snapshot)
        return luaL_error(L, "there is no configuration here: call redis.use in `new`, or later");
    struct redis_server *server = snapshot_redis(vm->snapshot, name);
    if (!server)
        return luaL_error(L, "the configuration has no redis \"%s\"", name.ptr);
    struct client *c = push_client(L);
    c->server = redis_server_ref(server);
    c->timeout_ms =
        timeout_ms ? (uint32_t)MIN(timeout_ms, (uint64_t)UINT32_MAX) : server->options.timeout_ms;
    return 1;
}

static uint32_t milliseconds(lua_State *L, const char *key, uint32_t otherwise)
{
    uint64_t ms = otherwise;

    lua_getfield(L, 1, key);
    if (!lua_isnil(L, -1))
        ms = net_timeout(L, -1);
    lua_pop(L, 1);
    return (uint32_t)MIN(ms, (uint64_t)UINT32_MAX);
}

static double number(lua_State *L, const char *key, double otherwise, double max)
{
    lua_getfield(L, 1, key);
    double n = luaL_optnumber(L, -1, otherwise);
    if (!(n >= 1 && n <= max))
        luaL_error(L, "%s is out of range", key);
    lua_pop(L, 1);
    return n;
}

/* redis_open{ url, name, timeout, connect_timeout, pool_size, max_pending, max_reply, tls }: a client of any server. */
static int redis_open(lua_State *L)
{
    struct redis_options o = REDIS_OPTIONS_USUAL;
    struct slice text;
    struct redis_url url;
    struct tls_wish wish = {.client = NULL};

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "url");
    text.ptr = luaL_checklstring(L, -1, &text.len);
    const char *wrong = redis_url_parse(text, &url);
    if (wrong)
        return luaL_error(L, "the url of a Redis server %s", wrong);
    lua_getfield(L, 1, "name");
    o.name.ptr = luaL_optlstring(L, -1, url.host.ptr, &o.name.len);
    if (lua_isnil(L, -1))
        o.name = url.host;
    o.timeout_ms = milliseconds(L, "timeout", o.timeout_ms);
    o.connect_timeout_ms = milliseconds(L, "connect_timeout", o.connect_timeout_ms);
    o.pool_size = (uint32_t)number(L, "pool_size", o.pool_size, 64);
    o.max_pending = (uint32_t)number(L, "max_pending", o.max_pending, 1000000);
    o.max_reply = (uint64_t)number(L, "max_reply", (double)o.max_reply, 512.0 * MIB);
    o.is_guarded = true;
    struct client *c = push_client(L);
    if (url.is_tls) {
        lua_getfield(L, 1, "tls");
        tls_wish_read(L, -1, &wish);
    }
    c->server = redis_server_new(&url, &o, wish.client, wish.server_name);
    c->timeout_ms = o.timeout_ms;
    tls_client_unref(wish.client);
    lua_settop(L, 4);
    return 1;
}

/* redis_start(): the metatables of clients and of errors among values, for redis.lua to fill. */
static int redis_start(lua_State *L)
{
    luaL_newmetatable(L, CLIENT);
    lua_pushcfunction(L, client_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, FAILURE);
    return 2;
}

const struct call call_redis[] = {
    {"redis_start", redis_start},
    {"redis_use", redis_use_call},
    {"redis_open", redis_open},
    {"redis_command", redis_command},
    {"redis_eval", redis_eval},
    {"redis_pipeline", redis_pipeline},
    {NULL, NULL},
};
