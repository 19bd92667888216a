-- SPDX-License-Identifier: Apache-2.0

-- Memory of connections that are kept alive and idle: that of the gateway's processes with them,
-- less that before. Some are opened first, so that what the first ones bring with them is not
-- counted. Each round has a gateway of its own: memory that was used once does not come back.

local figures = require "figures"
local gateways = require "gateway"
local process = require "process"

local M = {}

local TOOLS = os.getenv("BENCH_TOOLS")
local FIRST = 500
local PATIENCE = 60
local SETTLED_KIB = 16

-- What the tree takes once it stays the same for half a second.
local function settled(pid)
  local last = process.memory(pid)
  for _ = 1, PATIENCE do
    process.sleep(0.5)
    local memory = process.memory(pid)
    if math.abs(memory.mib - last.mib) * 1024 < SETTLED_KIB then
      return memory
    end
    last = memory
  end
  return last
end
M.settled = settled

-- Opens connections and waits until each has had an answer: the process that holds them, and how many
-- had to be tried again.
local function hold(gateway, count)
  local log = gateway.dir .. "/held"
  os.remove(log)
  local holder = process.start(TOOLS .. "/clients",
    { "hold", gateway.scheme == "https" and "tls" or "plain", gateway.port, gateway.row.path, count }, {}, log)
  for _ = 1, PATIENCE * 20 do
    local said = process.read(log) or ""
    local errors = said:match("held, (%d+) errors")
    if errors then
      return holder, tonumber(errors)
    elseif not process.alive(holder) then
      error(("%d connections can't be held: %s"):format(count, said), 0)
    end
    process.sleep(0.05)
  end
  error(("%d connections were not open after %d s"):format(count, PATIENCE), 0)
end

local function measure(gateway)
  local count = gateway.row.connections
  local first = hold(gateway, FIRST)
  local before = settled(gateway.pid)
  local rest, errors = hold(gateway, count)
  local after = settled(gateway.pid)
  local open = process.connections(gateway.port)
  process.stop(rest)
  process.stop(first)
  if open < FIRST + count then
    error(("it has closed idle connections: %d of %d are left"):format(open, FIRST + count), 0)
  end
  return { kib = (after.mib - before.mib) * 1024 / count, mib = before.mib, connections = count, errors = errors }
end

function M.run(row, peers, context)
  local list = {}
  for i, peer in ipairs(peers) do
    list[i] = { peer = peer, row = row, rounds = {} }
  end
  for n = 1, context.rounds do
    context.each(list, function(one)
      local gateway = context.start_checked(one.peer, row)
      one.rounds[n] = measure(gateway)
      gateways.stop(gateway)
      context.say("  round %d %-10s %7.2f KiB/connection", n, one.peer.name, one.rounds[n].kib)
    end)
  end
  return figures.row(row, list, context.left_out)
end

return M
