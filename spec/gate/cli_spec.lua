-- SPDX-License-Identifier: Apache-2.0

-- The command line as a person meets it.

package.path = "./?.lua;" .. package.path

local json = require "cjson"
local schemas = require "demilune.schema"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"

local PLUGIN = [[
local M = {
  name = "hi",
  version = "1.2.3",
  schema = {
    type = "object",
    properties = {
      word = { type = "string", default = "hi", description = "What it says." },
      wait = { type = "number", format = "duration", description = "How long it waits." },
    },
  },
}
M.__index = M
function M.new(config) return setmetatable({ word = config.word }, M) end
function M:access(exchange) exchange.response.headers["x-hi"] = self.word end
function M:log() end
return M
]]

local FULL = [[
listeners: [{ address: "127.0.0.1:0" }]
plugin_path: [plugins]
upstreams:
  - name: orders
    endpoints: [{ address: 127.0.0.1:9001 }, { address: 127.0.0.1:9002 }]
plugins: [{ name: hi }]
routes:
  - name: any-order
    paths: ["/orders/*"]
    upstream: orders
  - name: order
    hosts: [api.example.com]
    paths: ["/orders/{id}"]
    methods: [GET]
    upstream: orders
    rewrite: "/v1/orders/{id}"
    plugins: [{ name: hi, config: { word: there } }]
  - name: beta
    hosts: [api.example.com]
    paths: ["/orders/{id}"]
    methods: [GET]
    headers: { x-channel: beta }
    respond: { status: 204 }
]]

