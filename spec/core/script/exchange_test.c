/* SPDX-License-Identifier: Apache-2.0 */

/* The exchange as a plugin sees it: each sample is an access (or response) hook that returns a text, which the client
 * gets, or raises, of which the message is looked at. */

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/lua_gate.h"

struct sample {
    const char *code, *expected;
};

/* Of GET /items/a%20b/rest/of/it?x=1&y=%41 from a client with these headers. */
#define REQUEST \
    "GET /items/a%%20b/rest/of/it?x=1&y=%%41 HTTP/1.1\r\nHost: Shop.Example:8080\r\nConnection: close\r\n" \
    "X-One: 1\r\nX-Two: a\r\nx-two: b\r\nX-Run: %d\r\n\r\n"

static const struct sample reads[] = {
    {"r.method", "GET"},
    {"r.scheme", "http"},
    {"r.host", "shop.example"},
    {"r.port", "8080"},
    {"r.path", "/items/a%20b/rest/of/it"},
    {"r.query", "x=1&y=%41"},
    {"r.version", "1.1"},
    {"r:query_value('y')", "A"},
    {"tostring(r:query_value('z'))", "nil"},
    {"r.params.id", "a b"},
    {"r.params.rest", "rest/of/it"},
    {"tostring(r.params.none)", "nil"},
    {"list(r.params)", "id=a b rest=rest/of/it "},
    {"r.headers['x-ONE']", "1"},
    {"r.headers['X-Two']", "a, b"},
    {"tostring(r.headers['x-three'])", "nil"},
    {"table.concat(r.headers:all('x-two'), '|')", "a|b"},
    {"#r.headers:all('x-three')", "0"},
    {"(list(r.headers):gsub('host=.-(x%-one)', '%1'))", "x-one=1 x-two=a x-two=b x-run="},
    {"x.client_ip", "127.0.0.1"},
    {"x.route.name .. x.route.path", "items/items/{id}/{rest...}"},
    {"x.route == x.route", "true"},
    {"tostring(x.consumer)", "nil"},
    {"x.upstream", "me"},
    {"#x.id", "36"},
    {"x.id == x.id", "true"},
    {"tostring(x.trace)", "nil"},
    {"tostring(x.response.status)", "nil"},
    {"tostring(x.response.headers.server)", "nil"},
    {"#x.attempts", "0"},
    {"x.timings.start > 1e9 and x.timings.total < 10 and x.timings.upstream == nil", "true"},
    {"x.ctx == x.ctx", "true"},
    {"tostring(x):sub(1, 9)", "exchange "},
    {"x == x and x ~= 5 and x ~= nil", "true"},
    {"(#r.body:read())", "0"},
    {"tostring(x.client_is_trusted)", "false"},
};

static const struct sample changes[] = {
    {"set(r.headers, 'x-one', 2)", "2"},
    {"set(r.headers, 'x-two', nil)", "nil"},
    {"(function() r.headers:add('x-one', 'more') return r.headers['x-one'] end)()", "1, more"},
    {"(function() r.method = 'PUT' return r.method end)()", "PUT"},
    {"(function() r.path = '/a/./b' return r.path end)()", "/a/b"},
    {"(function() r.query = nil return tostring(r.query) end)()", "nil"},
    {"(function() r.query = 'q=1' return r:query_value('q') end)()", "1"},
    {"(function() r.host = 'Other:81' return r.host .. r.port .. r.headers.host end)()",
     "other81Other:81"},
    {"(function() r.headers.host = 'Other:81' return r.host .. r.port .. r.headers.Host end)()",
     "other81Other:81"},
    {"(function() x.consumer = 'acme' return x.consumer.name .. x.consumer.groups[2] end)()",
     "acmesilver"},
    {"(function() x.consumer = { name = 'acme' } x.consumer = nil return tostring(x.consumer) end)()",
     "nil"},
    {"(function() x.upstream = 'other' return x.upstream end)()", "other"},
    {"(function() x.id = 'my-id' return x.id end)()", "my-id"},
    {"(function() x.claims = { sub = 'me' } return x.claims.sub end)()", "me"},
    {"(function() r.body:set('new') return r.body:read() end)()", "new"},
    {"(function() r.body:set({ a = 1 }) return r.headers['content-type'] .. r.body:json().a end)()",
     "application/json1"},
    {"(function() x.response.headers.early = 'yes' return x.response.headers.early end)()", "yes"},
    {"(function() local h = x.response.headers h.a = 1 h:add('a', 2) return #h:all('a') end)()",
     "2"},
};

