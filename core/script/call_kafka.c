/* SPDX-License-Identifier: Apache-2.0 */

/* Kafka for Lua: records are published to the process's producers, and their deliveries are waited for.
 * lua/demilune/kafka.lua is the face.
 *
 * A client is a userdata: a cluster, and its producer, which it uses as long as it lives. A delivery is a record that
 * was taken: it is Lua's as well as the producer's, and goes when both have let go of it, in whatever order and on
 * whatever thread. */

#include "script/call_kafka.h"

#include <lauxlib.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/gateway.h"
#include "script/call_net.h"
#include "script/calls.h"

#define CLIENT "demilune.kafka"
#define DELIVERY "demilune.kafka_delivery"
#define SLACK_MS 5000 /* after the cluster's message timeout its report has come */
#define TIME_MAX 9e12 /* seconds */

struct client {
    /* owned */
    struct kafka_cluster *cluster;   /* a reference */
    struct kafka_producer *producer; /* used; NULL in a VM that serves no request */
};

struct delivery {
    struct kafka_report report;
    struct vm_part part; /* in the VM until the report has come */
    struct co *co;       /* waits for it, or NULL */
    uint32_t timeout_ms;
    atomic_int refs; /* Lua, the producer, the coroutine that waits */
    bool is_done;    /* the report has come */
    uint32_t topic_len;
    char topic[];
};

/* --- deliveries ---------------------------------------------------------------------------------------------------- */

static void delivery_unref(struct delivery *d)
{
    if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
        free(d);
}

/* { topic, partition, offset }; or nil, word, text */
static int push_report(lua_State *L, const struct delivery *d)
{
    const struct kafka_report *r = &d->report;

    if (r->outcome != KAFKA_DELIVERED) {
        lua_pushnil(L);
        lua_pushstring(L, kafka_outcome_word(r->outcome));
        lua_pushstring(L, r->why);
        return 3;
    }
    lua_createtable(L, 0, 3);
    lua_pushlstring(L, d->topic, d->topic_len);
    lua_setfield(L, -2, "topic");
    lua_pushnumber(L, r->partition);
    lua_setfield(L, -2, "partition");
    lua_pushnumber(L, (double)r->offset);
    lua_setfield(L, -2, "offset");
    return 1;
}

static void on_report(struct kafka_report *r, void *reader)
{
    struct delivery *d = container_of(r, struct delivery, report);
    struct co *co = d->co;

    if (reader) {
        d->is_done = true;
        list_remove(&d->part.link);
    }
    if (reader && co) {
        d->co = NULL;
        lua_checkstack(co->thread, 8);
        co_wake_later(co, push_report(co->thread, d));
        delivery_unref(d);
    }
    delivery_unref(d);
}

static void leave_thread(struct vm_part *part)
{
    list_remove(&part->link);
    kafka_report_leave(&container_of(part, struct delivery, part)->report);
}

static struct delivery *check_delivery(lua_State *L)
{
    return *(struct delivery **)luaL_checkudata(L, 1, DELIVERY);
}

static int delivery_gc(lua_State *L)
{
    struct delivery **box = lua_touserdata(L, 1);

    if (*box)
        delivery_unref(*box);
    *box = NULL;
    return 0;
}

static void cancel_wait(struct co *co UNUSED, void *wait)
{
    struct delivery *d = wait;

    d->co = NULL;
    delivery_unref(d);
}

/* In milliseconds; 0: it does not wait. */
static uint64_t wait_time(lua_State *L, const struct delivery *d)
{
    if (lua_isnoneornil(L, 2))
        return (uint64_t)d->timeout_ms + SLACK_MS;
    return luaL_checknumber(L, 2) == 0 ? 0 : net_timeout(L, 2);
}

/* kafka_wait(delivery, timeout): { topic, partition, offset }; or nil, word, text. timeout: in seconds, or nil. */
static int kafka_wait(lua_State *L)
{
    struct delivery *d = check_delivery(L);
    struct co *co = co_current(L);
    uint64_t timeout_ms = wait_time(L, d);

    if (d->is_done)
        return push_report(L, d);
    if (timeout_ms == 0)
        return co_push_error(L, ERR_TIMEOUT);
    if (d->co)
        return luaL_error(L, "another coroutine waits for this delivery");
    d->co = co;
    atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return co_wait(L, co, cancel_wait, d, timeout_ms);
}

