/* SPDX-License-Identifier: Apache-2.0 */

/* demilune.json: the core's codec on Lua values. Lists carry the metatable that Lua knows as json.array_mt, null is the
 * light userdata NULL (the same as in lua-cjson). Both ways run protected, so that what they hold is freed however they
 * end. Never waits: a classic C function because it makes Lua values. */

#include <lauxlib.h>
#include <math.h>

#include "base/err.h"
#include "base/json.h"
#include "script/calls.h"

#define DEPTH_DEFAULT 128
#define DEPTH_MAX 512
#define SIZE_MAX_BYTES (256 * MIB)
#define EXACT 9007199254740992.0 /* 2^53 */

/* Registry keys: the addresses of these. */
static const char array_key, object_key;

static void push_metatable(lua_State *L, const char *key)
{
    lua_pushlightuserdata(L, (void *)key);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

void json_mark(lua_State *L, bool is_list)
{
    push_metatable(L, is_list ? &array_key : &object_key);
    lua_setmetatable(L, -2);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

struct reading {
    struct json_reader reader;
    int err;
};

static bool push_value(lua_State *L, struct reading *r, int event);

static bool next_event(struct reading *r, int *event)
{
    *event = json_read(&r->reader);
    if (*event < 0)
        r->err = *event;
    return *event >= 0;
}

static bool push_array(lua_State *L, struct reading *r)
{
    int event;

    lua_newtable(L);
    json_mark(L, true);
    for (int i = 1; next_event(r, &event); i++) {
        if (event == JSON_ARRAY_END)
            return true;
        if (!push_value(L, r, event))
            return false;
        lua_rawseti(L, -2, i);
    }
    return false;
}

static bool push_object(lua_State *L, struct reading *r)
{
    int event;

    lua_newtable(L);
    while (next_event(r, &event)) {
        if (event == JSON_OBJECT_END)
            return true;
        lua_pushlstring(L, r->reader.string.ptr, r->reader.string.len);
        if (!next_event(r, &event) || !push_value(L, r, event))
            return false;
        lua_rawset(L, -3);
    }
    return false;
}

static bool push_value(lua_State *L, struct reading *r, int event)
{
    luaL_checkstack(L, 4, "JSON is nested too deeply");
    switch (event) {
    case JSON_OBJECT: return push_object(L, r);
    case JSON_ARRAY: return push_array(L, r);
    case JSON_STRING: lua_pushlstring(L, r->reader.string.ptr, r->reader.string.len); return true;
    case JSON_NUMBER: lua_pushnumber(L, r->reader.number); return true;
    case JSON_TRUE:
    case JSON_FALSE: lua_pushboolean(L, event == JSON_TRUE); return true;
    default: lua_pushlightuserdata(L, NULL); return true;
    }
}

static int decode_protected(lua_State *L)
{
    struct reading *r = lua_touserdata(L, 1);
    int event;

    lua_settop(L, 0);
    if (!next_event(r, &event) || !push_value(L, r, event) || !next_event(r, &event))
        return 0;
    return 1;
}

/* json_decode(text, depth): the value, or nil, word, position. */
static int json_decode_call(lua_State *L)
{
    struct reading r = {.err = 0};
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    int depth = luaL_optint(L, 2, DEPTH_DEFAULT);

    luaL_argcheck(L, depth >= 1 && depth <= DEPTH_MAX, 2, "a depth from 1 to 512");
    lua_settop(L, 1); /* the text stays alive */
    json_reader_init(&r.reader, slice_of(text, len), depth);
    lua_pushcfunction(L, decode_protected);
    lua_pushlightuserdata(L, &r);
    int rc = lua_pcall(L, 1, 1, 0);
    size_t pos = r.reader.pos;
    json_reader_deinit(&r.reader);
    if (rc != 0)
        return lua_error(L);
    if (r.err == 0)
        return 1;
    co_push_error(L, r.err);
    lua_pushnumber(L, (double)pos);
    return 3;
}

/* --- writing ------------------------------------------------------------------------------------------------------- */

struct writing {
    struct json_writer writer;
    struct buf out;
    const char *fault; /* what JSON can't say */
};

static bool write_value(lua_State *L, struct writing *w);

static bool refuse(struct writing *w, const char *fault)
{
    w->fault = fault;
    return false;
}

/* How many items a list has, or -1 when other keys stand beside them. */
static long list_length(lua_State *L)
{
    long n = 0;
    double most = 0;

    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
        if (key < 1 || key != floor(key)) {
            lua_pop(L, 2);
            return -1;
        }
        most = MAX(most, key);
        n++;
    }
    return most > 2 * (double)n + 16 ? -1 : (long)most;
}

static bool write_array(lua_State *L, struct writing *w)
{
    long n = list_length(L);

    if (n < 0)
        return refuse(w, "a list with other keys, or with too many holes");
    json_array(&w->writer);
    for (long i = 1; i <= n && w->writer.err == 0; i++) {
        lua_rawgeti(L, -1, (int)i);
        if (!write_value(L, w))
            return false;
        lua_pop(L, 1);
    }
    json_array_end(&w->writer);
    return true;
}

static bool write_object(lua_State *L, struct writing *w)
{
    json_object(&w->writer);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return refuse(w, "a map with a key that is no text");
        size_t len;
        const char *key = lua_tolstring(L, -2, &len);
        json_key(&w->writer, slice_of(key, len));
        if (!write_value(L, w) || w->writer.err != 0)
            return false;
    }
    json_object_end(&w->writer);
    return true;
}

