/* SPDX-License-Identifier: Apache-2.0 */

/* The C half of test.kafka: librdkafka's mock cluster, readers of what a cluster was given, and clients of clusters that
 * no configuration has. lua/demilune/test/kafka.lua is the face. */

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/call_kafka.h"
#include "script/calls.h"
#include "side/kafka_mock.h"

#define MOCK "demilune.test_kafka"
#define READER "demilune.test_kafka_reader"
#define OPTIONS_MAX 100
#define ERRORS_MAX 1000

/* --- the mock cluster ---------------------------------------------------------------------------------------------- */

static struct kafka_mock *check_mock(lua_State *L)
{
    struct kafka_mock **box = luaL_checkudata(L, 1, MOCK);

    luaL_argcheck(L, *box != NULL, 1, "it was closed");
    return *box;
}

/* test_kafka(brokers): a cluster, and what its brokers are called. */
static int mock_new(lua_State *L)
{
    int n = luaL_checkint(L, 1);

    luaL_argcheck(L, n >= 1 && n <= 10, 1, "1 to 10 brokers");
    struct kafka_mock **box = lua_newuserdata(L, sizeof(*box));
    *box = kafka_mock_new(n);
    if (!*box)
        return luaL_error(L, "test.kafka: no mock cluster can be started");
    luaL_getmetatable(L, MOCK);
    lua_setmetatable(L, -2);
    lua_pushstring(L, kafka_mock_brokers(*box));
    return 2;
}

static int mock_close(lua_State *L)
{
    struct kafka_mock **box = luaL_checkudata(L, 1, MOCK);

    if (*box)
        kafka_mock_free(*box);
    *box = NULL;
    return 0;
}

static int error_at(lua_State *L, int arg)
{
    struct slice name;
    int error = 0;

    name.ptr = luaL_checklstring(L, arg, &name.len);
    if (!slice_eq(name, SLICE("none")) && !kafka_mock_error(name, &error))
        luaL_error(L, "librdkafka has no error \"%s\"", name.ptr);
    return error;
}

/* test_kafka_topic(cluster, name, partitions) */
static int mock_topic(lua_State *L)
{
    struct kafka_mock *m = check_mock(L);

    if (!kafka_mock_make_topic(m, luaL_checkstring(L, 2), luaL_checkint(L, 3)))
        return luaL_error(L, "test.kafka: the topic \"%s\" can't be made", lua_tostring(L, 2));
    return 0;
}

/* test_kafka_fail_topic(cluster, name, error) */
static int mock_fail_topic(lua_State *L)
{
    kafka_mock_fail_topic(check_mock(L), luaL_checkstring(L, 2), error_at(L, 3));
    return 0;
}

/* test_kafka_fail(cluster, kind, error, ...) */
static int mock_fail(lua_State *L)
{
    struct kafka_mock *m = check_mock(L);
    int errors[ERRORS_MAX], n = lua_gettop(L) - 2;
    struct slice kind;

    kind.ptr = luaL_checklstring(L, 2, &kind.len);
    luaL_argcheck(L, n >= 1 && n <= ERRORS_MAX, 3, "1 to 1000 errors");
    for (int i = 0; i < n; i++)
        errors[i] = error_at(L, i + 3);
    if (!kafka_mock_fail(m, kind, errors, (size_t)n))
        return luaL_error(L, "test.kafka: no such kind of request: \"%s\"", kind.ptr);
    return 0;
}

/* test_kafka_down(cluster, broker, is_down) */
static int mock_down(lua_State *L)
{
    if (!kafka_mock_set_down(check_mock(L), luaL_checkint(L, 2), lua_toboolean(L, 3)))
        return luaL_error(L, "test.kafka: there is no such broker");
    return 0;
}

/* test_kafka_delay(cluster, broker, seconds) */
static int mock_delay(lua_State *L)
{
    int ms = (int)(luaL_checknumber(L, 3) * 1000);

    if (!kafka_mock_set_delay(check_mock(L), luaL_checkint(L, 2), ms))
        return luaL_error(L, "test.kafka: there is no such broker");
    return 0;
}

/* --- options ------------------------------------------------------------------------------------------------------- */

/* The table's pairs as text; all of them stay the table's. How many. */
static size_t read_options(lua_State *L, int table, struct kafka_option *out)
{
    size_t n = 0;

    if (lua_isnoneornil(L, table))
        return 0;
    luaL_checktype(L, table, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        struct kafka_option *o = &out[n++];
        if (n > OPTIONS_MAX || lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "options are up to 100 texts by name");
        o->name.ptr = lua_tolstring(L, -2, &o->name.len);
        o->value.ptr = lua_tolstring(L, -1, &o->value.len);
    }
    return n;
}

/* --- clients ------------------------------------------------------------------------------------------------------- */

struct opening {
    lua_State *L;
    const struct kafka_option *options;
};