/* --- records ------------------------------------------------------------------------------------------------------- */

/* The text on top, which something else keeps. */
static struct slice text_at_top(lua_State *L, const char *what)
{
    struct slice s;

    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "%s is a %s, not a text", what, luaL_typename(L, -1));
    s.ptr = lua_tolstring(L, -1, &s.len);
    return s;
}

/* The table's text, which it keeps; or absent. */
struct slice kafka_text_field(lua_State *L, int table, const char *name)
{
    struct slice s = SLICE_NONE;

    lua_getfield(L, table, name);
    if (!lua_isnil(L, -1))
        s = text_at_top(L, name);
    lua_pop(L, 1);
    return s;
}

static double number_field(lua_State *L, int table, const char *name, double otherwise, double max)
{
    double n = otherwise;

    lua_getfield(L, table, name);
    if (!lua_isnil(L, -1)) {
        if (lua_type(L, -1) != LUA_TNUMBER)
            luaL_error(L, "%s is a %s, not a number", name, luaL_typename(L, -1));
        n = lua_tonumber(L, -1);
        if (!(n >= 0 && n <= max))
            luaL_error(L, "%s is out of range", name);
    }
    lua_pop(L, 1);
    return n;
}

static struct kafka_header *next_header(lua_State *L, struct kafka_reading *r)
{
    if (r->record.nheaders == KAFKA_HEADERS_MAX)
        luaL_error(L, "a record has at most %d headers", KAFKA_HEADERS_MAX);
    return &r->headers[r->record.nheaders++];
}

/* { { name, value }, ... }, at the top. */
static void read_header_list(lua_State *L, struct kafka_reading *r, size_t n)
{
    for (size_t i = 1; i <= n; i++) {
        struct kafka_header *h = next_header(L, r);
        lua_rawgeti(L, -1, (int)i);
        if (!lua_istable(L, -1))
            luaL_error(L, "header %d is a %s, not { name, value }", (int)i, luaL_typename(L, -1));
        lua_rawgeti(L, -1, 1);
        h->name = text_at_top(L, "a header's name");
        lua_pop(L, 1);
        lua_rawgeti(L, -1, 2);
        h->value = lua_isnil(L, -1) ? SLICE_NONE : text_at_top(L, "a header's value");
        lua_pop(L, 2);
    }
}

/* { name = value }, at the top. */
static void read_header_map(lua_State *L, struct kafka_reading *r)
{
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        struct kafka_header *h = next_header(L, r);
        h->value = text_at_top(L, "a header's value");
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "a header's name is a %s, not a text", luaL_typename(L, -2));
        h->name.ptr = lua_tolstring(L, -2, &h->name.len);
    }
}

static void read_headers(lua_State *L, int table, struct kafka_reading *r)
{
    lua_getfield(L, table, "headers");
    if (!lua_isnil(L, -1)) {
        if (!lua_istable(L, -1))
            luaL_error(L, "headers is a %s, not a table", luaL_typename(L, -1));
        size_t n = lua_objlen(L, -1);
        n > 0 ? read_header_list(L, r, n) : read_header_map(L, r);
    }
    lua_pop(L, 1);
}

/* All texts stay those of the table at this index. */
void kafka_read_record(lua_State *L, int table, struct kafka_reading *r)
{
    luaL_checktype(L, table, LUA_TTABLE);
    r->record = (struct kafka_record){
        .topic = kafka_text_field(L, table, "topic"),
        .key = kafka_text_field(L, table, "key"),
        .value = kafka_text_field(L, table, "value"),
        .partition = (int32_t)number_field(L, table, "partition", -1, INT32_MAX),
        .timestamp_ms = (int64_t)(number_field(L, table, "timestamp", 0, TIME_MAX) * 1000),
        .headers = r->headers,
    };
    if (!r->record.topic.ptr)
        luaL_error(L, "a record has a topic");
    read_headers(L, table, r);
}

/* --- publishing ---------------------------------------------------------------------------------------------------- */

static struct client *check_client(lua_State *L)
{
    return luaL_checkudata(L, 1, CLIENT);
}

struct kafka_cluster *kafka_check_client(lua_State *L)
{
    return check_client(L)->cluster;
}

static struct delivery *delivery_new(struct vm *vm, const struct client *c, struct slice topic)
{
    struct delivery *d = calloc(1, sizeof(*d) + topic.len);

