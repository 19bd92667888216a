/* SPDX-License-Identifier: Apache-2.0 */

/* The C half of demilune.test: a second gateway on the loop that runs the specs, with a VM and a configuration of its
 * own, and real listeners; time moved by hand. Exchanges without sockets are in call_test_exchange.c.
 *
 *   test_gateway -> (requests) -> test_end -> until test_is_busy says no -> test_unload -> a turn later test_free
 *
 * Ending takes turns of the loop because exchanges, hooks and tasks that are under way end in turns of their own;
 * lua/demilune/test.lua waits for them. */

#include <dirent.h>
#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"
#include "gate/conf.h"
#include "gate/exchange.h"
#include "gate/gateway.h"
#include "gate/spilling.h"
#include "net/mailbox.h"
#include "script/calls.h"
#include "script/hooks.h"
#include "script/plugin.h"
#include "side/kafka.h"
#include "side/spill.h"
#include "side/store.h"

#define GATEWAY "demilune.test_gateway"
#define LOAD_FACTOR 10 /* of script.time_budget, for what runs at load, as in app/build_guard */
#define LOAD_MIN_MS UINT64_C(2000)
#define FAULTS_MAX MIB
#define CONNECTIONS 10000
#define SPILL_LOOKS 500
#define SPILL_LOOK_MS 1

struct test_gateway {
    /* owned */
    struct gateway gateway;
    struct vm *vm; /* its host's, once there is one */
    struct plugin_host *checker;
    struct snapshot *snapshot;
    struct listener **listeners;
    struct spilling *spilling;
    /* borrowed */
    struct gateway *around; /* whose loop it lives on */
    struct vm_watch *watch; /* one for all; the budget is that of the gateway begun last */
    const char *lua_dir, *plugin_dirs, *shipped_dir;
    /* state */
    bool explains;
    struct listener_quota quota;
    uint32_t nlisteners;
    bool has_gateway, has_plan;
    char *vm_error;
};

static struct test_gateway **check_gateway(lua_State *L)
{
    return luaL_checkudata(L, 1, GATEWAY);
}

/* --- starting ------------------------------------------------------------------------------------------------------ */

static struct plugin_host *make_host(void *arg, const struct snapshot *partly)
{
    struct test_gateway *t = arg;
    struct vm_options options = {
        .lua_dir = t->lua_dir,
        .plugin_dirs = t->plugin_dirs,
        .shipped_dir = t->shipped_dir,
        .gateway = &t->gateway,
        .memory_cap = partly->script_memory,
        .worker = 1,
        .explains = t->explains,
    };

    t->vm = vm_new(&options, &t->vm_error);
    if (t->vm && t->watch) {
        uint64_t ms = (uint64_t)partly->script_time_budget_ms * LOAD_FACTOR;
        atomic_store(&t->watch->budget_us, MAX(ms, LOAD_MIN_MS) * 1000);
        vm_guard(t->vm, t->watch);
    }
    t->checker = t->vm ? plugin_host_new(t->vm, partly) : NULL;
    return t->checker;
}

/* Counts of an earlier gateway would be found again under the same names. */
static void empty_stores(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->nstores; i++) {
        struct store *store = stores_find(s->stores[i].name);
        if (!store)
            continue;
        store_resize(store, 0);
        store_resize(store, s->stores[i].bytes);
    }
}

static void on_accept(void *owner, struct listener *ln, int fd, const struct addr *peer,
                      const struct addr *local)
{
    struct test_gateway *t = owner;
    uint32_t i = 0;

    while (i + 1 < t->nlisteners && t->listeners[i] != ln)
        i++;
    gateway_accept(&t->gateway, ln, (int)i, fd, peer, local);
}

