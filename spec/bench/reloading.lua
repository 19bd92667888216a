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
local LONGER = { 2, 4, 8 } -- than other loads, until the reload is done before its end

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

local function answers(gateway, prefix, status)
  return check.get(gateway, prefix .. "42").status == status
end

local function wait_for_reload(gateway, prefix)
  for _ = 1, PATIENCE * 10 do
    if answers(gateway, prefix, 200) then
      return
    end
    process.sleep(0.1)
  end
  error(("a reload was not done after %d s"):format(PATIENCE), 0)
end

-- A calm run and one with a reload: what was seen in each; or nil, when the reload was not done when
-- its run ended.
local function measure(gateway, seconds)
  gateway.reloads = (gateway.reloads or 0) + 1
  local prefix = ("/reload%d/items/"):format(gateway.reloads)
  if not answers(gateway, prefix, 404) then
    error(prefix .. " is there before the reload", 0)
  end
  local before = idle.settled(gateway.pid)
  local calm = loaded.load(gateway, seconds)
  gateways.add_route(gateway, prefix)
  local seen = loaded.load(gateway, seconds, { meanwhile = function()
    process.sleep(seconds / 4)
    gateways.reload(gateway)
  end })
  local is_done = answers(gateway, prefix, 200)
  wait_for_reload(gateway, prefix)
  wait_for_processes(gateway, before.processes)
  return is_done and {
    failed = seen.errors, worst = seen.max, calm_worst = calm.max, worst_ratio = seen.max / calm.max,
    errors = calm.errors, mib = before.mib, mib_after = idle.settled(gateway.pid).mib,
  }
end

local function measure_long_enough(gateway, seconds)
  for _, times in ipairs(LONGER) do
    local round = measure(gateway, seconds * times)
    if round then
      return round
    end
  end
  error("the reload was not done when the load ended: make it longer by --seconds", 0)
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
      local round = measure_long_enough(one.gateway, context.options.seconds)
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
