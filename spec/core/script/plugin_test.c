/* SPDX-License-Identifier: Apache-2.0 */

/* Plugins and the configuration: what is refused, with which words at which place, and what a plugin is given. */

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("expected \"%s\" in:\n%s", part, text ? text : "(nothing)");
}

/* The plugins item stands in line 4 of the text, its first key in column 5. */
static void assert_refused(const char *item, const char *fault)
{
    char yaml[1024];

    snprintf(
        yaml, sizeof(yaml),
        "routes:\n- { name: a, paths: [\"/{id}\"], respond: { body: x }, plugins: [\n    %s ] }\n",
        item);
    assert_false(lua_gate_start(&l, yaml));
    assert_has(lua_gate_faults(&l), fault);
}

static void start(const char *yaml)
{
    if (!lua_gate_start(&l, yaml))
        fail_msg("%s", lua_gate_faults(&l));
}

#define ACCESS "function P:access(x) end "
#define LIMIT \
    "P.schema = { type = 'object', properties = { limit = { type = 'integer', minimum = 1 }, window = { type = 'string', format = 'duration', default = '1m' }, names = { type = 'array', items = { type = 'string' } } } } "

static void a_plugin_that_is_not_there(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "door-keeper", ACCESS);
    assert_refused(
        "{ name: door-keper }",
        "test.yaml:4:13: routes[0].plugins[0]: the plugin \"door-keper\" is not installed, did you mean \"door-keeper\"?");
}

static void an_unknown_key_of_the_config(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "p", ACCESS LIMIT);
    assert_refused(
        "{ name: p, config: { limt: 5 } }",
        "test.yaml:4:26: routes[0].plugins[0].config.limt: unknown key, did you mean \"limit\"?");
}

static void a_wrong_value_in_the_config(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "p", ACCESS LIMIT);
    assert_refused("{ name: p, config: { limit: 0, names: [a, 5] } }",
                   "test.yaml:4:33: routes[0].plugins[0].config.limit: ");
    assert_has(lua_gate_faults(&l), "test.yaml:4:47: routes[0].plugins[0].config.names[1]: ");
}

struct unfit {
    const char *source, *fault;
};

/* With the plugin's own lines on the way there, and none of ours. */
static void what_new_raises_is_one_line(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "p",
                    "local function deep(c)\n  return c.a.b\nend\n" ACCESS
                    "\nfunction P.new(c)\n  local n = deep(c)\n  return n\nend\n");
    assert_refused("{ name: p }",
                   "p/init.lua:4: attempt to index field 'a' (a nil value) (called at ");
    assert_has(lua_gate_faults(&l), "p/init.lua:8)\n");
    assert_null(strstr(lua_gate_faults(&l), "traceback"));
}

