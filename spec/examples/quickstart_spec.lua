-- SPDX-License-Identifier: Apache-2.0

-- The quickstart as its README tells it, with its own requests, on free ports.

package.path = "./?.lua;" .. package.path

local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local PORTS = { "PORT", "ADMIN_PORT", "CATALOG_1_PORT", "CATALOG_2_PORT", "ORDERS_PORT" }

describe("examples/quickstart", function()
  it("does what its tour says", function()
    local folder, env = server.folder(), origin.free_ports(PORTS)
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
