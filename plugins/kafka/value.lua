-- SPDX-License-Identifier: Apache-2.0

-- The value of a record: a template, or JSON whose texts are templates. In JSON a text that is nothing but {body},
-- {body:PATH} (or the response's) is the value itself, and {status} and {duration} are numbers; what has nothing in it is left out.

local json = require "demilune.json"
local text = require "demilune.plugins.kafka.text"

local M = {}

local NUMBERS = { ["{status}"] = true, ["{duration}"] = true }

local function leaf(template, context, options, needs)
  local kind, path = text.single(template)
  if kind and kind ~= "time" then
    needs[kind] = true
    return function(_, source)
      if path then
        return source:at(kind, path)
      end
      return source[kind] and source[kind] ~= "" and source:json(kind) or nil
    end
  end
  local compiled, message = text.compile(template, context, options, needs)
  if not compiled then
    return nil, message
  end
  return function(exchange, source)
    local value = compiled:value(exchange, source)
    return NUMBERS[template] and tonumber(value) or value
  end
end

local compile

-- Functions in the place of texts.
local function compile_table(value, context, options, needs)
  local out = {}
  for key, item in pairs(value) do
    local made, message, path = compile(item, context, options, needs)
    if message then
      return nil, message, path and key .. "." .. path or tostring(key)
    end
    out[key] = made
  end
  return setmetatable(out, getmetatable(value))
end

function compile(value, context, options, needs)
  if type(value) == "table" then
    return compile_table(value, context, options, needs)
  elseif type(value) == "string" then
    return leaf(value, context, options, needs)
  end
  return value
end

local function fill(shape, exchange, source)
  if type(shape) == "function" then
    return shape(exchange, source)
  elseif type(shape) ~= "table" then
    return shape
  end
  local out = setmetatable({}, getmetatable(shape))
  local is_list = json.is_array(shape)
  for key, item in pairs(shape) do
    local value = fill(item, exchange, source)
    if value == nil and is_list then
      value = json.null
    end
    out[key] = value
  end
  return out
end

local Tree = {}
Tree.__index = Tree

-- The JSON, or nil and what is wrong.
function Tree:value(exchange, source)
  local value, word, what = json.encode(fill(self.shape, exchange, source))
  if not value then
    local reason = word == "encoding" and "its JSON would not be UTF-8" or "its JSON can't be written: %s (%s)"
    return nil, reason:format(word, what or "")
  end
  return value
end

-- What is made of a configured value; nil, a message and a path in it.
function M.compile(value, context, options, needs)
  if type(value) ~= "table" then
    return text.compile(tostring(value), context, options, needs)
  end
  local shape, message, path = compile_table(value, context, options, needs)
  if not shape then
    return nil, message, path
  end
  return setmetatable({ shape = shape }, Tree)
end

function M.is_json(value)
  return getmetatable(value) == Tree
end

return M
