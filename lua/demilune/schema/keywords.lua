-- SPDX-License-Identifier: Apache-2.0

-- The keywords of a schema that look at one value, and the list of all that are
-- known. Each make[name](compiler, node, given, source, where) is called when a
-- schema is compiled and returns check(run, frame), which says false when the
-- value does not fit. Keywords that hand a value, or what is in it, on to other
-- schemas are in compose.lua and applicators.lua.

local applicators = require "demilune.schema.applicators"
local compose = require "demilune.schema.compose"
local formats = require "demilune.schema.formats"
local value_of = require "demilune.schema.value"

local M = { make = {} }
local make = M.make

-- In the order in which they run.
M.names = {
  "type", "enum", "const", "format",
  "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
  "minLength", "maxLength", "pattern",
  "minItems", "maxItems", "uniqueItems", "prefixItems", "items", "contains", "minContains", "maxContains",
  "minProperties", "maxProperties", "required", "dependentRequired", "properties", "patternProperties",
  "additionalProperties", "propertyNames",
  "$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas",
  "unevaluatedItems", "unevaluatedProperties",
}

-- Those that say something to people and tools only, or are looked at beside another one.
local NOTES = {
  ["$schema"] = true, ["$comment"] = true, ["$defs"] = true, title = true, description = true, default = true,
  examples = true, deprecated = true, readOnly = true, writeOnly = true,
}

local known = {}
for _, name in ipairs(M.names) do
  known[name] = true
end

function M.is_known(name)
  return known[name] or NOTES[name] or false
end

-- Any type --------------------------------------------------------------------------------

function make.type(compiler, node, given, source, where)
  local names = type(given) == "table" and given or { given }
  local types = {}
  for _, name in ipairs(names) do
    if not value_of.is_type(name) then
      compiler:refuse(where, 'no such type: "%s"', tostring(name))
    end
    types[name] = true
  end
  if formats.is_unit(source.format) and not compiler.is_open then
    return nil -- the format takes texts and numbers
  end
  node.types = types
  local words = value_of.type_words(names)
  return function(run, frame)
    for name in pairs(types) do
      if value_of.is_a(frame.value, name) then
        return true
      end
    end
    local is_brace = types.string and value_of.of(frame.value) == "object" and next(frame.value) == nil
    return run:fault(words, frame.value, is_brace and {
      message = ("expected %s, got an empty map (a text that begins with a brace wants quotes)"):format(words),
    } or nil)
  end
end

local function list_words(items)
  local words = {}
  for i, item in ipairs(items) do
    words[i] = value_of.describe(item)
  end
  if #words == 1 then
    return words[1]
  end
  return "one of " .. table.concat(words, ", ")
end