/* By its metatable; else a list is what has a first item. */
static bool is_list(lua_State *L)
{
    if (lua_getmetatable(L, -1)) {
        push_metatable(L, &array_key);
        bool marked = lua_rawequal(L, -1, -2);
        push_metatable(L, &object_key);
        bool object = lua_rawequal(L, -1, -3);
        lua_pop(L, 3);
        if (marked || object)
            return marked;
    }
    lua_rawgeti(L, -1, 1);
    bool has_first = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return has_first;
}

static bool write_number(struct writing *w, double n)
{
    if (n == floor(n) && fabs(n) <= EXACT)
        json_int(&w->writer, (int64_t)n);
    else
        json_number(&w->writer, n);
    return true;
}

static bool write_value(lua_State *L, struct writing *w)
{
    size_t len;
    const char *text;

    luaL_checkstack(L, 6, "JSON is nested too deeply");
    switch (lua_type(L, -1)) {
    case LUA_TNIL: json_null(&w->writer); return true;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, -1) != NULL)
            return refuse(w, "a userdata");
        json_null(&w->writer);
        return true;
    case LUA_TBOOLEAN: json_bool(&w->writer, lua_toboolean(L, -1)); return true;
    case LUA_TNUMBER: return write_number(w, lua_tonumber(L, -1));
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &len);
        json_string(&w->writer, slice_of(text, len));
        return true;
    case LUA_TTABLE:
        if (w->writer.depth >= DEPTH_DEFAULT) {
            w->writer.err = ERR_DEPTH;
            return false;
        }
        return is_list(L) ? write_array(L, w) : write_object(L, w);
    }
    return refuse(w, lua_typename(L, lua_type(L, -1)));
}

static int encode_protected(lua_State *L)
{
    struct writing *w = lua_touserdata(L, 2);

    lua_settop(L, 1);
    if (!write_value(L, w))
        return 0;
    int rc = json_writer_end(&w->writer);
    w->writer.err = rc;
    if (rc < 0)
        return 0;
    struct slice text = buf_slice(&w->out);
    lua_pushlstring(L, text.ptr, text.len);
    return 1;
}

/* json_encode(value, indent): the text, or nil, word, what. */
static int json_encode_call(lua_State *L)
{
    struct writing w = {.fault = NULL};
    int indent = luaL_optint(L, 2, 0);

    luaL_checkany(L, 1);
    lua_settop(L, 1);
    buf_init(&w.out, SIZE_MAX_BYTES);
    json_writer_init(&w.writer, &w.out, indent);
    lua_pushcfunction(L, encode_protected);
    lua_insert(L, 1);
    lua_pushlightuserdata(L, &w);
    int rc = lua_pcall(L, 2, 1, 0);
    buf_deinit(&w.out);
    if (rc != 0)
        return lua_error(L);
    if (!w.fault && w.writer.err == 0)
        return 1;
    co_push_error(L, w.fault ? ERR_ARG : w.writer.err);
    if (!w.fault)
        return 2;
    lua_pushstring(L, w.fault);
    return 3;
}

/* json_marks(array_mt, object_mt): once, when the module is loaded. */
static int json_marks(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_pushlightuserdata(L, (void *)&array_key);
    lua_pushvalue(L, 1);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, (void *)&object_key);
    lua_pushvalue(L, 2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, NULL);
    return 1;
}

const struct call call_json[] = {
    {"json_decode", json_decode_call},
    {"json_encode", json_encode_call},
    {"json_marks", json_marks},
    {NULL, NULL},
};
