-- SPDX-License-Identifier: Apache-2.0

-- A frame is what came of one schema for one value (Check:apply of schema.lua): `out`, the
-- converted value; `keys` and `items`, what was looked at; `known`, the names of keys that were
-- spoken of. Keywords that hand a value on carry these from one frame to another.

local json = require "demilune.json"
local value_of = require "demilune.schema.value"

local M = {}

function M.note_key(frame, key)
  frame.keys = frame.keys or {}
  frame.keys[key] = true
end

function M.note_item(frame, index)
  frame.items = frame.items or {}
  frame.items[index] = true
end

function M.note_names(frame, names)
  frame.known = frame.known or {}
  for _, name in ipairs(names) do
    frame.known[#frame.known + 1] = name
  end
end

function M.note_all(into, from)
  for key in pairs(from.keys or {}) do
    M.note_key(into, key)
  end
  for index in pairs(from.items or {}) do
    M.note_item(into, index)
  end
  if from.known then
    M.note_names(into, from.known)
  end
end

-- `from` looked at the same value: what it converted or filled in counts.
function M.merge(into, from)
  M.note_all(into, from)
  if type(into.out) ~= "table" or type(from.out) ~= "table" or value_of.is_open(into.out) then
    if not value_of.equal(from.out, into.value) then
      into.out = from.out
    end
    return
  end
  for key, item in pairs(into.out) do
    if item == json.null and from.out[key] == nil then
      into.out[key] = nil -- nothing stands behind it: `from` has left it away
    end
  end
  for key, item in pairs(from.out) do
    if not value_of.equal(item, into.value[key]) then
      into.out[key] = item
    end
  end
end

return M
