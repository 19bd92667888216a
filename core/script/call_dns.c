/* SPDX-License-Identifier: Apache-2.0 */

/* Names to addresses, by the worker's resolver and its cache. */

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/gateway.h"
#include "net/dns.h"
#include "script/calls.h"

struct resolving {
    struct co *co;
    struct dns_query *query;
    lua_State *L; /* where results go: the caller while it has not waited yet */
    int nresults; /* 0: none yet */
};

static int push_answer(lua_State *L, const struct dns_answer *answer)
{
    char text[ADDR_TEXT];

    lua_checkstack(L, 4);
    lua_createtable(L, (int)answer->naddrs, 0);
    for (size_t i = 0; i < answer->naddrs; i++) {
        lua_pushlstring(L, text, addr_print_ip(&answer->addrs[i], text, sizeof(text)));
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_pushnumber(L, (double)answer->ttl_ms / 1e3);
    return 2;
}

static void on_resolved(void *arg, int err, const struct dns_answer *answer)
{
    struct resolving *r = arg;
    struct co *co = r->co;
    bool waits = r->query != NULL;
    int n = err < 0 ? co_push_error(r->L, err) : push_answer(r->L, answer);

    r->nresults = n;
    if (waits) {
        free(r);
        co_wake(co, n);
    }
}

static void cancel_query(struct co *co UNUSED, void *wait)
{
    struct resolving *r = wait;

    dns_cancel(r->query);
    free(r);
}

/* dns_resolve(name): list of addresses, seconds they are good for; nil and a word. */
static int dns_resolve_call(lua_State *L)
{
    struct co *co = co_current(L);
    struct slice name;

    name.ptr = luaL_checklstring(L, 1, &name.len);
    struct resolving *r = calloc(1, sizeof(*r));
    REQUIRE(r != NULL);
    r->co = co;
    r->L = L;
    r->query = dns_resolve(co->vm->gateway->dns, name, on_resolved, r);
    if (!r->query) {
        int n = r->nresults;
        free(r);
        return n;
    }
    r->L = co->thread;
    return co_wait(L, co, cancel_query, r, 0);
}

const struct call call_dns[] = {
    {"dns_resolve", dns_resolve_call},
    {NULL, NULL},
};
