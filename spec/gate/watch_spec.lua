-- SPDX-License-Identifier: Apache-2.0

-- What `watch` must not miss, however badly a change is timed.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

-- Turns into the second version while the first one is being loaded: after it was read, before the gateway is ready.
local TURNS = [[
local SECOND = %q
local f = assert(io.open(%q, "w"))
f:write(SECOND)
f:close()
]]

local PLUGIN = [[
local M = { name = "turns", version = "1.0.0" }
M.__index = M
function M.new() return setmetatable({}, M) end
function M:response(exchange) exchange.response.headers["x-version"] = "%s" end
return M
]]

describe("watch", function()
  it("sees a plugin that changes while it is being read", function()
    local folder = server.folder()
    local path = folder.path .. "/plugins/turns/init.lua"
    folder:write("plugins/turns/init.lua", TURNS:format(PLUGIN:format "second", path) .. PLUGIN:format "first")
    local gateway = server.start([[
plugin_path: [plugins]
watch: true
routes: [{ name: own, paths: [/own], respond: { body: own } }]
plugins: [{ name: turns }]
]], { folder = folder, workers = 1 })
    finally(function()
      gateway:stop()
      folder:remove()
    end)
    wait("the second version", function()
      return client.get(gateway.port, "/own").headers["x-version"] == "second"
    end)
  end)
end)
