-- SPDX-License-Identifier: Apache-2.0

-- Kafka behind a gateway: what was published is kept over a reload and flushed at the end, and metrics tell of it.

package.path = "./?.lua;" .. package.path

local certs = require "spec.support.certs"
local client = require "spec.support.client"
local server = require "spec.support.server"
local test = require "demilune.test"
local wait = require "spec.support.wait"

-- Publishes the query; /wait answers with what became of it.
local PLUGIN = [[
local kafka = require "demilune.kafka"
local Events = { name = "events", version = "1.0.0" }
Events.__index = Events

function Events.new()
  return setmetatable({ client = kafka.use "main" }, Events)
end

function Events:access(exchange)
  local request = exchange.request
  local delivery, err = self.client:publish { topic = "t", key = "k", value = request.query }
  local report
  if delivery and request.path == "/wait" then
    report, err = delivery:wait()
  end
  return exchange:reply(200, {}, err or report and tostring(report.offset) or "taken")
end

return Events
]]

local CONFIG = [[
plugin_path: [plugins]
drain: { timeout: %s }
kafka: [{ name: main, brokers: ["%s"]%s }]
routes:
  - { name: events, plugins: [{ name: events }], respond: { body: none } }
]]

describe("Kafka behind a gateway", function()
  local folder, gateway, cluster

  before_each(function()
    folder = server.folder()
    folder:write("plugins/events/init.lua", PLUGIN)
    cluster = test.kafka()
    cluster:topic "t"
  end)

  after_each(function()
    if gateway then
      gateway:stop()
    end
    gateway = nil
    folder:remove()
  end)

  local function start(drain, options)
    local config = CONFIG:format(drain or "30s", cluster.brokers, options and ", options: " .. options or "")
    gateway = server.start(config, { folder = folder })
  end

  local function ask(path)
    return client.get(gateway.port, path).body
  end

  local function metric(name)
    local page = client.get(gateway.admin_port, "/metrics").body
    return tonumber(page:match("\n" .. name:gsub("[{}.]", "%%%0") .. " ([^\n]*)")) or 0
  end

  local function values(n)
    local list = {}
    for i, record in ipairs(cluster:records("t", n)) do
      list[i] = record.value
    end
    return table.concat(list, " ")
  end

  it("counts what became of records", function()
    start(nil, "{ message.max.bytes: 1000 }")
    for i = 0, 4 do
      assert.equal(tostring(i), ask("/wait?" .. i))
    end
    cluster:fail("Produce", "INVALID_RECORD")
    assert.equal("refused", ask "/wait?x")
    assert.equal("limit", ask("/wait?" .. ("x"):rep(1001)))
    assert.equal(5, metric 'demilune_kafka_records_total{cluster="main",outcome="delivered"}')
    assert.equal(1, metric 'demilune_kafka_records_total{cluster="main",outcome="refused"}')
    assert.equal(1, metric 'demilune_kafka_turned_away_total{cluster="main"}')
    assert.equal(0, metric 'demilune_kafka_queue_records{cluster="main"}')
    assert.equal(0, metric 'demilune_kafka_queue_bytes{cluster="main"}')
    wait("librdkafka's statistics", function()
      return metric 'demilune_kafka_round_trips_total{cluster="main"}' > 0
    end)
    assert.is_true(metric 'demilune_kafka_round_trip_seconds_total{cluster="main"}' > 0)
    assert.is_true(metric 'demilune_kafka_sent_bytes_total{cluster="main"}' > 0)
    assert.equal(1, metric 'demilune_kafka_brokers_up{cluster="main"}')
  end)

  it("keeps what is under way over a reload", function()
    start()
    assert.equal("0", ask "/wait?0")
    cluster:down()
    local expected = { "0" }
    for i = 1, 20 do
      assert.equal("taken", ask("/?" .. i))
      expected[i + 1] = tostring(i)
    end
    assert.equal(20, metric 'demilune_kafka_queue_records{cluster="main"}')
    gateway:signal "HUP"
    gateway:event "reload.done"
    assert.equal("taken", ask "/?last")
    expected[#expected + 1] = "last"
    cluster:up()
    assert.equal(table.concat(expected, " "), values(#expected))
  end)

  it("flushes what is under way when it is told to end", function()
    start()
    assert.equal("0", ask "/wait?0")
    cluster:delay(0.5)
    for i = 1, 9 do
      assert.equal("taken", ask("/?" .. i))
    end
    gateway:signal "TERM"
    assert.equal(0, gateway:wait())
    cluster:delay(0)
    assert.equal("0 1 2 3 4 5 6 7 8 9", values(10))
  end)

  it("ends at drain.timeout though the brokers are away", function()
    start "1s"
    assert.equal("0", ask "/wait?0")
    cluster:down()
    assert.equal("taken", ask "/?1")
    gateway:signal "TERM"
    assert.equal(0, gateway:wait())
    local line = gateway:event "kafka.record"
    assert.truthy(line:find('"outcome":"failed"', 1, true), line)
    assert.truthy(line:find("before the producer's end", 1, true), line)
  end)

  it("ends at once when it is interrupted", function()
    start "60s"
    cluster:down()
    assert.equal("taken", ask "/?1")
    gateway:signal "INT"
    assert.equal(0, gateway:wait())
  end)

  it("names what is wrong with its options where it stands", function()
    local file = folder:write("wrong.yaml", [[
listeners: [{ address: 127.0.0.1:0 }]
kafka:
  - name: a
    brokers: [127.0.0.1:9092]
    options:
      compresion.type: zstd
      sasl.password: hidden
      linger.ms: 5ms
  - name: b
    brokers: ["localhost,other"]
    options: { acks: 1 }
]])
    local result = server.run({ "check", "-c", file }, { folder = folder })
    assert.equal(1, result.status)
    local text = result.out .. result.err
    for _, fault in ipairs {
      "wrong.yaml:6:7: kafka[0].options.compresion.type: librdkafka has no such option, "
        .. 'did you mean "compression.type"?',
      "wrong.yaml:8:18: kafka[0].options.linger.ms: is a number without a unit",
      'wrong.yaml:10:15: kafka[1].brokers[0]: "localhost,other" is not host:port',
      "wrong.yaml:11:14: kafka[1].options: librdkafka says: `acks` must be set to `all`",
    } do
      assert.truthy(text:find(fault, 1, true), fault .. "\n" .. text)
    end
    assert.is_nil(text:find("hidden", 1, true))
  end)

  it("finds the files that options name beside its own", function()
    certs.authority(folder, "ca")
    local function check(ca)
      local file = folder:write("conf/demilune.yaml", ([[
listeners: [{ address: 127.0.0.1:0 }]
kafka: [{ name: a, brokers: [h], options: { security.protocol: ssl, ssl.ca.location: %s } }]
]]):format(ca))
      return server.run({ "check", "-c", file }, { folder = folder })
    end
    assert.equal(0, check("../ca.pem").status)
    local result = check "ca.pem"
    assert.equal(1, result.status)
    assert.truthy((result.out .. result.err):find("librdkafka says: ssl.ca.location failed", 1, true))
  end)

  it("says which cluster a plugin misses", function()
    local file = folder:write("wrong.yaml", [[
plugin_path: [plugins]
listeners: [{ address: 127.0.0.1:0 }]
routes: [{ name: a, plugins: [{ name: events }], respond: { body: none } }]
]])
    local result = server.run({ "check", "-c", file }, { folder = folder })
    assert.equal(1, result.status)
    assert.truthy((result.out .. result.err):find('the configuration has no kafka "main"', 1, true))
  end)
end)
