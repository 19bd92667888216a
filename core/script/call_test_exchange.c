/* SPDX-License-Identifier: Apache-2.0 */

/* For test.exchange and demilune bench: an exchange without wires in the spec's own VM. Lua says in which phase it is and calls the hook
 * itself; here the exchange is put into the state in which that phase finds it. */

#include <lauxlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/exchange.h"
#include "gate/gateway.h"
#include "gate/reply.h"
#include "gate/upstream.h"
#include "script/calls.h"

#define FAULTS_MAX MIB
#define FIELDS 16

static const char *const phases[] = {"certificate", "rewrite",  "access", "balance",
                                     "attempt",     "response", "body",   "log",
                                     "start",       "stop",     "none",   NULL};

static struct gateway *gateway_of(lua_State *L)
{
    struct gateway *g = vm_of(L)->gateway;

    if (!g)
        luaL_error(L, "there is no gateway");
    return g;
}

static struct exchange *check_exchange(lua_State *L)
{
    struct exchange *x = exchange_table_find(&gateway_of(L)->table, luaL_checknumber(L, 1));

    if (!x)
        luaL_error(L, "exchange is gone");
    return x;
}

/* A text of the table at `table`, copied; absent when it is not there. */
static struct slice field_text(lua_State *L, int table, const char *name, struct arena *a)
{
    struct slice s = SLICE_NONE;

    lua_getfield(L, table, name);
    if (!lua_isnil(L, -1)) {
        s.ptr = luaL_checklstring(L, -1, &s.len);
        s = arena_dup(a, s);
    }
    lua_pop(L, 1);
    return s;
}

