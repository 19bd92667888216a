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
---@field null userdata  What stands for `null`.
local M = {
  array_mt = { __name = "json.array" },
  object_mt = { __name = "json.object" },
}

M.null = core.json_marks(M.array_mt, M.object_mt)

--- Marks a table as a list, so that it is one when it is empty, too.
---@param list? table
---@return table list
function M.array(list)
  return setmetatable(list or {}, M.array_mt)
end

--- Marks a table as a map, so that it is one when it has a first item, too.
---@param map? table
---@return table map
function M.object(map)
  return setmetatable(map or {}, M.object_mt)
end

--- Is it marked as a list, as every decoded one is?
---@param value any
---@return boolean
function M.is_array(value)
  return type(value) == "table" and getmetatable(value) == M.array_mt
end

--- The value in a text; nil, a word and the position. `options.depth`: how deeply it may be nested (128; at
--- most 512).
---@param text string
---@param options? { depth?: integer }
---@return any value
---@return string? word
---@return integer? position
function M.decode(text, options)
  if type(text) ~= "string" then
    error("json.decode wants a text, not a " .. type(text), 2)
  end
  return decode(text, options and options.depth)
end

--- The text of a value; nil, a word and what can not be written. `options.indent`: blanks per level, for people.
---@param value any
---@param options? { indent?: integer }
---@return string? text
---@return string? word
---@return string? what
function M.encode(value, options)
  return encode(value, options and options.indent)
end

return M
