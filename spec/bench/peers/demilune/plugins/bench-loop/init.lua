-- SPDX-License-Identifier: Apache-2.0

-- Runs what a hook does many times in one request, and answers with the nanoseconds of CPU time
-- that it takes once. Shorter than script.time_budget.

local change = require "demilune.plugins.bench-change"
local read = require "demilune.plugins.bench-read"

local TIMES = { empty = 100000, read = 200000, five = 10000 }

local Loop = {
  name = "bench-loop", version = "1.0.0",
  schema = { type = "object", properties = { of = { type = "string" } }, required = { "of" } },
}
Loop.__index = Loop

-- What stands in the chain that is measured.
local function uses_of(of)
  if of == "read" then
    return { read.new() }
  end
  local list = {}
  for i = 1, of == "five" and 5 or 0 do
    list[i] = change.new { to = "x-bench-" .. i }
  end
  return list
end

function Loop.new(config)
  return setmetatable({ uses = uses_of(config.of), times = TIMES[config.of] }, Loop)
end

function Loop:access(exchange)
  local first, second, third, fourth, fifth = unpack(self.uses)
  local begun = os.clock()
  if fifth then
    for _ = 1, self.times do
      first:access(exchange)
      second:access(exchange)
      third:access(exchange)
      fourth:access(exchange)
      fifth:access(exchange)
    end
  elseif first then
    for _ = 1, self.times do
      first:access(exchange)
    end
  end
  local took = (os.clock() - begun) / self.times * 1e9
  exchange:reply(200, { ["content-type"] = "text/plain" }, ("%.1f"):format(took))
end

return Loop
