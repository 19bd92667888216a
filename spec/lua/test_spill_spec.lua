-- SPDX-License-Identifier: Apache-2.0

-- The spill in test.gateway: a plugin that accepts events has its specs without `demilune run`.

package.path = "./?.lua;" .. package.path

local posix = require "spec.support.posix"
local server = require "spec.support.server"
local test = require "demilune.test"

local ACCEPTS = [[
local kafka = require "demilune.kafka"
local Accepts = { name = "accepts", version = "1.0.0" }
Accepts.__index = Accepts

function Accepts.new()
  return setmetatable({ client = kafka.use "main" }, Accepts)
end

function Accepts:access(exchange)
  if not kafka.can_accept() then
    return exchange:reply(501)
  end
  local id, err, why = self.client:accept { topic = "t", value = exchange.request.path }
  return exchange:reply(id and 202 or 503, {}, id or ("%s: %s"):format(err, why))
end

return Accepts
]]

describe("test.gateway", function()
  local cluster, folder

  before_each(function()
    cluster = test.kafka()
    cluster:topic "t"
    folder = server.folder()
    folder:write("plugins/accepts/init.lua", ACCEPTS)
  end)

  after_each(function()
    folder:remove()
  end)

  local function gateway(spill)
    return test.gateway {
      config = { kafka = { cluster:config "main" }, spill = spill }, plugins = { "accepts" },
      plugin_path = { folder.path .. "/plugins" },
    }
  end

  local function exists(path)
    local file = io.open(path)
    return file ~= nil and file:close()
  end

  it("has a spill in a folder that goes with it", function()
    local gate = gateway { size = "1MiB" }
    local response = gate:get "/one"
    assert.equal(202, response.status, response.body)
    local record = cluster:records("t")[1]
    assert.equal("/one", record.value)
    assert.same({ { "id", response.body } }, record.headers)
    assert.is_true(exists(gate.folder))
    gate:close()
    assert.is_false(exists(gate.folder))
  end)

  it("has one of its own beside another", function()
    local first, second = gateway {}, gateway {}
    for _, gate in ipairs { first, second } do
      assert.equal(202, gate:get("/x").status)
    end
    first:close()
    assert.equal(202, second:get("/y").status)
    assert.equal(3, #cluster:records("t", 3))
  end)

  it("delivers from a folder that is named what an earlier one has left there", function()
    local dir = folder.path .. "/spill"
    cluster:down(1)
    local first = gateway { dir = dir }
    assert.equal(202, first:get("/left").status)
    first:close()
    cluster:up(1)
    gateway { dir = dir }
    assert.equal("/left", cluster:records("t")[1].value)
  end)

  it("ends at once though the brokers are down, two of the same brokers as well", function()
    cluster:down(1)
    local first, second = gateway {}, gateway {}
    assert.equal(202, first:get("/a").status)
    assert.equal(202, second:get("/b").status)
    local began = posix.now()
    first:close()
    second:close()
    assert.is_true(posix.now() - began < 15)
    assert.is_false(exists(first.folder))
    assert.is_false(exists(second.folder))
  end)

  it("has none unless it is asked for, and says what is wrong with one", function()
    assert.equal(501, gateway(nil):get("/").status)
    folder:write("file", "")
    assert.matches("spill.dir", test.faults { config = { spill = { dir = folder.path .. "/file/x" } } })
  end)
end)