static void what_is_no_plugin(void **state)
{
    static const struct unfit samples[] = {
        {"return {}", "its name is \"nil\", its folder's is \"p0\""},
        {"return 5", "the module returns no table"},
        {"return { name = 'p2' }", "it has no version"},
        {"return { name = 'p3', version = '1' }", "it has no hook"},
        {"return { name = 'p4', version = '1', access = 5 }", "its access is no function"},
        {"return { name = 'p5', version = '1', certificate = true }",
         "its certificate is no function"},
        {"error 'at load'", "p6/init.lua:1: at load"},
        {"local x = = 1", "unexpected symbol near '='"},
        {"forgotten = 1 return {}", "assignment to the undeclared global \"forgotten\""},
        {"return { name = 'p9', version = '1', after = 'x', access = function() end }",
         "its after is no list"},
        {"return { name = 'p10', version = '1', access = function() end, schema = { type = 'objekt' } }",
         "schema"},
        {"return { name = 'p11', version = '1', access = function() end, new = function() error('in new', 0) end }",
         "new failed: in new"},
        {"return { name = 'p12', version = '1', access = function() end, new = function() end }",
         "new returned no table"},
        {"require('demilune.task').sleep(1) return {}", "can't wait here"},
        {"return { name = 'p14', version = '1', access = function() end, answers_preflights = 'yes' }",
         "its answers_preflights is neither true nor false"},
        {"return { name = 'p15', version = '1', access = function() end, credential = { unique = 'id' } }",
         "its credential has no schema"},
        {"return { name = 'p16', version = '1', access = function() end, credential = { schema = { typ = 'object' } } }",
         "its credential: schema: the keyword \"typ\" is not supported"},
        {"require 'demilune.trace' return {}",
         "p17/init.lua:1: module \"demilune.trace\" is not yet supported"},
        {"require 'nobodys' return {}", "p18/init.lua:1: module 'nobodys' not found\n"},
        {"return { name = 'p19', version = '1', log = require('demilune.edit').hook }",
         "its hook \"log\" can't be a list of edits"},
        {"return { name = 'p20', version = '1', access = require('demilune.edit').hook }",
         "new has put no list of edits in the place of access"},
        {"return { name = 'p21', version = '1', access = function() end, gards = true }",
         "it has an unknown field \"gards\", did you mean \"guards\"?"},
        {"return { name = 'p22', version = '1', access = function() end, afer = { 'x' } }",
         "it has an unknown field \"afer\", did you mean \"after\"?"},
        {"return { name = 'p23', version = '1', acess = function() end }",
         "it has an unknown field \"acess\", did you mean \"access\"?"},
        {"return { name = 'p24', version = '1', access = function() end, lgo = function() end }",
         "it has an unknown field \"lgo\", did you mean \"log\"?"},
        {"return { name = 'p25', version = '1', access = function() end, body_filter = function() end }",
         "it has an unknown field \"body_filter\", did you mean \"body\"?"},
    };
    char yaml[4096] = "plugins: [";

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        char path[64], item[64];
        snprintf(path, sizeof(path), "p%zu/init.lua", i);
        lua_gate_file(&l, path, samples[i].source);
        snprintf(item, sizeof(item), "{ name: p%zu }, ", i);
        strcat(yaml, item);
    }
    strcat(yaml, "]\n");
    assert_false(lua_gate_start(&l, yaml));
    const char *faults = strdup(lua_gate_faults(&l));
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        char place[64];
        snprintf(place, sizeof(place), "plugins[%zu]: ", i);
        const char *at = strstr(faults, place), *end = at ? strchr(at, '^') : NULL;
        const char *text = at ? strstr(at, samples[i].fault) : NULL;
        if (!text || (end && text > end))
            fail_msg("plugin %zu: expected \"%s\" in\n%s", i, samples[i].fault, at ? at : faults);
    }
    free((char *)faults);
}

static void each_place_hears_why_its_plugin_is_no_good(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "p", "error 'at load'");
    assert_refused("{ name: p }, { name: p }",
                   "routes[0].plugins[1]: the plugin \"p\" can't be used: ");
    assert_has(strstr(lua_gate_faults(&l), "plugins[1]"), "at load");
}

static void a_guard_can_not_be_told_to_continue(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "guard", ACCESS "P.guards = true");
    assert_refused("{ name: guard, on_error: continue }", "decides who may pass");
}

static void a_chain_that_breaks_after_is_refused(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "first", ACCESS);
    lua_gate_plugin(&l, "second", ACCESS "P.after = { 'first' }");
    assert_refused("{ name: second }, { name: first }", "\"first\"");
}

static void a_config_comes_checked_and_converted(void **state)
{
    (void)state;
    setenv("PLUGIN_TEST_LIMIT", "12", 1);
    lua_gate_plugin(
        &l, "p",
        LIMIT
        "function P.new(c) return setmetatable({ c = c }, P) end\n"
        "function P:access(x) local c = self.c x:reply(200, {}, type(c.limit) .. c.limit .. ' ' .. c.window .. ' ' .. type(c.names[1]) .. #c.names) end");
    start(
        "routes: [{ name: a, paths: [/a], respond: { body: x }, plugins: [{ name: p, config: { limit: \"${PLUGIN_TEST_LIMIT}\", names: [\"${PLUGIN_TEST_LIMIT}\", b] } }] }]\n");
    assert_has(lua_gate_ask(&l, "/a"), "\r\n\r\nnumber12 60 string2");
}

