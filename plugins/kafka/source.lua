-- SPDX-License-Identifier: Apache-2.0

-- What an event is made of, beside the exchange: the request's body (or one record of a batch) and the response's. It
-- is decoded when a template looks into it, once; a template that looks into what is no JSON leaves a fault behind.

local json = require "demilune.json"

local Source = {}
Source.__index = Source

local M = {}

function M.new(body, response)
  return setmetatable({ body = body, response = response, decoded = {} }, Source)
end

-- The value of a body ("body", "response"); nil, with a fault, when it is no JSON.
function Source:json(kind)
  local kept = self.decoded[kind]
  if kept == nil then
    local value, word, position = json.decode(self[kind] or "")
    if word then
      self.fault = ("the %s is no JSON: %s at byte %d"):format(kind == "body" and "body" or "response's body", word,
        position or 0)
      value = false
    end
    self.decoded[kind] = value
    return value
  end
  return kept
end

-- A value in it: names, and numbers of items from 0 on, with dots in between.
function Source:at(kind, path)
  local value = self:json(kind)
  for name in path:gmatch "[^.]+" do
    if type(value) ~= "table" then
      return nil
    elseif json.is_array(value) then
      local index = tonumber(name)
      value = index and value[index + 1]
    else
      value = value[name]
    end
  end
  return value
end

return M
