-- SPDX-License-Identifier: Apache-2.0

-- A JSON line per request. The writer is the core's: fields are compiled at load, and a request costs one call. Lines to
-- Kafka are made by it as well, and published one by one.

local accesslog = require "demilune.accesslog"
local kafka = require "demilune.kafka"
local log = require "demilune.log"
local metrics = require "demilune.metrics"
local ranges = require "demilune.ranges"
local time = require "demilune.time"

local AccessLog = { name = "access-log", version = "1.1.0" }
AccessLog.__index = AccessLog
AccessLog.schema = require "demilune.plugins.access-log.schema"

local TELL_EVERY = 10 -- seconds, of lines that are lost

local lost = metrics.counter("demilune_access_log_unpublished_total",
  "Lines of access logs that were lost because Kafka's queue or the spill did not take them.")

local DEFAULT = {
  { "time", "{time}" }, { "id", "{id}" }, { "client_ip", "{client_ip}" }, { "method", "{method}" },
  { "host", "{host}" }, { "path", "{path}" }, { "query", "{query}" }, { "version", "{version}" },
  { "status", "{status}" }, { "duration", "{duration}" }, { "bytes_received", "{bytes_received}" },
  { "bytes_sent", "{bytes_sent}" }, { "route", "{route}" }, { "consumer", "{consumer}" },
  { "upstream", "{upstream}" }, { "attempts", "{attempts}" }, { "tries", "{tries}" },
  { "error", "{error}" },
  { "user_agent", "{header:user-agent}" }, { "referer", "{header:referer}" },
}

-- Fields of a map, by name, so that lines look alike.
local function listed(fields)
  if not fields then
    return DEFAULT
  end
  local list = {}
  for name, text in pairs(fields) do
    list[#list + 1] = { name, text }
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

-- Where lines go that do not go to a file: a cluster's client and a topic; or nil and what is wrong.
local function destination(to)
  local name, topic = to:match "^kafka:([^/]+)/([%w._-]+)$"
  if not name then
    return nil, "expected kafka:NAME/TOPIC, a cluster of the configuration and a topic"
  end
  local ok, client = pcall(kafka.use, name)
  if not ok then
    return nil, (tostring(client):gsub("^[^:]+:%d+: ", ""))
  end
  return { client = client, topic = topic }
end

local function open(config)
  local writer, err, out
  if config.to:find "^https?://" then
    return nil, "not yet supported: lines go to stdout, to a file or to Kafka"
  elseif config.to:find "^kafka:" then
    out, err = destination(config.to)
    if not out then
      return nil, err
    end
    if config.mode == "accept" and not kafka.can_accept() then
      return nil, "the configuration has no spill, in which accepted lines would lie"
    end
  elseif config.mode ~= nil then
    return nil, "only what goes to Kafka has a mode"
  end
  writer, err = accesslog.open(not out and config.to ~= "stdout" and config.to or nil)
  if not writer then
    return nil, ('"%s" can\'t be opened: %s'):format(config.to, err)
  end
  return writer, nil, out
end

function AccessLog.new(config, context)
  local writer, err, out = open(config)
  if not writer then
    return nil, err, "to"
  end
  for _, field in ipairs(listed(config.fields)) do
    err = writer:field(field[1], field[2], context)
    if err then
      return nil, err, "fields." .. field[1]
    end
  end
  for _, status in ipairs(config.when and config.when.status or {}) do
    writer:when(ranges.bounds(status))
  end
  local self = { writer = writer, out = out, waits = config.mode == "accept", lost = 0, told = -TELL_EVERY }
  return setmetatable(self, AccessLog)
end

-- In a flood once in a while, with how many.
local function note_lost(self, word)
  lost:inc()
  self.lost = self.lost + 1
  local now = time.monotonic()
  if now - self.told >= TELL_EVERY then
    log.error("lines of an access log are lost", { topic = self.out.topic, why = word, lines = self.lost })
    self.lost, self.told = 0, now
  end
end

local function publish(self, exchange)
  local line = self.writer:line(exchange)
  if not line then
    return
  end
  local client = self.out.client
  local record = { topic = self.out.topic, value = line, id = exchange.id, headers = { { "id", exchange.id } } }
  local ok, word = client[self.waits and "accept" or "publish"](client, record)
  if not ok then
    note_lost(self, word)
  end
end

function AccessLog:log(exchange)
  if self.out then
    return publish(self, exchange)
  end
  self.writer:write(exchange)
end

return AccessLog