describe("the command line", function()
  local folder, options

  local function run(...)
    return server.run({ ... }, options)
  end

  before_each(function()
    folder = server.folder()
    options = { folder = folder }
    folder:write("plugins/hi/init.lua", PLUGIN)
    folder:write("plugins/hi/README.md", "# hi\n\nSays hi.\n")
    folder:write("demilune.yaml", FULL)
  end)

  after_each(function()
    folder:remove()
  end)

  describe("help", function()
    it("is what a call without a command gives, which is wrong usage", function()
      local result = run()
      assert.equal(2, result.status)
      assert.matches("usage: demilune COMMAND", result.err, 1, true)
    end)

    it("names every command", function()
      for _, word in ipairs { "help", "--help", "-h" } do
        local result = run(word)
        assert.equal(0, result.status)
        for _, command in ipairs { "run", "check", "routes", "match", "plugins", "schema", "new", "test", "bench",
          "health", "version" } do
          assert.matches("\n  " .. command .. " ", result.out, 1, true)
        end
      end
    end)

    it("is there for each command", function()
      for _, command in ipairs { "run", "check", "routes", "match", "plugins", "schema", "new", "test", "bench",
        "health", "version" } do
        for _, result in ipairs { run(command, "--help"), run("help", command) } do
          assert.equal(0, result.status)
          assert.matches("usage: demilune " .. command, result.out, 1, true)
        end
      end
    end)
  end)

  describe("wrong usage", function()
    local function is_refused(text, ...)
      local result = run(...)
      assert.equal(2, result.status)
      assert.matches(text, result.err, 1, true)
    end

    it("suggests the command that was meant", function()
      is_refused('unknown command "chekc", did you mean "check"?', "chekc")
    end)

    it("is an option that the command does not take", function()
      is_refused("unknown option --workers", "check", "--workers", "2")
      is_refused("unknown option -x", "run", "-x")
    end)

    it("is an option without its value, or with a bad one", function()
      is_refused("--config wants a value: FILE", "check", "-c")
      is_refused("--workers wants a number from 1 to 1024", "run", "--workers", "0")
      is_refused("--dev takes no value", "run", "--dev=yes")
    end)

    it("is an argument too many or too few", function()
      is_refused('unexpected "more"', "routes", "more")
      is_refused("METHOD URL", "match", "GET")
    end)

    it("is a method that no route may have", function()
      for _, method in ipairs { "FROB", "get", "TRACE", "CONNECT" } do
        is_refused('"' .. method .. '": it is answered with 501', "match", method, "/x")
      end
    end)
  end)

  describe("check", function()
    it("says that all is fine", function()
      for _, result in ipairs { run "check", run("check", "-c", folder.path .. "/demilune.yaml"),
        run("check", "--config=demilune.yaml"), run("check", "-cdemilune.yaml") } do
        assert.equal("", result.err)
        assert.equal(0, result.status)
        assert.matches("fine: 3 routes, 1 upstream, 2 places", result.out, 1, true)
      end
    end)

    it("prints all faults, each with its place, what is wrong and the line", function()
      folder:write("bad.yaml", [[
listeners: [{ address: "127.0.0.1:0" }]
plugin_path: [plugins]
limits: { header_timeout: 10 }
routes:
  - name: one
    paths: [/a]
    upstream: nowhere
    plugins:
      - name: hi
        config: { wrod: x }
      - name: hy
]])
      local result = run("check", "-c", "bad.yaml")
      assert.equal(1, result.status)
      assert.matches("bad.yaml:3:27: limits.header_timeout: ", result.err, 1, true)
      assert.matches("bad.yaml:7:15: routes[0].upstream: ", result.err, 1, true)
      assert.matches("bad.yaml:10:19: routes[0].plugins[0].config.wrod: ", result.err, 1, true)
      assert.matches('did you mean "word"?', result.err, 1, true)
      assert.matches("bad.yaml:11:15: routes[0].plugins[1]", result.err, 1, true)
      assert.matches('did you mean "hi"?', result.err, 1, true)
      assert.matches("10 |         config: { wrod: x }", result.err, 1, true)
    end)

    it("tells a file that can't be read from one that is wrong", function()
      assert.equal(3, run("check", "-c", "missing.yaml").status)
    end)

    it("opens no log", function()
      local log = folder.path .. "/access.log"
      folder:write("logged.yaml", ([[
plugins: [{ name: access-log, config: { to: "%s" } }, { name: access-log, config: { to: /nonexistent/log } }]
]]):format(log))
      local result = run("check", "-c", "logged.yaml")
      assert.equal(1, result.status)
      assert.matches('"/nonexistent/log" can\'t be opened: No such file or directory', result.err, 1, true)
      assert.is_nil((io.open(log)))
    end)

    it("tells a plugin whose new fails", function()
      folder:write("plugins/hi/init.lua", (PLUGIN:gsub("return setmetatable", 'error "no luck" return setmetatable')))
      local result = run "check"
      assert.equal(1, result.status)
      assert.matches("no luck", result.err, 1, true)
    end)

    -- ThreadSanitizer holds signals back until the next call into libc, and a compiled loop makes none.
    local it_stops = os.getenv "DEMILUNE_PRESET" == "tsan" and pending or it

    it_stops("stops a plugin that runs away while it is loaded or made", function()
      options.patience = 200 -- it takes two seconds of CPU time to stop one
      local SPIN = "xpcall(function() while true do end end, function() while true do end end) "
      for what, source in pairs {
        loaded = SPIN .. PLUGIN,
        made = PLUGIN:gsub("return setmetatable", SPIN .. "%0"),
        ["made for a worker"] = PLUGIN:gsub("M.new%(config", "%0, context"):gsub("return setmetatable",
          "if context.worker > 0 then " .. SPIN .. "end %0"),
      } do
        local line = select(2, source:sub(1, (source:find(SPIN, 1, true))):gsub("\n", "")) + 1
        folder:write("plugins/hi/init.lua", source)
        local result = run "check"
        assert.equal(1, result.status)
        local message = ('demilune.yaml:6:11: plugins[0]: the plugin "hi" was stopped: plugins/hi/init.lua:%d: %s')
          :format(line, "time budget of 2000ms exceeded")
        assert.matches(message, result.err, 1, true, what)
        assert.is_nil(result.err:find("lua.stop", 1, true))
        assert.equal(1, select(2, result.err:gsub("time budget", "")), "it is not tried at its other place")
      end
    end)

    it("says where it has looked when there is no file", function()
      os.remove(folder.path .. "/demilune.yaml")
      local result = run "check"
      assert.equal(3, result.status)
      assert.matches("there is neither demilune.yaml here nor /etc/demilune/demilune.yaml", result.err, 1, true)
    end)
  end)

  describe("routes", function()
    it("prints the table in the order in which routes are tried", function()
      local result = run "routes"
      assert.equal(0, result.status)
      local names = {}
      for name in result.out:gmatch "([^\n ]+)[^\n]*\n" do
        names[#names + 1] = name
      end
      assert.same({ "ROUTE", "beta", "order", "any-order" }, names)
      assert.matches("order +api.example.com +/orders/{id} +GET, HEAD +%- +upstream orders +hi, hi", result.out)
    end)
  end)

  describe("match", function()
    it("tells the route, its parameters and the chain", function()
      local result = run("match", "GET", "http://api.example.com/orders/7")
      assert.equal(0, result.status)
      assert.matches("route order (demilune.yaml:11)", result.out, 1, true)
      assert.matches("parameters +id = 7", result.out)
      assert.matches("endpoints +127.0.0.1:9001, 127.0.0.1:9002", result.out)
      assert.matches("rewrite +/v1/orders/{id}", result.out)
      assert.matches("access +hi, hi\n", result.out)
      assert.matches("log +hi, hi\n", result.out)
    end)

    it("tells why others were not taken", function()
      local result = run("match", "GET", "/orders/7", "-H", "Host: api.example.com")
      assert.matches("beta +it wants x%-channel: beta", result.out)
      result = run("match", "POST", "http://api.example.com/orders/7")
      assert.matches("route any-order", result.out, 1, true)
      assert.matches("order +its methods are GET, HEAD", result.out)
    end)

    it("looks at headers", function()
      local result = run("match", "GET", "http://api.example.com/orders/7", "-H", "X-Channel: beta")
      assert.matches("route beta", result.out, 1, true)
      assert.matches("order +it fits too, but the other is more exact", result.out)
    end)

    it("ends with 1 when no route takes the request", function()
      local result = run("match", "GET", "/nowhere")
      assert.equal(1, result.status)
      assert.matches("no route: 404", result.out, 1, true)
    end)

    it("tells of a request that is not whole how it is written", function()
      local result = run("match", "GET")
      assert.equal(2, result.status)
      assert.matches("usage: demilune match [-c FILE] METHOD URL", result.err, 1, true)
      assert.matches("did you mean --header?", run("match", "GET", "/", "--heder=x").err, 1, true)
    end)

    it("refuses what is no request", function()
      assert.equal(2, run("match", "FETCH", "/").status)
      assert.equal(2, run("match", "GET", "nowhere").status)
      assert.equal(2, run("match", "GET", "/..").status)
      assert.equal(2, run("match", "GET", "/", "-H", "nocolon").status)
    end)
  end)

  describe("plugins", function()
    it("lists what can be enabled", function()
      local result = run "plugins"
      assert.equal(0, result.status)
      assert.matches("\nhi +1.2.3 +access, log +Says hi\n", result.out)
    end)

    it("tells all about one", function()
      local result = run("plugins", "hi")
      assert.equal(0, result.status)
      assert.matches('word +text +"hi" +What it says.', result.out)
      assert.matches("wait +duration +How long it waits.", result.out)
      assert.matches("Says hi.", result.out, 1, true)
    end)

    it("refuses one that is not there", function()
      local result = run("plugins", "hy")
      assert.equal(1, result.status)
      assert.matches('did you mean "hi"?', result.err, 1, true)
    end)
  end)

  it("lists what busted takes in the help of test", function()
    for _, arguments in ipairs { { "test", "--help" }, { "test", "--verbose", "-h" } } do
      local result = run(unpack(arguments))
      assert.same({ 0, "" }, { result.status, result.err })
      for _, option in ipairs { "--filter=PATTERN", "--shuffle", "--list", "TAP, json, junit" } do
        assert.matches(option, result.out, 1, true)
      end
      assert.is_nil(result.out:find("sound", 1, true))
    end
  end)

  it("shows no secret of a plugin", function()
    folder:write("word", "s3cret\n")
    folder:write("plugins/hush/init.lua", [[
return {
  name = "hush", version = "1.0.0", log = function() end,
  schema = { type = "object", properties = {
    word = { type = "string", writeOnly = true, minLength = 10 }, count = { type = "integer" },
  } },
}
]])
    folder:write("demilune.yaml", [[
plugin_path: [plugins]
plugins:
  - { name: hush, config: { word: s3cret } }
  - { name: hush, config: { count: "${file:word}" } }
  - name: hush
    config:
      count: "${SPEC_WORD}"
]])
    options.env = { SPEC_WORD = "s3cret" }
    local result = run "check"
    assert.equal(1, result.status)
    assert.matches("plugins[0].config.word: expected a text of at least 10 characters, got a hidden value", result.err,
      1, true)
    assert.matches("plugins[1].config.count: expected a whole number, got a hidden value", result.err, 1, true)
    assert.matches("plugins[2].config.count: expected a whole number, got a hidden value", result.err, 1, true)
    assert.is_nil(result.err:find("s3cret", 1, true))
  end)

  it("shows no secret of a route", function()
    folder:write("word", "s3cret\n")
    folder:write("demilune.yaml", [[
upstreams: [{ name: up, endpoints: [{ address: 127.0.0.1:9001 }] }]
routes: [{ name: inner, headers: { x-word: "${file:word}" }, upstream: up, rewrite: "/${file:word}" }]
]])
    for _, result in ipairs { run "routes", run("match", "GET", "/"), run("match", "GET", "/", "-H", "x-word: s3cret"),
      run "check" } do
      assert.is_nil((result.out .. result.err):find("s3cret", 1, true))
    end
    assert.matches("x-word: (hidden)", run("routes").out, 1, true)
  end)

  describe("schema", function()
    it("is one JSON Schema with the plugins' in it", function()
      local result = run "schema"
      assert.equal(0, result.status)
      local schema = json.decode(result.out)
      assert.equal("https://json-schema.org/draft/2020-12/schema", schema["$schema"])
      assert.is_table(schema.properties.routes)
      local found
      for _, case in ipairs(schema["$defs"].plugin.allOf) do
        if case["if"].properties.name.const == "hi" then
          found = case["then"].properties.config.anyOf[1]
        end
      end
      assert.equal("What it says.", found.properties.word.description)
      assert.is_false(found.additionalProperties)
      assert.same({ "string", "const", "string" }, { found.properties.wait.anyOf[1].type,
        next(found.properties.wait.anyOf[2]), found.properties.wait.anyOf[3].type })
      assert.is_nil(found.properties.wait.type)
    end)

    it("agrees with the check on what may have nothing behind it", function()
      local text_of_schema = run("schema").out:gsub('"$id": *"[^"]*",?', "") -- not of this reader's keywords
      local standard = schemas.compile(json.decode(text_of_schema), { open = true })
      local plugin_path = '{ "plugin_path": ["plugins"], %s }'
      for text, takes in pairs {
        ['"routes": null, "log": null, "admin": null'] = true,
        ['"log": { "level": null }, "workers": null'] = true,
        ['"upstreams": null, "drain": { "timeout": null }'] = true,
        ['"plugins": [{ "name": "hi", "config": null, "on_error": null }]'] = true,
        ['"plugins": [{ "name": "hi", "config": { "word": null, "wait": null } }]'] = true,
        ['"plugins": [{ "name": "hi", "config": { "wrod": null } }]'] = false,
        ['"plugins": [{ "name": null }]'] = false,
        ['"plugins": [{ "name": "cors" }]'] = false,
        ['"plugins": [{ "name": "cors", "config": null }]'] = false,
        ['"plugins": [{ "name": "cors", "config": { "origins": null } }]'] = false,
        ['"plugins": [{ "name": "cors", "config": { "origins": [null] } }]'] = false,
        ['"plugins": [{ "name": "headers", "config": { "request": { "set": null } } }]'] = true,
        ['"plugins": [{ "name": "headers", "config": { "request": { "set": { "a": null } } } }]'] = false,
        ['"routes": [null]'] = false,
        ['"trusted_proxies": [null]'] = false,
        ['"consumers": [{ "name": "a", "credentials": null, "groups": null }]'] = true,
        ['"consumers": [{ "name": "a", "credentials": { "key-auth": null } }]'] = true,
        ['"consumers": [{ "name": "a", "credentials": { "key-auth": [{ "key": null }] } }]'] = false,
      } do
        folder:write("demilune.yaml", plugin_path:format(text))
        assert.equal(takes and 0 or 1, run("check").status, text)
        assert.equal(takes, (standard:check(json.decode(plugin_path:format(text)))) ~= nil, text)
      end
    end)

    it("does without a configuration", function()
      os.remove(folder.path .. "/demilune.yaml")
      assert.equal(0, run("schema").status)
    end)
  end)

  describe("version", function()
    it("names the program and its libraries", function()
      local result = run "version"
      assert.equal(0, result.status)
      for _, name in ipairs { "demilune %d+%.%d+%.%d+ %(", "luajit +LuaJIT 2", "openssl +3", "nghttp2 +1",
        "librdkafka +%d" } do
        assert.matches(name, result.out)
      end
    end)
  end)

  describe("health", function()
    it("wants an admin address", function()
      local result = run "health"
      assert.equal(1, result.status)
      assert.matches("no admin address", result.err, 1, true)
    end)

    it("ends with 1 when nobody answers, and with 0 when the gateway is ready", function()
      local config = ('admin: { address: "127.0.0.1:%d" }\nlisteners: [{ address: "127.0.0.1:0" }]\n')
        :format(origin.free_port())
      folder:write("demilune.yaml", config)
      local result = run "health"
      assert.equal(1, result.status)
      assert.matches("does not answer", result.err, 1, true)
      local gateway = server.start(config, { bare = true })
      assert.equal(0, run("health").status)
      gateway:stop()
    end)

    it("asks on the loopback interface when the address is a wildcard", function()
      local config = ('admin: { address: "0.0.0.0:%d" }\nlisteners: [{ address: "127.0.0.1:0" }]\n')
        :format(origin.free_port())
      folder:write("demilune.yaml", config)
      local gateway = server.start(config, { bare = true })
      assert.equal(0, run("health").status)
      gateway:stop()
    end)

    it("ends with 1 while the gateway drains", function()
      local config = ('drain: { delay: 1h }\nadmin: { address: "127.0.0.1:%d" }\n'):format(origin.free_port())
        .. 'listeners: [{ address: "127.0.0.1:0" }]\n'
      folder:write("demilune.yaml", config)
      local gateway = server.start(config, { bare = true })
      gateway:signal "TERM"
      gateway:event "drain.begin"
      local result = run "health"
      assert.equal(1, result.status)
      assert.matches("not ready", result.err, 1, true)
      gateway:stop()
    end)

    it("waits two seconds for an answer, and no longer", function()
      local mute = origin.listen()
      folder:write("demilune.yaml", ('admin: { address: "127.0.0.1:%d" }\n'):format(mute.port))
      local before = posix.now()
      local result = run "health"
      assert.equal(1, result.status)
      assert.matches("gives no answer", result.err, 1, true)
      local took = posix.now() - before
      assert.is_true(took > 1.9 and took < posix.PATIENCE)
      mute:close()
    end)

    it("can't know a port that the system chose", function()
      folder:write("demilune.yaml", 'admin: { address: "127.0.0.1:0" }\n')
      local result = run "health"
      assert.equal(1, result.status)
      assert.matches("port 0", result.err, 1, true)
    end)
  end)
end)
