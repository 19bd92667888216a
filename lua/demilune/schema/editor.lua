-- SPDX-License-Identifier: Apache-2.0

-- A plugin's schema as plain JSON Schema for editors: what demilune.schema does beyond the
-- standard, said in the standard's words. Units are texts of a form, a scalar may be a ${}, and an
-- object that names its properties takes no others. Parts (allOf, if, not ...) stay as they are:
-- where they leave an editor in doubt it accepts more than the check does, never less.

local M = {}

local OPEN = { type = "string", pattern = "\\$\\{[^}]+\\}" }

local UNITS = {
  duration = { { type = "string", pattern = "^(0|[0-9]+(\\.[0-9]+)?(ms|s|m|h|d))$" }, { const = 0 } },
  size = {
    { type = "string", pattern = "^[0-9]+(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$" },
    { type = "number", minimum = 0 },
  },
  ratio = { { type = "string", pattern = "^[0-9]+(\\.[0-9]+)?%?$" }, { type = "number", minimum = 0, maximum = 1 } },
}

local NOTES = { "title", "description", "default", "writeOnly", "deprecated", "examples" }

local function types_of(node)
  return type(node.type) == "table" and node.type or { node.type }
end

-- What stands for a scalar: the forms that it may have.
local function forms_of(node)
  local forms = {}
  for i, form in ipairs(UNITS[node.format] or { node }) do
    forms[i] = form
  end
  for _, name in ipairs(UNITS[node.format] and types_of(node) or {}) do
    if name ~= "string" and name ~= "number" and name ~= "integer" then
      forms[#forms + 1] = { type = name }
    end
  end
  forms[#forms + 1] = OPEN
  return forms
end

local function is_scalar(node)
  for _, name in ipairs(types_of(node)) do
    if name == "integer" or name == "number" or name == "boolean" then
      return true
    end
  end
  return UNITS[node.format] ~= nil or node.enum ~= nil
end

-- What is said of a value stands before the forms that it may have, for editors to show.
local function with_notes_outside(node, forms)
  local out = { anyOf = forms }
  for _, name in ipairs(NOTES) do
    out[name], node[name] = node[name], nil
  end
  return out
end

local JOINS = { "$ref", "allOf", "anyOf", "oneOf", "not", "if", "enum", "const" }

local function has_type_alone(node)
  for _, name in ipairs(JOINS) do
    if node[name] ~= nil then
      return false
    end
  end
  return node.type ~= nil
end

local NOTHING = { type = "null" }

-- The forms of a place, and nothing at all where that is as good as leaving the key away.
local function finish(node, is_optional)
  if is_scalar(node) then
    local forms = forms_of(node)
    forms[#forms + 1] = is_optional and NOTHING or nil
    return with_notes_outside(node, forms)
  elseif not is_optional then
    return node
  elseif has_type_alone(node) then
    local types = { unpack(types_of(node)) }
    types[#types + 1] = "null"
    node.type = types
    return node
  end
  return with_notes_outside(node, { node, NOTHING })
end

local place

local function each(map, document, is_part)
  local out = {}
  for key, node in pairs(map) do
    out[key] = place(node, document, is_part)
  end
  return out
end

local function properties(map, document, parent)
  local out, needed = {}, {}
  for _, name in ipairs(parent.required or {}) do
    needed[name] = true
  end
  for name, node in pairs(map) do
    out[name] = place(node, document, false, not needed[name])
  end
  return out
end

local WALKS = {
  items = function(node, document) return place(node, document) end,
  additionalProperties = function(node, document) return place(node, document) end,
  properties = properties,
  patternProperties = function(map, document) return each(map, document) end,
  prefixItems = function(list, document) return each(list, document) end,
  ["$defs"] = function(map, document) -- closed where they are referred to: allOf may join them
    return each(map, document, true)
  end,
}

-- Does the object that this describes, or refers to, name its properties?
local function names_properties(node, document)
  local name = type(node["$ref"]) == "string" and node["$ref"]:match "^#/%$defs/([^/]+)$"
  local target = name and (document["$defs"] or {})[name] or node
  return target.properties ~= nil and target.additionalProperties == nil and target.unevaluatedProperties == nil
end

-- Properties that stand in other parts are known to the second word alone.
local function closing_word(node)
  local joins = node["$ref"] or node.allOf or node.anyOf or node.oneOf or node["if"]
  return joins and "unevaluatedProperties" or "additionalProperties"
end

function place(node, document, is_part, is_optional)
  if type(node) ~= "table" then
    return node
  end
  local copy = {}
  for key, value in pairs(node) do
    local walk = WALKS[key]
    if walk then
      value = walk(value, document, node)
    end
    copy[key] = value
  end
  if not is_part and names_properties(node, document) then
    copy[closing_word(node)] = false
  end
  return finish(copy, is_optional)
end

function M.of(schema)
  return place(schema, schema)
end

return M
