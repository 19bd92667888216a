-- SPDX-License-Identifier: Apache-2.0

-- Publishes events to Kafka: of requests, of responses, or when all is over; and makes a route a producer, which answers
-- when the event is published. A failure is the client's to know, unless nobody waits for the event.

local answers = require "demilune.plugins.kafka.answer"
local batches = require "demilune.plugins.kafka.batch"
local events = require "demilune.plugins.kafka.event"
local kafka = require "demilune.kafka"
local lingers = require "demilune.plugins.kafka.linger"
local log = require "demilune.log"
local metrics = require "demilune.metrics"
local once = require "demilune.plugins.kafka.once"
local outcome = require "demilune.plugins.kafka.outcome"
local ranges = require "demilune.ranges"
local selector = require "demilune.selector"
local send = require "demilune.plugins.kafka.send"
local sources = require "demilune.plugins.kafka.source"
local uuid = require "demilune.uuid"

local Kafka = {
  name = "kafka", version = "1.0.0", answers = true,
  after = { "key-auth", "basic-auth", "hmac-auth", "mtls-auth", "oauth2", "acl", "ip-restriction", "forward-auth" },
}
Kafka.__index = Kafka
Kafka.schema = require "demilune.plugins.kafka.schema"

local published = metrics.counter("demilune_kafka_plugin_events_total",
  "Events, by what became of them: delivered, accepted, sent (nobody waited), bad, refused, failed, unknown, full ...",
  { "place", "result" })

-- --- what an instance is made of --------------------------------------------------------------------------------

-- What is wrong with a config beyond its schema, and where; or nil.
local function fault_of(config, context)
  if context.must_answer and config.when ~= "request" then
    return "this route has no upstream, so this plugin answers: when the request has come", "when"
  elseif config.batch ~= "none" and config.when ~= "request" then
    return "only requests have batches", "batch"
  elseif config.linger > 0 and config.mode ~= "best_effort" then
    return "for best_effort only, nobody waits there; the cluster's option linger.ms is for all", "linger"
  elseif config.mode == "accept" and not kafka.can_accept() then
    return "the configuration has no spill, in which accepted events would lie", "mode"
  elseif config.idempotency_key == "" and config.idempotency_redis then
    return "there is no idempotency_key, which would be kept there", "idempotency_redis"
  elseif config.mode ~= "accept" and (config.dead_letter_topic or config.dead_letter_file) then
    return "for accept only: what is refused in the other modes is told at once",
      config.dead_letter_topic and "dead_letter_topic" or "dead_letter_file"
  end
end

local function use_cluster(name)
  local ok, client = pcall(kafka.use, name)
  if not ok then
    return nil, (tostring(client):gsub("^[^:]+:%d+: ", ""))
  end
  return client
end

-- Which hooks are of use; the others cost nothing.
local function choose_hooks(self)
  local needs, when = self.event.needs, self.when
  self.access = (when == "request" or needs.body) and Kafka.access
  self.response = (when == "response" or when == "log" and needs.response) and Kafka.response
  self.log = when == "log" and Kafka.log
  self.stop = self.linger and Kafka.stop or false
end

local function count(self, results)
  for _, result in ipairs(results) do
    published:inc(self.place, result.word)
  end
  return results
end

local function log_failures(results)
  for _, result in ipairs(results) do
    if result.detail then
      local fields = { why = result.why or result.detail, topic = result.topic, id = result.id }
      log.warn("an event was not published", fields)
      return -- the others' reasons are mostly the same, and counted
    end
  end
end

local function new_linger(self, seconds)
  return lingers.new(seconds, function(records)
    log_failures(count(self, send.best_effort(self.client, records)))
  end)
end

local function build(config, context)
  local self = {
    config = config, when = config.when, mode = config.mode, place = context.scope,
    must_answer = context.must_answer or false, refuses = config.on_failure == "refuse",
  }
  local message, path
  self.event, message, path = events.new(config, context)
  if not self.event then
    return nil, message, path
  elseif self.event.needs.response and self.when == "request" then
    return nil, "there is no response yet when the request comes", "when"
  end
  if config.idempotency_key ~= "" then
    self.key_of, message = selector.either(config.idempotency_key, context, { response = self.when ~= "request" })
    if not self.key_of then
      return nil, message, "idempotency_key"
    end
    local ok, made = pcall(once.new, context.scope, config.idempotency_ttl, config.timeout, config.idempotency_redis)
    if not ok then
      return nil, (tostring(made):gsub("^[^:]+:%d+: ", "")), "idempotency_redis"
    end
    self.once = made
  end
  return self
end

function Kafka.new(config, context)
  local fault, at = fault_of(config, context)
  if fault then
    return nil, fault, at
  end
  local client, message, path
  client, message = use_cluster(config.kafka)
  if not client then
    return nil, message, "kafka"
  end
  local self
  self, message, path = build(config, context)
  if not self then
    return nil, message, path
  end
  self.client = client
  self.linger = config.linger > 0 and new_linger(self, config.linger) or nil
  self.statuses = ranges.new(config.statuses or config.when == "response" and { "2xx" } or {})
  choose_hooks(self)
  return setmetatable(self, Kafka)
