-- SPDX-License-Identifier: Apache-2.0

-- What plugins take, in the metrics: by plugin and hook, over all places, and over reloads.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local PLUGIN = [[
local task = require "demilune.task"
local P = { name = "timed", version = "1.0.0" }
P.__index = P
function P:access(x)
  local stop = os.clock() + 0.002
  repeat until os.clock() > stop
end
function P:log() task.sleep(0.003) end
return P
]]

local CONFIG = [[
plugin_path: [plugins]
routes:
  - { name: a, paths: [/a], respond: {}, plugins: [{ name: timed }] }
  - { name: b, paths: [/b], respond: {}, plugins: [{ name: timed }] }
]]

describe("the metrics of plugins", function()
  local folder, gateway

  setup(function()
    folder = server.folder()
    folder:write("plugins/timed/init.lua", PLUGIN)
    gateway = server.start(CONFIG, { folder = folder, workers = 1 })
  end)

  teardown(function()
    gateway:stop()
    folder:remove()
  end)

  local function metric(name, hook)
    local page = client.get(gateway.admin_port, "/metrics").body
    return tonumber(page:match(('\n%s{plugin="timed",hook="%s"} (%%S+)'):format(name, hook)))
  end

  it("count their runs and times over all places, and go on after a reload", function()
    assert.equal(0, metric("demilune_plugin_runs_total", "access"))
    for i = 1, 10 do
      client.get(gateway.port, i % 2 == 0 and "/a" or "/b")
    end
    assert.equal(10, metric("demilune_plugin_runs_total", "access"))
    assert.is_true(metric("demilune_plugin_busy_seconds_total", "access") >= 0.019)
    assert.equal(0, metric("demilune_plugin_waiting_seconds_total", "access"))
    wait("the log hooks", function() return metric("demilune_plugin_runs_total", "log") == 10 end)
    assert.equal(200, client.request(gateway.admin_port, "POST", "/reload").status)
    local runs = metric("demilune_plugin_runs_total", "access")
    assert.equal(10, runs)
    client.get(gateway.port, "/a")
    assert.equal(11, metric("demilune_plugin_runs_total", "access"))
    wait("its log hook", function() return metric("demilune_plugin_runs_total", "log") == 11 end)
    wait("the time that log hooks have waited", function() -- of some of them: it is a sample
      client.get(gateway.port, "/a")
      return metric("demilune_plugin_waiting_seconds_total", "log") > 0.005
    end)
  end)
end)