static const struct sample mistakes[] = {
    {"x.requets", "exchange has no field \"requets\", did you mean \"request\"?"},
    {"x.nonsense", "exchange has no field \"nonsense\""},
    {"r.metod", "request has no field \"metod\", did you mean \"method\"?"},
    {"x.response.stauts", "response has no field \"stauts\", did you mean \"status\"?"},
    {"r.body.raed", "body has no field \"raed\", did you mean \"read\"?"},
    {"(function() r.port = 1 end)()", "request.port can only be read"},
    {"(function() x.foo = 1 end)()", "exchange has no field \"foo\" that can be set"},
    {"(function() x.route = {} end)()", "exchange.route can only be read"},
    {"(function() r.method = 'G T' end)()",
     "request.method: \"G T\" is not a method that can be sent"},
    {"(function() r.method = 'CONNECT' end)()", "request.method: \"CONNECT\" is not a method"},
    {"(function() r.path = 'x' end)()", "request.path: \"x\" is not a path"},
    {"(function() r.path = '/a?b' end)()", "request.path: \"/a?b\" is not a path"},
    {"(function() r.query = 'a b' end)()", "request.query: it is not a query"},
    {"(function() r.host = 'a/b' end)()", "request.host: \"a/b\" is not a host"},
    {"(function() r.headers.host = 'a/b' end)()", "a request has exactly one Host: it can be set"},
    {"(function() r.headers.Host = nil end)()", "a request has exactly one Host: it can be set"},
    {"(function() r.headers:add('host', 'b') end)()", "a request has exactly one Host"},
    {"(function() r.path = {} end)()", "request.path is a text, not a table"},
    {"(function() r.headers['content-length'] = 5 end)()",
     "the header \"content-length\" is the gateway's own"},
    {"(function() r.headers['Transfer-Encoding'] = 'chunked' end)()", "is the gateway's own"},
    {"(function() r.headers.connection = 'close' end)()", "is the gateway's own"},
    {"(function() r.headers.upgrade = 'h2c' end)()", "is the gateway's own"},
    {"(function() x.response.headers.trailer = 'x' end)()", "is the gateway's own"},
    {"(function() r.headers['a b'] = '1' end)()", "not a header name: \"a b\""},
    {"(function() r.headers.a = 'x\\r\\ny: z' end)()", "not a value for the header \"a\""},
    {"(function() r.headers.a = {} end)()", "the value of a header is a text, not a table"},
    {"(function() r.headers.a = true end)()", "the value of a header is a text, not a boolean"},
    {"(function() r.headers:add('a', nil) end)()", "the value of a header is a text, not nil"},
    {"r.headers[1]", "the name of a header is a text"},
    {"(function() x.response.status = 200 end)()", "there is no response yet"},
    {"(function() x.response.status = 'x' end)()", "a status is a number from 200 to 599"},
    {"x:reply()", "reply: a status is a number from 200 to 599, not nil"},
    {"x:reply(99)", "reply: a status is a number from 200 to 599, not 99"},
    {"x:reply(200, 'text')", "reply: headers is a table, not a string"},
    {"x:reply(200, { 'text' })", "reply: headers is a table of names and values"},
    {"x:reply(200, { a = {} , b = print })", "the value of a header is a text, not a function"},
    {"x:reply(200, { ['content-length'] = 5 })",
     "reply: the header \"content-length\" may not be set"},
    {"x:reply(200, {}, print)", "reply: the body is a text, not a function"},
    {"(function() x.consumer = 'nobody' end)()", "the configuration has no consumer \"nobody\""},
    {"(function() x.upstream = 'nowhere' end)()", "the configuration has no upstream \"nowhere\""},
    {"(function() x.id = 'a b' end)()",
     "exchange.id: \"a b\" is not a text of 1 to 256 visible ASCII characters"},
    {"(function() x.claims = 'text' end)()", "exchange.claims is a table"},
    {"(function() forgotten = 1 end)()",
     "assignment to the undeclared global \"forgotten\": write \"local forgotten\""},
    {"(function() r.params.id = 1 end)()", "path parameters can only be read"},
};

