-- SPDX-License-Identifier: Apache-2.0

-- Events that were accepted: delivered in order whatever becomes of broker and gateway, and refused clearly where they
-- can't be kept.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local test = require "demilune.test"
local wait = require "spec.support.wait"

-- Accepts the query; /many three of it. Answers with the ids, or the error and its reason.
local PLUGIN = [[
local kafka = require "demilune.kafka"
local Events = { name = "events", version = "1.0.0" }
Events.__index = Events

function Events.new()
  return setmetatable({ client = kafka.use "main" }, Events)
end

local function event(value, request)
  return { topic = request.headers["topic"] or "t", key = "k", value = value, id = request.headers["id"],
    dead_letter_topic = request.headers["dead"] }
end

function Events:access(exchange)
  local request = exchange.request
  if request.path == "/many" then
    local list = {}
    for i = 1, 3 do
      list[i] = event(request.query .. i, request)
    end
    local ids, err, why = self.client:accept_all(list)
    return exchange:reply(200, {}, ("%d %s %s"):format(ids and #ids or -1, err, why))
  end
  local id, err, why = self.client:accept(event(request.query, request))
  return exchange:reply(id and 202 or 503, {}, id or err .. ": " .. tostring(why))
end

return Events
]]

local CONFIG = [[
plugin_path: [plugins]
drain: { timeout: %s }
kafka: [{ name: main, brokers: ["%s"], options: { message.max.bytes: 300000 } }]
%s
routes:
  - { name: events, plugins: [{ name: events }], respond: { body: none } }
]]

describe("The spill", function()
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
    folder:clear "spill"
    folder:remove()
  end)

  local function config(spill, drain)
    return CONFIG:format(drain or "30s", cluster.brokers, spill or "spill: { dir: spill }")
  end

  local function start(spill, drain)
    gateway = server.start(config(spill, drain), { folder = folder })
  end

  local function ask(path, headers)
    return client.get(gateway.port, path, { headers = headers }).body
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

  local function header(record, name)
    for _, pair in ipairs(record.headers) do
      if pair[1] == name then
        return pair[2]
      end
    end
  end

  it("delivers what was accepted, with an id", function()
    start()
    local id = ask "/?a"
    assert.matches("^%x+%-%x+%-4%x+%-%x+%-%x+$", id)
    assert.equal("mine", ask("/?b", { id = "mine" }))
    assert.equal("3 nil nil", ask "/many?c")
    local records = cluster:records("t", 5)
    local got = {}
    for i, record in ipairs(records) do
      got[i] = record.value
    end
    assert.equal("a b c1 c2 c3", table.concat(got, " "))
    assert.equal(id, header(records[1], "id"))
    assert.equal("mine", header(records[2], "id"))
    wait("all to be struck out", function()
      return metric "demilune_spill_events" == 0
    end)
    assert.equal(5, metric "demilune_spill_delivered_total")
    assert.equal(5, metric "demilune_spill_accepted_total")
    assert.equal(0, metric "demilune_spill_oldest_age_seconds")
  end)

  it("keeps events over an outage, kill -9 and a reload, in order", function()
    start()
    ask "/?0"
    assert.equal("0", values(1))
    cluster:down()
    local expected = { "0" }
    for i = 1, 10 do
      ask("/?" .. i)
      expected[#expected + 1] = tostring(i)
    end
    assert.equal(10, metric "demilune_spill_events")
    gateway:signal "HUP"
    gateway:event "reload.done"
    ask "/?11"
    posix.kill(gateway.process, posix.SIGKILL)
    gateway:event "supervisor.restarted"
    for i = 12, 15 do
      ask("/?" .. i)
    end
    wait("the events of the one before", function()
      return metric "demilune_spill_events" == 15
    end)
    assert.is_true(metric "demilune_spill_oldest_age_seconds" > 0)
    cluster:up()
    for i = 11, 15 do
      expected[#expected + 1] = tostring(i)
    end
    assert.equal(table.concat(expected, " "), values(16))
  end)

  it("drains when it is told to end", function()
    start()
    ask "/?0"
    values(1)
    cluster:delay(0.5)
    for i = 1, 9 do
      ask("/?" .. i)
    end
    gateway:signal "TERM"
    assert.equal(0, gateway:wait())
    cluster:delay(0)
    assert.equal("0 1 2 3 4 5 6 7 8 9", values(10))
  end)

  it("leaves the rest to the next start", function()
    start(nil, "500ms")
    ask "/?0"
    values(1)
    cluster:down()
    ask "/?1"
    ask "/?2"
    gateway:signal "TERM"
    assert.equal(0, gateway:wait())
    assert.matches('"events":2', gateway:event "spill.left", 1, true)
    cluster:up()
    start()
    ask "/?3"
    assert.equal("0 1 2 3", values(4))
    assert.is_nil(gateway:log():find("spill.no_cluster", 1, true))
  end)

  it("hands over to another gateway", function()
    start()
    ask "/?0"
    values(1)
    cluster:down()
    ask "/?1"
    gateway:signal "USR2"
    wait("the handover", function()
      return metric "demilune_supervisor_handovers_total" == 1
    end)
    ask "/?2"
    cluster:up()
    assert.equal("0 1 2", values(3))
    assert.is_nil(gateway:log():find("spill.shared", 1, true))
  end)

  it("warns of a gateway that has its folder", function()
    start()
    local first, pid, other = gateway, gateway.process, server.folder()
    other:write("plugins/events/init.lua", PLUGIN)
    gateway = server.start(config(("spill: { dir: %s/spill }"):format(folder.path)), { folder = other })
    local ok, message = pcall(function()
      local line = gateway:event "spill.shared"
      assert.matches('"level":"warn"', line, 1, true)
      assert.matches('"pid":' .. pid, line, 1, true)
      assert.matches("a spill.dir of its own", line, 1, true)
    end)
    first:stop()
    gateway:stop()
    other:remove()
    assert(ok, message)
  end)

  it("gives to the dead-letter topic what the brokers refuse", function()
    start()
    cluster:topic "dead"
    ask "/?0"
    values(1)
    cluster:fail("Produce", "INVALID_RECORD")
    local id = ask("/?poison", { dead = "dead" })
    local letter = cluster:records("dead", 1)[1]
    assert.equal("poison", letter.value)
    assert.equal(id, header(letter, "id"))
    assert.equal("t", header(letter, "dead-letter-topic"))
    assert.is_truthy(header(letter, "dead-letter-reason"))
    wait("the strike", function()
      return metric "demilune_spill_events" == 0
    end)
    assert.equal(1, metric 'demilune_spill_dead_letters_total{place="topic"}')
  end)

  it("sends those again that were refused with a batch", function()
    start()
    ask "/?0"
    values(1)
    cluster:fail("Produce", "MSG_SIZE_TOO_LARGE")
    assert.equal("3 nil nil", ask "/many?a")
    ask "/?b"
    assert.equal("0 a1 a2 a3 b", values(5))
    wait("the strikes", function()
      return metric "demilune_spill_events" == 0
    end)
    assert.equal(0, metric 'demilune_spill_dead_letters_total{place="default"}')
  end)

  it("refuses what it has no room for, and goes on when there is room again", function()
    start "spill: { dir: spill, size: 1MiB }"
    ask "/?0"
    values(1)
    cluster:down()
    local value, n = ("x"):rep(7000), 0
    while ask("/?" .. value) ~= "full: the spill has no room for more events (spill.size)" do
      n = n + 1
    end
    assert.is_true(n > 130 and n < 150)
    assert.is_true(metric "demilune_spill_refused_total" > 0)
    assert.is_true(metric "demilune_spill_bytes" <= 1024 * 1024)
    cluster:up()
    cluster:records("t", n)
    wait("room", function()
      return not ask("/?1"):find("full", 1, true)
    end)
  end)

  it("says what it does not accept", function()
    start()
    assert.equal('syntax: a topic\'s name is made of up to 249 letters, digits, ".", "_" and "-"',
      ask("/?x", { topic = "a b" }))
    gateway:stop()
    start "log: { level: info }"
    assert.equal("unavailable: the configuration has no spill, in which accepted events would lie", ask "/?x")
  end)

  it("can't start with a folder that is none", function()
    folder:write("file", "x")
    local listeners = 'listeners: [{ address: "127.0.0.1:0" }]\n'
    local file = folder:write("demilune.yaml", listeners .. config "spill: { dir: file }")
    local result = server.run({ "run", "-c", file }, { folder = folder })
    assert.equal(3, result.status)
    assert.matches("spill%.dir: can't keep events in .*/file: Not a directory", result.err)
  end)
end)
