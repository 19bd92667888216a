/* SPDX-License-Identifier: Apache-2.0 */

/* TLS for Lua: what a plugin wants of it, sockets that begin it, and those of specs that answer it. Policies are found again by their texts, so the
 * one that nearly all use costs nothing after the first time. */

#include "script/call_tls.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "gate/gateway.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "net/tls_client.h"
#include "net/tls_ctx.h"
#include "net/tls_self.h"
#include "script/call_net.h"
#include "script/calls.h"

/* Held for good: it is made from the system's authorities. */
static struct tls_client *usual;
static pthread_once_t usual_made = PTHREAD_ONCE_INIT;

static void make_usual(void)
{
    const char *why;

    REQUIRE(tls_client_make(&(struct tls_client_spec){.ca = SLICE_NONE}, &usual, &why) == 0);
}

static struct slice field(lua_State *L, int table, const char *name)
{
    struct slice s = SLICE_NONE;

    lua_getfield(L, table, name);
    if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "tls.%s is a text, not a %s", name, luaL_typename(L, -1));
    if (!lua_isnil(L, -1))
        s.ptr = lua_tolstring(L, -1, &s.len);
    lua_pop(L, 1); /* the table keeps it */
    return s;
}

static struct tls_cert *read_cert(lua_State *L, int table)
{
    struct slice cert = field(L, table, "cert"), key = field(L, table, "key");
    struct tls_cert *out = NULL;
    struct tls_fault fault;

    if (!cert.ptr && !key.ptr)
        return NULL;
    if (!cert.ptr || !key.ptr)
        luaL_error(L, "tls.cert and tls.key go together");
    if (tls_cert_make(cert, key, (int64_t)(clock_wall_ms() / 1000), &out, &fault) < 0)
        luaL_error(L, "tls.%s %s", fault.of_key ? "key" : "cert", fault.text);
    return out;
}

void tls_wish_read(lua_State *L, int index, struct tls_wish *out)
{
    struct tls_client_spec spec = {.no_verify = false};
    const char *why;

    *out = (struct tls_wish){.server_name = SLICE_NONE};
    if (lua_type(L, index) != LUA_TTABLE) {
        pthread_once(&usual_made, make_usual);
        out->client = tls_client_ref(usual);
        return;
    }
    lua_getfield(L, index, "verify");
    spec.no_verify = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    lua_pop(L, 1);
    out->server_name = field(L, index, "server_name");
    spec.ca = field(L, index, "ca");
    spec.cert = read_cert(L, index);
    int rc = tls_client_make(&spec, &out->client, &why);
    tls_cert_unref(spec.cert);
    if (rc < 0)
        luaL_error(L, "tls.ca %s", why);
}

/* --- sockets ------------------------------------------------------------------------------------------------------- */

struct starting {
    struct co *co;
    struct socket *socket; /* kept alive by ref */
    struct tls_handshake *shaking;
    int ref;
};

static void on_handshake(void *arg, const struct tls_end *end)
{
    struct starting *s = arg;
    struct co *co = s->co;
    int n = 1;

    luaL_unref(co->vm->L, LUA_REGISTRYINDEX, s->ref);
    if (end->stream) {
        net_give(s->socket, co->vm, end->stream, NULL);
        lua_pushboolean(co->thread, 1);
    } else {
        n = co_push_error(co->thread, end->err);
        lua_pushstring(co->thread, end->why);
        n++;
    }
    free(s);
    co_wake(co, n);
}

static void cancel_handshake(struct co *co, void *wait)
{
    struct starting *s = wait;

    luaL_unref(co->vm->L, LUA_REGISTRYINDEX, s->ref);
    tls_cancel(s->shaking);
    free(s);
}

/* The socket is the first value on L. NULL: it can't begin TLS now, which NOT_NOW says. */
static struct starting *begin(lua_State *L, struct stream **plain)
{
    struct co *co = co_current(L);
    struct socket *socket = net_check_socket(L, 1);