/* headers = { { name, value }, ... } */
static void read_headers(lua_State *L, int table, struct headers *h, struct arena *a)
{
    headers_init(h, a, FIELDS);
    lua_getfield(L, table, "headers");
    for (int i = 1; lua_istable(L, -1) && i <= (int)lua_objlen(L, -1); i++) {
        struct slice pair[2];
        lua_rawgeti(L, -1, i);
        for (int k = 0; k < 2; k++) {
            lua_rawgeti(L, -1, k + 1);
            pair[k].ptr = luaL_checklstring(L, -1, &pair[k].len);
            pair[k] = arena_dup(a, pair[k]);
            lua_pop(L, 1);
        }
        headers_add(h, pair[0], pair[1]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* --- the configuration --------------------------------------------------------------------------------------------- */

/* test_plan(text): true, when exchanges are now of this configuration; nil and its faults. It may name no plugins. Without
 * a text it is again as it was in the beginning: an empty configuration, which specs go out by and plugins can't ask. */
static int test_plan(lua_State *L)
{
    struct gateway *g = gateway_of(L);
    struct snapshot_source source = {.name = "test.yaml", .dir = ".", .workers = 1};
    struct arena *a = arena_new_heap(16 * KIB);
    struct faults faults;
    struct buf out;

    source.text.ptr = luaL_optlstring(L, 1, "workers: 1\n", &source.text.len);
    faults_init(&faults, a);
    buf_init(&out, FAULTS_MAX);
    struct snapshot *s = snapshot_load(&source, &faults);
    if (s) {
        gateway_use(g, plan_new(g, s, NULL, NULL));
        vm_of(L)->snapshot = lua_isnoneornil(L, 1) ? NULL : s;
        lua_pushboolean(L, 1);
    } else {
        faults_print(&faults, &out, false);
        lua_pushnil(L);
        lua_pushlstring(L, buf_slice(&out).ptr, buf_len(&out));
    }
    buf_deinit(&out);
    faults_deinit(&faults);
    arena_free(a);
    return s ? 1 : 2;
}

/* --- the exchange -------------------------------------------------------------------------------------------------- */

static void read_request(lua_State *L, struct message *m, struct arena *a)
{
    *m = (struct message){.scheme = SLICE("http"), .version = HTTP_11, .body = BODY_NONE};
    m->method = method_parse(field_text(L, 1, "method", a));
    m->authority = field_text(L, 1, "authority", a);
    m->path = field_text(L, 1, "path", a);
    m->query = field_text(L, 1, "query", a);
    read_headers(L, 1, &m->headers, a);
}

/* All of a body is here. */
static void hold_body(struct exchange *x, enum side side, struct slice content)
{
    struct flow *f = &x->flows[side];

    if (!content.ptr)
        return;
    buf_clear(&f->held);
    f->held.cap = MAX(f->held.cap, content.len);
    int rc = buf_add(&f->held, content);
    REQUIRE(rc == 0);
    f->state = FLOW_ENDED;
    f->is_whole = true;
    f->is_replaced = false;
    f->taken = 0;
    f->bytes = content.len;
}

/* test_exchange{ method, authority, path, query, headers, body, scheme, client_ip, trusted }: its handle; nil when the
 * method is unknown. */
static int test_exchange(lua_State *L)
{
    struct gateway *g = gateway_of(L);
    struct arena *a = arena_new_heap(4 * KIB);
    struct message m;

    luaL_checktype(L, 1, LUA_TTABLE);
    read_request(L, &m, a);
    if (m.method == METHOD_UNKNOWN) {
        arena_free(a);
        return 0;
    }
    struct exchange *x = exchange_new_detached(g, &m);
    struct slice ip = field_text(L, 1, "client_ip", x->arena),
                 scheme = field_text(L, 1, "scheme", x->arena);
    hold_body(x, SIDE_REQUEST, field_text(L, 1, "body", a));
    x->client_ip = ip.ptr ? ip : x->client_ip;
    x->scheme = scheme.ptr ? scheme : x->scheme;
    lua_getfield(L, 1, "trusted");
    x->client_is_trusted = lua_toboolean(L, -1);
    arena_free(a);
    lua_pushnumber(L, x->handle);
    return 1;
}

/* test_exchange_response(handle, { status, headers, body }): what the upstream has answered. */
static int test_exchange_response(lua_State *L)
{
    struct exchange *x = check_exchange(L);
    struct message *m = arena_zero(x->arena, sizeof(*m));

    luaL_checktype(L, 2, LUA_TTABLE);
    lua_getfield(L, 2, "status");
    m->status = (int)luaL_checkinteger(L, -1);
    m->version = HTTP_11;
    m->body = BODY_UNKNOWN;
    read_headers(L, 2, &m->headers, x->arena);
    x->response = m;
    x->replied = false;
    hold_body(x, SIDE_RESPONSE, field_text(L, 2, "body", x->arena));
    return 0;
}

static int err_of_word(const char *word)
{
    static const struct {
        const char *word;
        int err;
    } errors[] = {{"connect", ERR_REFUSED},
                  {"reset", ERR_RESET},
                  {"timeout", ERR_TIMEOUT},
                  {"protocol", ERR_PROTOCOL}};

    for (size_t i = 0; i < COUNT_OF(errors); i++)
        if (strcmp(errors[i].word, word) == 0)
            return errors[i].err;
    return 0;
}

/* The next attempt; it has ended as the table at 3 says: { status, headers, error }. */
static void begin_attempt(lua_State *L, struct exchange *x, enum phase p)
{
    struct attempt *a = arena_zero(x->arena, sizeof(*a));

    a->exchange = x;
    a->upstream = x->upstream;
    a->number = ++x->attempts;
    a->previous = x->attempt;
    a->state = p == PHASE_BALANCE ? ATTEMPT_PICK : ATTEMPT_VERDICT;
    a->endpoint = p == PHASE_ATTEMPT ? &x->upstream->endpoints[0] : NULL;
    a->connect_timeout_ms = x->upstream->connect_timeout_ms;
    a->timeout_ms = x->upstream->timeout_ms;
    a->start_us = x->start_us;
    x->attempt = a;
    if (p == PHASE_BALANCE || !lua_istable(L, 3))
        return;
    lua_getfield(L, 3, "error");
    a->err = lua_isstring(L, -1) ? err_of_word(lua_tostring(L, -1)) : 0;
    a->connected_us = a->err == ERR_REFUSED ? 0 : a->start_us;
    a->head_sent = a->connected_us != 0;
    lua_getfield(L, 3, "status");
    if (lua_isnumber(L, -1)) {
        a->response = arena_zero(x->arena, sizeof(*a->response));
        a->response->status = (int)lua_tointeger(L, -1);
        read_headers(L, 3, &a->response->headers, x->arena);
    }
    lua_pop(L, 2);
}

static enum exchange_state state_in(enum phase p)
{
    switch (p) {
    case PHASE_REWRITE: return EXCHANGE_REWRITE;
    case PHASE_ACCESS: return EXCHANGE_ACCESS;
    case PHASE_BALANCE:
    case PHASE_ATTEMPT: return EXCHANGE_UPSTREAM;
    case PHASE_RESPONSE: return EXCHANGE_RESPONSE;
    case PHASE_BODY: return EXCHANGE_RELAY;
    default: return EXCHANGE_LOG;
    }
}

/* test_exchange_phase(handle, phase, attempt): a hook of that phase runs next; "none": it has run. */
static int test_exchange_phase(lua_State *L)
{
    struct exchange *x = check_exchange(L);
    enum phase p = (enum phase)luaL_checkoption(L, 2, NULL, phases);

    x->phase = p;
    if (p == PHASE_NONE)
        return 0;
    if ((p == PHASE_BALANCE || p == PHASE_ATTEMPT) && !x->upstream)
        return luaL_error(
            L, "there are no attempts without an upstream: test.exchange { upstream = ... }");
    x->state = state_in(p); /* steps over what leads there */
    x->head_is_down = x->state > EXCHANGE_RESPONSE;
    x->reply_fresh = false;
    if (p == PHASE_BALANCE || p == PHASE_ATTEMPT)
        begin_attempt(L, x, p);
    if (p == PHASE_RESPONSE && x->response) {
        reply_lay_over(x);
        x->overlay.n = 0;
    }
    return 0;
}

/* test_exchange_answer(handle): nothing, or what a hook of the last phase has replied: the status, a list of
 * { name, value }, and the body. */
static int test_exchange_answer(lua_State *L)
{
    struct exchange *x = check_exchange(L);
    int n = 0;

    if (!x->reply_fresh)
        return 0;
    reply_lay_over(x);
    x->overlay.n = 0;
    lua_pushinteger(L, x->response->status);
    lua_newtable(L);
    HEADERS_EACH(f, &x->response->headers)
    {
        lua_createtable(L, 2, 0);
        lua_pushlstring(L, f->name.ptr, f->name.len);
        lua_rawseti(L, -2, 1);
        lua_pushlstring(L, f->value.ptr, f->value.len);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, ++n);
    }
    lua_pushlstring(L, x->reply_body.ptr, x->reply_body.len);
    return 3;
}

static void push_use(lua_State *L, const struct plugin_use *use, int n)
{
    lua_createtable(L, 0, 2);
    lua_pushnumber(L, use->index);
    lua_setfield(L, -2, "index");
    lua_pushlstring(L, use->name.ptr, use->name.len);
    lua_setfield(L, -2, "name");
    lua_rawseti(L, -2, n);
}

/* test_exchange_chain(handle, phase): a list of { index, name }, the places whose hooks run in that phase, in order;
 * those of its consumer are left out. */
static int test_exchange_chain(lua_State *L)
{
    const struct exchange *x = check_exchange(L);
    enum phase p = (enum phase)luaL_checkoption(L, 2, NULL, phases);
    const struct chain *chain =
        x->route && p != PHASE_REWRITE ? &x->route->chain : &x->plan->snapshot->global;
    bool unwraps = p == PHASE_RESPONSE || p == PHASE_BODY;
    int n = 0;

    lua_newtable(L);
    for (uint32_t i = 0; i < chain->n; i++) {
        const struct plugin_use *use = chain->uses[unwraps ? chain->n - 1 - i : i];
        if (use->hooks & PHASE_BIT(p))
            push_use(L, use, ++n);
    }
    return 1;
}

/* test_exchange_end(handle) */
static int test_exchange_end(lua_State *L)
{
    exchange_drop(check_exchange(L));
    return 0;
}

const struct call call_test_exchange[] = {
    {"test_plan", test_plan},
    {"test_exchange", test_exchange},
    {"test_exchange_response", test_exchange_response},
    {"test_exchange_phase", test_exchange_phase},
    {"test_exchange_answer", test_exchange_answer},
    {"test_exchange_chain", test_exchange_chain},
    {"test_exchange_end", test_exchange_end},
    {NULL, NULL},
};
