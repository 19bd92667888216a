-- SPDX-License-Identifier: Apache-2.0

-- The keywords that hand what is in a value on to other schemas: items of lists, keys of maps.
-- They note in the frame which of them were looked at, which is what unevaluatedProperties,
-- unevaluatedItems and the refusal of unknown keys go by.

local json = require "demilune.json"
local frames = require "demilune.schema.frame"
local value_of = require "demilune.schema.value"

local M = { make = {} }
local make = M.make

function M.pattern(compiler, pattern, where)
  local regex = require "demilune.regex"
  local compiled, err = regex.compile(pattern, "u")
  if not compiled then
    compiler:refuse(where, "no regular expression: %s", err)
  end
  return function(text)
    return compiled:test(text)
  end
end

-- Items ------------------------------------------------------------------------------------

local function check_items(run, frame, first, node_at)
  local fits = true
  for i = first, #frame.value do
    local node = node_at(i)
    if not node then
      break
    end
    local valid, out = run:place(node, i, frame.value[i])
    frame.out[i] = out
    frames.note_item(frame, i)
    fits = fits and valid
  end
  return fits
end

function make.prefixItems(compiler, _, given, _, where)
  local nodes = {}
  for i, source in ipairs(given) do
    nodes[i] = compiler:node(source, ("%s/%d"):format(where, i - 1))
  end
  return function(run, frame)
    return not value_of.is_array(frame.value) or check_items(run, frame, 1, function(i) return nodes[i] end)
  end
end

function make.items(compiler, _, given, source, where)
  local node = compiler:node(given, where)
  local first = 1 + #(source.prefixItems or {})
  return function(run, frame)
    return not value_of.is_array(frame.value) or check_items(run, frame, first, function() return node end)
  end
end

function make.contains(compiler, _, given, source, where)
  local node = compiler:node(given, where)
  local least, most = source.minContains or 1, source.maxContains or math.huge
  return function(run, frame)
    if not value_of.is_array(frame.value) then
      return true
    end
    local n = 0
    for i, item in ipairs(frame.value) do
      if run:try(node, item).valid then
        n = n + 1
        frames.note_item(frame, i)
      end
    end
    if n < least or n > most then
      local words = most == math.huge and ("at least %d"):format(least) or ("%d to %d"):format(least, most)
      return run:fault(("%s items of the kind that is described, %d are"):format(words, n), frame.value)
    end
    return true
  end
end

-- Keys -------------------------------------------------------------------------------------

-- A key that is named and has nothing behind it is as good as absent, unless its schema takes null:
-- the value without such keys.
local function without_nothing(value, nodes)
  local copy
  for name, item in pairs(value) do
    local node = nodes[name]
    if item == json.null and node and not (node.types and node.types.null) then
      copy = copy or value_of.shallow_copy(value)
      copy[name] = nil
    end
  end
  return copy or value
end

-- The default of a property, checked and converted: the same at each check with the same formats.
local function filled_in(run, name, node)
  if node.filled_for ~= run.formats then
    local secrets = #run.secrets
    local valid, out = run:place(node, name, value_of.deep_copy(node.default))
    if not valid or #run.secrets > secrets then
      return valid, out
    end
    node.filled_for, node.filled = run.formats, out
  end
  return true, value_of.deep_copy(node.filled)
end

function make.properties(compiler, parent, given, _, where)
  local nodes, names = {}, value_of.sorted_keys(given)
  for name, source in pairs(given) do
    nodes[name] = compiler:node(source, where .. "/" .. tostring(name))
  end
  parent.prepare = not compiler.is_open and function(value)
    return value_of.is_object(value) and without_nothing(value, nodes) or value
  end or nil
  return function(run, frame)
    if not value_of.is_object(frame.value) then
      return true
    end
    local fits = true
    frames.note_names(frame, names)
    for _, name in ipairs(names) do
      local item, node = frame.value[name], nodes[name]
      local fills_in = item == nil and node.default ~= nil and not compiler.is_open
      if item ~= nil or fills_in then
        local valid, out
        if fills_in then
          valid, out = filled_in(run, name, node)
        else
          valid, out = run:place(node, name, item)
        end
        frame.out[name] = out
        fits = fits and valid
      end
      if item ~= nil or not compiler.is_open then
        frames.note_key(frame, name)
      end
    end
    return fits
  end
