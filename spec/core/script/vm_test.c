/* SPDX-License-Identifier: Apache-2.0 */

/* What a runaway script meets: the time budget, the memory cap, and that the VM lives on after both. A thread plays the
 * watchdog: it asks for the stop of whatever entry it sees. */

#include "support/test.h"

#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "support/lua_vm.h"

static struct lua_vm l;

/* --- a watchdog in a hurry ------------------------------------------------------------------------ */

static atomic_bool watching;

static uint64_t cpu_us_of(pthread_t thread)
{
    struct timespec t;
    clockid_t clock;

    assert_int_equal(0, pthread_getcpuclockid(thread, &clock));
    assert_int_equal(0, clock_gettime(clock, &t));
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* By CPU time: on a busy machine an honest entry may stand still for longer than a runaway is given. */
static void *watch_main(void *arg)
{
    struct vm_watch *w = arg;

    while (atomic_load(&watching)) {
        unsigned long long entry = atomic_load(&w->entry);
        uint64_t before = cpu_us_of(w->thread);
        while (atomic_load(&watching) && cpu_us_of(w->thread) - before < 5000 &&
               atomic_load(&w->entry) == entry)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        if (atomic_load(&watching) && (entry & 1) && atomic_load(&w->entry) == entry) {
            atomic_store(&w->stop, entry);
            pthread_kill(w->thread, VM_STOP_SIGNAL);
        }
    }
    return NULL;
}

static pthread_t watcher;

static int with_vm(void **state)
{
    (void)state;
    vm_install_stop_handler();
    lua_vm_init(&l, 32 * MIB);
    atomic_store(&l.watch.budget_us, 200000);
    return 0;
}

static int without_vm(void **state)
{
    (void)state;
    lua_vm_deinit(&l);
    return 0;
}

static int with_watchdog(void **state)
{
    with_vm(state);
    atomic_store(&watching, true);
    return pthread_create(&watcher, NULL, watch_main, &l.watch);
}

static int without_watchdog(void **state)
{
    atomic_store(&watching, false);
    pthread_join(watcher, NULL);
    return without_vm(state);
}

static void assert_lives(void)
{
    assert_int_equal(0, lua_vm_do(&l, "local t = {} for i = 1, 1000 do t[i] = i end return #t"));
    assert_int_equal(1000, lua_tointeger(l.vm->L, -1));
    bool failed;
    assert_string_equal("7", lua_vm_run(&l, "return 3 + 4", &failed));
    assert_false(failed);
}

static void assert_message_has(const char *part)
{
    const char *message = lua_tostring(l.vm->L, -1);

    if (!message || !strstr(message, part))
        fail_msg("expected \"%s\" in: %s", part, message);
}

/* --- time ---------------------------------------------------------------------------------------------------------- */

static const char *const runaways[] = {
    "while true do end",
    "for i = 1, 1e18 do end",
    "local function f() return f() end return f()",
    "while true do pcall(error, 'x') end",
    "local function loop() while true do end end while true do pcall(loop) end",
    "local function loop() while true do end end local function again() return pcall(loop) and 1 or again() end again()",
    "repeat local ok = xpcall(function() local n = 0 while true do n = n + 1 end end, debug.traceback) until false",
    "local function loop() while true do end end xpcall(loop, loop)",
    "local function loop() while true do end end table.sort({3, 2, 1}, function() xpcall(loop, loop) end)",
    "local c = coroutine.wrap(function() while true do end end) while true do pcall(c) end",
    "while true do coroutine.resume(coroutine.create(function() local i = 0 while true do i = i + 1 end end)) end",
    "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] and 1 end }) while true do pcall(function() return t[1] end) end",
};

static void a_runaway_ends_when_its_budget_is_spent(void **state)
{
    (void)state;
    LUA_VM_SKIP_STOPS();
    for (size_t i = 0; i < COUNT_OF(runaways); i++) {
        assert_int_equal(ERR_BUDGET, lua_vm_do(&l, runaways[i]));
        assert_message_has("time budget of 200ms exceeded");
        assert_lives();
    }
}

static void a_runaway_in_a_coroutine_ends_too(void **state)
{
    (void)state;
    LUA_VM_SKIP_STOPS();
    for (size_t i = 0; i < COUNT_OF(runaways); i++) {
        bool failed;
        assert_non_null(
            strstr(lua_vm_run(&l, runaways[i], &failed), "time budget of 200ms exceeded"));
        assert_true(failed);
        assert_lives();
    }
}

static void the_place_that_ran_away_is_told(void **state)
{
    static const char *const chunk =
        "local function spins() while true do end end\nwhile true do pcall(spins) end";
    bool failed;

    (void)state;
    LUA_VM_SKIP_STOPS();
    assert_int_equal(ERR_BUDGET, lua_vm_do(&l, chunk));
    assert_message_has(":1: time budget of 200ms exceeded\nstack traceback:");
    assert_message_has("[C]: in function 'pcall'");
    assert_non_null(strstr(lua_vm_run(&l, chunk, &failed), "[C]: in function 'pcall'"));
    assert_true(failed);
}

static void the_stop_of_an_earlier_entry_does_nothing(void **state)
{
    (void)state;
    assert_int_equal(0, lua_vm_do(&l, "return 1"));
    atomic_store(&l.watch.stop, atomic_load(&l.watch.entry) - 1);
    raise(VM_STOP_SIGNAL);
    assert_lives();
}

/* --- memory -------------------------------------------------------------------------------------------------------- */

static void memory_without_end_is_an_error(void **state)
{
    static const char *const hogs[] = {
        "local t = {} while true do t[#t + 1] = {} end",
        "local t = {} local i = 0 while true do i = i + 1 t[i] = tostring(i) .. ('x'):rep(100) end",
        "return #('x'):rep(1e9)",
        "local s = 'x' while true do s = s .. s end",
        "local ffi = require 'ffi' local t = {} while true do t[#t + 1] = ffi.new('char[?]', 100000) end",
        "local b = require('string.buffer').new() while true do b:put(('x'):rep(1000)) end",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(hogs); i++) {
        assert_int_equal(ERR_BUDGET, lua_vm_do(&l, hogs[i]));
        assert_message_has("not enough memory");
        lua_settop(l.vm->L, 0);
        assert_true(l.vm->memory < 8 * MIB); /* all garbage is gone already */
        assert_lives();
    }
}

static void a_hog_in_a_coroutine_ends_too(void **state)
{
    bool failed;

    (void)state;
    assert_non_null(strstr(lua_vm_run(&l, "local t = {} while true do t[#t + 1] = {} end", &failed),
                           "not enough memory"));
    assert_true(failed);
    assert_lives();
    assert_true(l.vm->memory < 8 * MIB);
}

static void garbage_does_not_fill_the_cap(void **state)
{
    (void)state;
    assert_int_equal(
        0, lua_vm_do(&l, "KEPT = {} for i = 1, 150 do KEPT[i] = ('x'):rep(100000) .. i end"));
    for (int i = 0; i < 200; i++)
        assert_int_equal(
            0, lua_vm_do(&l, "local t = {} for i = 1, 8 do t[i] = ('y'):rep(100000) .. i end"));
}

/* --- what the library takes away ----------------------------------------------------------------------------------- */

static void functions_that_hit_all_workers_raise(void **state)
{
    static const char *const calls[] = {"os.exit()", "os.execute('true')", "io.popen('true')",
                                        "os.setlocale('C')"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        assert_int_equal(ERR_HOOK, lua_vm_do(&l, calls[i]));
        assert_message_has("is not available in the gateway");
    }
}

static void a_module_that_can_not_be_loaded_raises_each_time(void **state)
{
    (void)state;
    assert_int_equal(0, lua_vm_do(&l, "package.preload.broken = function() error 'oops' end "
                                      "pcall(require, 'broken') "
                                      "return (pcall(require, 'broken'))"));
    assert_false(lua_toboolean(l.vm->L, -1));
}

static void modules_of_debian_are_found(void **state)
{
    (void)state;
    assert_int_equal(0, lua_vm_do(&l, "return require('cjson').encode({ 1 })"));
    assert_string_equal("[1]", lua_tostring(l.vm->L, -1));
}

static void errors_have_a_traceback(void **state)
{
    (void)state;
    assert_int_equal(ERR_HOOK,
                     lua_vm_do(&l, "local function inner() error 'oops' end inner() return 1"));
    assert_message_has("oops");
    assert_message_has("in function 'inner'");
}

static void a_missing_library_is_told(void **state)
{
    char *error = NULL;
    struct vm_options o = {.lua_dir = "/nowhere", .plugin_dirs = ""};

    (void)state;
    assert_null(vm_new(&o, &error));
    assert_non_null(strstr(error, "demilune.boot"));
    free(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_runaway_ends_when_its_budget_is_spent, with_watchdog,
                                        without_watchdog),
        cmocka_unit_test_setup_teardown(a_runaway_in_a_coroutine_ends_too, with_watchdog,
                                        without_watchdog),
        cmocka_unit_test_setup_teardown(the_place_that_ran_away_is_told, with_watchdog,
                                        without_watchdog),
        cmocka_unit_test_setup_teardown(the_stop_of_an_earlier_entry_does_nothing, with_vm,
                                        without_vm),
        cmocka_unit_test_setup_teardown(memory_without_end_is_an_error, with_vm, without_vm),
        cmocka_unit_test_setup_teardown(a_hog_in_a_coroutine_ends_too, with_vm, without_vm),
        cmocka_unit_test_setup_teardown(garbage_does_not_fill_the_cap, with_vm, without_vm),
        cmocka_unit_test_setup_teardown(functions_that_hit_all_workers_raise, with_vm, without_vm),
        cmocka_unit_test_setup_teardown(a_module_that_can_not_be_loaded_raises_each_time, with_vm,
                                        without_vm),
        cmocka_unit_test_setup_teardown(modules_of_debian_are_found, with_vm, without_vm),
        cmocka_unit_test_setup_teardown(errors_have_a_traceback, with_vm, without_vm),
        cmocka_unit_test(a_missing_library_is_told),
    };

    log_configure(LOG_OFF, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
