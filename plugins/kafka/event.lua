-- SPDX-License-Identifier: Apache-2.0

-- From an exchange and the content of an event to the record that is published. All templates are compiled when the
-- plugin is loaded; what they come to for a request may be wrong, and then the client is told which and why.

local cloudevents = require "demilune.plugins.kafka.cloudevents"
local text = require "demilune.plugins.kafka.text"
local time = require "demilune.time"
local values = require "demilune.plugins.kafka.value"

local Event = {}
Event.__index = Event

local M = {}

local LONGEST_TOPIC = 249 -- Kafka's own bound
local LARGEST_PARTITION = 2 ^ 31 - 1

-- What a log event says unless told otherwise.
local ABOUT_REQUEST = {
  time = "{time}", id = "{id}", client_ip = "{client_ip}", method = "{method}", host = "{host}", path = "{path}",
  status = "{status}", duration = "{duration}", route = "{route}", consumer = "{consumer}", upstream = "{upstream}",
}

-- --- compiling --------------------------------------------------------------------------------------------------

local function compile_headers(self, config, context)
  local list, names = {}, {}
  for name in pairs(config.headers) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    local template, message = text.compile(tostring(config.headers[name]), context, self.options, self.needs)
    if not template then
      return nil, message, "headers." .. name
    end
    list[i] = { name, template }
  end
  return list
end

local function compile_value(self, config, context)
  local wanted = config.value
  if wanted == nil and config.when == "log" then
    wanted = ABOUT_REQUEST
  elseif wanted == nil then
    wanted = config.when == "request" and "{body}" or "{response_body}"
    self.is_plain = true -- the body as it came
  end
  local value, message, path = values.compile(wanted, context, self.options, self.needs)
  return value, message, path and "value." .. path or "value"
end

local function compile_texts(self, config, context)
  for _, name in ipairs { "topic", "key", "partition", "timestamp" } do
    if config[name] ~= nil then
      local template, message = text.compile(tostring(config[name]), context, self.options, self.needs)
      if not template then
        return message, name
      end
      self[name] = template
    end
  end
end

-- nil, a message and a path in the config when a template is none.
function M.new(config, context)
  local self = setmetatable({ when = config.when, needs = {} }, Event)
  self.options = { response = config.when ~= "request" }
  self.dead_letter_topic, self.dead_letter_file = config.dead_letter_topic, config.dead_letter_file
  local message, path = compile_texts(self, config, context)
  if message then
    return nil, message, path
  end
  self.headers, message, path = compile_headers(self, config, context)
  if not self.headers then
    return nil, message, path
  end
  self.value, message, path = compile_value(self, config, context)
  if not self.value then
    return nil, message, path
  end
  if config.format == "cloudevents" then
    self.envelope, message, path = cloudevents.new(config.cloudevents, context, self.options, self.needs)
    if not self.envelope then
      return nil, message, "cloudevents." .. path
    end
  end
  return self
end

-- --- one record -------------------------------------------------------------------------------------------------

local function fault_of_topic(topic)
  if not topic then
    return "there is nothing to make its name of"
  elseif #topic > LONGEST_TOPIC or not topic:find "^[%w._-]+$" or topic == "." or topic == ".." then
    return ('"%s" is no name of a topic'):format(topic:sub(1, 100))
  end
end

local function put_partition(self, record, exchange, source)
  local value = self.partition and self.partition:value(exchange, source)
  if not value then
    return
  end
  local number = value:find "^%d+$" and tonumber(value)
  if not number or number > LARGEST_PARTITION then
    return ('"%s" is no number of a partition'):format(value:sub(1, 100))
  end
  record.partition = number
end

-- Milliseconds since 1970, or a date and time.
local function put_timestamp(self, record, exchange, source)
  local value = self.timestamp and self.timestamp:value(exchange, source)
  if not value then
    return
  end
  local seconds = value:find "^%d+$" and #value <= 15 and tonumber(value) / 1000 or time.parse(value)
  if not seconds then
    return ('"%s" is neither milliseconds since 1970 nor an RFC 3339 date and time'):format(value:sub(1, 100))
  end
  record.timestamp = seconds
end

local function put_key(self, record, exchange, source)
  if self.key then
    record.key = self.key:value(exchange, source)
    return not record.key and "there is nothing to make it of" or nil
  end
end

-- What the plain value is when a client has sent a CloudEvent: its data.
local function put_value(self, record, exchange, source, data)
  local value, fault
  if data and self.is_plain then
    value = data
  else
    value, fault = self.value:value(exchange, source)
  end
  record.value = value or ""
  return fault
end

local function put_headers(self, record, exchange, source)
  for _, header in ipairs(self.headers) do
    local value = header[2]:value(exchange, source)
    if value then
      record.headers[#record.headers + 1] = { header[1], value }
    end
  end
end

local function content_type_of(self, exchange)
  if values.is_json(self.value) then
    return "application/json"
  end
  return (self.when == "request" and exchange.request or exchange.response).headers["content-type"]
end

local function put_envelope(self, record, exchange, source, received, id)
  local attributes = self.envelope:attributes(exchange, source, received, {
    id = id, when = self.when, timestamp = record.timestamp, content_type = content_type_of(self, exchange),
  })
  record.id = attributes.id
  record.key = record.key or attributes.partitionkey
  return self.envelope:put(record, attributes)
end

local STEPS = { { "partition", put_partition }, { "timestamp", put_timestamp }, { "key", put_key } }

-- nil, or which part is wrong, and why.
local function fill(self, record, exchange, source, received, data)
  for _, step in ipairs(STEPS) do
    local fault = step[2](self, record, exchange, source)
    if fault then
      return step[1], fault
    end
  end
  local fault = put_value(self, record, exchange, source, data)
  if fault then
    return "value", fault
  end
  put_headers(self, record, exchange, source)
  if self.envelope then
    local ok
    ok, fault = put_envelope(self, record, exchange, source, received, record.id)
    return not ok and "cloudevents" or nil, fault
  end
  record.headers[#record.headers + 1] = { "id", record.id }
end

-- The record of an event; nil and what is wrong with it. made_id: unless the client's CloudEvent has one.
function Event:record(exchange, source, made_id)
  local received, fault, data
  if self.envelope and self.when == "request" then
    received, fault, data = cloudevents.received(exchange, source)
    if fault then
      return nil, "CloudEvent: " .. (source.fault or fault)
    end
  end
  local topic = self.topic:value(exchange, source)
  fault = not source.fault and fault_of_topic(topic)
  if fault then
    return nil, "topic: " .. fault
  end
  local record = {
    topic = topic, headers = {}, id = made_id, dead_letter_topic = self.dead_letter_topic,
    dead_letter_file = self.dead_letter_file,
  }
  local part
  part, fault = fill(self, record, exchange, source, received, data)
  if source.fault then
    return nil, source.fault
  elseif part then
    return nil, part .. ": " .. fault
  end
  return record
end

return M
