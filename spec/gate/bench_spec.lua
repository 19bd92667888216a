-- SPDX-License-Identifier: Apache-2.0

-- `demilune bench`: which hooks a request meets, what they take, and who ends it.

package.path = "./?.lua;" .. package.path

local server = require "spec.support.server"
local test = require "demilune.test"

local CONFIG = [[
listeners: [{ address: "127.0.0.1:0" }]
plugin_path: [plugins]
plugins: [{ name: first }]
routes:
  - name: up
    paths: ["/up/{id}"]
    upstream: http://127.0.0.1:9
    plugins: [{ name: all }]
  - { name: closed, paths: [/closed], respond: {}, plugins: [{ name: no }, { name: all }] }
  - { name: plain, paths: [/plain], respond: {} }
]]

local ALL = [[
local task = require "demilune.task"
local P = { name = "all", version = "1.0.0" }
P.__index = P
function P:access(x)
  assert(x.request.params.id == "7" and x.request.headers["x-a"] == "b")
  self.kept = ("x"):rep(1000) .. x.id
end
function P:balance(x, attempt) attempt.timeout = 1 end
function P:attempt(x, attempt) assert(attempt.status == 200) end
function P:response(x) assert(x.response.status) task.sleep(0.002) end
function P:body(x, chunk, last) assert(#chunk > 0 and last) return chunk end
function P:log(x) assert(x.ctx) end
return P
]]

local FIRST = [[
local P = { name = "first", version = "1.0.0" }
P.__index = P
function P:rewrite(x) x.ctx.seen = true end
return P
]]

describe("demilune bench", function()
  local folder

  setup(function()
    folder = server.folder()
    folder:write("demilune.yaml", CONFIG)
    folder:write("plugins/all/init.lua", ALL)
    folder:write("plugins/first/init.lua", FIRST)
    folder:write("plugins/no/init.lua", [[
local P = { name = "no", version = "1.0.0" }
P.__index = P
function P:access(x) x:reply(403, {}, "no") end
return P]])
  end)

  teardown(function()
    folder:remove()
  end)

  local function bench(...)
    return server.run({ "bench", ... }, { folder = folder, patience = 30 })
  end

  local function row(result, phase, plugin)
    return result.out:match(("\n%s +%s +(%%S+ us) +(%%S.-)  +(%%d+ B) +(%%d+)\n"):format(phase, plugin))
  end

  it("tells what each hook takes, what it waits and what memory it needs", function()
    local result = bench("GET", "http://example.com/up/7?a=1", "-H", "X-A: b")
    assert.equal("", result.err)
    assert.equal(0, result.status)
    assert.matches("route up", result.out, 1, true)
    local at = 0
    for _, phase in ipairs { "access", "balance", "attempt", "response", "body", "log" } do
      assert.is_string(row(result, phase, "all"), phase .. " in " .. result.out)
      local found = result.out:find("\n" .. phase, 1, true)
      assert.is_true(found > at)
      at = found
    end
    assert.is_string(row(result, "rewrite", "first"))
    local _, waits = row(result, "response", "all")
    assert.is_true(tonumber(waits:match "%S+") >= 2000 * 0.9) -- microseconds
    local _, none, bytes = row(result, "access", "all")
    assert.equal("-", none)
    assert.is_true(tonumber(bytes:match "%d+") >= 1000)
  end)

  it("does not take a short wait for work", function()
    folder:write("demilune.yaml", ('redis: [{ name: main, url: "%s" }]\n'):format(test.redis().url) .. CONFIG)
    folder:write("plugins/first/init.lua", [[
local P = { name = "first", version = "1.0.0" }
P.__index = P
function P.new() return setmetatable({ db = require("demilune.redis").use "main" }, P) end
function P:rewrite(x) assert(self.db:command "PING") end
return P]])
    local result = bench("GET", "/plain")
    folder:write("plugins/first/init.lua", FIRST)
    folder:write("demilune.yaml", CONFIG)
    local _, waits = row(result, "rewrite", "first")
    assert.matches("^[%d.]+ us$", waits, result.out .. result.err)
  end)

  it("tells who has answered, and does not run what is behind", function()
    local result = bench("GET", "/closed")
    assert.equal(0, result.status)
    assert.matches("answered 403 by no in access", result.out, 1, true)
    assert.is_nil((row(result, "access", "all")))
  end)

  it("writes some lines of a plugin's log, and counts the rest", function()
    folder:write("plugins/first/init.lua", [[
local log = require "demilune.log"
local P = { name = "first", version = "1.0.0" }
P.__index = P
function P:rewrite(x) log.warn("it fails") end
return P]])
    local result = bench("GET", "/plain")
    folder:write("plugins/first/init.lua", FIRST)
    local _, lines = result.err:gsub("it fails", "")
    assert.equal(10, lines)
    local _, _, _, runs = row(result, "rewrite", "first")
    local more = tonumber(result.out:match "\n(%d+) more lines of plugins in the log were left out")
    assert.is_true(more >= tonumber(runs) - 10, result.out)
  end)

  it("says so when nothing runs, or no route takes the request", function()
    local result = bench("GET", "/nope")
    assert.equal(1, result.status)
    assert.matches("no route takes it", result.out, 1, true)
    folder:write("demilune.yaml", CONFIG:gsub("plugins: %[{ name: first }%]\n", ""))
    assert.matches("no plugin has a hook for it", bench("GET", "/plain").out, 1, true)
    folder:write("demilune.yaml", CONFIG)
  end)

  it("tells what is wrong with its arguments, and what a hook raises", function()
    for _, case in ipairs { { "no URL", "GET", "up" }, { "method", "FROB", "/up/7" },
      { "no header", "GET", "/up/7", "-H", "x" } } do
      local result = bench(unpack(case, 2))
      assert.equal(2, result.status)
      assert.matches(case[1], result.err, 1, true)
    end
    local result = bench("GET", "/up/8")
    assert.equal(1, result.status)
    assert.matches("plugins/all/init.lua:5: assertion failed", result.err, 1, true)
  end)
end)
