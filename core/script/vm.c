/* SPDX-License-Identifier: Apache-2.0 */

/* The Lua state: allocator with a cap, start-up, protected calls, and what stops a runaway.
 *
 * The cap holds only while Lua runs. So Lua meets it as an ordinary "not enough memory", while the few small things that
 * C pushes between two runs can't fail. When it was hit, or is near, all garbage is collected as soon as C has control.
 *
 * Lua itself does the rest of the start-up: lua/demilune/boot.lua. */

#include "script/vm.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "gate/gateway.h"
#include "script/calls.h"
#include "script/co.h"
#include "script/vm_collect.h"

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#else
#error "which Debian multiarch folder has this machine's Lua modules?"
#endif

#define PIECE_MAX 0x7fffff00   /* LuaJIT's own limit of a text or userdata: nobody gets that much */
#define ENDED_BY_MAX (8 * KIB) /* its message and traceback */
#define TRACEBACK_LEVELS 20

#define ENVIRONMENT_MAX (16 * KIB) /* of LUA_PATH: what is longer is left out */

static _Thread_local struct vm_watch *this_watch;

/* --- ending what runs ---------------------------------------------------------------------------------------------- */

static int add_level(struct buf *out, lua_State *of, lua_Debug *ar)
{
    lua_getinfo(of, "Snl", ar);
    int rc = buf_printf(out, "\n\t%s:", ar->short_src);
    if (rc == 0 && ar->currentline > 0)
        rc = buf_printf(out, "%d:", ar->currentline);
    if (rc == 0 && ar->name)
        rc = buf_printf(out, " in function '%s'", ar->name);
    else if (rc == 0)
        rc = buf_printf(out, " in function <%s:%d>", ar->short_src, ar->linedefined);
    return rc;
}

void vm_add_traceback(struct buf *out, lua_State *of)
{
    lua_Debug ar;
    int rc = buf_printf(out, "\nstack traceback:");

    for (int i = 0; rc == 0 && i < TRACEBACK_LEVELS && lua_getstack(of, i, &ar); i++)
        rc = add_level(out, of, &ar);
    if (rc == 0 && lua_getstack(of, TRACEBACK_LEVELS, &ar))
        rc = buf_printf(out, "\n\t...");
    (void)rc; /* the innermost levels are what counts */
}

/* For hooks that run before every instruction once they are set, so that no pcall holds them up. Running out of memory is
 * the one error that LuaJIT tells to no error handler: a handler would run as a part of the hook, where no other hook
 * can stop it. So a piece is asked for that nobody gets. What is to be said is noted the first time, at the place that
 * ran away. */
static void end_code(lua_State *L, lua_Debug *ar, const char *why)
{
    struct vm *vm = vm_of(L);

    if (!vm->is_ending) {
        vm->is_ending = true;
        buf_clear(&vm->ended_by);
        lua_getinfo(L, "Sl", ar); /* an empty loop has no line of its own */
        if (buf_printf(&vm->ended_by, "%s:%d: %s", ar->short_src,
                       ar->currentline > 0 ? ar->currentline : ar->linedefined, why) == 0)
            vm_add_traceback(&vm->ended_by, L);
    }
    lua_newuserdata(L, PIECE_MAX);
}

/* --- memory -------------------------------------------------------------------------------------------------------- */

/* Set at the cap. */
static void over_memory(lua_State *L, lua_Debug *ar)
{
    end_code(L, ar, "not enough memory");
}

/* Small pieces come from a reserve beyond the cap, while the hook ends the hook's code at its next instruction: an error in
 * the middle of leaving a compiled trace is more than LuaJIT survives. */
static bool is_refused(struct vm *vm, size_t osize, size_t nsize)
{
    size_t after = vm->memory - osize + nsize;

    if (LIKELY(nsize <= osize || !vm->memory_cap || after <= vm->allowed) || vm->depth == 0 ||
        vm->is_exempt)
        return false;
    if (!vm->hit_cap) {
        vm->hit_cap = true;
        vm->collect_at = 0; /* so that vm_leave looks */
        lua_sethook(vm->L, over_memory, LUA_MASKCOUNT | LUA_MASKCALL | LUA_MASKRET, 1);
    }
    return nsize > SMALL_ALLOC || after > vm->memory_cap + vm->memory_cap / 4 + SMALL_ALLOC;
}

#if DML_SANITIZER

/* From malloc, which the sanitizers know. */
static void open_memory(struct vm *vm UNUSED)
{
}

