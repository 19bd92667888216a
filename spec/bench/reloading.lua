-- SPDX-License-Identifier: Apache-2.0

-- A reload while requests come as fast as they are answered: which fail, the worst latency beside
-- that of a run as long without a reload, and whether the memory comes back. Each time
-- the configuration has one route more, which must answer afterwards.

local check = require "check"
local figures = require "figures"
local gateways = require "gateway"
local idle = require "idle"
local loaded = require "loaded"
local process = require "process"

local M = {}

local PATIENCE = 60
local LONGER = 2 -- than other loads: the reload is to be done before its end

-- Until processes that the reload has left behind have ended.
local function wait_for_processes(gateway, count)
  for _ = 1, PATIENCE * 10 do
    if process.memory(gateway.pid).processes <= count then
      return
    end
    process.sleep(0.1)
  end
  error(("processes of before a reload are still there after %d s"):format(PATIENCE), 0)
end

local function measure(gateway, n, seconds)
  local before = idle.settled(gateway.pid)
  local calm = loaded.load(gateway, seconds)
  local prefix = ("/reload%d/items/"):format(n)
  if check.get(gateway, prefix .. "42").status ~= 404 then
    error(prefix .. " is there before the reload", 0)
  end
  gateways.add_route(gateway, prefix)
  local seen = loaded.load(gateway, seconds, { meanwhile = function()
    process.sleep(seconds / 4)
    gateways.reload(gateway)
  end })
  if check.get(gateway, prefix .. "42").status ~= 200 then
    error("the reload was not done when the load ended: make it longer by --seconds", 0)
  end
  wait_for_processes(gateway, before.processes)
  local after = idle.settled(gateway.pid)
  return {
    failed = seen.errors, worst = seen.max, calm_worst = calm.max, worst_ratio = seen.max / calm.max,
    errors = calm.errors, mib = before.mib, mib_after = after.mib,
  }
end

function M.run(row, peers, context)
  local list = {}
  for i, peer in ipairs(peers) do
    list[i] = { peer = peer, row = row, rounds = {} }
  end
  context.each(list, function(one)
    one.gateway = context.start_checked(one.peer, row)
    loaded.load(one.gateway, 1)
  end)
  for n = 1, context.rounds do
    context.each(list, function(one)
      local round = measure(one.gateway, n, context.options.seconds * LONGER)
      one.rounds[n] = round
      context.say("  round %d %-10s %d failed, worst %.1f ms, calm %.1f ms, %.1f MiB, %.1f MiB after", n,
        one.peer.name, round.failed, round.worst, round.calm_worst, round.mib, round.mib_after)
    end)
  end
  context.each(list, function(one)
    one.once = { memory_ratio = one.rounds[#one.rounds].mib_after / one.rounds[1].mib }
  end)
  return figures.row(row, list, context.left_out)
end

return M
