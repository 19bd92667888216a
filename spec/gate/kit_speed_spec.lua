-- SPDX-License-Identifier: Apache-2.0

-- How fast specs of plugins are: a thousand of one hook each, a hundred with a gateway and an upstream of their own. In CPU
-- time, which a busy machine does not change. The figures are printed with spec/run --full.

package.path = "./?.lua;" .. package.path

local posix = require "spec.support.posix"
local server = require "spec.support.server"

local UNIT = [[
local test = require "demilune.test"
for i = 1, 1000 do
  it("is number " .. i, function()
    local x = test.exchange { plugin = "mine", headers = { ["x-mine"] = "a" .. i } }
    x:run "access"
    assert.equal("a" .. i, x.exchange.request.headers["x-mine"])
  end)
end
]]

local GATEWAY = [[
local test = require "demilune.test"
for i = 1, 100 do
  it("is number " .. i, function()
    local gateway = test.gateway { upstream = test.upstream { body = "b" .. i }, plugins = { "mine" } }
    assert.equal("b" .. i, gateway:get("/").body)
  end)
end
]]

-- A sanitizer takes its time.
local SLOWER = os.getenv "DEMILUNE_PRESET" == "dev" and 1 or 20

describe("demilune test", function()
  local folder

  setup(function()
    folder = server.folder()
    folder:write("mine/init.lua", [[
local P = { name = "mine", version = "1.0.0" }
P.__index = P
function P:access(x) x.request.headers["x-seen"] = x.request.headers["x-mine"] end
return P]])
  end)

  teardown(function()
    folder:remove()
  end)

  local function takes(what, n, source, seconds)
    folder:write("mine/" .. what .. "_spec.lua", source)
    local before = posix.children_cpu()
    local result = server.run({ "test", "mine/" .. what .. "_spec.lua" }, { folder = folder, patience = 60 })
    local took = posix.children_cpu() - before
    assert.matches(n .. " successes / 0 failures / 0 errors", result.out, 1, true)
    if os.getenv "DEMILUNE_FULL" then
      print(("%d %s specs: %.2f s"):format(n, what, took))
    end
    assert.is_true(took < seconds * SLOWER, took .. " s")
  end

  it("runs 1,000 specs of a hook in less than 2 s", function()
    takes("unit", 1000, UNIT, 2)
  end)

  it("runs 100 specs with a gateway in less than 5 s", function()
    takes("gateway", 100, GATEWAY, 5)
  end)
end)
