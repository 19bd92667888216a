-- SPDX-License-Identifier: Apache-2.0

-- What this worker remembers of verified tokens, bounded in bytes. Two generations stand for an LRU list, for they cost
-- a look into one table: what is used moves to the young one, and when that is full the old one goes.

local M = {}
M.__index = M

local GENERATION = 2 * 2 ^ 20 -- bytes
local OVERHEAD = 300          -- of an entry, beside its texts

function M.new()
  return setmetatable({ young = {}, old = {}, bytes = 0 }, M)
end

function M:put(key, entry)
  local size = #key + #entry.claims + OVERHEAD
  if self.bytes + size > GENERATION then
    self.old, self.young, self.bytes = self.young, {}, 0
  end
  self.young[key] = entry
  self.bytes = self.bytes + size
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
