/* SPDX-License-Identifier: Apache-2.0 */

/* Subscriptions for Lua: a userdata with a connection of its own, from which one coroutine receives. It is closed when it
 * is forgotten or its VM leaves the thread; redis.lua opens another one when it has broken. */

#include <lauxlib.h>

#include "base/err.h"
#include "gate/gateway.h"
#include "script/call_net.h"
#include "script/call_redis.h"
#include "script/calls.h"
#include "side/redis.h"
#include "side/redis_sub.h"

#define SUBSCRIPTION "demilune.redis_subscription"

struct subscription {
    /* owned */
    struct redis_sub *sub; /* NULL: closed */
    struct net_wait reader;
    struct vm_part part;
};

static struct subscription *check_subscription(lua_State *L)
{
    return luaL_checkudata(L, 1, SUBSCRIPTION);
}

static void push_text(lua_State *L, struct slice s)
{
    if (s.ptr)
        lua_pushlstring(L, s.ptr, s.len);
    else
        lua_pushnil(L);
}

/* The number of values pushed; 0: there is nothing yet. */
static int push_next(lua_State *L, struct subscription *s)
{
    struct redis_news news;
    int rc = redis_sub_next(s->sub, &news);

    if (rc == ERR_AGAIN)
        return 0;
    if (rc < 0) {
        co_push_error(L, rc);
        lua_pushstring(L, redis_sub_why(s->sub));
        return 3;
    }
    lua_pushstring(L, news.is_ready ? "ready" : "message");
    push_text(L, news.text);
    push_text(L, news.channel);
    push_text(L, news.pattern);
    return 4;
}

static void on_news(void *arg)
{
    struct subscription *s = arg;

    if (!s->reader.co)
        return;
    lua_State *T = s->reader.co->thread;
    int n = push_next(T, s);
    if (n > 0)
        co_wake_later(net_wait_end(&s->reader), n);
}

static void close_subscription(struct subscription *s)
{
    if (s->sub)
        redis_sub_close(s->sub);
    s->sub = NULL;
    list_remove(&s->part.link);
}

static void leave_thread(struct vm_part *part)
{
    close_subscription(container_of(part, struct subscription, part));
}

/* redis_subscribe(client, channels, is_pattern): a subscription; or nil and a word. */
static int redis_subscribe(lua_State *L)
{
    struct vm *vm = net_vm(L);
    struct redis_server *server = redis_check_server(L, 1);
    struct redis_words w;

    luaL_checktype(L, 2, LUA_TTABLE);
    uint32_t n = (uint32_t)lua_objlen(L, 2);
    luaL_argcheck(L, n > 0, 2, "at least one channel");
    redis_words_init(L, &w, n);
    for (uint32_t i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, (int)i);
        redis_words_add(L, &w, -1);
        lua_pop(L, 1);
    }
    struct subscription *s = lua_newuserdata(L, sizeof(*s));
    *s = (struct subscription){.part = {.leave = leave_thread}};
    list_init(&s->part.link);
    luaL_getmetatable(L, SUBSCRIPTION);
    lua_setmetatable(L, -2);
    int rc = redis_sub_open(redis_env(vm->gateway->redis), server, w.items, n, lua_toboolean(L, 3),
                            on_news, s, &s->sub);
    if (rc < 0)
        return co_push_error(L, rc);
    list_append(&vm->parts, &s->part.link);
    return 1;
}

static void cancel_reader(struct co *co UNUSED, void *wait)
{
    net_wait_end(wait);
}

/* redis_receive(subscription): "ready", or "message", text, channel, pattern; or nil, word, text. */
static int redis_receive(lua_State *L)
{
    struct subscription *s = check_subscription(L);
    struct co *co = co_current(L);

    if (s->reader.co)
        return luaL_error(L, "another coroutine receives from this subscription already");
    if (!s->sub)
        return co_push_error(L, ERR_CLOSED);
    int n = push_next(L, s);
    return n > 0 ? n : net_wait(L, &s->reader, co, 0, cancel_reader);
}

/* redis_unsubscribe(subscription) */
static int redis_unsubscribe(lua_State *L)
{
    struct subscription *s = check_subscription(L);

    if (!s->reader.co)
        close_subscription(s);
    return 0;
}

static int subscription_gc(lua_State *L)
{
    close_subscription(lua_touserdata(L, 1));
    return 0;
}

/* redis_sub_start(): once, when the module is loaded. */
static int redis_sub_start(lua_State *L)
{
    luaL_newmetatable(L, SUBSCRIPTION);
    lua_pushcfunction(L, subscription_gc);
    lua_setfield(L, -2, "__gc");
    return 0;
}

const struct call call_redis_sub[] = {
    {"redis_sub_start", redis_sub_start},
    {"redis_subscribe", redis_subscribe},
    {"redis_receive", redis_receive},
    {"redis_unsubscribe", redis_unsubscribe},
    {NULL, NULL},
};