static void close_memory(struct vm *vm UNUSED)
{
}

static void *piece(struct vm *vm UNUSED, void *ptr, size_t osize UNUSED, size_t nsize)
{
    if (nsize > 0)
        return realloc(ptr, nsize);
    free(ptr);
    return NULL;
}

#else

/* LuaJIT's own allocator: no lock is taken, none that a thread with less right to the CPU could hold, and when the VM
 * ends the memory goes back as a whole, so that pieces need not be given back one by one (large ones stand by themselves
 * and must be). It comes with a state, which is used for nothing else. */
static void open_memory(struct vm *vm)
{
    vm->memory_of = luaL_newstate();
    REQUIRE(vm->memory_of != NULL);
    vm->alloc = lua_getallocf(vm->memory_of, &vm->alloc_arg);
}

static void close_memory(struct vm *vm)
{
    lua_close(vm->memory_of);
}

static void *piece(struct vm *vm, void *ptr, size_t osize, size_t nsize)
{
    if (nsize == 0 && vm->is_closing && osize < SMALL_ALLOC)
        return NULL;
    return vm->alloc(vm->alloc_arg, ptr, osize, nsize);
}

#endif

static void *vm_alloc(void *arg, void *ptr, size_t osize, size_t nsize)
{
    struct vm *vm = arg;

    if (nsize == 0) {
        piece(vm, ptr, osize, 0);
        vm->memory -= osize;
        return NULL;
    }
    if (UNLIKELY(nsize >= PIECE_MAX) || is_refused(vm, osize, nsize))
        return NULL;
    void *fresh = piece(vm, ptr, osize, nsize);
    if (fresh)
        vm->memory += nsize - osize;
    return fresh;
}

static int on_panic(lua_State *L)
{
    const char *message = lua_tostring(L, -1);

    LOG_ERROR("lua.panic", "an error outside of any protected call",
              LOG_C("error", message ? message : "(no message)"));
    abort();
}

/* --- the time budget ----------------------------------------------------------------------------------------------- */

static void over_budget(lua_State *L, lua_Debug *ar)
{
    char why[64];

    snprintf(why, sizeof(why), "time budget of %ums exceeded",
             atomic_load(&vm_of(L)->watch->budget_us) / 1000);
    end_code(L, ar, why);
}

/* Twice, because the first may have interrupted the very function that it calls. */
static void on_stop_signal(int signal UNUSED)
{
    struct vm_watch *w = this_watch;

    if (!w)
        return;
    unsigned long long entry = atomic_load_explicit(&w->entry, memory_order_relaxed);
    if ((entry & 1) == 0 || atomic_load_explicit(&w->stop, memory_order_relaxed) != entry)
        return;
    lua_State *L = atomic_load_explicit(&w->vm, memory_order_relaxed)->L;
    lua_sethook(L, NULL, 0, 0);
    lua_sethook(L, over_budget, LUA_MASKCOUNT | LUA_MASKCALL | LUA_MASKRET, 1);
}

void vm_was_stopped(struct vm *vm)
{
    lua_sethook(vm->L, NULL, 0, 0);
    vm->was_stopped = vm->is_ending;
    vm->is_ending = false;
}

void vm_install_stop_handler(void)
{
    struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(VM_STOP_SIGNAL, &action, NULL);
}

/* --- start-up ------------------------------------------------------------------------------------------------------ */

struct start {
    struct vm *vm;
    const struct vm_options *options;
};

static void add_tree(struct buf *path, struct buf *cpath, const char *root, const char *lib)
{
    int rc = buf_printf(path, ";%s/share/lua/5.1/?.lua;%s/share/lua/5.1/?/init.lua", root, root);
    rc |= buf_printf(cpath, ";%s/%s/lua/5.1/?.so", root, lib);
    REQUIRE(rc == 0);
}

/* The templates in LUA_PATH or LUA_CPATH, which is how `luarocks path` names a tree of one's own. A ";;" stands for what
 * is searched anyway. */
static void add_environment(struct buf *path, const char *name)
{
    const char *value = getenv(name);
    struct slice rest = slice_from(value ? value : ""), one;
    int rc = 0;

    while (rest.len < ENVIRONMENT_MAX && slice_split(&rest, ';', &one))
        if (one.len > 0)
            rc |= buf_printf(path, ";%.*s", SLICE_ARG(one));
    REQUIRE(rc == 0);
}

/* The library of this installation first, then the LuaRocks trees: those named by the environment, then in LuaRocks' own
 * order, then Debian's. */
