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
    vm_use_on_this_thread(l.vm, &l.gateway, watchdog_watch(w));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_runaway_is_stopped_soon_after_its_budget),
        cmocka_unit_test(work_within_the_budget_is_left_alone),
        cmocka_unit_test(a_wait_is_not_counted),
        cmocka_unit_test(a_changed_budget_counts_at_once),
        cmocka_unit_test(a_hang_ends_the_process),
    };

    log_configure(LOG_OFF, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
