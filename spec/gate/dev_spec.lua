-- SPDX-License-Identifier: Apache-2.0

-- `demilune run --dev`: an edited plugin serves the next request, and misuse of the plugin interface is explained.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local CONFIG = [[
plugin_path: [plugins]
routes:
  - { name: it, paths: ["/*"], respond: { body: core }, plugins: [{ name: it, config: { limit: 1 } }] }
]]

local HEAD = [[
local task = require "demilune.task"
local P = { name = "it", version = "1.0.0", schema = { type = "object", properties = {
  limit = { type = "integer" }, other = { type = "string" } } } }
P.__index = P
]]

describe("demilune run --dev", function()
  local folder, gateway

  before_each(function()
    folder = server.folder()
  end)

  after_each(function()
    if gateway then
      gateway:stop()
      gateway = nil
    end
    folder:remove()
  end)

  local function plugin(source)
    folder:write("plugins/it/init.lua", HEAD .. source .. "\nreturn P\n")
  end

  local function start(source)
    plugin(source)
    gateway = server.start(CONFIG, { folder = folder, args = { "--dev" } })
  end

  local function get(path)
    return client.get(gateway.port, path or "/")
  end

  -- With a plugin that does this, one request is answered by status, and the log says what was wrong.
  local function explains(source, message, status)
    start(source)
    assert.equal(status or 200, get().status)
    wait(message .. " in " .. gateway:log(), function()
      return gateway:log():find(message, 1, true)
    end)
  end

  it("takes an edited plugin at the next request, every time", function()
    start "function P:access(x) x:reply(200, {}, 'first') end"
    assert.equal("first", get().body)
    for i = 1, 10 do
      plugin(("function P:access(x) x:reply(200, {}, 'number %d') end"):format(i))
      assert.equal("number " .. i, get().body)
    end
  end)

  it("takes it on an open connection, and with a body behind the head", function()
    start "function P:access(x) x:reply(200, {}, x.request.body:read() .. '!') end"
    local c = client.connect(gateway.port)
    local function ask(body)
      c:send(client.bytes("POST", "/", { body = body }))
      return c:response().body
    end
    assert.equal("one!", ask "one")
    plugin "function P:access(x) x:reply(200, {}, x.request.body:read() .. '?') end"
    assert.equal("two?", ask "two")
    assert.equal(("x"):rep(100000) .. "?", ask(("x"):rep(100000)))
    c:close()
  end)

  it("goes on with what it has while the plugin can't be used, and says why", function()
    start "function P:access(x) x:reply(200, {}, 'good') end"
    plugin "function P:access(x) x:reply(200, {}, 'bad' end"
    assert.equal("good", get().body)
    assert.matches("')' expected near 'end'", gateway:event "reload.fault", 1, true)
    assert.equal("good", get().body)
    plugin "function P:access(x) x:reply(200, {}, 'mended') end"
    assert.equal("mended", get().body)
  end)

  it("serves many that come at once, and lets go of those who leave", function()
    start "function P:access(x) x:reply(200, {}, 'first') end"
    for round = 1, 3 do
      local clients = {}
      plugin(("function P:access(x) x:reply(200, {}, 'round %d') end"):format(round))
      for i = 1, 40 do
        clients[i] = client.connect(gateway.port):send(client.bytes("GET", "/"))
        if i % 4 == 0 then
          clients[i]:reset()
        end
      end
      for i, c in ipairs(clients) do
        if i % 4 ~= 0 then
          assert.equal("round " .. round, c:response().body)
          c:close()
        end
      end
    end
  end)

  it("ends in order while requests come", function()
    start "function P:access(x) task.sleep(0.01) x:reply(200, {}, 'x') end"
    local clients = {}
    for i = 1, 20 do
      clients[i] = client.connect(gateway.port):send(client.bytes("GET", "/"))
    end
    gateway:stop()
    gateway = nil
    for _, c in ipairs(clients) do
      c:close()
    end
  end)

  describe("explains", function()
    it("a misspelt hook", function()
      start "function P:access() end"
      plugin "function P:acces() end function P:log() end"
      assert.equal(200, get().status)
      assert.matches('unknown field \\"acces\\", did you mean \\"access\\"?', gateway:event "reload.fault", 1, true)
    end)

    it("a field that is not there", function()
      explains("function P:access(x) return x.requset end", 'did you mean \\"request\\"?', 500)
    end)

    it("a field of a route", function()
      explains("function P:access(x) return x.route.nam end", 'exchange.route has no field \\"nam\\"', 500)
    end)

    it("a misspelt function of the library", function()
      explains("function P:access() task.slep(1) end",
        'demilune.task has no field \\"slep\\", did you mean \\"sleep\\"?', 500)
    end)

    it("a result that nobody looks at", function()
      explains("function P:access() return { status = 403 } end", "its access hook has returned a table")
    end)

    it("require on the request path", function()
      explains("function P:access() require 'pl.path' end", "write require at the top of the file", 500)
    end)

    it("a global", function()
      explains("function P:access() count = 1 end", 'write \\"local count\\"', 500)
    end)
  end)

  it("finds options that the schema does not have before anything runs", function()
    folder:write("plugins/it/init.lua", HEAD .. [[
function P.new(config)
  assert(config.limit == 1 and config.other == nil)
  return setmetatable({ limit = config.limt }, P)
end
function P:access() end
return P]])
    local file = folder:write("demilune.yaml", 'listeners: [{ address: "127.0.0.1:0" }]\n' .. CONFIG)
    local result = server.run({ "run", "--dev", "-c", file }, { folder = folder })
    assert.equal(1, result.status)
    assert.matches('config has no field "limt", did you mean "limit"?', result.err, 1, true)
    assert.equal(0, server.run({ "check", "-c", file }, { folder = folder }).status)
  end)
end)
