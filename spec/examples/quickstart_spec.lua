-- SPDX-License-Identifier: Apache-2.0

-- The quickstart as its README tells it, with its own requests, on free ports.

package.path = "./?.lua;" .. package.path

local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local PORTS = { "PORT", "ADMIN_PORT", "CATALOG_1_PORT", "CATALOG_2_PORT", "ORDERS_PORT" }

local function free_ports()
  local env, held = {}, {}
  for _, name in ipairs(PORTS) do
    held[name] = origin.listen()
    env[name] = tostring(held[name].port)
  end
  for _, one in pairs(held) do
    one:close()
  end
  return env
end

describe("examples/quickstart", function()
  it("does what its tour says", function()
    local folder, env = server.folder(), free_ports()
    env.DEMILUNE = server.program
    local out, err = folder.path .. "/stdout", folder.path .. "/stderr"
    local pid = posix.spawn({ "examples/quickstart/run", "--check" }, { stdout = out, stderr = err, env = env })
    local status = wait("the end of the tour", function() return posix.exit_status(pid) end, 120)
    local told = io.open(out):read "*a" .. io.open(err):read "*a"
    folder:remove()
    assert.equal(0, status, told)
    assert.is_true(select(2, told:gsub("\nok ", "")) > 10, told)
  end)
end)