static void on_fault(void *arg, ssize_t option, const char *text)
{
    struct opening *o = arg;

    if (option >= 0)
        lua_pushlstring(o->L, o->options[option].name.ptr, o->options[option].name.len);
    else
        lua_pushstring(o->L, option == KAFKA_FAULT_TOKEN ? "token_file" : "options");
    lua_pushfstring(o->L, "%s: %s", lua_tostring(o->L, -1), text);
}

/* test_kafka_client(name, brokers, options, token_file): a client of a cluster that no configuration has. */
static int open_client(lua_State *L)
{
    struct kafka_option options[OPTIONS_MAX + 1] = {{.is_hidden = false}};
    struct opening o = {.L = L, .options = options};
    struct kafka_cluster_source source = {.options = options};

    source.name.ptr = luaL_checklstring(L, 1, &source.name.len);
    source.brokers.ptr = luaL_checklstring(L, 2, &source.brokers.len);
    luaL_checkstack(L, 2 * OPTIONS_MAX + 8, NULL);
    source.noptions = read_options(L, 3, options);
    source.token_file.ptr = luaL_optlstring(L, 4, NULL, &source.token_file.len);
    struct kafka_cluster *c = kafka_cluster_new(&source, on_fault, &o);
    if (!c)
        return luaL_error(L, "%s", lua_tostring(L, -1));
    kafka_push_client(L, c, true);
    kafka_cluster_unref(c);
    return 1;
}

/* --- reading back -------------------------------------------------------------------------------------------------- */

/* test_kafka_reader(brokers, topic, options): reads all partitions from the beginning; or nil and why. */
static int reader_new(lua_State *L)
{
    struct kafka_option options[OPTIONS_MAX + 1] = {{.is_hidden = false}};
    const char *pairs[2 * OPTIONS_MAX + 1] = {NULL};
    char why[512] = "";

    const char *brokers = luaL_checkstring(L, 1), *topic = luaL_checkstring(L, 2);
    size_t n = read_options(L, 3, options);
    for (size_t i = 0; i < n; i++) {
        pairs[2 * i] = options[i].name.ptr;
        pairs[2 * i + 1] = options[i].value.ptr;
    }
    struct kafka_reader **box = lua_newuserdata(L, sizeof(*box));
    *box = kafka_reader_new(brokers, topic, pairs, why, sizeof(why));
    if (!*box) {
        lua_pushnil(L);
        lua_pushstring(L, why);
        return 2;
    }
    luaL_getmetatable(L, READER);
    lua_setmetatable(L, -2);
    return 1;
}

static void set_text(lua_State *L, const char *name, struct slice s)
{
    if (!s.ptr)
        return;
    lua_pushlstring(L, s.ptr, s.len);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double n)
{
    lua_pushnumber(L, n);
    lua_setfield(L, -2, name);
}

/* test_kafka_read(reader): the next record, or nil: none is there yet. */
static int reader_next(lua_State *L)
{
    struct kafka_reader **box = luaL_checkudata(L, 1, READER);
    struct kafka_read read;
    struct slice value;
    const char *name;

    if (!*box || !kafka_reader_next(*box, &read))
        return 0;
    lua_createtable(L, 0, 6);
    set_number(L, "partition", read.partition);
    set_number(L, "offset", (double)read.offset);
    set_number(L, "timestamp", (double)read.timestamp_ms / 1000);
    set_text(L, "key", read.key);
    set_text(L, "value", read.value);
    lua_newtable(L);
    for (size_t i = 0; kafka_read_header(&read, i, &name, &value); i++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, name);
        lua_rawseti(L, -2, 1);
        if (value.ptr) {
            lua_pushlstring(L, value.ptr, value.len);
            lua_rawseti(L, -2, 2);
        }
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "headers");
    return 1;
}

static int reader_close(lua_State *L)
{
    struct kafka_reader **box = luaL_checkudata(L, 1, READER);

    if (*box)
        kafka_reader_free(*box);
    *box = NULL;
    return 0;
}

/* test_kafka_start(): once, when demilune.test.kafka is loaded. */
static int kafka_test_start(lua_State *L)
{
    luaL_newmetatable(L, MOCK);
    lua_pushcfunction(L, mock_close);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, READER);
    lua_pushcfunction(L, reader_close);
    lua_setfield(L, -2, "__gc");
    return 0;
}

const struct call call_test_kafka[] = {
    {"test_kafka_start", kafka_test_start},
    {"test_kafka", mock_new},
    {"test_kafka_close", mock_close},
    {"test_kafka_topic", mock_topic},
    {"test_kafka_fail_topic", mock_fail_topic},
    {"test_kafka_fail", mock_fail},
    {"test_kafka_down", mock_down},
    {"test_kafka_delay", mock_delay},
    {"test_kafka_client", open_client},
    {"test_kafka_reader", reader_new},
    {"test_kafka_read", reader_next},
    {"test_kafka_reader_close", reader_close},
    {NULL, NULL},
};
