-- SPDX-License-Identifier: Apache-2.0

-- CloudEvents 1.0 and its protocol binding for Kafka. Attributes come from the configuration, else from the client where
-- it has sent a CloudEvent itself (by the HTTP binding: binary, structured or batched), else they have a default. Binary
-- content mode has them as headers ce_NAME beside the data; structured has all in one JSON value.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local text = require "demilune.plugins.kafka.text"
local time = require "demilune.time"
local url = require "demilune.url"

local M = {}
M.__index = M

local NEEDED = { "id", "source", "type" }
local LONGEST_ID = 1024 -- it is a field of the answer, too
local STRUCTURED = "application/cloudevents+json; charset=UTF-8"

local function compile_all(config, context, options, needs)
  local templates = {}
  for _, name in ipairs { "source", "type", "subject", "dataschema" } do
    templates[name] = config[name]
  end
  for name, value in pairs(config.extensions) do
    templates[name] = tostring(value)
  end
  for name, template in pairs(templates) do
    local compiled, message = text.compile(template, context, options, needs)
    if not compiled then
      return nil, message, name
    end
    templates[name] = compiled
  end
  return templates
end

function M.new(config, context, options, needs)
  local templates, message, name = compile_all(config, context, options, needs)
  if not templates then
    return nil, message, name
  end
  return setmetatable({ templates = templates, structured = config.content_mode == "structured" }, M)
end

-- --- what the client has sent ---------------------------------------------------------------------------------

local function binary_of(exchange)
  local headers = exchange.request.headers
  if not headers["ce-specversion"] then
    return nil
  end
  local attributes = { datacontenttype = headers["content-type"] }
  for name, value in pairs(headers) do
    local attribute = name:match "^ce%-([a-z0-9]+)$"
    if attribute then
      attributes[attribute] = url.decode(value) or value
    end
  end
  return attributes
end

local function data_of(envelope)
  if envelope.data_base64 ~= nil then
    return type(envelope.data_base64) == "string" and crypto.unbase64(envelope.data_base64) or nil
  elseif type(envelope.data) == "string" and not M.is_json(envelope.datacontenttype) then
    return envelope.data
  end
  return envelope.data ~= nil and json.encode(envelope.data) or ""
end

local function envelope_of(source)
  local envelope = source:json "body"
  if type(envelope) ~= "table" or json.is_array(envelope) then
    return nil, "a structured CloudEvent is a JSON object"
  end
  local data = data_of(envelope)
  if not data then
    return nil, "data_base64 is no base64"
  end
  local attributes = {}
  for name, value in pairs(envelope) do
    if name ~= "data" and name ~= "data_base64" then
      if not name:find "^[a-z0-9]+$" or type(value) == "table" or value == json.null then
        return nil, ('"%s" is no attribute of a CloudEvent'):format(name)
      end
      attributes[name] = tostring(value)
    end
  end
  attributes.datacontenttype = attributes.datacontenttype or "application/json"
  return attributes, nil, data
end

-- CloudEvents 1.0, 2.4: Unicode without control characters.
local function fault_of_texts(attributes)
  for name, value in pairs(attributes) do
    if value:find "%c" then
      return ('the attribute "%s" has control characters'):format(name)
    end
  end
  return not json.encode(attributes) and "an attribute is no UTF-8"
    or #attributes.id > LONGEST_ID and ("the id is longer than %d bytes"):format(LONGEST_ID)
end

local function is_whole(attributes)
  if attributes.specversion ~= "1.0" then
    return nil, ('specversion is "%s", only 1.0 is understood'):format(attributes.specversion or "")
  end
  for _, name in ipairs(NEEDED) do
    if (attributes[name] or "") == "" then
      return nil, ('the attribute "%s" is missing'):format(name)
    end
  end
  local fault = fault_of_texts(attributes)
  return not fault and attributes or nil, fault or nil
end

-- The attributes of a CloudEvent that the client has sent, and its data; nil when it has sent none; nil and what is
-- wrong with it.
function M.received(exchange, source)
  local media = exchange.request.headers["content-type"] or ""
  local attributes, fault, data
  if media:find "^application/cloudevents[-+]" then
    attributes, fault, data = envelope_of(source)
  else
    attributes, data = binary_of(exchange), source.body
  end
  if attributes then
    attributes, fault = is_whole(attributes)
  end
  return attributes, fault, data
end

-- --- what goes to Kafka ---------------------------------------------------------------------------------------

function M.is_json(media)
  return not media or media:find "^[%w.-]+/json%f[%W]" ~= nil or media:find "^[^;]-%+json%f[%W]" ~= nil
end

-- All attributes of an event: those of the configuration stand above the client's.
function M:attributes(exchange, source, received, made)
  local all = {
    specversion = "1.0", id = made.id, time = time.format(made.timestamp or time.now()),
    source = "//" .. (exchange.request.host or ""), type = "demilune." .. made.when,
    datacontenttype = made.content_type,
  }
  for name, value in pairs(received or {}) do
    all[name] = value
  end
  for name, template in pairs(self.templates) do
    all[name] = template:value(exchange, source) or all[name]
  end
  return all
end

local function put_binary(record, attributes)
  for name, value in pairs(attributes) do
    local is_media = name == "datacontenttype"
    record.headers[#record.headers + 1] = { is_media and "content-type" or "ce_" .. name, value }
  end
  return record
end

-- The data stays as it stands where it is JSON.
local function member_of(data, media)
  if M.is_json(media) then
    local _, word, position = json.decode(data)
    if word then
      return nil, ("the data is no JSON: %s at byte %d"):format(word, position or 0)
    end
    return '"data":' .. data
  end
  local quoted = media:find "^text/" and json.encode(data)
  return quoted and '"data":' .. quoted or '"data_base64":"' .. crypto.base64(data) .. '"'
end

local function put_structured(record, attributes)
  local head, word, what = json.encode(attributes)
  if not head then
    return nil, ("an attribute can't be written: %s (%s)"):format(word, what or "")
  end
  local data = record.value
  if data and data ~= "" then
    local member, fault = member_of(data, attributes.datacontenttype)
    if not member then
      return nil, fault
    end
    head = head:sub(1, -2) .. "," .. member .. "}"
  end
  record.value = head
  record.headers[#record.headers + 1] = { "ce_id", attributes.id }
  record.headers[#record.headers + 1] = { "content-type", STRUCTURED }
  return record
end

local MOST = 200 -- headers; a record has room for some more

-- Makes the record, whose value is the data, a CloudEvent. nil and what is wrong.
function M:put(record, attributes)
  local n = #record.headers
  for _ in pairs(attributes) do
    n = n + 1
  end
  if n > MOST then
    return nil, ("it has more than %d attributes and headers"):format(MOST)
  end
  table.sort(record.headers, function(a, b) return a[1] < b[1] end)
  return (self.structured and put_structured or put_binary)(record, attributes)
end

return M
