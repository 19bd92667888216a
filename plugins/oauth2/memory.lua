-- SPDX-License-Identifier: Apache-2.0

-- What this worker remembers of verified tokens: by place, and bounded in bytes for all places together. Two generations
-- stand for an LRU list, for they cost a look into one table: what is used moves to the young one, and when the young
-- ones are full the old ones go.

local M = {}
M.__index = M

local GENERATION = 4 * 2 ^ 20 -- bytes
local OVERHEAD = 300          -- of an entry, beside its texts

local places = setmetatable({}, { __mode = "k" })
local bytes = 0

function M.new()
  local self = setmetatable({ young = {}, old = {} }, M)
  places[self] = true
  return self
end

local function age()
  for place in pairs(places) do
    place.old, place.young = place.young, {}
  end
  bytes = 0
end

function M:put(key, entry)
  local size = #key + #entry.claims + OVERHEAD
  if bytes + size > GENERATION then
    age()
  end
  self.young[key] = entry
  bytes = bytes + size
end

function M:get(key)
  local entry = self.young[key]
  if not entry then
    entry = self.old[key]
    if entry then
      self.old[key] = nil
      self:put(key, entry)
    end
  end
  return entry
end

return M