static void set_paths(lua_State *L, const struct vm_options *o)
{
    struct buf path, cpath;
    const char *home = getenv("HOME");

    buf_init(&path, 64 * KIB);
    buf_init(&cpath, 64 * KIB);
    int rc = buf_printf(&path, "%s/?.lua;%s/?/init.lua", o->lua_dir, o->lua_dir);
    if (o->luajit_dir)
        rc |= buf_printf(&path, ";%s/?.lua", o->luajit_dir);
    add_environment(&path, "LUA_PATH");
    add_environment(&cpath, "LUA_CPATH");
    if (home && home[0] == '/' && strlen(home) < 4096) {
        char tree[4200];
        snprintf(tree, sizeof(tree), "%s/.luarocks", home);
        add_tree(&path, &cpath, tree, "lib");
    }
    add_tree(&path, &cpath, "/usr/local", "lib");
    add_tree(&path, &cpath, "/usr", "lib");
    rc |= buf_printf(&cpath, ";/usr/lib/" MULTIARCH "/lua/5.1/?.so");
    REQUIRE(rc == 0);

    lua_getglobal(L, "package");
    lua_pushlstring(L, path.mem + path.start, buf_len(&path));
    lua_setfield(L, -2, "path");
    lua_pushlstring(L, cpath.mem + cpath.start + 1, buf_len(&cpath) - 1);
    lua_setfield(L, -2, "cpath");
    lua_pop(L, 1);
    buf_deinit(&path);
    buf_deinit(&cpath);
}

static void add_calls(lua_State *L, const struct call *calls)
{
    for (const struct call *c = calls; c->name; c++) {
        lua_pushcfunction(L, c->fn);
        lua_setfield(L, -2, c->name);
    }
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text ? text : "");
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double number)
{
    lua_pushnumber(L, number);
    lua_setfield(L, -2, name);
}

/* What require "demilune.core" gives. */
static void set_core(lua_State *L, struct vm *vm, const struct vm_options *o)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_newtable(L);
#define ADD_CALLS(file) add_calls(L, call_##file);
    CALL_FILES(ADD_CALLS)
#undef ADD_CALLS
    set_text(L, "plugin_dirs", o->plugin_dirs);
    set_text(L, "shipped_dir", o->shipped_dir);
    lua_pushboolean(L, o->explains);
    lua_setfield(L, -2, "explains");
    set_number(L, "gateway", (double)(uintptr_t)o->gateway);
    set_number(L, "cell", (double)(uintptr_t)&vm->cell);
    set_number(L, "worker", o->worker);
    lua_pushboolean(L, o->is_trial);
    lua_setfield(L, -2, "is_trial");
    set_number(L, "seed", (double)(rand_u64() >> 12));
    lua_setfield(L, -2, "demilune.core");
    lua_pop(L, 2);
}

static int start_protected(lua_State *L)
{
    struct start *start = lua_touserdata(L, 1);

    luaL_openlibs(L);
    set_paths(L, start->options);
    set_core(L, start->vm, start->options);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "demilune.boot");
    lua_call(L, 1, 0);
    return 0;
}

static void on_gateway_end(struct later *later)
{
    vm_leave_this_thread(container_of(later, struct vm, at_end));
}

struct vm *vm_new(const struct vm_options *o, char **error)
{
    struct vm *vm = calloc(1, sizeof(*vm));

    REQUIRE(vm != NULL);
    later_init(&vm->at_end, on_gateway_end);
    list_init(&vm->parts);
    list_init(&vm->idle);
    list_init(&vm->waiting);
    list_init(&vm->ready);
    list_init(&vm->tasks);
    vm->worker = o->worker;
    vm->cell.use = vm->cell.phase = -1;
    vm->collect_at = SIZE_MAX;
    buf_init(&vm->ended_by, ENDED_BY_MAX);
    open_memory(vm);
    vm->L = lua_newstate(vm_alloc, vm);
    REQUIRE(vm->L != NULL);
    lua_atpanic(vm->L, on_panic);

    struct start start = {vm, o};
    if (lua_cpcall(vm->L, start_protected, &start) != 0) {
        *error = slice_dup(slice_from(lua_tostring(vm->L, -1)));
        lua_close(vm->L);
        close_memory(vm);
        buf_deinit(&vm->ended_by);
        free(vm);
        return NULL;
    }
    vm->memory_cap = vm->allowed = o->memory_cap;
    vm_collect_while_building(vm);
    return vm;
}

