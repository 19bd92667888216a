-- SPDX-License-Identifier: Apache-2.0

-- Collects events that nobody waits for, and gives them away together: after a time, or when there are many.

local task = require "demilune.task"

local Linger = {}
Linger.__index = Linger

local M = {}

local MOST = 1000 -- events that are collected

-- give: what takes a list of records.
function M.new(seconds, give)
  return setmetatable({ seconds = seconds, give = give, records = {} }, Linger)
end

function Linger:flush()
  local records = self.records
  self.records = {}
  if #records > 0 then
    self.give(records)
  end
end

local function flush_later(self, records)
  task.sleep(self.seconds)
  if self.records == records then -- and have not gone already
    self:flush()
  end
end

function Linger:add(record)
  local records = self.records
  records[#records + 1] = record
  if #records == MOST then
    self:flush()
  elseif #records == 1 then
    task.detach(flush_later, self, records)
  end
end

return M
