-- SPDX-License-Identifier: Apache-2.0

-- Values as JSON sees them: which type a Lua value is, whether two are equal, how
-- one is named in a message. Lists are known by the metatable of demilune.json; a
-- bare table is a list when it has a first item, and an empty one is both.
--
-- An open scalar is text that came out of ${NAME} in a configuration: its type is
-- for the schema to decide.

local json = require "demilune.json"

local C = require("demilune.ffi").C

local M = {}

local Open = { __name = "open scalar" }
Open.__tostring = function(open) return open.text end

function M.open(text)
  return setmetatable({ text = text }, Open)
end

function M.is_open(value)
  return type(value) == "table" and getmetatable(value) == Open
end

local array_mt = json.array_mt
local null = json.null

function M.is_array(value)
  if type(value) ~= "table" then
    return false
  end
  local mt = getmetatable(value)
  return mt == array_mt or (mt ~= json.object_mt and mt ~= Open and (value[1] ~= nil or next(value) == nil))
end

function M.is_object(value)
  if type(value) ~= "table" then
    return false
  end
  local mt = getmetatable(value)
  return mt ~= array_mt and mt ~= Open and value[1] == nil
end

-- "object" also for the empty table that may be either.
function M.of(value)
  local kind = type(value)
  if kind == "table" then
    return (M.is_open(value) and "string") or (M.is_object(value) and "object") or "array"
  elseif value == nil or value == null then
    return "null"
  end
  return kind
end

local function is_whole(value)
  return value == math.floor(value) and value - value == 0
end

function M.is_a(value, wanted)
  if wanted == "array" then
    return M.is_array(value)
  elseif wanted == "object" then
    return M.is_object(value)
  elseif wanted == "integer" then
    return type(value) == "number" and is_whole(value)
  elseif wanted == "string" then
    return type(value) == "string" or M.is_open(value)
  end
  return M.of(value) == wanted
end

-- Open scalars --------------------------------------------------------------------------

-- As the YAML core schema reads a plain scalar.
local function core_typed(text)
  if text == "true" or text == "True" or text == "TRUE" then
    return true
  elseif text == "false" or text == "False" or text == "FALSE" then
    return false
  elseif text == "null" or text == "~" or text == "" then
    return text == "" and "" or null
  end
  return text:find "^[-+]?%.?%d" and not text:find "^[-+]?0[xX]" and tonumber(text) or text
end

local function fits(value, types)
  for name in pairs(types) do
    if M.is_a(value, name) then
      return true
    end
  end
  return false
end

-- What an open scalar is under a schema: what fits, text otherwise. Without a type it stays
-- open for the parts of an anyOf to decide.
function M.typed(node, value)
  if not M.is_open(value) then
    return value
  elseif node.types then
    local typed = core_typed(value.text)
    return fits(typed, node.types) and typed or value.text
  elseif node.enum then
    for _, item in ipairs(node.enum) do
      if tostring(item) == value.text then
        return item
      end
    end
  end
  return value
end

function M.closed(value)
  if M.is_open(value) then
    return core_typed(value.text)
  end
  return value
end

-- Copies and equality -------------------------------------------------------------------

local function copy_with(value, change)
  local out = setmetatable({}, getmetatable(value))
  for key, item in pairs(value) do
    out[key] = change(item)
  end
  return out
end

local function as_it_is(item)
  return item
end

function M.shallow_copy(map)
  return copy_with(map, as_it_is)
end

-- One level: the items below are put in as they are checked.
function M.copy(value)
  if type(value) ~= "table" or M.is_open(value) then
    return value
  end
  return copy_with(value, M.closed)
end

function M.deep_copy(value)
  if type(value) ~= "table" or M.is_open(value) then
    return value
  end
  return copy_with(value, M.deep_copy)
end

function M.equal(a, b)
  if a == b then
    return true
  elseif type(a) ~= "table" or type(b) ~= "table" or a == null or b == null then
    return false
  end
  local open_a, open_b = M.is_open(a), M.is_open(b)
  if open_a or open_b then
    return open_a and open_b and a.text == b.text
  elseif M.is_array(a) ~= M.is_array(b) then
    return false
  end
  for key, item in pairs(a) do
    if not M.equal(item, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

-- In one order always, for faults and results that don't change from run to run.
function M.sorted_keys(map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

function M.length(value)
  local n = 0
  for _ in pairs(value) do
    n = n + 1
  end
  return n
end

-- Characters of a text, not bytes.
function M.characters(text)
  local _, continued = text:gsub("[\128-\191]", "")
  return #text - continued
end

-- Words for messages --------------------------------------------------------------------

local ARTICLES = {
  string = "a text", number = "a number", integer = "a whole number", boolean = "true or false",
  array = "a list", object = "a map", null = "nothing",
}

function M.is_type(name)
  return ARTICLES[name] ~= nil
end

function M.type_words(names)
  local words = {}
  for i, name in ipairs(names) do
    words[i] = ARTICLES[name]
  end
  local last = table.remove(words)
  return #words > 0 and table.concat(words, ", ") .. " or " .. last or last
end

function M.describe_type(value)
  return ARTICLES[M.of(value)]
end

function M.describe(value)
  local kind = M.of(value)
  if kind == "string" then
    local text = tostring(value)
    if #text > 60 then
      text = text:sub(1, 57) .. "..."
    end
    return ('"%s"'):format(text:gsub("%c", "?"))
  elseif kind == "number" then
    return ("%.14g"):format(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind == "array" and #value == 0 or kind == "object" and next(value) == nil then
    return "an empty " .. (getmetatable(value) == array_mt and "list" or "map")
  end
  return ARTICLES[kind]
end

-- The candidate that `word` was probably meant to be: within a third of its length.
function M.nearest(word, candidates)
  word = tostring(word)
  local best, least = nil, math.min(math.max(1, math.floor(#word / 3)) + 1, #word)
  for _, candidate in ipairs(candidates) do
    local distance = C.dml_distance(word, #word, candidate, #candidate)
    if distance < least then
      best, least = candidate, distance
    end
  end
  return best
end

return M
