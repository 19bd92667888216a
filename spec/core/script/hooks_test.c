/* SPDX-License-Identifier: Apache-2.0 */

/* Plugins in a gateway, as a client sees them: order, replies, failures, waits, cancellation, tasks, start and stop. */

#include "support/test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "script/hooks.h"
#include "support/lua_gate.h"

static struct lua_gate l;

static int with_gate(void **state)
{
    (void)state;
    lua_gate_init(&l);
    return 0;
}

static int without_gate(void **state)
{
    (void)state;
    lua_gate_deinit(&l);
    return 0;
}

static void start(const char *yaml)
{
    if (!lua_gate_start(&l, yaml))
        fail_msg("%s", lua_gate_faults(&l));
}

static void assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("expected \"%s\" in:\n%s", part, text ? text : "(nothing)");
}

static void assert_has_not(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("did not expect \"%s\" in:\n%s", part, text);
}

#define LISTENERS "listeners: [{ address: 127.0.0.1:PORT }]\n"
#define HELLO \
    "routes: [{ name: hello, paths: [/hello, \"/items/{id}\"], respond: { body: \"hello\\n\" }, plugins: "
#define END " }]\n"

/* Notes the order in which its hooks run in a header of the answer. */
static void add_tracer(const char *name)
{
    char source[1024];

    snprintf(
        source, sizeof(source),
        "local function note(x, what) x.ctx.seen = (x.ctx.seen or '') .. '%s.' .. what .. ' ' end\n"
        "function P.new(config) return setmetatable({}, P) end\n"
        "function P:access(x) note(x, 'access') end\n"
        "function P:response(x) note(x, 'response') x.response.headers.seen = x.ctx.seen end\n",
        name);
    lua_gate_plugin(&l, name, source);
}

static void hooks_run_in_the_order_of_the_contract(void **state)
{
    (void)state;
    add_tracer("aa");
    add_tracer("bb");
    add_tracer("cc");
    lua_gate_plugin(&l, "auth", "function P:access(x) x.consumer = 'acme' end");
    start(LISTENERS "plugins: [{ name: aa }]\n"
                    "consumers: [{ name: acme, plugins: [{ name: cc }] }]\n" HELLO
                    "[{ name: auth }, { name: bb }]" END);
    assert_has(lua_gate_ask(&l, "/hello"),
               "seen: aa.access bb.access cc.access cc.response bb.response aa.response\r\n");
}

static void a_reply_ends_the_phase(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "door",
        "function P:access(x) return x:reply(403, { ['x-why'] = { 'a', 'b' }, age = 7 }, { no = 'entry' }) end");
    lua_gate_plugin(&l, "never", "function P:access(x) error 'was called' end");
    start(LISTENERS HELLO "[{ name: door }, { name: never }]" END);
    const char *answer = lua_gate_ask(&l, "/hello");
    assert_has(answer, "HTTP/1.1 403 ");
    assert_has(answer, "x-why: a\r\nx-why: b\r\n");
    assert_has(answer, "age: 7\r\n");
    assert_has(answer, "content-type: application/json\r\n");
    assert_has(answer, "\r\n\r\n{\"no\":\"entry\"}");
    assert_null(lua_gate_logged(&l, "was called"));
}

static void a_hook_that_raises_is_a_500_with_a_log_line(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "broken",
        "local function deep(x) return x.nothing.there end\nfunction P:access(x) return deep({}) + 1 end");
    start(LISTENERS HELLO "[{ name: broken }]" END);
    const char *answer = lua_gate_ask(&l, "/hello");
    assert_has(answer, "HTTP/1.1 500 ");
    assert_has_not(answer, "nothing");
    const char *line = lua_gate_logged(&l, "hook.failed");
    assert_has(line, "\"plugin\":\"broken\"");
    assert_has(line, "\"route\":\"hello\"");
    assert_has(line, "\"hook\":\"access\"");
    assert_has(line, "broken/init.lua:3:");
    assert_has(line, "in function 'deep'");
    assert_has(line, "\"exchange\":\"");
    assert_has(lua_gate_ask(&l, "/hello"), "HTTP/1.1 500 ");
}