end

function make.patternProperties(compiler, _, given, _, where)
  local list = {}
  for _, pattern in ipairs(value_of.sorted_keys(given)) do
    list[#list + 1] = {
      fits = M.pattern(compiler, pattern, where),
      node = compiler:node(given[pattern], where .. "/" .. pattern),
    }
  end
  return function(run, frame)
    if not value_of.is_object(frame.value) then
      return true
    end
    local fits = true
    frames.note_names(frame, {})
    for _, key in ipairs(value_of.sorted_keys(frame.value)) do
      for _, entry in ipairs(list) do
        if type(key) == "string" and entry.fits(key) then
          local valid, out = run:place(entry.node, key, frame.value[key])
          frame.out[key] = out
          frames.note_key(frame, key)
          fits = fits and valid
        end
      end
    end
    return fits
  end
end

local function unknown_key(run, frame, key)
  run.path[#run.path + 1] = key
  local near = frame.known and type(key) == "string" and value_of.nearest(key, frame.known)
  run:fault("no such key", frame.value[key], {
    is_key = true,
    is_bare = true,
    message = "unknown key" .. (near and (', did you mean "%s"?'):format(near) or ""),
  })
  run.path[#run.path] = nil
end

-- For each key that `is_free` says nobody looked at.
local function check_rest(run, frame, node, is_free)
  local fits = true
  for _, key in ipairs(value_of.sorted_keys(frame.value)) do
    if is_free(key) then
      if node.always == false then
        unknown_key(run, frame, key)
        fits = false
      else
        local valid, out = run:place(node, key, frame.value[key])
        frame.out[key] = out
        fits = fits and valid
      end
      frames.note_key(frame, key)
    end
  end
  return fits
end

function make.additionalProperties(compiler, _, given, source, where)
  local node = compiler:node(given, where)
  local patterns = {}
  for pattern in pairs(source.patternProperties or {}) do
    patterns[#patterns + 1] = M.pattern(compiler, pattern, where)
  end
  return function(run, frame)
    if not value_of.is_object(frame.value) then
      return true
    end
    return check_rest(run, frame, node, function(key)
      if source.properties and source.properties[key] ~= nil then
        return false
      end
      for _, fits in ipairs(patterns) do
        if fits(key) then
          return false
        end
      end
      return true
    end)
  end
end

function make.propertyNames(compiler, _, given, _, where)
  local node = compiler:node(given, where)
  return function(run, frame)
    if not value_of.is_object(frame.value) then
      return true
    end
    local fits = true
    for _, key in ipairs(value_of.sorted_keys(frame.value)) do
      local outcome, faults = run:try(node, key)
      if not outcome.valid then
        run.path[#run.path + 1] = key
        run:fault("a key of this kind", key, { is_key = true, message = "not a key that may stand here: "
          .. (faults[1] and faults[1].message or "none may") })
        run.path[#run.path] = nil
        fits = false
      end
    end
    return fits
  end
end

function make.unevaluatedProperties(compiler, _, given, _, where)
  local node = compiler:node(given, where)
  return function(run, frame)
    return not value_of.is_object(frame.value) or check_rest(run, frame, node, function(key)
      return not (frame.keys and frame.keys[key])
    end)
  end
end

function make.unevaluatedItems(compiler, _, given, _, where)
  local node = compiler:node(given, where)
  return function(run, frame)
    local fits = true
    if value_of.is_array(frame.value) then
      for i, item in ipairs(frame.value) do
        if not (frame.items and frame.items[i]) then
          local valid, out = run:place(node, i, item)
          frame.out[i] = out
          frames.note_item(frame, i)
          fits = fits and valid
        end
      end
    end
    return fits
  end
end

-- The refusal of unknown keys where a schema says nothing about them. An object of which
-- no key is named (a map of headers, say) is free, but for the root.
function M.closed(is_root)
  local nothing = { always = false }
  return function(run, frame)
    if not value_of.is_object(frame.value) or not (is_root or frame.known) then
      return true
    end
    return check_rest(run, frame, nothing, function(key)
      return not (frame.keys and frame.keys[key])
    end)
  end
end

return M
