-- SPDX-License-Identifier: Apache-2.0

-- The order flow over Kafka as its README tells it, with its own requests, on free ports.

package.path = "./?.lua;" .. package.path

local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local PORTS = { "PORT", "ADMIN_PORT", "ORDERS_PORT", "KAFKA_PORT", "CONTROLLER_PORT" }

local preset = os.getenv "DEMILUNE_PRESET"

describe("examples/kafka", function()
  it("does what its tour says", function()
    if preset == "asan" or preset == "tsan" then
      return pending "the brokers are the same there"
    end
    local folder, env = server.folder(), origin.free_ports(PORTS)
    env.DEMILUNE = server.program
    local out, err = folder.path .. "/stdout", folder.path .. "/stderr"
    local pid = posix.spawn({ "examples/kafka/run", "--check" }, { stdout = out, stderr = err, env = env })
    local status = wait("the end of the tour", function() return posix.exit_status(pid) end, 280)
    local told = io.open(out):read "*a" .. io.open(err):read "*a"
    folder:remove()
    assert.equal(0, status, told)
    assert.is_true(select(2, told:gsub("\nok ", "")) > 12, told)
  end)
end)