static struct lua_gate l;

/* One plugin with a function for each sample; the request says which is to run. */
static void add_samples(const struct sample *samples, size_t n)
{
    size_t size = 256 * 1024, at;
    char *source = malloc(size);

    at = (size_t)snprintf(
        source, size,
        "local function list(h) local t = {} for k, v in pairs(h) do t[#t + 1] = k .. '=' .. (k == 'x-run' and '' or v .. ' ') end return table.concat(t) end\n"
        "local function set(h, k, v) h[k] = v return tostring(h[k]) end\nlocal samples = {}\n");
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(source + at, size - at,
                               "samples[%zu] = function(x, r)\nreturn (%s) end\n", i,
                               samples[i].code);
    snprintf(
        source + at, size - at, "%s",
        "function P:access(x) local result = samples[tonumber(x.request.headers['x-run'])](x, x.request)\n"
        "x:reply(200, {}, tostring(result)) end");
    lua_gate_plugin(&l, "samples", source);
    free(source);
}

static void begin(const struct sample *samples, size_t n)
{
    lua_gate_init(&l);
    add_samples(samples, n);
    if (!lua_gate_start(
            &l,
            "listeners: [{ address: 127.0.0.1:PORT }]\nupstreams: [{ name: me, endpoints: [{ address: \"127.0.0.1:PORT\" }] }, { name: other, endpoints: [{ address: \"127.0.0.1:PORT\" }] }]\n"
            "consumers: [{ name: acme, groups: [gold, silver] }]\n"
            "routes: [{ name: items, paths: [\"/items/{id}/{rest...}\"], upstream: me, plugins: [{ name: samples }] }]\n"))
        fail_msg("%s", lua_gate_faults(&l));
}

static const char *ask(size_t i)
{
    char request[512];

    snprintf(request, sizeof(request), REQUEST, (int)i);
    return lua_gate_ask(&l, request);
}

static void assert_samples(const struct sample *samples, size_t n)
{
    begin(samples, n);
    for (int round = 0; round < 120; round++) { /* interpreted at first, compiled at last */
        for (size_t i = 0; i < n; i++) {
            const char *answer = ask(i), *body = strstr(answer, "\r\n\r\n");
            if (!body || strcmp(body + 4, samples[i].expected) != 0)
                fail_msg("%s\n  gave %s\n  not %s\n%s", samples[i].code, body ? body + 4 : "-",
                         samples[i].expected, l.nlog ? l.log[l.nlog - 1] : "");
        }
    }
    lua_gate_deinit(&l);
}

static void a_request_can_be_read(void **state)
{
    (void)state;
    assert_samples(reads, COUNT_OF(reads));
}

static void a_request_can_be_changed(void **state)
{
    (void)state;
    assert_samples(changes, COUNT_OF(changes));
}

static void a_mistake_is_told_where_it_was_made(void **state)
{
    (void)state;
    begin(mistakes, COUNT_OF(mistakes));
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        char expected[64], escaped[512], *out = escaped;
        const char *answer = ask(i), *line = l.nlog ? l.log[l.nlog - 1] : "";
        for (const char *p = mistakes[i].expected; *p; p++) {
            if (*p == '"')
                *out++ = '\\';
            *out++ = *p;
        }
        *out = '\0';
        /* Each sample stands in its own line: two below the first of the file, three lines of preamble, two lines each. */
        snprintf(expected, sizeof(expected), "samples/init.lua:%zu: ", 7 + 2 * i);
        if (!strstr(answer, "HTTP/1.1 500 ") || !strstr(line, expected) || !strstr(line, escaped))
            fail_msg("%s\n  expected %s%s\n  in %s\n%s", mistakes[i].code, expected, escaped, line,
                     answer);
        lua_gate_forget_log(&l); /* each place logs ten lines a second: the clock is moved on */
    }
    lua_gate_deinit(&l);
}