static void a_plugin_without_new_has_its_config(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "p", LIMIT "function P:access(x) x:reply(200, {}, self.config.limit) end");
    start(
        "routes: [{ name: a, paths: [/a], respond: { body: x }, plugins: [{ name: p, config: { limit: 3 } }] }]\n");
    assert_has(lua_gate_ask(&l, "/a"), "\r\n\r\n3");
}

static void each_place_has_an_instance_and_knows_where_it_is(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "p",
        "function P.new(config, context) return setmetatable({ text = table.concat({ context.plugin, tostring(context.route), context.scope, context.worker, table.concat(context.params or { '-' }, '+') }, ' ') }, P) end\n"
        "function P:access(x) x.ctx.seen = (x.ctx.seen or '') .. self.text .. '; ' end\nfunction P:response(x) x.response.headers.seen = x.ctx.seen end");
    start(
        "plugins: [{ name: p }]\nroutes: [{ name: a, paths: [\"/a/{id}\"], respond: { body: x }, plugins: [{ name: p }, { name: p }] }]\n");
    assert_has(lua_gate_ask(&l, "/a/1"),
               "seen: p nil global 1 -; p a route:a 1 id; p a route:a 1 id;\r\n");
}

static void a_plugin_may_have_modules_of_its_own(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "p",
        "local parts = require 'demilune.plugins.p.parts' local deep = require 'demilune.plugins.p.more.deep'\nfunction P:access(x) x:reply(200, {}, parts.text .. deep.text) end");
    lua_gate_file(&l, "p/parts.lua", "return { text = 'a part' }");
    lua_gate_file(&l, "p/more/deep.lua", "return { text = ' deep' }");
    start("routes: [{ name: a, paths: [/a], respond: { body: x }, plugins: [{ name: p }] }]\n");
    assert_has(lua_gate_ask(&l, "/a"), "\r\n\r\na part deep");
}

static void consumers_and_their_credentials_are_given(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "p",
        "function P.new(config, context) return setmetatable({ list = context.consumers('key-auth'), none = context.consumers('other') }, P) end\n"
        "function P:access(x) local t = {} for _, c in ipairs(self.list) do t[#t + 1] = c.consumer.name .. table.concat(c.consumer.groups) .. c.credential.key end\n"
        "x.consumer = self.list[3].consumer x:reply(200, {}, table.concat(t, ' ') .. #self.none .. x.consumer.name) end");
    start(
        "consumers: [{ name: acme, groups: [gold], credentials: { key-auth: [{ key: k1 }, { key: k2 }] } }, { name: umbra, credentials: { key-auth: [{ key: k3 }] } }]\n"
        "routes: [{ name: a, paths: [/a], respond: { body: x }, plugins: [{ name: p }] }]\n");
    assert_has(lua_gate_ask(&l, "/a"), "\r\n\r\nacmegoldk1 acmegoldk2 umbrak30umbra");
}

/* A plugin "p" that says of its credentials what `credential` says. */
#define CREDENTIAL_PLUGIN(credential) \
    "P.credential = " credential "\n" \
    "function P.new(config, context) return setmetatable({ list = context.consumers('p') }, P) end\n" \
    "function P:access(x) local t = {} for _, c in ipairs(self.list) do t[#t + 1] = c.credential.id .. c.credential.size end\n" \
    "x:reply(200, {}, table.concat(t, ' ')) end"

#define DESCRIBED \
    "{ unique = 'id', schema = { type = 'object', required = { 'id' }, properties = { id = { type = 'string' }, size = { type = 'integer', default = 7 } } } }"