static void on_ready(struct later *later)
{
    co_run_ready(container_of(later, struct vm, run_ready));
}

static void on_next_turn(struct timer *timer)
{
    co_run_ready(container_of(timer, struct vm, next_turn));
}

void vm_use_on_this_thread(struct vm *vm, struct gateway *gateway, struct vm_watch *watch)
{
    vm_built(vm);
    vm->gateway = gateway;
    vm->watch = watch;
    later_init(&vm->run_ready, on_ready);
    timer_init(&vm->next_turn, gateway->loop, on_next_turn);
    later_cancel(&vm->at_end);
    gateway_at_end(gateway, &vm->at_end);
    gateway->script = vm;
    loop_on_idle(gateway->loop, vm_collect_in_quiet, gateway);
    if (watch && (watch != this_watch || watch->cpu_clock == 0)) {
        watch->thread = pthread_self();
        REQUIRE(pthread_getcpuclockid(watch->thread, &watch->cpu_clock) == 0);
        this_watch = watch;
    }
}

/* The watchdog may be telling about this VM, even though its code has returned by now. */
static void end_watch(struct vm *vm)
{
    struct vm_watch *w = vm->watch;

    vm->watch = NULL;
    if (!w)
        return;
    pthread_mutex_lock(&w->telling);
    if (atomic_load_explicit(&w->vm, memory_order_relaxed) == vm)
        atomic_store_explicit(&w->vm, NULL, memory_order_relaxed);
    pthread_mutex_unlock(&w->telling);
}

void vm_guard(struct vm *vm, struct vm_watch *watch)
{
    end_watch(vm);
    vm->watch = watch;
    this_watch = watch;
    /* Written once: the watchdog may read it in the middle of an entry, as of a spec that makes a
     * gateway. */
    if (watch && !pthread_equal(watch->thread, pthread_self()))
        watch->thread = pthread_self();
}

static void drop_parts(struct vm *vm)
{
    struct list *link;

    while ((link = list_pop(&vm->parts))) {
        struct vm_part *part = container_of(link, struct vm_part, link);
        part->leave(part);
    }
}

void vm_leave_this_thread(struct vm *vm)
{
    co_drop_all(vm);
    drop_parts(vm);
    later_cancel(&vm->run_ready);
    later_cancel(&vm->at_end);
    timer_deinit(&vm->next_turn);
    if (vm->gateway->script == vm)
        vm->gateway->script = NULL;
    vm->gateway = NULL;
    end_watch(vm);
}

void vm_free(struct vm *vm)
{
    if (vm->gateway)
        vm_leave_this_thread(vm);
    end_watch(vm);
    vm->is_closing = true;
    lua_close(vm->L);
    close_memory(vm);
    buf_deinit(&vm->ended_by);
    free(vm);
}

/* --- calls --------------------------------------------------------------------------------------------------------- */

static int add_traceback(lua_State *L)
{
    if (lua_isstring(L, 1))
        luaL_traceback(L, L, lua_tostring(L, 1), 1);
    else
        lua_settop(L, 1);
    return 1;
}

int vm_call(struct vm *vm, int nargs, int nresults)
{
    int handler = lua_gettop(vm->L) - nargs;

    lua_pushcfunction(vm->L, add_traceback);
    lua_insert(vm->L, handler);
    if (vm->is_building)
        vm_put_off_collection(vm);
    vm_enter(vm);
    int rc = lua_pcall(vm->L, nargs, nresults, handler);
    vm_leave(vm);
    lua_remove(vm->L, handler);

    bool stopped = vm->was_stopped;
    vm->was_stopped = false;
    if (rc == 0)
        return 0;
    if (stopped) {
        lua_pop(vm->L, 1);
        lua_pushlstring(vm->L, buf_slice(&vm->ended_by).ptr, buf_len(&vm->ended_by));
    }
    return stopped || rc == LUA_ERRMEM ? ERR_BUDGET : ERR_HOOK;
}

void vm_push_function(struct vm *vm, const char *module, const char *function)
{
    lua_State *L = vm->L;

    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_getfield(L, -1, module);
    REQUIRE(lua_istable(L, -1));
    lua_getfield(L, -1, function);
    REQUIRE(lua_isfunction(L, -1));
    lua_replace(L, -4);
    lua_pop(L, 2);
}

struct vm *vm_of(lua_State *L)
{
    void *vm;

    lua_getallocf(L, &vm);
    return vm;
}
