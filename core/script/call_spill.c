/* SPDX-License-Identifier: Apache-2.0 */

/* Events for the spill, from Lua: they are copied once, from Lua's strings to where the writer thread takes them, and
 * the hook waits until they are written. lua/demilune/kafka.lua is the face. */

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "gate/gateway.h"
#include "script/call_kafka.h"
#include "script/call_net.h"
#include "script/calls.h"
#include "side/kafka_record.h"
#include "side/spill_port.h"

#define EVENTS_MAX 10000
#define WRITE_MS 10000 /* a disk that takes longer hangs */

/* One who waits. */
struct accepting {
    struct spill_wait wait;
    struct co *co;
    struct kafka_cluster *cluster; /* a reference */
    int ids; /* the list of ids, in the registry; LUA_NOREF: there is one, `id` */
    int err; /* why not all were handed in, or 0 */
    size_t id_len;
    char id[];
};

/* An event being read; its texts are Lua's, but for an id that was made. */
struct event {
    struct kafka_event event;
    struct kafka_reading reading;
    char made[TEXT_UUID];
};

/* --- reading --------------------------------------------------------------------------------------------------------- */

static struct slice id_among_headers(const struct kafka_reading *r)
{
    for (size_t i = 0; i < r->record.nheaders; i++)
        if (slice_eq(r->headers[i].name, SLICE("id")) ||
            slice_eq(r->headers[i].name, SLICE("ce_id")))
            return r->headers[i].value;
    return SLICE_NONE;
}

static void add_id_header(lua_State *L, struct event *e)
{
    struct kafka_reading *r = &e->reading;

    if (r->record.nheaders == KAFKA_HEADERS_MAX)
        luaL_error(L, "a record has at most %d headers, and the event's id takes one of them",
                   KAFKA_HEADERS_MAX);
    r->headers[r->record.nheaders++] = (struct kafka_header){SLICE("id"), e->event.id};
}

/* The same for each delivery: what is there is taken, what is missing is made. */
static void read_id(lua_State *L, int table, struct event *e)
{
    struct slice among = id_among_headers(&e->reading);
    uint8_t bytes[16];

    e->event.id = kafka_text_field(L, table, "id");
    if (!e->event.id.ptr && among.ptr) {
        e->event.id = among;
    } else if (!e->event.id.ptr) {
        rand_secure(bytes, sizeof(bytes));
        text_uuid(bytes, 4, e->made);
        e->event.id = slice_of(e->made, TEXT_UUID);
    }
    if (!among.ptr)
        add_id_header(L, e);
}

