/* SPDX-License-Identifier: Apache-2.0 */

/* Waiting, waking, cancelling: what hooks and tasks see of the scheduler. Time is moved by hand. */

#include "support/test.h"

#include <lauxlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "script/co.h"
#include "support/lua_vm.h"

static struct lua_vm l;

static int with_vm(void **state)
{
    (void)state;
    lua_vm_init(&l, 0);
    return 0;
}

static int without_vm(void **state)
{
    (void)state;
    lua_vm_deinit(&l);
    return 0;
}

/* --- a coroutine by hand ------------------------------------------------------------------------------------------- */

static char log_text[8192];
static int ends;

static void note_end(struct co *co, lua_State *L, enum co_end end, int nresults)
{
    static const char *const names[] = {"returned", "raised", "stopped"};

    (void)co;
    (void)nresults;
    snprintf(log_text, sizeof(log_text), "%s: %s", names[end],
             lua_isstring(L, -1) ? lua_tostring(L, -1) : "-");
    ends++;
}

static struct co *begin(const char *chunk)
{
    struct co *co = co_new(l.vm, NULL, note_end, NULL);

    log_text[0] = '\0';
    ends = 0;
    if (luaL_loadstring(co->thread, chunk) != 0)
        fail_msg("%s", lua_tostring(co->thread, -1));
    return co;
}

/* A function of the test that waits for the test: wait_for_test() in Lua. */
static struct co *waiter;
static int cancels;

static void on_cancel(struct co *co, void *wait)
{
    assert_ptr_equal(co, waiter);
    assert_ptr_equal(wait, &waiter);
    cancels++;
}

static int wait_for_test(lua_State *L)
{
    waiter = co_current(L);
    return co_wait(L, waiter, on_cancel, &waiter, (uint64_t)luaL_optnumber(L, 1, 0));
}

static int with_wait(void **state)
{
    with_vm(state);
    cancels = 0;
    lua_pushcfunction(l.vm->L, wait_for_test);
    lua_setglobal(l.vm->L, "wait_for_test");
    return 0;
}

static void a_wait_gives_what_it_is_woken_with(void **state)
{
    (void)state;
    struct co *co = begin("local a, b = wait_for_test() return a .. b");
    assert_true(co_run(co, 0));
    assert_int_equal(1, (int)l.vm->nwaiting);
    lua_pushliteral(co->thread, "left ");
    lua_pushliteral(co->thread, "right");
    co_wake(co, 2);
    assert_string_equal("returned: left right", log_text);
    assert_int_equal(0, (int)l.vm->nwaiting);
    assert_int_equal(0, cancels);
}

static void waits_pass_through_a_plugins_own_coroutines(void **state)
{
    static const char *const chunks[] = {
        "return coroutine.wrap(function() return wait_for_test() end)()",
        "local _, v = coroutine.resume(coroutine.create(function() return wait_for_test() end)) return v",
        "local f = coroutine.wrap(function() coroutine.yield('a') coroutine.yield(wait_for_test()) end) f() return f()",
        "return coroutine.wrap(function() return coroutine.wrap(function() return wait_for_test() end)() end)()",
        "local _, v = pcall(function() return wait_for_test() end) return v",
        "for v in function(_, c) if not c then return wait_for_test() end end do return v end",
        "return setmetatable({}, { __index = function() return wait_for_test() end }).x",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        struct co *co = begin(chunks[i]);
        assert_true(co_run(co, 0));
        lua_pushliteral(co->thread, "woken");
        co_wake(co, 1);
        assert_string_equal("returned: woken", log_text);
    }
}

static void coroutines_of_plugins_are_what_they_were(void **state)
{
    bool failed;

    (void)state;
    assert_string_equal(
        "1 2 3 end dead false",
        lua_vm_run(
            &l,
            "local co = coroutine.create(function(a) local b = coroutine.yield(a) local c = coroutine.yield(b) return c, 'end' end)"
            "local _, a = coroutine.resume(co, 1) local _, b = coroutine.resume(co, 2) local _, c, e = coroutine.resume(co, 3)"
            "return table.concat({ a, b, c, e, coroutine.status(co), tostring((coroutine.resume(co))) }, ' ')",
            &failed));
    assert_string_equal(
        "oops",
        lua_vm_run(&l,
                   "local _, e = pcall(coroutine.wrap(function() error('oops', 0) end)) return e",
                   &failed));
}

static void where_nothing_can_wait_it_is_said(void **state)
{
    static const char *const chunks[] = {
        "('x'):gsub('x', function() wait_for_test() end)",
        "table.sort({ 3, 2, 1 }, function() return wait_for_test() end)",
    };
    bool failed;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        assert_non_null(strstr(lua_vm_run(&l, chunks[i], &failed), "can't wait here: between"));
        assert_true(failed);
    }
    assert_true(lua_vm_do(&l, "return wait_for_test()") < 0);
    assert_non_null(strstr(lua_tostring(l.vm->L, -1), "not run by a hook or a task"));
    assert_non_null(strstr(lua_vm_run(&l, "coroutine.yield(1)", &failed),
                           "outside of a coroutine of your own"));
}

