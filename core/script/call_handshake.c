/* SPDX-License-Identifier: Apache-2.0 */

/* A choice is what a handshake and the coroutine of its hooks have of each other. It ends with the coroutine; where the
 * handshake ends first (its time is over, the client has gone), the coroutine is cancelled, and what it still says is not
 * heard. */

#include "script/call_handshake.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "gate/phase.h"
#include "net/addr.h"
#include "net/tls.h"
#include "net/tls_cert.h"
#include "net/tls_hello.h"
#include "script/calls.h"
#include "script/hooks.h"

#define HANDSHAKE "demilune.handshake"
#define CERTS_KEPT 512

struct choice {
    /* owned */
    struct vm_part part;
    struct tls_cert *cert; /* or NULL: what the configuration has */
    int ref;               /* keeps Lua's end of it */
    char ip[ADDR_TEXT];
    /* borrowed */
    struct vm *vm;
    struct tls_handshake *handshake; /* NULL when it has ended */
    const struct tls_hello *hello;   /* as long as that */
    struct choice **end;             /* Lua's */
    struct co *co;                   /* that waits, or NULL */
    struct slice client_ip, listener;
    /* state */
    bool is_refused;
};

/* --- certificates that hooks have chosen --------------------------------------------------------------------------- */

/* Parsed once, however many handshakes they serve: the last ones of the process, by turns. */
static struct tls_cert *kept[CERTS_KEPT];
static size_t next_kept;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

static void keep(struct tls_cert *c)
{
    struct tls_cert *before = NULL;
    size_t i = 0;

    pthread_mutex_lock(&kept_lock);
    while (i < CERTS_KEPT && kept[i] != c)
        i++;
    if (i == CERTS_KEPT) {
        before = kept[next_kept];
        kept[next_kept] = tls_cert_ref(c);
        next_kept = (next_kept + 1) % CERTS_KEPT;
    }
    pthread_mutex_unlock(&kept_lock);
    tls_cert_unref(before);
}

/* --- the choice ---------------------------------------------------------------------------------------------------- */

static void choice_free(struct choice *c)
{
    *c->end = NULL;
    list_remove(&c->part.link);
    tls_cert_unref(c->cert);
    free(c);
}

static void tell(struct choice *c)
{
    struct tls_handshake *h = c->handshake;

    c->handshake = NULL;
    if (h && c->is_refused)
        tls_refuse(h);
    else if (h)
        tls_go_on(h, c->cert);
}

static void choice_ended(struct co *co, lua_State *L, enum co_end end, int nresults UNUSED)
{
    struct choice *c = co->owner;
    struct slice message;

    if (end != CO_RETURNED) {
        message.ptr = lua_tolstring(L, -1, &message.len);
        hooks_report(co, message);
        c->is_refused = true;
    }
    tell(c);
    luaL_unref(c->vm->L, LUA_REGISTRYINDEX, c->ref);
    choice_free(c);
}

/* The handshake has ended without an answer. */
static void on_over(void *arg)
{
    struct choice *c = arg;

    c->handshake = NULL;
    co_cancel(c->co);
}

/* The coroutine is gone with its VM. */
static void leave_thread(struct vm_part *part)
{
    struct choice *c = container_of(part, struct choice, part);

    c->is_refused = true;
    tell(c);
    choice_free(c);
}

void handshake_choose(struct vm *vm, int function, struct tls_handshake *shaking,
                      const struct tls_hello *hello, struct slice client_ip, struct slice listener)
{
    struct choice *c = calloc(1, sizeof(*c));

    REQUIRE(c != NULL);
    *c = (struct choice){.part = {.leave = leave_thread},
                         .vm = vm,
                         .handshake = shaking,
                         .hello = hello,
                         .listener = listener};
    c->client_ip = slice_of(c->ip, MIN(client_ip.len, sizeof(c->ip)));
    memcpy(c->ip, client_ip.ptr, c->client_ip.len);
    list_append(&vm->parts, &c->part.link);

    struct co *co = co_new(vm, NULL, choice_ended, c);
    co->phase = PHASE_CERTIFICATE;
    lua_rawgeti(co->thread, LUA_REGISTRYINDEX, function);
    c->end = lua_newuserdata(co->thread, sizeof(struct choice *));
    *c->end = c;
    luaL_getmetatable(co->thread, HANDSHAKE);
    lua_setmetatable(co->thread, -2);
    lua_pushvalue(co->thread, -1);
    c->ref = luaL_ref(co->thread, LUA_REGISTRYINDEX);
    if (!co_run(co, 1))
        return;
    c->co = co;
    tls_answer_later(shaking, on_over, c);
}

/* --- from Lua ------------------------------------------------------------------------------------------------------ */

/* NULL when it is over. */
static struct choice *check_choice(lua_State *L)
{
    struct choice *c = *(struct choice **)luaL_checkudata(L, 1, HANDSHAKE);

    return c && c->handshake ? c : NULL;
}

static void push_protocols(lua_State *L, struct slice list)
{
    struct slice one;
    int n = 0;

    lua_newtable(L);
    while (tls_hello_protocol(&list, &one)) {
        lua_pushlstring(L, one.ptr, one.len);
        lua_rawseti(L, -2, ++n);
    }
}

/* handshake_read(handshake): the name that is asked for or nil, the client's address, the listener's, a list of
 * protocols. */
static int handshake_read(lua_State *L)
{
    struct choice *c = check_choice(L);

    if (!c)
        return co_push_error(L, ERR_GONE);
    if (c->hello->server_name.len > 0)
        lua_pushlstring(L, c->hello->server_name.ptr, c->hello->server_name.len);
    else
        lua_pushnil(L);
    lua_pushlstring(L, c->client_ip.ptr, c->client_ip.len);
    lua_pushlstring(L, c->listener.ptr, c->listener.len);
    push_protocols(L, c->hello->protocols);
    return 4;
}

/* handshake_use(handshake, cert, key): true; or nil and what is wrong with them. */
static int handshake_use(lua_State *L)
{
    struct slice cert, key;
    struct tls_cert *made;
    struct tls_fault fault;
    struct choice *c = check_choice(L);

    cert.ptr = luaL_checklstring(L, 2, &cert.len);
    key.ptr = luaL_checklstring(L, 3, &key.len);
    if (!c)
        return co_push_error(L, ERR_GONE);
    if (tls_cert_make(cert, key, (int64_t)(clock_wall_ms() / 1000), &made, &fault) < 0) {
        lua_pushnil(L);
        lua_pushfstring(L, "the %s %s", fault.of_key ? "key" : "certificate", fault.text);
        return 2;
    }
    keep(made);
    tls_cert_unref(c->cert);
    c->cert = made;
    lua_pushboolean(L, 1);
    return 1;
}

/* handshake_refuse(handshake) */
static int handshake_refuse(lua_State *L)
{
    struct choice *c = check_choice(L);

    if (!c)
        return co_push_error(L, ERR_GONE);
    c->is_refused = true;
    lua_pushboolean(L, 1);
    return 1;
}

/* handshake_metatable(): of what C gives to the hooks. */
static int handshake_metatable(lua_State *L)
{
    luaL_newmetatable(L, HANDSHAKE);
    return 1;
}

const struct call call_handshake[] = {
    {"handshake_read", handshake_read},
    {"handshake_use", handshake_use},
    {"handshake_refuse", handshake_refuse},
    {"handshake_metatable", handshake_metatable},
    {NULL, NULL},
};