/* Pushes the list of addresses that the system has chosen. */
static int open_listeners(lua_State *L, struct test_gateway *t)
{
    char text[ADDR_TEXT];
    struct addr address;
    int fd;

    lua_newtable(L);
    t->quota.max = CONNECTIONS;
    t->listeners = calloc(t->snapshot->nlisteners + 1, sizeof(t->listeners[0]));
    REQUIRE(t->listeners != NULL);
    for (uint32_t i = 0; i < t->snapshot->nlisteners; i++) {
        int rc = listener_open(&t->snapshot->listeners[i].addr, false, &fd);
        if (rc == 0)
            rc = listener_address(fd, &address);
        if (rc < 0)
            return rc;
        t->listeners[i] = listener_start(t->gateway.loop, fd, &t->quota, on_accept, t);
        t->nlisteners = i + 1;
        lua_pushlstring(L, text, addr_print(&address, text, sizeof(text)));
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 0;
}

/* Its own, however many gateways a spec has: the process's is taken back once this one has its door. */
static void begin_spill(struct test_gateway *t, struct faults *faults)
{
    t->spilling = spilling_start(t->snapshot, faults);
    if (!t->spilling)
        return;
    (void)CHECK(gateway_spill(&t->gateway) != NULL);
    spill_share(NULL);
}

static bool begin_gateway(struct test_gateway *t, struct faults *faults)
{
    struct gateway *g = &t->gateway, *around = t->around;

    g->loop = around->loop;
    g->mailbox = mailbox_new(around->loop, g);
    g->writer = around->writer;
    g->nworkers = 1;
    gateway_init(g, t->snapshot);
    t->has_gateway = true;
    begin_spill(t, faults);
    return faults->nerrors == 0;
}

static bool begin_plan(struct test_gateway *t, struct faults *faults)
{
    struct phase_host *host = NULL;

    if (t->snapshot->nuses > 0) {
        host = hooks_new(t->vm, t->snapshot, faults, NULL, NULL);
        if (!host)
            return false;
        if (t->watch)
            atomic_store(&t->watch->budget_us, t->snapshot->script_time_budget_ms * 1000);
        vm_use_on_this_thread(t->vm, &t->gateway, t->watch);
    }
    gateway_use(&t->gateway, plan_new(&t->gateway, snapshot_ref(t->snapshot), host, NULL));
    t->has_plan = true;
    if (host)
        hooks_start(host);
    return true;
}

static void *spill_main(void *spilling)
{
    spilling_free(spilling);
    return NULL;
}

/* What no broker has taken is given up, so that a spec does not wait for brokers that are down. One that shares its
 * brokers with another gateway which goes on may keep a record under way: it ends by itself. */
static void free_spill(struct spilling *spilling)
{
    pthread_t thread;
    bool has_ended = false;

    REQUIRE(pthread_create(&thread, NULL, spill_main, spilling) == 0);
    for (int i = 0; i < SPILL_LOOKS && !has_ended; i++) {
        kafka_hurry();
        has_ended = thread_join_within(thread, SPILL_LOOK_MS);
    }
    if (!has_ended)
        pthread_detach(thread);
}

static void free_rest(void *arg)
{
    struct test_gateway *t = arg;

    if (t->has_gateway)
        mailbox_free(t->gateway.mailbox);
    free(t);
}

/* The VM of the plan ends at the end of the turn, and uses loop and mailbox until then. */
static void free_gateway(struct test_gateway *t)
{
    struct loop *loop = t->around->loop;
    bool vm_is_hosts = t->has_plan && t->gateway.plan->host;

    for (uint32_t i = 0; i < t->nlisteners; i++)
        listener_free(t->listeners[i]);
    free(t->listeners);
    if (t->checker)
        plugin_host_free(t->checker);
    spilling_quit(t->spilling);
    if (t->has_gateway) {
        gateway_deinit(&t->gateway);
        loop_on_idle(loop, NULL, NULL); /* it was for this VM's collector */
    }
    if (t->spilling)
        free_spill(t->spilling);
    if (t->vm && !vm_is_hosts)
        vm_free(t->vm);
    if (t->snapshot)
        snapshot_unref(t->snapshot);
    free(t->vm_error);
    loop_free_later(loop, t, free_rest);
}

static int push_faults(lua_State *L, const struct test_gateway *t, struct faults *faults, int rc)
{
    struct buf out;

    lua_pushnil(L);
    if (t->vm_error) {
        lua_pushstring(L, t->vm_error);
        return 2;
    }
    if (rc < 0) {
        lua_pushstring(L, err_word(rc));
        return 2;
    }
    buf_init(&out, FAULTS_MAX);
    faults_print(faults, &out, false);
    lua_pushlstring(L, buf_slice(&out).ptr, buf_len(&out));
    buf_deinit(&out);
    return 2;
}

/* test_gateway(text, lua_dir, plugin_dirs, shipped_dir, keep, explains): a gateway and the addresses it listens on; nil
 * and the faults as `demilune check` prints them. keep: the stores keep what they have. explains: as run --dev does. */
static int test_gateway(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct slice text;

    text.ptr = luaL_checklstring(L, 1, &text.len);
    if (!vm->gateway)
        return luaL_error(L, "there is no loop for a gateway");
    struct test_gateway *t = calloc(1, sizeof(*t));
    REQUIRE(t != NULL);
    t->around = vm->gateway;
    t->watch = vm->guest_watch;
    t->lua_dir = luaL_checkstring(L, 2);
    t->plugin_dirs = luaL_checkstring(L, 3);
    t->shipped_dir = luaL_checkstring(L, 4);
    t->explains = lua_toboolean(L, 6);
    luaL_checkstack(L, 8, NULL);
    struct test_gateway **box = lua_newuserdata(L, sizeof(*box));
    *box = t;
    luaL_getmetatable(L, GATEWAY);
    lua_setmetatable(L, -2);

    struct arena *a = arena_new_heap(16 * KIB);
    struct faults faults;
    faults_init(&faults, a);
    struct snapshot_source source = {.text = text,
                                     .name = "test.gateway",
                                     .dir = ".",
                                     .workers = 1,
                                     .plugin_host = make_host,
                                     .arg = t};
    t->snapshot = snapshot_load(&source, &faults);
    int rc = 0, n = 2;
    if (t->snapshot && !lua_toboolean(L, 5))
        empty_stores(t->snapshot);
    if (!t->snapshot || !begin_gateway(t, &faults) || !begin_plan(t, &faults) ||
        (rc = open_listeners(L, t)) < 0) {
        n = push_faults(L, t, &faults, rc);
        *box = NULL;
        free_gateway(t);
    }
    faults_deinit(&faults);
    arena_free(a);
    return n;
}

/* --- ending -------------------------------------------------------------------------------------------------------- */

/* test_end(gateway): no new connections, and the open ones are cut off. */
static int test_end(lua_State *L)
{
    struct test_gateway *t = *check_gateway(L);

    if (!t)
        return 0;
    for (uint32_t i = 0; i < t->nlisteners; i++)
        listener_free(t->listeners[i]);
    t->nlisteners = 0;
    inbound_abort_all(t->gateway.inbound);
    return 0;
}

/* test_is_busy(gateway): exchanges are under way. */
static int test_is_busy(lua_State *L)
{
    struct test_gateway *t = *check_gateway(L);

    if (t)
        gateway_hurry(&t->gateway);
    lua_pushboolean(L, t && gateway_exchanges(&t->gateway) > 0);
    return 1;
}

/* test_unload(gateway): stop hooks. */
static int test_unload(lua_State *L)
{
    struct test_gateway *t = *check_gateway(L);

    if (t && t->gateway.plan->host)
        hooks_stop(t->gateway.plan->host);
    return 0;
}

static int test_free(lua_State *L)
{
    struct test_gateway **box = check_gateway(L), *t = *box;

    *box = NULL;
    if (t)
        free_gateway(t);
    return 0;
}

/* test_remove_folder(path): a spill's folder, which has files only. */
static int test_remove_folder(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    (void)rmdir(path);
    return 0;
}

/* --- time ---------------------------------------------------------------------------------------------------------- */

/* test_advance(seconds): all clocks of this process. */
static int test_advance(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);

    luaL_argcheck(L, seconds >= 0 && seconds <= 1e9, 1, "seconds, 0 or more");
    clock_advance_ms((int64_t)(seconds * 1e3));
    return 0;
}

/* test_start(): once, when demilune.test is loaded. */
static int test_start(lua_State *L)
{
    luaL_newmetatable(L, GATEWAY);
    lua_pop(L, 1);
    return 0;
}

const struct call call_test[] = {
    {"test_start", test_start},
    {"test_gateway", test_gateway},
    {"test_end", test_end},
    {"test_is_busy", test_is_busy},
    {"test_unload", test_unload},
    {"test_free", test_free},
    {"test_advance", test_advance},
    {"test_remove_folder", test_remove_folder},
    {NULL, NULL},
};
