-- SPDX-License-Identifier: Apache-2.0

-- demilune.kafka over librdkafka's mock cluster: what reaches the brokers, and what becomes of what can't.

local task = require "demilune.task"
local test = require "demilune.test"

describe("demilune.kafka", function()
  it("publishes a record with all that it has, and says where it lies", function()
    local cluster = test.kafka()
    cluster:topic("orders", 2)
    local delivery = assert(cluster:client():publish {
      topic = "orders", key = "k\0", value = "v", partition = 1, timestamp = 1700000000.25,
      headers = { { "a", "1" }, { "b", "" }, { "a", "2" }, { "n" } },
    })
    local report = assert(delivery:wait())
    assert.same({ topic = "orders", partition = 1, offset = 0 }, report)
    assert.same(report, delivery:wait())
    local record = cluster:records("orders")[1]
    assert.same({
      partition = 1, offset = 0, timestamp = 1700000000.25, key = "k\0", value = "v",
      headers = { { "a", "1" }, { "b", "" }, { "a", "2" }, { "n" } },
    }, record)
  end)

  it("tells null from empty", function()
    local cluster = test.kafka()
    cluster:topic "t"
    local client = cluster:client()
    client:publish { topic = "t", key = "", value = "" }
    assert(client:publish { topic = "t", headers = { a = "1" } }:wait())
    local records = cluster:records("t", 2)
    assert.equal("", records[1].key)
    assert.equal("", records[1].value)
    assert.is_nil(records[2].key)
    assert.is_nil(records[2].value)
    assert.same({ { "a", "1" } }, records[2].headers)
  end)

  it("keeps the order of a key", function()
    local cluster = test.kafka { brokers = 3 }
    cluster:topic("t", 4)
    local client, last = cluster:client(), nil
    for i = 1, 1000 do
      last = assert(client:publish { topic = "t", key = "k" .. i % 7, value = tostring(i) })
    end
    assert(last:wait())
    local before = {}
    for _, record in ipairs(cluster:records("t", 1000)) do
      assert.is_true(tonumber(record.value) > (before[record.key] or 0))
      before[record.key] = tonumber(record.value)
    end
  end)

  it("lets many wait at one time", function()
    local cluster = test.kafka()
    cluster:topic("t", 4)
    local client, tasks = cluster:client(), {}
    for i = 1, 200 do
      tasks[i] = task.spawn(function()
        return client:publish({ topic = "t", value = tostring(i) }):wait()
      end)
    end
    for i = 1, 200 do
      assert.equal("t", task.join(tasks[i]).topic)
    end
  end)
end)