    REQUIRE(d != NULL);
    d->report.home = vm->gateway->mailbox;
    d->report.fn = on_report;
    d->part.leave = leave_thread;
    list_init(&d->part.link);
    d->timeout_ms = c->cluster->message_timeout_ms;
    d->topic_len = (uint32_t)topic.len;
    slice_put(d->topic, topic);
    atomic_init(&d->refs, 2);
    return d;
}

int kafka_push_failure(lua_State *L, const struct kafka_cluster *c, int err)
{
    co_push_error(L, err);
    switch (err) {
    case ERR_FULL:
        lua_pushliteral(L, "too many records or bytes wait for the brokers "
                           "(queue.buffering.max.messages, queue.buffering.max.kbytes)");
        return 3;
    case ERR_LIMIT:
        lua_pushfstring(L, "a record has at most %f bytes (message.max.bytes)",
                        (lua_Number)c->message_max);
        return 3;
    case ERR_SYNTAX:
        lua_pushliteral(
            L, "a topic's name is made of up to 249 letters, digits, \".\", \"_\" and \"-\"");
        return 3;
    default: return 2;
    }
}

/* kafka_publish(client, record): a delivery; or nil, word, text. */
static int kafka_publish_call(lua_State *L)
{
    struct client *c = check_client(L);
    struct vm *vm = net_vm(L);
    struct kafka_reading r;

    lua_settop(L, 2);
    kafka_read_record(L, 2, &r);
    if (UNLIKELY(!c->producer))
        return kafka_push_failure(L, c->cluster, ERR_CLOSED);
    struct delivery **box = lua_newuserdata(L, sizeof(*box));
    *box = NULL;
    luaL_getmetatable(L, DELIVERY);
    lua_setmetatable(L, -2);
    struct delivery *d = delivery_new(vm, c, r.record.topic);
    int rc = kafka_publish(c->producer, &r.record, &d->report);
    if (UNLIKELY(rc < 0)) {
        free(d);
        return kafka_push_failure(L, c->cluster, rc);
    }
    list_append(&vm->parts, &d->part.link);
    *box = d;
    return 1;
}

/* --- clients ------------------------------------------------------------------------------------------------------- */

static int client_close(lua_State *L)
{
    struct client *c = check_client(L);

    if (c->producer)
        kafka_producer_unuse(c->producer);
    kafka_cluster_unref(c->cluster);
    *c = (struct client){.cluster = NULL};
    return 0;
}

void kafka_push_client(lua_State *L, struct kafka_cluster *cluster, bool publishes)
{
    struct client *c = lua_newuserdata(L, sizeof(*c));

    *c = (struct client){.cluster = kafka_cluster_ref(cluster)};
    luaL_getmetatable(L, CLIENT);
    lua_setmetatable(L, -2);
    if (publishes)
        c->producer = kafka_producer_use(cluster, KAFKA_BOUNDED);
    if (publishes && !c->producer)
        luaL_error(L, "no producer for the cluster \"%s\" can be made: the log says why",
                   cluster->name.ptr);
}

/* kafka_use(name, publishes): a client of a cluster of the configuration. */
static int kafka_use_call(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct slice name;

    name.ptr = luaL_checklstring(L, 1, &name.len);
    if (!vm->snapshot)
        return luaL_error(L, "there is no configuration here: call kafka.use in `new`, or later");
    struct kafka_cluster *cluster = snapshot_kafka(vm->snapshot, name);
    if (!cluster)
        return luaL_error(L, "the configuration has no kafka \"%s\"", name.ptr);
    kafka_push_client(L, cluster, lua_toboolean(L, 2));
    return 1;
}

/* kafka_start(): the metatables of clients and deliveries, for kafka.lua to fill. */
static int kafka_start(lua_State *L)
{
    luaL_newmetatable(L, CLIENT);
    lua_pushcfunction(L, client_close);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, DELIVERY);
    lua_pushcfunction(L, delivery_gc);
    lua_setfield(L, -2, "__gc");
    return 2;
}

const struct call call_kafka[] = {
    {"kafka_start", kafka_start},          {"kafka_use", kafka_use_call},
    {"kafka_publish", kafka_publish_call}, {"kafka_wait", kafka_wait},
    {"kafka_close", client_close},         {NULL, NULL},
};
