-- SPDX-License-Identifier: Apache-2.0

-- JSON Schema 2020-12 for configurations of plugins: a schema is compiled once and
-- refused when it has a keyword that is not known here; then values are checked
-- against it. A check collects all faults, each with its place, what was expected
-- and what came, and gives back a copy of the value with the defaults filled in
-- and with durations as seconds, sizes as bytes and ratios as fractions.
--
-- Two things go beyond the standard, because a mistyped key must not pass: an
-- object whose schema names properties takes no others (say additionalProperties
-- where it does), and an unknown key is told its nearest neighbour. Both are off
-- with { open = true }, which is the plain standard.

local json_type = require "demilune.schema.value"
local keywords = require "demilune.schema.keywords"
local shape = require "demilune.schema.shape"

---@class demilune.schema
local M = {}

M.open = json_type.open

---@class demilune.schema.compiled
---@field source table
local Schema = { __name = "schema" }
Schema.__index = Schema

---@class demilune.schema.fault
---@field text string where in the value: limits[2].window
---@field path (string|integer)[] the same as keys, lists counted from 1
---@field expected string
---@field got string what came; of what is writeOnly only its kind
---@field message string all of it in a line

-- Pointers ("#", "#/$defs/name") -----------------------------------------------------

local function follow(document, pointer)
  local node = document
  for part in pointer:sub(2):gmatch "/([^/]*)" do
    part = part:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
    part = part:gsub("~1", "/"):gsub("~0", "~")
    if type(node) ~= "table" then
      return nil
    end
    local index = tonumber(part)
    local child = node[part]
    if child == nil and index then
      child = node[index + 1]
    end
    node = child
  end
  return node
end

-- Compiling --------------------------------------------------------------------------

local Compiler = {}
Compiler.__index = Compiler

local function refuse(where, ...)
  error(("schema%s: %s"):format(where, string.format(...)), 0)
end

-- Only a schema that starts a place of its own (the root, a property, an item) may be
-- closed: the parts of an allOf see one object together.
local function closes_itself(compiler, source, is_part)
  if compiler.is_open or is_part then
    return false
  end
  return source.additionalProperties == nil and source.unevaluatedProperties == nil
end

local function check_keywords(source, where)
  for key, value in pairs(source) do
    if not keywords.is_known(key) then
      local near = json_type.nearest(key, keywords.names)
      refuse(where, 'the keyword "%s" is not supported%s', tostring(key),
        near and (', did you mean "%s"?'):format(near) or "")
    end
    local wanted = shape.fault(key, value)
    if wanted then
      refuse(where .. "/" .. key, "wants %s, not %s", wanted, json_type.describe(value))
    end
  end
end

-- What no keyword would look at: definitions that nobody refers to, a branch without its condition.
local function compile_unused(compiler, source, where)
  for name, part in pairs(source["$defs"] or {}) do
    compiler:part(part, ("%s/$defs/%s"):format(where, name))
  end
  for _, name in ipairs { "then", "else" } do
    if source[name] ~= nil and source["if"] == nil then
      compiler:part(source[name], where .. "/" .. name)
    end
  end
end

