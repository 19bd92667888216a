-- SPDX-License-Identifier: Apache-2.0

-- Kafka for specs: librdkafka's mock cluster, whose brokers listen on free loopback ports, keep what they are given and fail on
-- command:
--
--   local cluster = test.kafka()                      -- { brokers = 3 }
--   local gateway = test.gateway { config = { kafka = { cluster:config "events" } }, ... }
--   local records = cluster:records("orders", 2)      -- waits for two; each { key, value, headers, partition, ... }
--   cluster:fail("Produce", "MSG_SIZE_TOO_LARGE")  cluster:down(1)  cluster:up(1)
--
-- test.kafka_reader reads back from any cluster, a real one too.

local core = require "demilune.core"
local json = require "demilune.json"
local scope = require "demilune.test.scope"
local task = require "demilune.task"
require "demilune.kafka" -- its clients' metatable

core.test_kafka_start()

local PATIENCE = 20 -- seconds for a record to come

local M = {}

---@class test.kafka.reader  Reads a topic from its beginning.
local Reader = { __name = "test kafka reader" }
Reader.__index = Reader

---@class test.kafka.record
---@field partition integer
---@field offset integer
---@field timestamp number  Seconds since 1970.
---@field key? string
---@field value? string
---@field headers string[][]  { name, value }, in their order.

--- The next n records (1), which it waits for; raises when they don't come. Of one partition they come in its order.
---@param n? integer
---@param seconds? number
---@return test.kafka.record[]
function Reader:read(n, seconds)
  local records, wanted = {}, n or 1
  for _ = 1, (seconds or PATIENCE) / 0.002 do
    local record
    repeat
      record = #records < wanted and core.test_kafka_read(self.reader) or nil
      records[#records + 1] = record
    until not record
    if #records == wanted then
      return records
    elseif not task.sleep(0.002) then
      error("test.kafka: cancelled", 0)
    end
  end
  error(("test.kafka: %d of %d records have come"):format(#records, wanted), 2)
end

--- What has come already, without waiting.
---@return test.kafka.record?
function Reader:poll()
  return core.test_kafka_read(self.reader)
end

--- Ends it; the spec's end does so too.
function Reader:close()
  core.test_kafka_reader_close(self.reader)
end

--- A reader of any cluster, with options by librdkafka's own names (all of them texts).
---@param options { brokers: string, topic: string, options?: table<string, string> }
---@return test.kafka.reader
function M.reader(options)
  local reader, why = core.test_kafka_reader(options.brokers, options.topic, options.options)
  if not reader then
    error(("test.kafka: the topic \"%s\" can't be read: %s"):format(options.topic, why), 2)
  end
  local self = setmetatable({ reader = reader }, Reader)
  scope.add(function() self:close() end)
  return self
end

---@class test.kafka  A mock cluster: what test.kafka gives.
---@field brokers string  "host:port,host:port"
local Kafka = { __name = "test kafka" }
Kafka.__index = Kafka

---@class test.kafka.options
---@field brokers? integer  How many; 1.
---@field at? string  Instead: a real cluster that runs at "host:port,host:port", which does not fail on command.

--- Starts one.
---@param options? test.kafka.options
---@return test.kafka
function M.new(options)
  local self = setmetatable({}, Kafka)
  if options and options.at then
    self.brokers = options.at
  else
    self.cluster, self.brokers = core.test_kafka(options and options.brokers or 1)
  end
  return self
end

--- An entry of `kafka` in a configuration.
---@param name string
---@param options? table  librdkafka's.
---@return table
function Kafka:config(name, options)
  local brokers = json.array {}
  for broker in self.brokers:gmatch "[^,]+" do
    brokers[#brokers + 1] = broker
  end
  return { name = name, brokers = brokers, options = options }
end

--- A client with no configuration, until the spec's end; options are texts.
---@param options? table<string, string>
---@param token_file? string
---@return kafka.client
function Kafka:client(options, token_file)
  local client = core.test_kafka_client("test", self.brokers, options, token_file)
  scope.add(function() core.kafka_close(client) end)
  return client
end

--- Makes a topic. (One that is not made comes into being when it is first asked for, with 4 partitions.)
---@param name string
---@param partitions? integer  1
function Kafka:topic(name, partitions)
  core.test_kafka_topic(self.cluster, name, partitions or 1)
end

--- The next requests of a kind ("Produce", "Metadata", "InitProducerId") fail with these errors, one after another, by
--- the names that librdkafka has for them; "none" lets one pass.
---@param kind string
---@param ... string
function Kafka:fail(kind, ...)
  core.test_kafka_fail(self.cluster, kind, ...)
end

--- The topic has this error from now on: "UNKNOWN_TOPIC_OR_PART", "TOPIC_AUTHORIZATION_FAILED"; "none": it is fine again.
---@param name string
---@param error string
function Kafka:fail_topic(name, error)
  core.test_kafka_fail_topic(self.cluster, name, error)
end

--- Broker `number`, from 1 on, closes its connections and takes none until up.
---@param number? integer
function Kafka:down(number)
  core.test_kafka_down(self.cluster, number or 1, true)
end

--- It takes connections again.
---@param number? integer
function Kafka:up(number)
  core.test_kafka_down(self.cluster, number or 1, false)
end

--- It takes so long for each answer.
---@param seconds number
---@param number? integer
function Kafka:delay(seconds, number)
  core.test_kafka_delay(self.cluster, number or 1, seconds)
end

--- A reader of a topic, with librdkafka's options (all of them texts).
---@param topic string
---@param options? table<string, string>
---@return test.kafka.reader
function Kafka:reader(topic, options)
  return M.reader { brokers = self.brokers, topic = topic, options = options }
end

--- The first n records of a topic, which it waits for.
---@param topic string
---@param n? integer
---@return test.kafka.record[]
function Kafka:records(topic, n)
  local reader = self:reader(topic)
  local records = reader:read(n)
  reader:close()
  return records
end

--- Ends it; the spec's end does so too.
function Kafka:close()
  if self.cluster then
    core.test_kafka_close(self.cluster)
  end
end

return M