static void read_event(lua_State *L, int table, const struct kafka_cluster *c, struct event *e)
{
    kafka_read_record(L, table, &e->reading);
    e->event = (struct kafka_event){
        .cluster = c->name,
        .dead_letter_topic = kafka_text_field(L, table, "dead_letter_topic"),
        .dead_letter_file = kafka_text_field(L, table, "dead_letter_file"),
    };
    read_id(L, table, e);
    e->event.record = e->reading.record;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* nil, word, text for people */
static int push_refusal(lua_State *L, const struct kafka_cluster *c, int err)
{
    if (err != ERR_FULL && err != ERR_SYSTEM)
        return kafka_push_failure(L, c, err);
    lua_pushnil(L);
    lua_pushstring(L, err == ERR_FULL ? "full" : "unavailable");
    lua_pushstring(L, err == ERR_FULL ? "the spill has no room for more events (spill.size)"
                                      : "the disk does not take events: the log says why");
    return 3;
}

static void accepting_free(struct accepting *a)
{
    luaL_unref(a->co->thread, LUA_REGISTRYINDEX, a->ids);
    kafka_cluster_unref(a->cluster);
    free(a);
}

/* The list on top keeps those that are written; behind it come the word and the text when that is not all. */
static int push_rest(lua_State *L, const struct kafka_cluster *c, int err, uint32_t nwritten)
{
    for (int i = (int)lua_objlen(L, -1); i > (int)nwritten; i--) {
        lua_pushnil(L);
        lua_rawseti(L, -2, i);
    }
    if (err == 0)
        return 1;
    int n = push_refusal(L, c, err);
    lua_remove(L, -n); /* the nil */
    return n;
}

static void on_written(struct spill_wait *w, int rc, uint32_t nwritten)
{
    struct accepting *a = container_of(w, struct accepting, wait);
    lua_State *T = a->co->thread;
    int n = 1;

    lua_checkstack(T, 8);
    if (a->ids != LUA_NOREF) {
        lua_rawgeti(T, LUA_REGISTRYINDEX, a->ids);
        n = push_rest(T, a->cluster, rc ? rc : a->err, nwritten);
    } else if (rc < 0) {
        n = push_refusal(T, a->cluster, rc);
    } else {
        lua_pushlstring(T, a->id, a->id_len);
    }
    co_wake_later(a->co, n);
    accepting_free(a);
}

static void cancel_wait(struct co *co UNUSED, void *wait)
{
    struct accepting *a = wait;

    spill_leave(&a->wait);
    accepting_free(a);
}

/* --- handing in ------------------------------------------------------------------------------------------------------ */

static struct accepting *accepting_new(struct co *co, struct kafka_cluster *c, struct slice id)
{
    struct accepting *a = calloc(1, sizeof(*a) + id.len);

    REQUIRE(a != NULL);
    a->wait.fn = on_written;
    a->co = co;
    a->cluster = kafka_cluster_ref(c);
    a->ids = LUA_NOREF;
    a->id_len = id.len;
    slice_put(a->id, id);
    return a;
}

static int add_event(struct spill_port *p, const struct kafka_cluster *c, const struct event *e)
{
    int rc = kafka_check(c, &e->event.record);
    char *out;

    if (rc == 0)
        rc = spill_add(p, kafka_event_size(&e->event), &out);
    if (rc == 0)
        kafka_event_write(&e->event, out);
    return rc;
}

/* NULL, with the three results pushed, when events can't be accepted here. */
static struct spill_port *find_port(lua_State *L)
{
    struct spill_port *p = gateway_spill(net_vm(L)->gateway);

    if (p)
        return p;
    const struct snapshot *s = vm_of(L)->snapshot;
    lua_pushnil(L);
    lua_pushliteral(L, "unavailable");
    lua_pushstring(
        L, s && s->spill_dir.ptr
               ? "the spill is open in a gateway that runs (demilune run, test.gateway), not here"
               : "the configuration has no spill, in which accepted events would lie");
    return NULL;
}

/* spill_accept(client, event): its id, once it is written; or nil, word, text. */
static int spill_accept(lua_State *L)
{
    struct kafka_cluster *c = kafka_check_client(L);
    struct co *co = co_current(L);
    struct event e;

    lua_settop(L, 2);
    read_event(L, 2, c, &e);
    struct spill_port *p = find_port(L);
    if (!p)
        return 3;
    struct accepting *a = accepting_new(co, c, e.event.id);
    spill_begin(p, &a->wait);
    int rc = add_event(p, c, &e);
    if (rc < 0) {
        accepting_free(a);
        return push_refusal(L, c, rc);
    }
    spill_commit(p, &a->wait);
    return co_wait(L, co, cancel_wait, a, WRITE_MS);
}

/* What is no event raises before anything is handed in. */
static void check_events(lua_State *L, const struct kafka_cluster *c, int n)
{
    struct event e;

    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        read_event(L, 3, c, &e);
        lua_pop(L, 1);
    }
}

/* Up to the first that can't be taken; its code, or 0. Their ids go into the list on top. */
static int add_events(lua_State *L, struct spill_port *p, const struct kafka_cluster *c, int n)
{
    struct event e;
    int rc = 0;

    for (int i = 1; i <= n && rc == 0; i++) {
        lua_rawgeti(L, 2, i);
        read_event(L, 4, c, &e);
        rc = add_event(p, c, &e);
        lua_pushlstring(L, e.event.id.ptr, e.event.id.len);
        lua_rawseti(L, 3, i);
        lua_pop(L, 1);
    }
    return rc;
}

/* spill_accept_all(client, events): the list of the ids of those that are written, which are all up to the first that
 * could not be; of that the word and the text. */
static int spill_accept_all(lua_State *L)
{
    struct kafka_cluster *c = kafka_check_client(L);
    struct co *co = co_current(L);

    lua_settop(L, 2);
    luaL_checktype(L, 2, LUA_TTABLE);
    int n = (int)lua_objlen(L, 2);
    luaL_argcheck(L, n <= EVENTS_MAX, 2, "at most 10000 events");
    check_events(L, c, n);
    struct spill_port *p = find_port(L);
    if (!p)
        return 3;
    lua_createtable(L, n, 0);
    struct accepting *a = accepting_new(co, c, SLICE(""));
    spill_begin(p, &a->wait);
    a->err = add_events(L, p, c, n);
    if (!spill_commit(p, &a->wait)) {
        int err = a->err;
        accepting_free(a);
        return push_rest(L, c, err, 0);
    }
    a->ids = luaL_ref(L, LUA_REGISTRYINDEX);
    return co_wait(L, co, cancel_wait, a, WRITE_MS);
}

/* spill_is_there(): has the configuration one? */
static int spill_is_there(lua_State *L)
{
    const struct vm *vm = vm_of(L);

    lua_pushboolean(L, vm->snapshot && vm->snapshot->spill_dir.ptr);
    return 1;
}

const struct call call_spill[] = {
    {"spill_is_there", spill_is_there},
    {"spill_accept", spill_accept},
    {"spill_accept_all", spill_accept_all},
    {NULL, NULL},
};
