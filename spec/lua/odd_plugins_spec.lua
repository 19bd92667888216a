-- SPDX-License-Identifier: Apache-2.0

-- What plugins do that is odd, and right or told: waits in pcall, in coroutines of their own and ten thousand at once,
-- results of a wrong type, tables as errors.

local json = require "demilune.json"
local store = require "demilune.store"
local task = require "demilune.task"
local test = require "demilune.test"

-- A gateway with the plugin "odd", of this source. options: of test.gateway.
local function gateway(source, options)
  local folder = os.tmpname()
  os.remove(folder)
  require("pl.dir").makepath(folder .. "/odd")
  local file = assert(io.open(folder .. "/odd/init.lua", "w"))
  file:write("local task = require 'demilune.task'\nlocal P = { name = 'odd', version = '1.0.0' }\nP.__index = P\n",
    source, "\nreturn P\n")
  file:close()
  finally(function() require("pl.dir").rmtree(folder) end) -- luacheck: globals finally
  options = options or {}
  options.plugins, options.plugin_path = { "odd" }, { folder }
  return test.gateway(options)
end

describe("a hook", function()
  it("may wait within pcall and xpcall", function()
    local response = gateway([[
      function P:access(exchange)
        local ok, value = pcall(function() task.sleep(0.001) return "one" end)
        local again, why = pcall(function() task.sleep(0.001) error("two", 0) end)
        local x, three = xpcall(function() task.sleep(0.001) error "three" end, function(e) return e:match "%a+$" end)
        exchange:reply(200, {}, ("%s %s %s %s %s %s"):format(ok, value, again, why, x, three))
      end]]):get "/"
    assert.equal("true one false two false three", response.body)
  end)

  it("may wait in coroutines of its own, in each phase", function()
    local upstream = test.upstream { body = "body" }
    local gate = gateway([[
      local function two(word)
        local gives = coroutine.wrap(function()
          task.sleep(0.001)
          coroutine.yield(word)
          task.sleep(0.001)
          coroutine.yield "2"
        end)
        return gives() .. gives()
      end
      function P:access(x) x.request.headers["x-a"] = two "access" end
      function P:balance(x, attempt) attempt.headers["x-b"] = two "balance" end
      function P:response(x) x.response.headers["x-c"] = two "response" end
      function P:body(x, chunk) return chunk ~= "" and chunk .. two "body" or nil end]], { upstream = upstream })
    local response = gate:get "/"
    local headers = upstream:last().headers
    assert.same({ "access2", "balance2", "response2", "bodybody2" },
      { headers["x-a"], headers["x-b"], response.headers["x-c"], response.body })
  end)

  it("that sets what can't be set is told where the fault is, and never what the value was", function()
    local said = json.decode(gateway([[
      function P:access(x)
        local headers, request = x.request.headers, x.request
        local function why(f) return (select(2, pcall(f))) end
        x:reply(200, {}, {
          why(function() headers.authorization = "Bearer s3cret\r\nx: y" end),
          why(function() headers:add("cookie", "a=s3cret\0") end),
          why(function() x:reply(200, { ["set-cookie"] = "a=s3cret\n" }) end),
          why(function() request.query = "token=s3cret\n" end),
        })
      end]]):get("/").body)
    for i, word in ipairs { '"authorization" (0x0d at 14)', '"cookie" (0x00 at 9)', '"set-cookie"', "request.query" } do
      assert.truthy(said[i]:find(word, 1, true), said[i])
      assert.is_nil(said[i]:find("s3cret", 1, true), said[i])
    end
  end)

  it("that leaves a coroutine in the middle of a wait costs nobody anything", function()
    local gate = gateway [[
      local left = {}
      function P:access(x)
        local t = task.spawn(function() task.sleep(3600) end)
        left[#left + 1] = coroutine.create(function() t:join() end)
        x:reply(200, {}, "left")
      end]]
    for _ = 1, 20 do
      assert.equal("left", gate:get("/").body)
    end
  end)

  it("may catch a wait that could not be, of its own coroutine in a callback, and go on", function()
    local gate = gateway [[
      local function less(a, b)
        coroutine.wrap(function() task.sleep(0.002) end)()
        return a < b
      end
      function P:access(x)
        local caught = 0
        for _ = 1, 3 do
          caught = caught + (pcall(table.sort, { 3, 2, 1 }, less) and 0 or 1)
        end
        if x.request.path == "/waits" then task.sleep(0.001) end
        x:reply(200, {}, tostring(caught))
      end]]
    for _ = 1, 20 do
      assert.equal("3", gate:get("/waits").body)
      assert.equal("3", gate:get("/").body)
      task.sleep(0.001)
    end
  end)

  it("that returns what it should not is told so", function()
    local upstream = test.upstream { status = 503 }
    for _, value in ipairs { "5", "{}", "true", "'again'", "'retry', 'soon'", "'retry', -1", "'retry', 0/0" } do
      local gate = gateway("function P:attempt() return " .. value .. " end", { upstream = upstream })
      assert.equal(500, gate:get("/").status, value)
    end
    for _, value in ipairs { "5", "{}", "true", "false" } do
      local gate = gateway("function P:body() return " .. value .. " end", { upstream = test.upstream { body = "x" } })
      assert.equal(500, gate:get("/").status, value)
    end
  end)

  it("may raise a table, and catch one that came through a wait", function()
    local gate = gateway [[
      function P:access(exchange)
        local t = task.spawn(function() task.sleep(0.001) error { code = 7 } end)
        local ok, err = pcall(t.join, t)
        if exchange.request.path == "/caught" then
          return exchange:reply(200, {}, tostring(ok) .. err.code)
        end
        error(err)
      end]]
    assert.equal("false7", gate:get("/caught").body)
    assert.equal(500, gate:get("/raised").status)
  end)
end)

describe("ten thousand hooks", function()
  local N = 10000

  it("may wait at once, and all go on", function()
    local plugin = { name = "waits", version = "1.0.0" }
    local waiting, most = 0, 0
    plugin.__index = plugin
    function plugin.new()
      return setmetatable({}, plugin)
    end
    function plugin:access(exchange)
      waiting = waiting + 1
      most = math.max(most, waiting)
      task.sleep(60)
      waiting = waiting - 1
      exchange.request.headers["x-waited"] = "yes"
    end
    local tasks = {}
    for i = 1, N do
      tasks[i] = task.spawn(function()
        local x = test.exchange { plugin = plugin }
        x:run "access"
        local header = x.exchange.request.headers["x-waited"]
        x:close()
        return header
      end)
    end
    test.eventually(function() return waiting == N end, "all of them to wait", 60)
    test.clock.advance(61)
    for _, t in ipairs(tasks) do
      assert.equal("yes", (t:join()))
    end
    assert.equal(N, most)
    assert.equal(0, waiting)
  end)
end)

describe("a gateway that ends", function()
  it("cancels tasks that wait, those of exchanges and those of its plugins", function()
    local gate = gateway [[
      local store = require("demilune.store").use()
      local function wait(name)
        store:set("waits " .. name, true)
        store:set("told " .. name, select(2, task.sleep(3600)))
      end
      function P:start() task.spawn(wait, "start") end
      function P:access(x)
        task.detach(wait, "detached") -- it has no say in when it ends
        if x.request.path == "/waits" then wait "hook" end
        x:reply(200)
      end]]
    assert.equal(200, gate:get("/").status)
    local request = task.spawn(gate.get, gate, "/waits")
    test.eventually(function() return store.use():get "waits hook" end)
    gate:close()
    assert.is_nil((request:join()))
    for _, name in ipairs { "start", "hook" } do
      assert.equal("cancelled", (store.use():get("told " .. name)), name)
    end
  end)
end)

describe("a module of the library", function()
  it("that is designed and does not exist yet is told from a misspelt one", function()
    for name, wanted in pairs {
      ["demilune.trace"] = 'module "demilune.trace" is not yet supported',
      ["demilune.jwt.keys"] = "module 'demilune.jwt.keys' not found",
      ["demilune.redis.pool"] = "module 'demilune.redis.pool' not found",
    } do
      local ok, message = pcall(require, name)
      assert.is_false(ok)
      assert.truthy(message:find(wanted, 1, true), message)
    end
  end)
end)