static void a_cancelled_wait_and_all_later_ones_end(void **state)
{
    (void)state;
    struct co *co = begin(
        "local a, b = wait_for_test() local c, d = wait_for_test() local e, f = require('demilune.task').sleep(5)"
        "return table.concat({ tostring(a), b, tostring(c), d, tostring(e), f }, ' ')");
    assert_true(co_run(co, 0));
    co_cancel(co);
    assert_string_equal("returned: nil cancelled nil cancelled nil cancelled", log_text);
    assert_int_equal(2, cancels);
    assert_int_equal(1, ends);
}

static void a_wait_has_a_deadline(void **state)
{
    (void)state;
    struct co *co = begin("local a, b = wait_for_test(1000) return tostring(a) .. ' ' .. b");
    assert_true(co_run(co, 0));
    clock_advance_ms(500);
    loop_turn(l.gateway.loop, 0);
    assert_int_equal(0, ends);
    clock_advance_ms(510);
    loop_turn(l.gateway.loop, 0);
    loop_turn(l.gateway.loop, 0);
    assert_string_equal("returned: nil timeout", log_text);
    assert_int_equal(1, cancels);
}

static void the_coroutines_own_deadline_comes_first(void **state)
{
    (void)state;
    struct co *co = begin(
        "local task = require 'demilune.task' local a, b = task.sleep(10) local c, d = wait_for_test()"
        "return table.concat({ tostring(a), tostring(b), tostring(c), d }, ' ')");
    co->deadline_ms = clock_ms() + 1000;
    assert_true(co_run(co, 0));
    clock_advance_ms(1010);
    loop_turn(l.gateway.loop, 0);
    loop_turn(l.gateway.loop, 0);
    assert_string_equal("returned: nil timeout nil timeout", log_text);
}

static void a_finished_coroutine_is_used_again(void **state)
{
    (void)state;
    struct co *first = begin("return 'one'");
    lua_State *thread = first->thread;
    assert_false(co_run(first, 0));
    struct co *second = begin("return 'two'");
    assert_ptr_equal(first, second);
    assert_ptr_equal(thread, second->thread);
    assert_false(co_run(second, 0));
    assert_string_equal("returned: two", log_text);
}

static void one_that_raised_is_not(void **state)
{
    (void)state;
    struct co *co = begin("local function deep() error 'broken' end deep() return 1");
    assert_false(co_run(co, 0));
    assert_non_null(strstr(log_text, "raised:"));
    assert_non_null(strstr(log_text, "broken"));
    assert_non_null(strstr(log_text, "in function 'deep'"));
    assert_true(list_is_empty(&l.vm->idle));
    assert_false(co_run(begin("return 'fine'"), 0));
    assert_string_equal("returned: fine", log_text);
}

static void an_error_need_not_be_a_text(void **state)
{
    static const char *const chunks[] = {
        "error({ message = 'mine' })", "error({})", "error(nil)",
        "error(setmetatable({}, { __tostring = function() error 'again' end }))"};
    static const char *const expected[] = {"mine", "(the error is a table)", "(the error is a nil)",
                                           "(the error is a table)"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        assert_false(co_run(begin(chunks[i]), 0));
        assert_non_null(strstr(log_text, expected[i]));
    }
}

/* There is no room on its stack then for anybody who looks at it. */
static void one_that_recursed_without_end_is_reported(void **state)
{
    (void)state;
    assert_false(co_run(begin("local function deep() return 1 + deep() end return deep()"), 0));
    assert_non_null(strstr(log_text, "stack overflow"));
    assert_non_null(strstr(log_text, "in function 'deep'"));
    assert_false(co_run(begin("return 'fine'"), 0));
    assert_string_equal("returned: fine", log_text);
}

static void what_waits_at_the_end_is_dropped(void **state)
{
    (void)state;
    assert_true(co_run(begin("wait_for_test()"), 0));
    vm_leave_this_thread(l.vm);
    assert_int_equal(1, cancels);
    assert_int_equal(0, ends);
}

/* --- tasks --------------------------------------------------------------------------------------------------------- */

struct sample {
    const char *chunk, *expected;
};