-- Makes the node of a schema, or finds it: a schema that refers to itself is one node.
function Compiler:node(source, where, is_part)
  if source == true or source == false then
    return { always = source }
  elseif type(source) ~= "table" then
    refuse(where, "a schema is a table or a boolean, this is %s", json_type.describe(source))
  end
  local known = self.nodes[is_part and "part" or "place"]
  if known[source] then
    return known[source]
  end
  local node = { checks = {}, write_only = source.writeOnly == true, default = source.default }
  known[source] = node
  check_keywords(source, where)
  -- In a fixed order: what is unevaluated is known only when all others have run.
  for _, name in ipairs(keywords.names) do
    local make = keywords.make[name]
    if make and source[name] ~= nil then
      node.checks[#node.checks + 1] = make(self, node, source[name], source, where .. "/" .. name)
    end
  end
  compile_unused(self, source, where)
  if closes_itself(self, source, is_part) then
    node.checks[#node.checks + 1] = keywords.closed(where == "")
  end
  return node
end

function Compiler:part(source, where)
  return self:node(source, where, true)
end

function Compiler:reference(pointer, where)
  if type(pointer) ~= "string" or not pointer:find "^#" or (pointer ~= "#" and not pointer:find "^#/") then
    refuse(where, '$ref "%s" is not supported: only places of the same schema are, such as "#/$defs/name"',
      tostring(pointer))
  end
  local target = follow(self.document, pointer)
  if target == nil then
    refuse(where, '$ref "%s" leads nowhere', pointer)
  end
  return self:node(target, pointer == "#" and "" or pointer:sub(2), true)
end

Compiler.refuse = function(_, where, ...)
  refuse(where, ...)
end

---Compiles a schema. Raises when it can't be used: a keyword, type or format that is not supported is never
---passed over. `open` is the plain standard: unknown keys pass, nothing is converted, formats say nothing.
---@param source table|boolean
---@param options? { open?: boolean }
---@return demilune.schema.compiled
function M.compile(source, options)
  options = options or {}
  local compiler = setmetatable({
    document = source, is_open = options.open, nodes = { part = {}, place = {} },
  }, Compiler)
  local root = compiler:node(source, "")
  return setmetatable({ root = root, source = source }, Schema)
end

-- Checking ---------------------------------------------------------------------------

-- What one check knows: the path to where it is, and what it has found.
local Check = {}
Check.__index = Check

-- `more`: a message of its own; is_bare, it quotes nothing of the value; is_key, the key is at fault.

function Check:fault(expected, value, more)
  local path = {}
  for i = 1, #self.path do
    path[i] = self.path[i]
  end
  local got = self.hidden > 0 and json_type.describe_type(value) or json_type.describe(value)
  local fault = { path = path, expected = expected, got = got, is_secret = self.hidden > 0 or nil }
  for key, text in pairs(more or {}) do
    fault[key] = text
  end
  fault.message = fault.message or ("expected %s, got %s"):format(expected, got)
  self.faults[#self.faults + 1] = fault
  return false
end

-- A place of its own: `key` of a table, or the root with nil.
function Check:place(node, key, value)
  if key ~= nil then
    self.path[#self.path + 1] = key
  end
  if node.write_only then
    self.hidden = self.hidden + 1
    self.secrets[#self.secrets + 1] = { unpack(self.path) }
  end
  local frame = self:apply(node, value)
  if node.write_only then
    self.hidden = self.hidden - 1
  end
  if key ~= nil then
    self.path[#self.path] = nil
  end
  return frame.valid, frame.out
end

-- A node at the present place. The frame says what came of it: `out` is the converted
-- value, `keys` and `items` what was evaluated.
function Check:apply(node, value)
  if node.always ~= nil then
    local valid = node.always or self:fault("nothing here", value)
    return { valid = valid, value = value, out = json_type.closed(value) }
  end
  self.depth = self.depth + 1
  if self.depth > 200 then
    error("schema: it refers to itself without end", 0)
  end
  value = json_type.typed(node, value)
  if node.prepare then
    value = node.prepare(value)
  end
  local frame = { valid = true, value = value, out = json_type.copy(value), kind = json_type.of(value) }
  for _, run in ipairs(node.checks) do
    if run(self, frame) == false then
      frame.valid = false
    end
  end
  self.depth = self.depth - 1
  if json_type.is_open(frame.out) then
    frame.out = json_type.closed(frame.out)
  end
  return frame
end

-- The same, with the faults kept apart.
function Check:try(node, value)
  local faults, mine = self.faults, {}
  self.faults = mine
  local frame = self:apply(node, value)
  self.faults = faults
  return frame, mine
end

function Check:take(faults)
  for _, fault in ipairs(faults) do
    self.faults[#self.faults + 1] = fault
  end
end

---Text of a path: limits[2].window, with indices from 0 as in all messages.
---@param path (string|integer)[]
---@return string
function M.path_text(path)
  local out = ""
  for _, key in ipairs(path) do
    if type(key) == "number" then
      out = ("%s[%d]"):format(out, key - 1)
    else
      out = out == "" and key or out .. "." .. key
    end
  end
  return out
end

---Gives the completed copy, or nil and the faults. formats: functions that check texts of a format (text ->
---true, or nil and what was expected), for those that need to know the place.
---@param value any
---@param options? { formats?: table<string, fun(text: string): boolean?, string?> }
---@return any completed
---@return demilune.schema.fault[]? faults
---@return (string|integer)[][] secrets paths of the values that must never be shown
function Schema:check(value, options)
  options = options or {}
  local check = setmetatable({
    path = {}, faults = {}, secrets = {}, depth = 0, hidden = 0, formats = options.formats or {},
  }, Check)
  local valid, out = check:place(self.root, nil, value)
  for _, fault in ipairs(check.faults) do
    fault.text = M.path_text(fault.path)
  end
  if not valid then
    return nil, check.faults, check.secrets
  end
  return out, nil, check.secrets
end

return M
