-- SPDX-License-Identifier: Apache-2.0

-- store:once over all workers: one runs the function, the others wait for it, whatever becomes of the one.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

-- X-Key is what is asked for, X-Act what making it does, X-Lease how long it may take.
local PLUGIN = [[
local store = require("demilune.store").use()
local task = require "demilune.task"

local M = { name = "once", version = "1.0.0" }
M.__index = M
function M.new() return setmetatable({}, M) end

local acts = {}
function acts.make() task.sleep(0.05) return "made" end
function acts.stall() task.sleep(3600) end
function acts.spin()
  repeat task.sleep(0.01) until store:get "go"
  while true do end
end

function M:access(exchange)
  local headers = exchange.request.headers
  local key = headers["x-key"]
  if key then
    local value, err = store:once(key, 60, function()
      store:incr("runs of " .. key, 1)
      return acts[headers["x-act"] ](exchange)
    end, { lease = tonumber(headers["x-lease"]) })
    exchange:reply(200, { ["x-runs"] = tostring(store:get("runs of " .. key)) }, value or err)
  end
end

return M
]]

local CONFIG = [[
plugin_path: [plugins]
script: { time_budget: 50ms }
routes: [{ name: once, paths: [/once], respond: {}, plugins: [{ name: once }] }]
]]

describe("store:once", function()
  local folder, gateway

  setup(function()
    folder = server.folder()
    folder:write("plugins/once/init.lua", PLUGIN)
    gateway = server.start(CONFIG, { folder = folder, workers = 4 })
  end)

  teardown(function()
    gateway:stop()
    folder:remove()
  end)

  local function ask(key, act, lease)
    local headers = { ["X-Key"] = key, ["X-Act"] = act, ["X-Lease"] = lease }
    return client.connect(gateway.port):send(client.bytes("GET", "/once", { headers = headers }))
  end

  local function until_waiting(n)
    wait(n .. " hooks to wait", function()
      local total = 0
      local page = client.get(gateway.admin_port, "/metrics").body
      for count in page:gmatch "\ndemilune_lua_waiting[^\n]* (%d+)" do
        total = total + tonumber(count)
      end
      return total == n
    end)
  end

  it("runs its function once for all workers", function()
    local clients = {}
    for i = 1, 20 do
      clients[i] = ask("all", "make")
    end
    for i = 1, 20 do
      local response = clients[i]:response()
      assert.equal("made", response.body)
      assert.equal("1", response.headers["x-runs"])
      clients[i]:close()
    end
  end)

  it("does not wait for who takes longer than its lease", function()
    local late = ask("late", "stall", 1.5)
    until_waiting(1)
    local began = posix.now()
    local next_one = ask("late", "make", 1.5)
    assert.equal("made", next_one:response().body)
    assert.is_true(posix.now() - began < 5) -- a waiter gives up of itself five seconds after the lease
    late:close()
    next_one:close()
    until_waiting(0)
  end)

  it("does not wait for who has lost its client", function()
    local gone = ask("gone", "stall")
    until_waiting(1)
    local next_one = ask("gone", "make")
    gone:close()
    assert.equal("made", next_one:response().body)
    next_one:close()
  end)

  -- ThreadSanitizer holds signals back until the next call into libc, and a compiled loop makes none.
  local it_stops = os.getenv "DEMILUNE_PRESET" == "tsan" and pending or it

  it_stops("does not wait for who was stopped", function()
    local spins = ask("spins", "spin")
    until_waiting(1)
    local next_one = ask("spins", "make")
    until_waiting(2)
    ask("go", "make"):response()
    assert.equal(500, spins:response().status)
    assert.equal("made", next_one:response().body)
    spins:close()
    next_one:close()
  end)
end)