static void tasks_do_what_their_names_say(void **state)
{
    static const struct sample samples[] = {
        {"local t = task.spawn(function(a, b) return a + b end, 3, 4) return t:join()", "7"},
        {"local t = task.spawn(function() task.sleep(0) return nil, 'no_luck' end) return t:join()",
         "nil, no_luck"},
        {"local a, b = task.join(task.spawn(function() task.sleep(0.001) return 'a' end), task.spawn(function() return 'b' end)) return a .. b",
         "ab"},
        {"local r, e = task.all { x = function() task.sleep(0.001) return 1 end, y = function() return nil, 'gone' end } return r.x .. e.y",
         "1gone"},
        {"local v, k = task.any { slow = function() task.sleep(60) return 1 end, fast = function() return 2 end } return k .. v",
         "fast2"},
        {"return task.any { function() return nil, 'first' end }", "nil, first"},
        {"local t = task.spawn(function() return task.sleep(60) end) t:cancel() return t:join()",
         "nil, cancelled"},
        {"local seen local t = task.spawn(function() local _, word = task.sleep(60) seen = word end) task.sleep(0) t:cancel() task.sleep(0.001) return seen",
         "cancelled"},
        {"local n = 0 local t = task.every(0.001, function() n = n + 1 if n == 2 then error 'passes' end end) while n < 4 do task.sleep(0.001) end t:cancel() return n",
         "4"},
        {"return task.deadline(0.001, function() return task.sleep(60) end)", "nil, timeout"},
        {"task.deadline(0.001, function() return task.sleep(60) end) return task.sleep(0.001)",
         "true"},
        {"local ok, e = pcall(task.deadline, 1, function() error('inside', 0) end) return e .. tostring(task.time_left())",
         "insidenil"},
        {"local child local t = task.spawn(function() child = task.spawn(function() return task.sleep(60) end) end) t:join() return child:join()",
         "nil, cancelled"},
        {"local t = task.spawn(function() task.sleep(0.001) return 'kept' end) task.sleep(0.01) return t:join()",
         "kept"},
        {"local n = 0 local function again() n = n + 1 if n < 500 then task.spawn(again):join() end end again() return n",
         "500"},
    };
    bool failed;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        char chunk[1024];
        snprintf(chunk, sizeof(chunk), "local task = require 'demilune.task' %s", samples[i].chunk);
        const char *got = lua_vm_run(&l, chunk, &failed);
        if (strcmp(got, samples[i].expected) != 0)
            fail_msg("%s\n  gave %s, not %s", samples[i].chunk, got, samples[i].expected);
    }
}

static void what_a_task_raises_is_raised_where_it_is_joined(void **state)
{
    bool failed;

    (void)state;
    const char *got = lua_vm_run(
        &l,
        "local task = require 'demilune.task' task.spawn(function() error 'in the task' end):join()",
        &failed);
    assert_true(failed);
    assert_non_null(strstr(got, "in the task"));
    got = lua_vm_run(
        &l,
        "local task = require 'demilune.task' task.all { function() error 'one of all' end, function() task.sleep(60) end }",
        &failed);
    assert_true(failed);
    assert_non_null(strstr(got, "one of all"));
}

static void tasks_that_make_tasks_leave_the_loop_its_turns(void **state)
{
    (void)state;
    struct co *co =
        begin("local task = require 'demilune.task' local function f() task.detach(f) end f()");
    assert_false(co_run(co, 0));
    for (int i = 0; i < 10; i++)
        loop_turn(l.gateway.loop, 0); /* each comes back */
    assert_false(list_is_empty(&l.vm->ready));
}

static void a_scope_is_cancelled_as_one(void **state)
{
    (void)state;
    assert_false(co_run(
        begin(
            "local task = require 'demilune.task' for i = 1, 3 do task.spawn(function() task.sleep(60) end) end"),
        0));
    loop_turn(l.gateway.loop, 0);
    assert_int_equal(3, (int)l.vm->nwaiting);
    co_cancel_scope(&l.vm->tasks);
    loop_turn(l.gateway.loop, 0);
    assert_int_equal(0, (int)l.vm->nwaiting);
    assert_true(list_is_empty(&l.vm->tasks));
}

int main(void)
{
#define WITH_WAIT(test) cmocka_unit_test_setup_teardown(test, with_wait, without_vm)
    const struct CMUnitTest tests[] = {
        WITH_WAIT(a_wait_gives_what_it_is_woken_with),
        WITH_WAIT(waits_pass_through_a_plugins_own_coroutines),
        WITH_WAIT(coroutines_of_plugins_are_what_they_were),
        WITH_WAIT(where_nothing_can_wait_it_is_said),
        WITH_WAIT(a_cancelled_wait_and_all_later_ones_end),
        WITH_WAIT(a_wait_has_a_deadline),
        WITH_WAIT(the_coroutines_own_deadline_comes_first),
        WITH_WAIT(a_finished_coroutine_is_used_again),
        WITH_WAIT(one_that_raised_is_not),
        WITH_WAIT(an_error_need_not_be_a_text),
        WITH_WAIT(one_that_recursed_without_end_is_reported),
        WITH_WAIT(what_waits_at_the_end_is_dropped),
        WITH_WAIT(tasks_do_what_their_names_say),
        WITH_WAIT(what_a_task_raises_is_raised_where_it_is_joined),
        WITH_WAIT(tasks_that_make_tasks_leave_the_loop_its_turns),
        WITH_WAIT(a_scope_is_cancelled_as_one),
    };

    log_configure(LOG_OFF, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
