-- SPDX-License-Identifier: Apache-2.0

-- The kafka plugin and the access log with `mode: accept`: what is taken while no broker is there, and what is not.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local command = require "spec.support.command"
local json = require "demilune.json"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local test = require "demilune.test"

local CONFIG = [[
kafka: [{ name: events, brokers: ["%s"], options: { message.max.bytes: %d } }]
spill: { dir: "%s", size: %s, fsync: never }
%s
routes:
  - name: in
    paths: [/in]
    plugins:
      - { name: kafka, config: { kafka: events, topic: t, mode: accept, key: k, batch: auto%s } }
  - { name: other, paths: [/other/*], respond: { status: 200 } }
]]

describe("mode: accept", function()
  local cluster, folder, gateway

  before_each(function()
    cluster = test.kafka()
    cluster:topic "t"
    folder = posix.new_folder()
  end)

  after_each(function()
    gateway:stop()
    command.run { "rm", "-rf", folder }
  end)

  local function start(options)
    options = options or {}
    gateway = server.start(CONFIG:format(cluster.brokers, options.largest or 1000000, folder .. "/spill",
      options.size or "8MiB", options.more or "", options.config or ""))
  end

  local function post(body, headers)
    return client.request(gateway.port, "POST", "/in", { body = body, headers = headers })
  end

  local function ids_of(record)
    local ids = {}
    for _, header in ipairs(record.headers) do
      ids[#ids + 1] = header[1] == "id" and header[2] or nil
    end
    return ids
  end

  it("answers while no broker is there, and publishes in order once there is one", function()
    cluster:down()
    start()
    local taken = {}
    for i = 1, 20 do
      local response = post("e" .. i)
      assert.equal(202, response.status, response.body)
      taken[i] = json.decode(response.body)
      assert.is_nil(taken[i].offset)
    end
    cluster:up()
    for i, record in ipairs(cluster:records("t", 20)) do
      assert.same({ "k", "e" .. i, taken[i].id }, { record.key, record.value, ids_of(record)[1] })
      assert.equal(1, #ids_of(record))
    end
  end)

  it("takes a batch, but what is at fault itself", function()
    start { largest = 2000 }
    local response = post('1\n"' .. ("x"):rep(3000) .. '"\nno JSON\n4', { ["Content-Type"] = "application/x-ndjson" })
    assert.equal(207, response.status, response.body)
    local statuses = {}
    for i, record in ipairs(json.decode(response.body).records) do
      statuses[i] = record.status
    end
    assert.same({ 202, 413, 400, 202 }, statuses)
    local records = cluster:records("t", 2)
    assert.same({ "1", "4" }, { records[1].value, records[2].value })
  end)

  it("says when to come again, where the spill is full", function()
    cluster:down()
    start { size = "1MiB" }
    local response
    for _ = 1, 40 do
      response = post(("x"):rep(100000))
      if response.status ~= 202 then
        break
      end
    end
    assert.equal(503, response.status)
    assert.equal("1", response.headers["retry-after"])
    assert.equal("application/problem+json", response.headers["content-type"])
  end)

  it("lays down what the brokers refuse for good, with the reason", function()
    start { config = (', dead_letter_file: "%s/dead"'):format(folder) }
    cluster:fail("Produce", "MSG_SIZE_TOO_LARGE")
    local id = json.decode(post("poison").body).id
    local line = test.eventually(function()
      local file = io.open(folder .. "/dead")
      local text = file and file:read "*l"
      if file then
        file:close()
      end
      return text
    end, "no dead letter", 20)
    local letter = json.decode(line)
    assert.equal(id, letter.id, line)
    assert.truthy(line:find("poison", 1, true), line)
    assert.truthy(line:lower():find("too large", 1, true), line)
  end)

  it("is for access logs, too", function()
    cluster:topic "access"
    start { more = "plugins: [{ name: access-log, config: "
      .. '{ to: "kafka:events/access", mode: accept, fields: { path: "{path}" } } }]' }
    for i = 1, 3 do
      client.get(gateway.port, "/other/" .. i)
    end
    local lines = {} -- in no order: each is written after its client has got the answer, by one worker or another
    for i, record in ipairs(cluster:records("access", 3)) do
      lines[i] = record.value
    end
    table.sort(lines)
    assert.same({ '{"path":"/other/1"}', '{"path":"/other/2"}', '{"path":"/other/3"}' }, lines)
  end)
end)