    *plain = net_take(socket);
    if (!*plain)
        return NULL;
    struct starting *s = malloc(sizeof(*s));
    REQUIRE(s != NULL);
    *s = (struct starting){.co = co, .socket = socket};
    lua_pushvalue(L, 1);
    s->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return s;
}

#define NOT_NOW \
    "TLS begins on an open socket without TLS, of which nothing is left to be read or sent"

/* tls_start(socket, host, options, timeout): true; or nil, a word, and what OpenSSL says. */
static int tls_start(lua_State *L)
{
    struct vm *vm = net_vm(L);
    struct stream *plain;
    uint64_t timeout_ms = net_timeout(L, 4);
    struct slice host;
    struct tls_wish wish;

    host.ptr = luaL_checklstring(L, 2, &host.len);
    tls_wish_read(L, 3, &wish);
    struct starting *s = begin(L, &plain);
    if (!s) {
        tls_client_unref(wish.client);
        return luaL_error(L, NOT_NOW);
    }
    struct tls_to to = {wish.client, NULL, wish.server_name.ptr ? wish.server_name : host};
    s->shaking =
        tls_connect(vm->gateway->loop, tcp_release(plain), &to, timeout_ms, on_handshake, s);
    tls_client_unref(wish.client);
    return co_wait(L, s->co, cancel_handshake, s, 0);
}

/* --- for the test kit ---------------------------------------------------------------------------------------------- */

/* NULL, and a message on L: the certificate and key at these places are no good. */
static struct tls_cert *make_cert(lua_State *L, int cert_at, int key_at)
{
    struct slice cert, key;
    struct tls_cert *out;
    struct tls_fault fault;

    cert.ptr = luaL_checklstring(L, cert_at, &cert.len);
    key.ptr = luaL_checklstring(L, key_at, &key.len);
    if (tls_cert_make(cert, key, (int64_t)(clock_wall_ms() / 1000), &out, &fault) == 0)
        return out;
    lua_pushfstring(L, "the %s %s", fault.of_key ? "key" : "certificate", fault.text);
    return NULL;
}

/* tls_fault(cert, key): what is wrong with them, or nothing. */
static int tls_fault(lua_State *L)
{
    struct tls_cert *cert = make_cert(L, 1, 2);

    tls_cert_unref(cert);
    return cert ? 0 : 1;
}

/* tls_serve(socket, cert, key, timeout): the socket's client begins TLS. As tls_start. */
static int tls_serve(lua_State *L)
{
    struct vm *vm = net_vm(L);
    uint64_t timeout_ms = net_timeout(L, 4);
    struct tls_cert *cert = make_cert(L, 2, 3);
    struct tls_server *server;
    struct stream *plain;
    const char *why;

    if (!cert)
        return lua_error(L);
    struct tls_server_spec spec = {
        .certs = &cert, .ncerts = 1, .listener = SLICE("test"), .resumes = true};
    int rc = tls_server_make(&spec, &server, &why);
    REQUIRE(rc == 0);
    tls_cert_unref(cert);
    struct starting *s = begin(L, &plain);
    if (s)
        s->shaking =
            tls_accept(vm->gateway->loop, tcp_release(plain), server, timeout_ms, on_handshake, s);
    tls_server_unref(server);
    return s ? co_wait(L, s->co, cancel_handshake, s, 0) : luaL_error(L, NOT_NOW);
}

/* tls_self_signed(): a certificate for loopback and its key. */
static int tls_self_signed_pair(lua_State *L)
{
    char *cert, *key;

    tls_self_signed(&cert, &key);
    lua_pushstring(L, cert);
    lua_pushstring(L, key);
    free(cert);
    free(key);
    return 2;
}

const struct call call_tls[] = {
    {"tls_start", tls_start},
    {"tls_fault", tls_fault},
    {"tls_serve", tls_serve},
    {"tls_self_signed", tls_self_signed_pair},
    {NULL, NULL},
};
