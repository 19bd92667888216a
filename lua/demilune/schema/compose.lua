-- SPDX-License-Identifier: Apache-2.0

-- The keywords that hand the same value on to other schemas: references, all, any or one of
-- several, conditions.

local frames = require "demilune.schema.frame"
local value_of = require "demilune.schema.value"

local M = { make = {} }
local make = M.make

make["$ref"] = function(compiler, _, given, _, where)
  local node = compiler:reference(given, where)
  return function(run, frame)
    local outcome = run:apply(node, frame.value)
    frames.merge(frame, outcome)
    return outcome.valid
  end
end

local function parts(compiler, given, where)
  local nodes = {}
  for i, source in ipairs(given) do
    nodes[i] = compiler:part(source, ("%s/%d"):format(where, i - 1))
  end
  return nodes
end

function make.allOf(compiler, _, given, _, where)
  local nodes = parts(compiler, given, where)
  return function(run, frame)
    local fits = true
    for _, node in ipairs(nodes) do
      local outcome = run:apply(node, frame.value)
      frames.merge(frame, outcome)
      fits = fits and outcome.valid
    end
    return fits
  end
end

-- Why none of several fits: the faults of the one that got furthest inside, where one did; else
-- what each of them expected.
local function none_fits(run, frame, tries)
  local here, deepest, best = #run.path, 0, nil
  for _, try in ipairs(tries) do
    frames.note_all(frame, try.outcome)
    for _, fault in ipairs(try.faults) do
      local depth = #fault.path - here
      if depth > deepest then
        deepest, best = depth, try
      end
    end
  end
  if best then
    run:take(best.faults)
    return false
  end
  local words, seen = {}, {}
  for _, try in ipairs(tries) do
    local expected = try.faults[1] and try.faults[1].expected or "nothing"
    if not seen[expected] then
      seen[expected] = true
      words[#words + 1] = expected
    end
  end
  return run:fault(table.concat(words, ", or "), frame.value)
end

function make.anyOf(compiler, _, given, _, where)
  local nodes = parts(compiler, given, where)
  return function(run, frame)
    local fits, tries = false, {}
    for i, node in ipairs(nodes) do
      local outcome, faults = run:try(node, frame.value)
      tries[i] = { outcome = outcome, faults = faults }
      if outcome.valid then
        fits = true
        frames.merge(frame, outcome)
      end
    end
    return fits or none_fits(run, frame, tries)
  end
end

function make.oneOf(compiler, _, given, _, where)
  local nodes = parts(compiler, given, where)
  return function(run, frame)
    local tries, fitting = {}, {}
    for i, node in ipairs(nodes) do
      local outcome, faults = run:try(node, frame.value)
      tries[i] = { outcome = outcome, faults = faults }
      if outcome.valid then
        fitting[#fitting + 1] = outcome
      end
    end
    if #fitting == 0 then
      return none_fits(run, frame, tries)
    elseif #fitting > 1 then
      frames.note_all(frame, fitting[1])
      return run:fault(("what fits one of %d descriptions only, not %d"):format(#nodes, #fitting), frame.value)
    end
    frames.merge(frame, fitting[1])
    return true
  end
end

-- The description of what may not be is the whole message: a sentence that says why not.
make["not"] = function(compiler, _, given, _, where)
  local node = compiler:part(given, where)
  local sentence = type(given) == "table" and given.description
  return function(run, frame)
    return not run:try(node, frame.value).valid
      or run:fault("something else", frame.value, sentence and { is_bare = true, message = sentence } or nil)
  end
end

make["if"] = function(compiler, _, given, source, where)
  local condition = compiler:part(given, where)
  local branches = {}
  for _, name in ipairs { "then", "else" } do
    if source[name] ~= nil then
      branches[name] = compiler:part(source[name], where:gsub("if$", name))
    end
  end
  return function(run, frame)
    local outcome = run:try(condition, frame.value)
    if outcome.valid then
      frames.merge(frame, outcome)
    end
    local branch = branches[outcome.valid and "then" or "else"]
    if not branch then
      return true
    end
    local result = run:apply(branch, frame.value)
    frames.merge(frame, result)
    return result.valid
  end
end

function make.dependentSchemas(compiler, _, given, _, where)
  local nodes = {}
  for name, source in pairs(given) do
    nodes[name] = compiler:part(source, where .. "/" .. name)
  end
  return function(run, frame)
    local fits = true
    if value_of.is_object(frame.value) then
      for _, name in ipairs(value_of.sorted_keys(nodes)) do
        if frame.value[name] ~= nil then
          local outcome = run:apply(nodes[name], frame.value)
          frames.merge(frame, outcome)
          fits = fits and outcome.valid
        end
      end
    end
    return fits
  end
end

return M
