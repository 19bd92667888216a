-- SPDX-License-Identifier: Apache-2.0

-- demilune.kafka over librdkafka's mock cluster: what reaches the brokers, and what becomes of what can't.

package.path = "./?.lua;" .. package.path

local server = require "spec.support.server"
local task = require "demilune.task"
local test = require "demilune.test"

local PUBLISHER = [[
local kafka = require "demilune.kafka"
local Publisher = { name = "publisher", version = "1.0.0" }
Publisher.__index = Publisher

function Publisher.new()
  return setmetatable({ client = kafka.use "main" }, Publisher)
end

function Publisher:access(exchange)
  local delivery, err = self.client:publish { topic = "t", key = "k", value = exchange.request.body:read() }
  return exchange:reply(200, {}, delivery and "taken" or err)
end

return Publisher
]]

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

  it("says what was refused, what failed, and what is not known", function()
    local cluster = test.kafka()
    cluster:topic "t"
    cluster:topic "u"
    cluster:fail("Produce", "MSG_SIZE_TOO_LARGE")
    local report, err, why = cluster:client():publish({ topic = "t", value = "v" }):wait()
    assert.is_nil(report)
    assert.equal("refused", err)
    assert.equal("Broker: Message size too large", why)

    local client = cluster:client { ["message.timeout.ms"] = "2000" }
    test.eventually(function() -- it takes about as long until the producer is ready
      return client:publish({ topic = "t", value = "v" }):wait()
    end, "it is not ready", 60)
    cluster:delay(6)
    report, err, why = client:publish({ topic = "t", value = "v" }):wait()
    assert.is_nil(report)
    assert.equal("unknown", err)
    assert.truthy(why:find "^no word from the brokers within 2000 ms")

    cluster:delay(0)
    cluster:down()
    report, err = client:publish({ topic = "u", value = "v" }):wait()
    assert.is_nil(report)
    assert.equal("failed", err)
  end)

  it("takes no more than its bounds, and no names that Kafka refuses", function()
    local cluster = test.kafka()
    cluster:down()
    local client = cluster:client { ["queue.buffering.max.messages"] = "2", ["message.max.bytes"] = "1000" }
    for record, wanted in pairs {
      [{ topic = "t", value = ("x"):rep(1001) }] = "limit",
      [{ topic = "t", value = "", headers = { h = ("x"):rep(1000) } }] = "limit",
      [{ topic = "a b", value = "v" }] = "syntax",
      [{ topic = "", value = "v" }] = "syntax",
    } do
      local delivery, err, why = client:publish(record)
      assert.is_nil(delivery)
      assert.equal(wanted, err)
      assert.equal("string", type(why))
    end
    assert(client:publish { topic = "t" })
    assert(client:publish { topic = "t" })
    local delivery, err = client:publish { topic = "t" }
    assert.is_nil(delivery)
    assert.equal("full", err)
  end)

  it("waits as long as it is told, and may be asked again", function()
    local cluster = test.kafka()
    cluster:topic "t"
    cluster:down()
    local delivery = cluster:client():publish { topic = "t", value = "v" }
    local report, err = delivery:wait(0.01)
    assert.is_nil(report)
    assert.equal("timeout", err)
    cluster:up()
    assert.same({ topic = "t", partition = 0, offset = 0 }, delivery:wait())
  end)

  it("lets go of a wait that is cancelled, and delivers all the same", function()
    local cluster = test.kafka()
    cluster:topic "t"
    cluster:down()
    local delivery = cluster:client():publish { topic = "t", value = "v" }
    local waits, word
    local waiter = task.spawn(function()
      waits = true
      word = select(2, delivery:wait())
    end)
    test.eventually(function() return waits end)
    waiter:cancel()
    test.eventually(function() return word end)
    assert.equal("cancelled", word)
    cluster:up()
    assert.equal(0, delivery:wait().offset)
  end)

  it("has one wait at a time for a delivery", function()
    local cluster = test.kafka()
    cluster:topic "t"
    cluster:down()
    local delivery = cluster:client():publish { topic = "t" }
    local waits
    local waiter = task.spawn(function()
      waits = true
      return delivery:wait()
    end)
    test.eventually(function() return waits end)
    assert.has_error(function() delivery:wait() end, "another coroutine waits for this delivery")
    cluster:up()
    assert.equal(0, task.join(waiter).offset)
  end)

  it("tells misuse from failure", function()
    local cluster = test.kafka()
    local client = cluster:client()
    for message, record in pairs {
      ["a record has a topic"] = {},
      ["topic is a number, not a text"] = { topic = 1 },
      ["value is a table, not a text"] = { topic = "t", value = {} },
      ["key is a boolean, not a text"] = { topic = "t", key = true },
      ["partition is a string, not a number"] = { topic = "t", partition = "1" },
      ["partition is out of range"] = { topic = "t", partition = -1 },
      ["timestamp is out of range"] = { topic = "t", timestamp = -1 },
      ["headers is a string, not a table"] = { topic = "t", headers = "a: b" },
      ["header 1 is a string, not { name, value }"] = { topic = "t", headers = { "a" } },
      ["a header's name is a nil, not a text"] = { topic = "t", headers = { {} } },
      ["a header's value is a number, not a text"] = { topic = "t", headers = { a = 1 } },
    } do
      local ok, told = pcall(client.publish, client, record)
      assert.is_false(ok)
      assert.truthy(told:find(message, 1, true), told)
    end
  end)

  it("loses nothing when nobody holds a delivery, and when its gateway ends first", function()
    local cluster = test.kafka()
    cluster:topic "t"
    cluster:down()
    local folder = server.folder()
    folder:write("publisher/init.lua", PUBLISHER)
    local gateway = test.gateway {
      config = { kafka = { cluster:config "main" } },
      plugin_path = { folder.path },
      plugins = { "publisher" },
    }
    for i = 1, 50 do
      assert.equal("taken", gateway:post("/", { body = tostring(i) }).body)
      if i % 10 == 0 then
        collectgarbage()
      end
    end
    gateway:close()
    folder:remove()
    cluster:up()
    local records = cluster:records("t", 50)
    assert.equal("1", records[1].value)
    assert.equal("50", records[50].value)
  end)
end)
