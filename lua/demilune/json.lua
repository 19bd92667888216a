-- SPDX-License-Identifier: Apache-2.0

-- JSON by the core's own codec: whole numbers up to 2^53 are exact, UTF-8 is checked
-- both ways, depth and size are capped.
--
--   json.decode(text)   value, or nil, word, position ("syntax", 12)
--   json.encode(value)  text, or nil, word, what ("bad_argument", "function")
--
-- A list that was decoded keeps its kind when it is empty; json.array{} makes one, and
-- json.object{} a map that is one even when it has a first item. null is json.null.

local core = require "demilune.core"

local decode, encode = core.json_decode, core.json_encode

---@class demilune.json
---@field null lightuserdata JSON's null
local M = {
  array_mt = { __name = "json.array" },
  object_mt = { __name = "json.object" },
}

M.null = core.json_marks(M.array_mt, M.object_mt)

---Makes a list of a table, so that it is one even when it is empty.
---@generic T: table
---@param list? T
---@return T
function M.array(list)
  return setmetatable(list or {}, M.array_mt)
end

---Makes a map of a table, so that it is one even when it has a first item.
---@generic T: table
---@param map? T
---@return T
function M.object(map)
  return setmetatable(map or {}, M.object_mt)
end

---@param value any
---@return boolean
function M.is_array(value)
  return type(value) == "table" and getmetatable(value) == M.array_mt
end

---@param text string
---@param options? { depth?: integer } how deeply it may be nested (128; at most 512)
---@return any value
---@return string? err "syntax", "encoding", "depth", "range"
---@return integer? position
function M.decode(text, options)
  if type(text) ~= "string" then
    error("json.decode wants a text, not a " .. type(text), 2)
  end
  return decode(text, options and options.depth)
end

---@param value any
---@param options? { indent?: integer } blanks per level, for people
---@return string? text
---@return string? err "bad_argument", "encoding", "depth", "full"
---@return string? what can't be written
function M.encode(value, options)
  return encode(value, options and options.indent)
end

return M
