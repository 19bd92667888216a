/* SPDX-License-Identifier: Apache-2.0 */

/* The real watchdog and a VM: runaways are stopped in time, waiting costs nothing, a hang ends the process. */

#include "support/test.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/watchdog.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "support/lua_vm.h"

static struct lua_vm l;
static struct watchdog *w;

static void begin(uint32_t budget_ms, uint32_t hang_ms)
{
    lua_vm_init(&l, 64 * MIB);
    w = watchdog_new(budget_ms, hang_ms);
    vm_use_on_this_thread(l.vm, &l.gateway, watchdog_watch(w, 1));
}

static void finish(void)
{
    watchdog_unwatch(w, l.vm->watch);
    lua_vm_deinit(&l);
    watchdog_free(w);
}

static void a_runaway_is_stopped_soon_after_its_budget(void **state)
{
    (void)state;
    LUA_VM_SKIP_STOPS();
    begin(100, 60000);
    for (int i = 0; i < 3; i++) {
        uint64_t before = clock_cpu_us();
        assert_int_equal(ERR_BUDGET, lua_vm_do(&l, "while true do end"));
        uint64_t used = clock_cpu_us() - before;
        assert_non_null(strstr(lua_tostring(l.vm->L, -1), "time budget of 100ms exceeded"));
        assert_true(used >= 100000);
        assert_true(used < 100000 + 1000000); /* 20 ms on a machine that is not busy */
    }
    finish();
}

static void work_within_the_budget_is_left_alone(void **state)
{
    (void)state;
    begin(1000, 60000);
    uint64_t until = clock_us_now() + 300000;
    while (clock_us_now() < until)
        assert_int_equal(0, lua_vm_do(&l, "local n = 0 for i = 1, 1e6 do n = n + i end return n"));
    finish();
}

static void a_wait_is_not_counted(void **state)
{
    bool failed;

    (void)state;
    begin(30, 60000);
    assert_string_equal("true",
                        lua_vm_run(&l, "return require('demilune.task').sleep(0.1)", &failed));
    assert_false(failed);
    finish();
}

/* Whom the watchdog names in its lines is never one that has gone. */
static void a_vm_that_ends_is_taken_from_its_watch(void **state)
{
    (void)state;
    begin(1000, 60000);
    struct vm_watch *watch = l.vm->watch;
    assert_int_equal(0, lua_vm_do(&l, "return 1"));
    assert_ptr_equal(l.vm, atomic_load(&watch->vm));
    watchdog_unwatch(w, watch);
    lua_vm_deinit(&l);
    assert_null(atomic_load(&watch->vm));
    watchdog_free(w);
}

static void a_changed_budget_counts_at_once(void **state)
{
    (void)state;
    LUA_VM_SKIP_STOPS();
    begin(60000, 600000);
    watchdog_set(w, 20, 60000);
    assert_int_equal(ERR_BUDGET, lua_vm_do(&l, "while true do end"));
    assert_non_null(strstr(lua_tostring(l.vm->L, -1), "time budget of 20ms exceeded"));
    finish();
}

/* A C function that no hook interrupts. */
static void a_hang_ends_the_process(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        begin(50, 200);
        (void)lua_vm_do(&l, "return ('a'):rep(60):find(('.-'):rep(30) .. 'b')");
        _exit(0);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(SIGABRT, WTERMSIG(status));
}

/* One that waits uses no CPU time: it is told by its sleep, long before ten times the limit. */
static void a_wait_inside_c_is_a_hang(void **state)
{
    uint64_t before = clock_us_now();
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        begin(50, 2000);
        (void)lua_vm_do(
            &l,
            "local ffi = require('ffi') ffi.cdef('int pause(void)') while true do ffi.C.pause() end");
        _exit(0);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(SIGABRT, WTERMSIG(status));
    assert_true(clock_us_now() - before < 18 * 1000000u);
}

static void end_of_a_loop(bool turns)
{
    lua_vm_init(&l, 64 * MIB);
    w = watchdog_new(50, 200);
    struct vm_watch *watch = watchdog_watch(w, 1);
    for (int i = 0; turns && i < 300; i++) {
        watchdog_beat(watch);
        usleep(5000);
    }
    if (!turns)
        pause();
    _exit(7);
}

/* All of the process is held (a debugger, a machine that is moved) while its loop turns as it should. */
static void a_process_that_was_held_goes_on(void **state)
{
    int status, stops = 6;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        begin(50, 2000);
        while (getppid() != 1) {
            watchdog_beat(l.vm->watch);
            usleep(12000); /* so that now and then a look sees the same beat again */
        }
        _exit(0);
    }
    for (int i = 0; i < stops; i++) {
        usleep(50000 + 3000 * (useconds_t)i);
        kill(child, SIGSTOP);
        usleep(600000);
        kill(child, SIGCONT);
    }
    usleep(100000);
    assert_int_equal(0, waitpid(child, &status, WNOHANG));
    kill(child, SIGKILL);
    assert_int_equal(child, waitpid(child, &status, 0));
}

static void a_loop_that_does_not_turn_ends_the_process(void **state)
{
    (void)state;
    for (int turns = 0; turns < 2; turns++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            end_of_a_loop(turns);
        }
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_true(turns ? WIFEXITED(status) && WEXITSTATUS(status) == 7 : WIFSIGNALED(status));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_runaway_is_stopped_soon_after_its_budget),
        cmocka_unit_test(work_within_the_budget_is_left_alone),
        cmocka_unit_test(a_wait_is_not_counted),
        cmocka_unit_test(a_vm_that_ends_is_taken_from_its_watch),
        cmocka_unit_test(a_changed_budget_counts_at_once),
        cmocka_unit_test(a_hang_ends_the_process),
        cmocka_unit_test(a_wait_inside_c_is_a_hang),
        cmocka_unit_test(a_process_that_was_held_goes_on),
        cmocka_unit_test(a_loop_that_does_not_turn_ends_the_process),
    };

    log_configure(LOG_OFF, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