static void on_error_continue_lets_the_request_pass(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "broken",
        "function P:access(x) error 'oops' end\nfunction P:response(x) error 'again' end");
    lua_gate_plugin(&l, "after", "function P:access(x) x.response.headers.later = 'ran' end");
    start(LISTENERS HELLO "[{ name: broken, on_error: continue }, { name: after }]" END);
    const char *answer = lua_gate_ask(&l, "/hello");
    assert_has(answer, "HTTP/1.1 200 ");
    assert_has(answer, "later: ran\r\n");
    assert_has(lua_gate_logged(&l, "oops"), "\"plugin\":\"broken\"");
    assert_has(lua_gate_logged(&l, "again"), "\"hook\":\"response\"");
}

static void log_hooks_do_not_take_each_other_away(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "broken", "function P:log(x) error 'oops' end");
    lua_gate_plugin(&l, "last",
                    "local seen\nfunction P:log(x) seen = x.response.status .. x.request.path end\n"
                    "function P:access(x) x.response.headers.before = seen end");
    start(LISTENERS HELLO "[{ name: broken }, { name: last }]" END);
    assert_has(lua_gate_ask(&l, "/hello"), "HTTP/1.1 200 ");
    assert_has(lua_gate_ask(&l, "/hello"), "before: 200/hello\r\n");
}

static void every_hook_may_wait(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "slow",
        "local task = require 'demilune.task'\n"
        "local function wait(x, what) task.sleep(0.002) x.ctx.seen = (x.ctx.seen or '') .. what .. ' ' end\n"
        "function P:rewrite(x) wait(x, 'rewrite') end\n"
        "function P:access(x) wait(x, 'access') wait(x, 'access') end\n"
        "function P:response(x) wait(x, 'response') x.response.headers.seen = x.ctx.seen end\n"
        "function P:body(x, chunk, last) task.sleep(0.002) return chunk:upper() end\n"
        "local logged\nfunction P:log(x) task.sleep(0.002) logged = x.ctx.seen end\n");
    lua_gate_plugin(
        &l, "slower",
        "local task = require 'demilune.task' function P:access(x) task.sleep(0.002) x.ctx.seen = x.ctx.seen .. 'slower ' end");
    start(LISTENERS "plugins: [{ name: slow }]\n" HELLO "[{ name: slower }]" END);
    for (int i = 0; i < 3; i++) {
        const char *answer = lua_gate_ask(&l, "/hello");
        assert_has(answer, "seen: rewrite access access slower response\r\n");
        assert_has(answer, "HELLO\n");
    }
}

static void many_exchanges_wait_at_once(void **state)
{
    int fds[20];
    char answers[20][1024] = {{0}};

    (void)state;
    lua_gate_plugin(
        &l, "slow",
        "local task = require 'demilune.task'\nfunction P:access(x) local id = x.request.headers['x-id'] x.ctx.id = id\n"
        "task.sleep(0.005 * (tonumber(id) % 3)) x:reply(200, {}, 'id ' .. x.request.headers['x-id'] .. x.ctx.id) end");
    start(LISTENERS HELLO "[{ name: slow }]" END);
    for (int i = 0; i < 20; i++) {
        char request[200];
        int n =
            snprintf(request, sizeof(request),
                     "GET /hello HTTP/1.1\r\nHost: t\r\nX-Id: %d\r\nConnection: close\r\n\r\n", i);
        fds[i] = loopback_connect(&l.at);
        assert_int_equal(n, send(fds[i], request, (size_t)n, 0));
        loopback_set_blocking(fds[i], false);
    }
    for (int i = 0; i < 20; i++) {
        char expected[40];
        size_t len = 0;
        TURN_UNTIL(l.loop, (len = strlen(answers[i]),
                            recv(fds[i], answers[i] + len, sizeof(answers[i]) - 1 - len, 0)) == 0);
        snprintf(expected, sizeof(expected), "\r\n\r\nid %d%d", i, i);
        assert_has(answers[i], expected);
        close(fds[i]);
    }
}