function make.enum(_, node, given)
  node.enum = given
  return function(run, frame)
    for _, item in ipairs(given) do
      if value_of.equal(item, frame.value) then
        return true
      end
    end
    local text = type(frame.value) == "string" and frame.value
    local texts = {}
    for _, item in ipairs(given) do
      texts[#texts + 1] = type(item) == "string" and item or nil
    end
    local near = text and value_of.nearest(text, texts)
    local expected = list_words(given)
    return run:fault(expected, frame.value, near and {
      message = ('expected %s, got %s, did you mean "%s"?'):format(expected, value_of.describe(text), near),
    } or nil)
  end
end

function make.const(_, _, given)
  return function(run, frame)
    return value_of.equal(given, frame.value) or run:fault(value_of.describe(given), frame.value)
  end
end

make.format = formats.make

-- Numbers ---------------------------------------------------------------------------------

-- Bounds of durations, sizes and ratios are in seconds, bytes and fractions.
local UNIT_WORDS = { duration = " seconds", size = " bytes" }

local function bound(words, fits)
  return function(compiler, _, given, source, where)
    if type(given) ~= "number" then
      compiler:refuse(where, "wants a number")
    end
    local expected = words:format(given) .. (UNIT_WORDS[source.format] or "")
    return function(run, frame)
      local number = frame.out
      return type(number) ~= "number" or fits(number, given) or run:fault(expected, frame.value)
    end
  end
end

make.minimum = bound("at least %.14g", function(n, least) return n >= least end)
make.maximum = bound("at most %.14g", function(n, most) return n <= most end)
make.exclusiveMinimum = bound("more than %.14g", function(n, least) return n > least end)
make.exclusiveMaximum = bound("less than %.14g", function(n, most) return n < most end)

make.multipleOf = bound("a multiple of %.14g", function(n, step)
  local quotient = n / step
  if quotient - quotient ~= 0 then -- beyond what a double can tell
    return math.fmod(n, step) == 0
  end
  return math.abs(quotient - math.floor(quotient + 0.5)) <= 1e-9
end)

-- Texts -----------------------------------------------------------------------------------

local function text_of(frame)
  if type(frame.value) == "string" then
    return frame.value
  end
  return value_of.is_open(frame.value) and frame.value.text or nil
end

function make.minLength(_, _, given)
  local words = given == 1 and "a text that is not empty" or ("a text of at least %d characters"):format(given)
  return function(run, frame)
    local text = text_of(frame)
    return not text or value_of.characters(text) >= given or run:fault(words, frame.value)
  end
end

function make.maxLength(_, _, given)
  return function(run, frame)
    local text = text_of(frame)
    return not text or value_of.characters(text) <= given
      or run:fault(("a text of at most %d characters"):format(given), frame.value)
  end
end

function make.pattern(compiler, _, given, source, where)
  local fits = applicators.pattern(compiler, given, where)
  -- A pattern says little to a reader: the title in its place, where there is one.
  local expected = source.title or "a text that fits " .. given
  return function(run, frame)
    local text = text_of(frame)
    return not text or fits(text) or run:fault(expected, frame.value)
  end
end

-- Lists and maps as a whole ----------------------------------------------------------------

function make.minItems(_, _, given)
  return function(run, frame)
    return frame.kind ~= "array" and not value_of.is_array(frame.value) or #frame.value >= given
      or run:fault(("at least %d item%s"):format(given, given == 1 and "" or "s"), frame.value)
  end
end

function make.maxItems(_, _, given)
  return function(run, frame)
    return not value_of.is_array(frame.value) or #frame.value <= given
      or run:fault(("at most %d item%s"):format(given, given == 1 and "" or "s"), frame.value)
  end
end

function make.uniqueItems(_, _, given)
  return function(run, frame)
    if not given or not value_of.is_array(frame.value) then
      return true
    end
    for i, item in ipairs(frame.value) do
      for j = 1, i - 1 do
        if value_of.equal(item, frame.value[j]) then
          return run:fault(("items that differ, and those at %d and %d are equal"):format(j - 1, i - 1), frame.value)
        end
      end
    end
    return true
  end
end

function make.minProperties(_, _, given)
  return function(run, frame)
    return not value_of.is_object(frame.value) or value_of.length(frame.value) >= given
      or run:fault(("at least %d key%s"):format(given, given == 1 and "" or "s"), frame.value)
  end
end

function make.maxProperties(_, _, given)
  return function(run, frame)
    return not value_of.is_object(frame.value) or value_of.length(frame.value) <= given
      or run:fault(("at most %d key%s"):format(given, given == 1 and "" or "s"), frame.value)
  end
end

local function demand(run, frame, names, why)
  local fits = true
  for _, name in ipairs(names) do
    if frame.value[name] == nil then
      fits = run:fault(('"%s"'):format(name), frame.value,
        { is_bare = true, message = ('"%s" is missing%s'):format(name, why or "") })
    end
  end
  return fits
end

function make.required(_, _, given)
  return function(run, frame)
    return not value_of.is_object(frame.value) or demand(run, frame, given)
  end
end

function make.dependentRequired(_, _, given)
  return function(run, frame)
    local fits = true
    if value_of.is_object(frame.value) then
      for name, needed in pairs(given) do
        if frame.value[name] ~= nil and not demand(run, frame, needed, (': "%s" needs it'):format(name)) then
          fits = false
        end
      end
    end
    return fits
  end
end

for _, others in ipairs { applicators.make, compose.make } do
  for name, maker in pairs(others) do
    make[name] = maker
  end
end

M.closed = applicators.closed

return M