end

-- --- publishing -------------------------------------------------------------------------------------------------

local function hand_over(self, records)
  if self.linger then
    local results = {}
    for i, record in ipairs(records) do
      self.linger:add(record)
      results[i] = outcome.taken(record, "sent")
    end
    return results
  end
  return count(self, send[self.mode](self.client, records, self.config.timeout))
end

-- Results in the place of what could not be made, records in that of what could.
local function make_records(self, exchange, contents, kind, name)
  local records, results = {}, {}
  for i, content in ipairs(contents) do
    local id = name and once.id(name, i) or uuid.v7()
    local fault, record = kind and batches.fault(kind, content.body) or nil, nil
    if not fault then
      record, fault = self.event:record(exchange, content, id)
    end
    if record then
      records[#records + 1] = record
    else
      results[i] = outcome.bad(fault, id)
    end
  end
  return records, results
end

-- Publishes the records, and puts their results between those that are known already.
local function publish(self, records, results)
  local sent, n = hand_over(self, records), #records
  local next_sent = 1
  for _ in pairs(results) do
    n = n + 1
  end
  for i = 1, n do
    if results[i] then
      published:inc(self.place, "bad")
    else
      results[i], next_sent = sent[next_sent], next_sent + 1
    end
  end
  return results
end

-- The answer for these contents; nil when the client has left.
local function answer_for(self, exchange, contents, kind)
  local key = self.key_of and self.key_of:value(exchange)
  local fault = key and once.fault(key)
  if fault then
    return { status = 400, headers = {}, problem = fault }
  end
  local name = key and self.once:name(exchange, key)
  local records, results = make_records(self, exchange, contents, kind, name)
  local function run()
    return answers.of(publish(self, records, results), kind ~= nil)
  end
  if not name then
    return run()
  end
  local texts = { exchange.request.path, exchange.request.query or "" }
  for _, content in ipairs(contents) do
    texts[#texts + 1] = content.body or content.response or ""
  end
  return self.once:answer(name, table.concat(texts, "\n"), run)
end

local function describe(answer)
  local body = answer.body
  return answer.problem or body.detail or ("%d of %d records failed"):format(body.failed, body.failed + body.published)
end

-- For a request or response that goes on when all is well.
local function conclude(self, exchange, answer)
  if answers.is_good(answer) then
    return
  elseif self.refuses and self.mode ~= "best_effort" then
    answers.send(exchange, answer)
  else
    log.warn("an event was not published", { why = describe(answer) })
  end
end

-- --- hooks ------------------------------------------------------------------------------------------------------

-- A body that hooks may hold, or nil, with the client told.
local function read_body(exchange, message, whose)
  local body, word = message.body:read()
  if body or word == "cancelled" then
    return body
  elseif word == "body_too_large" then
    local detail = "The body of the %s is larger than an event may be made of."
    exchange:problem(whose == "request" and 413 or 502, detail:format(whose))
  else
    exchange:problem(whose == "request" and 400 or 502, ("The body of the %s broke off."):format(whose))
  end
end

-- The contents of a request's events, and how they were cut; nil when the client was told what is wrong.
local function contents_of(self, exchange, body)
  local config = self.config
  local kind = batches.kind(config.batch, exchange.request.headers["content-type"], body)
  if not kind then
    return { sources.new(body) }
  end
  local records, status, detail = batches.cut(kind, body, config.batch_max)
  if not records then
    exchange:problem(status, detail)
    return nil
  end
  for i, record in ipairs(records) do
    records[i] = sources.new(record)
  end
  return records, kind
end

function Kafka:access(exchange)
  local body = read_body(exchange, exchange.request, "request")
  if not body then
    return
  elseif self.when ~= "request" then
    exchange.ctx[self] = { body = body }
    return
  end
  local contents, kind = contents_of(self, exchange, body)
  local answer = contents and answer_for(self, exchange, contents, kind)
  if not answer then
    return
  elseif self.must_answer then
    answers.send(exchange, answer)
  else
    conclude(self, exchange, answer)
  end
end

-- What the hooks before have read of this exchange.
local function kept(self, exchange)
  local found = exchange.ctx[self]
  if not found then
    found = {}
    exchange.ctx[self] = found
  end
  return found
end

function Kafka:response(exchange)
  if not self.statuses:has(exchange.response.status) then
    return
  end
  local content = kept(self, exchange)
  if self.event.needs.response then
    content.response = read_body(exchange, exchange.response, "response")
    if not content.response then
      return
    end
  end
  if self.when == "response" then
    local answer = answer_for(self, exchange, { sources.new(content.body, content.response) })
    if answer then
      conclude(self, exchange, answer)
    end
  end
end

function Kafka:log(exchange)
  if not self.statuses:has(exchange.response.status or 0) then
    return
  end
  local content = kept(self, exchange)
  local answer = answer_for(self, exchange, { sources.new(content.body, content.response) })
  if answer and not answers.is_good(answer) then
    log.warn("an event was not published", { why = describe(answer) })
  end
end

function Kafka:stop()
  self.linger:flush()
end

return Kafka