static void a_failure_after_a_wait_is_still_its_own_plugins(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "first",
        "local task = require 'demilune.task'\n"
        "function P:access(x) if x.request.query == 'slow' then task.sleep(0.02) error 'late' end end");
    lua_gate_plugin(&l, "second", "function P:access(x) x:reply(200, {}, 'quick') end");
    start(LISTENERS HELLO "[{ name: first }, { name: second }]" END);
    int fd = loopback_connect(&l.at);
    const char *request = "GET /hello?slow HTTP/1.1\r\nHost: t\r\n\r\n";
    assert_int_equal(strlen(request), send(fd, request, strlen(request), 0));
    TURN_UNTIL(l.loop, l.vm->nwaiting == 1);
    assert_has(lua_gate_ask(&l, "/hello"), "quick"); /* the latest plugin that ran is another */
    TURN_UNTIL(l.loop, lua_gate_logged(&l, "late") != NULL);
    assert_has(lua_gate_logged(&l, "late"), "\"plugin\":\"first\"");
    close(fd);
}

static void a_client_that_leaves_cancels_the_wait(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "slow",
        "local task = require 'demilune.task' local words = {}\n"
        "function P:access(x) if x.request.query == 'tell' then return x:reply(200, {}, table.concat(words, ' ')) end\n"
        "for i = 1, 2 do words[#words + 1] = select(2, task.sleep(60)) or 'slept' end end\n"
        "function P:log(x) words[#words + 1] = 'log' words[#words + 1] = x.error words[#words + 1] = tostring(task.sleep(0.001)) end");
    start(LISTENERS HELLO "[{ name: slow }]" END);
    int fd = loopback_connect(&l.at);
    const char *request = "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n";
    assert_int_equal(strlen(request), send(fd, request, strlen(request), 0));
    TURN_UNTIL(l.loop, l.vm->nwaiting == 1);
    close(fd);
    TURN_UNTIL(l.loop, gateway_exchanges(&l.gateway) == 0);
    assert_has(lua_gate_ask(&l, "/hello?tell"), "\r\n\r\ncancelled cancelled log client_gone true");
}

static void body_hooks_see_and_change_every_chunk(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "upper", "function P:body(x, chunk, last) return (chunk:upper()) end");
    lua_gate_plugin(&l, "ends",
                    "function P:body(x, chunk, last) if last then return chunk .. '[end]' end end");
    lua_gate_plugin(&l, "looks",
                    "function P:body(x, chunk, last) x.ctx.n = (x.ctx.n or 0) + #chunk end\n"
                    "function P:log(x) assert(x.ctx.n == 6) end");
    start(LISTENERS HELLO "[{ name: upper }, { name: ends }, { name: looks }]" END);
    assert_has(lua_gate_ask(&l, "/hello"), "HELLO\n[END]"); /* the last written is the innermost */
    assert_null(lua_gate_logged(&l, "hook.failed"));
}

static void a_body_hook_that_returns_nonsense_fails(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "wrong", "function P:body(x, chunk, last) return 5 end");
    start(LISTENERS HELLO "[{ name: wrong }]" END);
    (void)lua_gate_ask(&l, "/hello");
    assert_has(lua_gate_logged(&l, "hook.failed"),
               "a body hook returns a text, or nil, not a number");
}

static void the_request_body_is_waited_for(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "reads",
        "function P:access(x) local q = x.request.query\n"
        "if q == 'json' then local v, err = x.request.body:json() return x:reply(200, {}, v and v.a or 'no ' .. err) end\n"
        "if q == 'chunks' then local t = {} for c in x.request.body:chunks() do t[#t + 1] = c end return x:reply(200, {}, '<' .. table.concat(t) .. '>') end\n"
        "local text, err = x.request.body:read() x:reply(200, {}, text or 'no ' .. err) end");
    start("limits: { buffered_body: 1KiB }\n" LISTENERS HELLO "[{ name: reads }]" END);