static void described_credentials_come_checked_and_converted(void **state)
{
    (void)state;
    setenv("SPEC_ID", "12", 1);
    lua_gate_plugin(&l, "p", CREDENTIAL_PLUGIN(DESCRIBED));
    start(
        "consumers: [{ name: a, credentials: { p: [{ id: \"${SPEC_ID}\" }, { id: b, size: 8 }] } }]\n"
        "routes: [{ name: a, paths: [/a], respond: { body: x }, plugins: [{ name: p }] }]\n");
    assert_has(lua_gate_ask(&l, "/a"), "\r\n\r\n127 b8");
}

static void a_fault_of_a_credential_points_at_it(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "p", CREDENTIAL_PLUGIN(DESCRIBED));
    assert_false(lua_gate_start(&l, "consumers:\n"
                                    "  - name: a\n"
                                    "    credentials:\n"
                                    "      p: [{ id: b }, { id: c }]\n"
                                    "  - name: b\n"
                                    "    credentials:\n"
                                    "      p:\n"
                                    "        - { id: c }\n"
                                    "        - id: d\n"
                                    "          siz: 3\n"));
    assert_has(
        lua_gate_faults(&l),
        "test.yaml:9:17: consumers[1].credentials.p[0].id: this is the id of another credential already: consumers[0].credentials.p[1], of the consumer \"a\"");
    assert_has(
        lua_gate_faults(&l),
        "test.yaml:11:11: consumers[1].credentials.p[1].siz: unknown key, did you mean \"size\"?");
}

static void a_plugin_without_credentials_is_given_none(void **state)
{
    (void)state;
    lua_gate_plugin(&l, "p", ACCESS);
    assert_false(lua_gate_start(&l, "consumers: [{ name: a, credentials: { p: [{ id: b }] } }]\n"));
    assert_has(lua_gate_faults(&l),
               "test.yaml:2:39: consumers[0].credentials.p: the plugin \"p\" has no credentials");
}

static void a_plugin_may_have_fields_of_its_own(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "p",
        "P.names, P.attempts, P.limits = {}, 3, {}\nfunction P:now() end function P:step() end\n"
        "function P:describe() return 'mine' end\n"
        "function P:access(x) x:reply(200, {}, self:describe()) end");
    start("routes: [{ name: a, paths: [/a], respond: { body: x }, plugins: [{ name: p }] }]\n");
    assert_has(lua_gate_ask(&l, "/a"), "\r\n\r\nmine");
}

static void third_party_modules_may_have_globals(void **state)
{
    (void)state;
    lua_gate_plugin(
        &l, "p",
        "local old = require 'inifile'\nfunction P:access(x) x:reply(200, {}, type(old)) end");
    start("routes: [{ name: a, paths: [/a], respond: { body: x }, plugins: [{ name: p }] }]\n");
    assert_has(lua_gate_ask(&l, "/a"), "\r\n\r\ntable");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, with_gate, without_gate)
    const struct CMUnitTest tests[] = {
        TEST(a_plugin_that_is_not_there),
        TEST(an_unknown_key_of_the_config),
        TEST(a_wrong_value_in_the_config),
        TEST(what_new_raises_is_one_line),
        TEST(what_is_no_plugin),
        TEST(each_place_hears_why_its_plugin_is_no_good),
        TEST(a_guard_can_not_be_told_to_continue),
        TEST(a_chain_that_breaks_after_is_refused),
        TEST(a_config_comes_checked_and_converted),
        TEST(a_plugin_without_new_has_its_config),
        TEST(each_place_has_an_instance_and_knows_where_it_is),
        TEST(a_plugin_may_have_modules_of_its_own),
        TEST(consumers_and_their_credentials_are_given),
        TEST(described_credentials_come_checked_and_converted),
        TEST(a_fault_of_a_credential_points_at_it),
        TEST(a_plugin_without_credentials_is_given_none),
        TEST(a_plugin_may_have_fields_of_its_own),
        TEST(third_party_modules_may_have_globals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
