-- SPDX-License-Identifier: Apache-2.0

-- What stands behind each keyword of a schema: a keyword with anything else in it is refused when the
-- schema is loaded, since otherwise it would check nothing, or raise when a value is checked.

local json = require "demilune.json"

local M = {}

local function is_whole(value)
  return type(value) == "number" and value >= 0 and value == math.floor(value)
end

-- An empty table of Lua may be a list and a map.
local function is_list(value, fits)
  if type(value) ~= "table" then
    return false
  end
  for key, item in pairs(value) do
    if type(key) ~= "number" or fits and not fits(item) then
      return false
    end
  end
  return true
end

local function is_map(value, fits)
  if type(value) ~= "table" then
    return false
  end
  for key, item in pairs(value) do
    if type(key) ~= "string" or fits and not fits(item) then
      return false
    end
  end
  return not json.is_array(value) or next(value) ~= nil
end

local function is_text(value)
  return type(value) == "string"
end

local function is_texts(value)
  return is_list(value, is_text)
end

local SHAPES = {
  text = { "a text", is_text },
  flag = { "true or false", function(value) return type(value) == "boolean" end },
  count = { "a whole number, 0 or more", is_whole },
  number = { "a number", function(value) return type(value) == "number" end },
  step = { "a number above 0", function(value) return type(value) == "number" and value > 0 end },
  list = { "a list", is_list },
  texts = { "a list of texts", is_texts },
  types = { "a type or a list of types", function(value)
    return is_text(value) or is_texts(value) and next(value) ~= nil
  end },
  schemas = { "a list of schemas, not an empty one", function(value)
    return is_list(value) and next(value) ~= nil
  end },
  map = { "a map of schemas", is_map },
  needs = { "a map of lists of texts", function(value) return is_map(value, is_texts) end },
}

local OF = {}
for shape, names in pairs {
  text = "$schema $comment $ref title description pattern format",
  flag = "uniqueItems deprecated readOnly writeOnly",
  count = "minLength maxLength minItems maxItems minContains maxContains minProperties maxProperties",
  number = "minimum maximum exclusiveMinimum exclusiveMaximum",
  step = "multipleOf",
  list = "enum examples",
  texts = "required",
  types = "type",
  schemas = "allOf anyOf oneOf prefixItems",
  map = "properties patternProperties dependentSchemas $defs",
  needs = "dependentRequired",
} do
  for name in names:gmatch "%S+" do
    OF[name] = SHAPES[shape]
  end
end

-- What is wanted behind a keyword, when something else is there; else nil.
function M.fault(name, value)
  local shape = OF[name]
  return shape and not shape[2](value) and shape[1] or nil
end

return M