#define POST(query, length, body) \
    "POST /hello?" query " HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: " length \
    "\r\n\r\n" body
    assert_has(lua_gate_ask(&l, POST("read", "5", "12345")), "\r\n\r\n12345");
    assert_has(lua_gate_ask(&l, POST("read", "0", "")), "HTTP/1.1 200 ");
    assert_has(lua_gate_ask(&l, POST("read", "2000", "x")), "\r\n\r\nno body_too_large");
    assert_has(lua_gate_ask(&l, POST("json", "9", "{\"a\":\"b\"}")), "\r\n\r\nb");
    assert_has(lua_gate_ask(&l, POST("json", "1", "{")), "\r\n\r\nno syntax");
    assert_has(lua_gate_ask(&l, POST("chunks", "4", "abcd")), "\r\n\r\n<abcd>");
    int fd = loopback_connect(&l.at);
    const char *head =
        "POST /hello?chunks HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab";
    char answer[1024] = "";
    assert_int_equal(strlen(head), send(fd, head, strlen(head), 0));
    for (int i = 0; i < 5; i++)
        loop_turn(l.loop, 1);
    assert_int_equal(2, send(fd, "cd", 2, 0));
    loopback_set_blocking(fd, false);
    size_t len = 0;
    TURN_UNTIL(l.loop,
               (len = strlen(answer), recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) == 0);
    assert_has(answer, "\r\n\r\n<abcd>");
    close(fd);
}

static void tasks_end_with_their_exchange_but_for_detached_ones(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "tasks",
        "local task = require 'demilune.task' local words = {}\n"
        "function P:access(x) if x.request.query == 'tell' then return x:reply(200, {}, table.concat(words, ' ')) end\n"
        "task.spawn(function() words[#words + 1] = 'spawned ' .. tostring(select(2, task.sleep(60))) end)\n"
        "task.detach(function() task.sleep(0.01) words[#words + 1] = 'detached ' .. tostring(pcall(function() return x.id end)) end) end");
    start(LISTENERS HELLO "[{ name: tasks }]" END);
    (void)lua_gate_ask(&l, "/hello");
    TURN_UNTIL(l.loop, l.vm->nwaiting == 0);
    assert_has(lua_gate_ask(&l, "/hello?tell"), "\r\n\r\nspawned cancelled detached false");
}

static void start_and_stop_have_their_time(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "daemon",
        "local task = require 'demilune.task' local log = {}\n"
        "function P.new(config, context) return setmetatable({ n = 0, word = config.word }, P) end\n"
        "P.schema = { type = 'object', properties = { word = { type = 'string' } } }\n"
        "function P:start(context) self.seen = table.concat({ context.plugin, tostring(context.route), context.worker, tostring(context.first), context.version > 0 and 'v' or '' }, ' ')\n"
        "task.every(0.001, function() self.n = self.n + 1 end) end\n"
        "function P:access(x) x:reply(200, {}, self.word .. ' ' .. self.seen .. (self.n > 2 and ' ticks' or '')) end\n"
        "function P:stop(context) error('stopped ' .. self.word) end\n");
    start(LISTENERS HELLO "[{ name: daemon, config: { word: w } }]" END);
    for (int i = 0; i < 20; i++)
        loop_turn(l.loop, 2);
    assert_has(lua_gate_ask(&l, "/hello"), "\r\n\r\nw daemon hello 1 true v ticks");
}

/* A new configuration without plugins takes the place of the running one. */
static void retire_plan(void)
{
    hooks_stop(l.gateway.plan->host);
    gateway_use(&l.gateway, plan_new(&l.gateway, snapshot_ref(l.snapshot), NULL, NULL));
}

static void a_retired_plan_ends_its_exchanges_and_tasks_first(void **state)
{
    char answer[1024] = "";
    const char *request = "GET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    size_t len = 0;

    (void)state;
    lua_gate_plugin(
        &l, "slow",
        "local task = require 'demilune.task'\n"
        "function P:access(x) task.detach(function() task.sleep(10) error 'detached task has run' end)\n"
        "task.sleep(0.02) x:reply(200, {}, 'old') end\n"
        "function P:start() task.spawn(function() task.sleep(60) end) end");
    start(LISTENERS HELLO "[{ name: slow }]" END);
    int fd = loopback_connect(&l.at);
    assert_int_equal(strlen(request), send(fd, request, strlen(request), 0));
    loopback_set_blocking(fd, false);
    TURN_UNTIL(l.loop, l.vm->nwaiting == 3);
    retire_plan();
    assert_has(lua_gate_ask(&l, "/hello"), "hello\n"); /* no plugin is asked any more */
    TURN_UNTIL(l.loop,
               (len = strlen(answer), recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) == 0);
    assert_has(answer, "\r\n\r\nold");
    close(fd);
    assert_null(lua_gate_logged(&l, "detached task"));
    clock_advance_ms(10000);
    TURN_UNTIL(l.loop, l.gateway.script == NULL); /* the VM has gone */
    assert_non_null(lua_gate_logged(&l, "detached task has run"));
}