static void an_exchange_that_was_kept_is_gone(void **state)
{
    (void)state;
    lua_gate_init(&l);
    lua_gate_plugin(
        &l, "keeps",
        "local kept = {}\n"
        "local uses = { function(x) return x.id end, function(x) return x.ctx end, function(x) return x.request.path end, function(x) return x.request.headers.host end,\n"
        "function(x) x.response.headers.a = '1' end, function(x) x:reply(200) end, function(x) return x.request.body:read() end, function(x) return x.request.params.id end,\n"
        "function(x) return x.timings end, function(x) return #x.attempts end, function(x) x.consumer = nil end, function(x) return x.request.headers:all('a') end }\n"
        "function P:access(x)\n"
        "  if not kept[1] then kept[1] = x x.ctx.mine = 'old' return x:reply(200, {}, 'kept') end\n"
        "  local t = {} for i, use in ipairs(uses) do local ok, message = pcall(use, kept[1]) t[#t + 1] = not ok and message:match('exchange is gone$') or i .. tostring(message) end\n"
        "  x:reply(200, {}, table.concat(t, ',') .. tostring(x.ctx.mine) .. tostring(kept[1])) end");
    if (!lua_gate_start(
            &l,
            "listeners: [{ address: 127.0.0.1:PORT }]\nroutes: [{ name: a, paths: [/a], respond: { body: x }, plugins: [{ name: keeps }] }]\n"))
        fail_msg("%s", lua_gate_faults(&l));
    (void)lua_gate_ask(&l, "/a");
    const char *body = strstr(lua_gate_ask(&l, "/a"), "\r\n\r\n") + 4;
    for (int i = 0; i < 12; i++) {
        if (strncmp(body, "exchange is gone", 16) != 0)
            fail_msg("%d: %s", i, body);
        body += 16 + (i < 11);
    }
    assert_string_equal("nilexchange (gone)", body);
    lua_gate_deinit(&l);
}

static void a_response_can_be_changed_when_it_is_there(void **state)
{
    (void)state;
    lua_gate_init(&l);
    lua_gate_plugin(
        &l, "changes",
        "function P:response(x) local r = x.response\n"
        "x.ctx.was = r.status .. tostring(r.headers['content-type']) .. r.body:read()\n"
        "r.status = 201 r.headers['content-type'] = 'text/x' r.headers.was = x.ctx.was:gsub('\\n', '') r.body:set('new body') end\n"
        "function P:log(x) local ok, m = pcall(function() x.response.headers.late = 1 end) assert(m:find 'too late')\n"
        "ok, m = pcall(function() x.response.status = 200 end) assert(m:find 'too late', m)\n"
        "ok, m = pcall(function() x:reply(200) end) assert(m:find 'too late', m)\n"
        "ok, m = pcall(function() x.request.method = 'PUT' end) assert(m:find 'too late', m)\n"
        "assert(x.bytes_sent == 8) assert(x.timings.total >= 0) end");
    if (!lua_gate_start(
            &l,
            "listeners: [{ address: 127.0.0.1:PORT }]\nroutes: [{ name: a, paths: [/a], respond: { headers: { content-type: text/plain }, body: \"hello\\n\" }, plugins: [{ name: changes }] }]\n"))
        fail_msg("%s", lua_gate_faults(&l));
    const char *answer = lua_gate_ask(&l, "/a");
    for (const char **part =
             (const char *[]){"HTTP/1.1 201 ", "content-type: text/x\r\n",
                              "was: 200text/plainhello\r\n", "\r\n\r\nnew body", NULL};
         *part; part++) {
        if (!strstr(answer, *part))
            fail_msg("expected %s in %s", *part, answer);
    }
    if (lua_gate_logged(&l, "hook.failed"))
        fail_msg("%s", lua_gate_logged(&l, "hook.failed"));
    lua_gate_deinit(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_can_be_read),
        cmocka_unit_test(a_request_can_be_changed),
        cmocka_unit_test(a_mistake_is_told_where_it_was_made),
        cmocka_unit_test(an_exchange_that_was_kept_is_gone),
        cmocka_unit_test(a_response_can_be_changed_when_it_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
