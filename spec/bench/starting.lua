-- SPDX-License-Identifier: Apache-2.0

-- The time from a gateway's first instruction to its first answer, by started.c. Its files have
-- been read before: by the check of the first round.

local check = require "check"
local figures = require "figures"
local gateways = require "gateway"
local process = require "process"

local M = {}

local TOOLS = os.getenv("BENCH_TOOLS")
local PATIENCE = 60

local function watched(gateway)
  return ("%s/started %s/started %d %s"):format(TOOLS, gateway.dir, gateway.port,
    check.path_of(gateway.row))
end

local function took(gateway)
  for _ = 1, PATIENCE * 20 do
    local text = process.read(gateway.dir .. "/started")
    if text and text ~= "" then
      return tonumber(text)
    end
    process.sleep(0.05)
  end
  error("it did not start", 0)
end

function M.run(row, peers, context)
  local list = {}
  for i, peer in ipairs(peers) do
    list[i] = { peer = peer, row = row, rounds = {} }
  end
  context.each(list, function(one)
    gateways.stop(context.start_checked(one.peer, row))
  end)
  for n = 1, context.rounds do
    context.each(list, function(one)
      local gateway = context.start(one.peer, row, watched)
      one.rounds[n] = {
        ms = took(gateway), cpu_ms = process.cpu(gateway.pid).run * 1e3, mib = process.memory(gateway.pid).mib,
      }
      gateways.stop(gateway)
      context.say("  round %d %-10s %7.1f ms", n, one.peer.name, one.rounds[n].ms)
    end)
  end
  return figures.row(row, list, context.left_out)
end

return M