static void a_hook_may_not_load_modules(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "late", "function P:access(x) require 'inifile' end");
    start(LISTENERS HELLO "[{ name: late }]" END);
    assert_has(lua_gate_ask(&l, "/hello"), "HTTP/1.1 500 ");
    assert_has(lua_gate_logged(&l, "hook.failed"),
               "late/init.lua:3: module \\\"inifile\\\" is not loaded yet");
}

static void attempts_are_chosen_seen_and_tried_again(void **state)
{
    char source[2048];

    (void)state;
    snprintf(
        source, sizeof(source),
        "local me\n"
        "P.schema = { type = 'object', properties = { me = { type = 'string' } } }\n"
        "function P.new(config) return setmetatable({ me = config.me }, P) end\n"
        "function P:balance(x, a) a.headers['x-try'] = a.number a.timeout = 2.5\n"
        "  a.headers.host = 'target.example:' .. a.number\n"
        "  a.endpoint = a.number == 1 and '127.0.0.1:1' or self.me end\n"
        "function P:attempt(x, a) x.ctx.seen = (x.ctx.seen or '') .. table.concat({ a.number, a.upstream, tostring(a.error),\n"
        "  tostring(a.status), a.timeout, a.response and a.response.headers['content-length'] or '-' }, ' ') .. '; '\n"
        "  if a.status ~= 200 and a.number < 3 then return 'retry', 0.001 end end\n"
        "function P:response(x) x.response.headers.seen = x.ctx.seen x.response.headers.tries = #x.attempts end\n");
    lua_gate_plugin(&l, "again", source);
    start(
        LISTENERS
        "upstreams: [{ name: me, endpoints: [{ address: \"127.0.0.1:1\" }, { address: \"127.0.0.1:PORT\" }] }]\n"
        "routes: [{ name: target, hosts: [target.example], paths: [/x], headers: { x-try: \"2\" }, respond: { body: got } },\n"
        "{ name: proxy, paths: [/x], upstream: me, plugins: [{ name: again, config: { me: \"127.0.0.1:PORT\" } }] }]\n");
    const char *answer = lua_gate_ask(&l, "/x");
    assert_has(answer, "HTTP/1.1 200 ");
    assert_has(answer, "seen: 1 me connect nil 2.5 -; 2 me nil 200 2.5 3;\r\n");
    assert_has(answer, "tries: 2\r\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, with_gate, without_gate)
    const struct CMUnitTest tests[] = {
        TEST(hooks_run_in_the_order_of_the_contract),
        TEST(a_reply_ends_the_phase),
        TEST(a_hook_that_raises_is_a_500_with_a_log_line),
        TEST(on_error_continue_lets_the_request_pass),
        TEST(log_hooks_do_not_take_each_other_away),
        TEST(every_hook_may_wait),
        TEST(many_exchanges_wait_at_once),
        TEST(a_failure_after_a_wait_is_still_its_own_plugins),
        TEST(a_client_that_leaves_cancels_the_wait),
        TEST(body_hooks_see_and_change_every_chunk),
        TEST(a_body_hook_that_returns_nonsense_fails),
        TEST(the_request_body_is_waited_for),
        TEST(tasks_end_with_their_exchange_but_for_detached_ones),
        TEST(start_and_stop_have_their_time),
        TEST(a_retired_plan_ends_its_exchanges_and_tasks_first),
        TEST(a_hook_may_not_load_modules),
        TEST(attempts_are_chosen_seen_and_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
