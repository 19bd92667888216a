-- SPDX-License-Identifier: Apache-2.0

-- The run: inside the room that the shell script opened, for each row start its gateways, check
-- each, load them in turn for some rounds, and report. The gateways of a row all run at
-- once, idle but for the one under load, so that rounds interleave with no start in between.

local here = os.getenv("BENCH_HERE")
package.path = here .. "/?.lua;" .. package.path

local callgrind = require "callgrind"
local check = require "check"
local figures = require "figures"
local gateways = require "gateway"
local options = assert(require("options").parse(arg))
local process = require "process"
local report = require "report"
local rows = require "rows"

local WORK = os.getenv("BENCH_WORK")
local WARM_SECONDS = 1
local START_SECONDS = 60

local failed = false

local origin = process.start(os.getenv("BENCH_TOOLS") .. "/origin", { gateways.ORIGIN_PORT }, {}, WORK .. "/origin.log")
assert(check.wait_until_up({ port = gateways.ORIGIN_PORT, pid = origin }, START_SECONDS))

local function say(format, ...)
  io.stderr:write(format:format(...), "\n")
end

local function find_row(name)
  for _, row in ipairs(rows) do
    if row.name == name then
      return row
    end
  end
  say("spec/bench/run: no row is called %s", name)
  os.exit(2)
end

local function chosen_rows()
  local list = options.rows and {} or rows
  for _, name in ipairs(options.rows or {}) do
    list[#list + 1] = find_row(name)
  end
  return list
end

local function chosen_peers()
  local list, absent = {}, {}
  for _, name in ipairs(options.peers or gateways.names()) do
    local peer, why = gateways.find(name)
    list[#list + 1] = peer
    if not peer then
      say("%s: left out: %s", name, why)
      absent[#absent + 1] = { name = name, why = why }
    end
  end
  return list, absent
end

local function load_command(gateway, seconds, result)
  local row = gateway.row
  local words = {
    "BENCH_RESULT=" .. process.quote(result),
    "BENCH_PATH=" .. process.quote(row.path),
    "BENCH_SPREAD=" .. (row.spread or 1),
    row.gateway and row.gateway.keys and "BENCH_KEY=" .. gateways.KEY or "BENCH_KEY=",
    "wrk -t1 --timeout 10s",
    "-c" .. row.connections,
    "-d" .. seconds .. "s",
    "-s " .. process.quote(here .. "/load.lua"),
    ("http://127.0.0.1:%d/ 2>&1"):format(gateway.port),
  }
  return table.concat(words, " ")
end

-- One load of one gateway, and what it cost.
local function measure(gateway, seconds)
  local result = WORK .. "/load"
  os.remove(result)
  local opened = check.origin_counts()
  local before, origin_before = process.cpu(gateway.pid), process.cpu(origin)
  local said = process.output(load_command(gateway, seconds, result))
  process.sleep(0.05)
  local after, origin_after = process.cpu(gateway.pid), process.cpu(origin)
  local load_result = loadfile(result)
  if not load_result or not process.alive(gateway.pid) then
    error(("%s failed under load: %s\n%s"):format(gateway.peer.name, said, process.read(gateway.log) or ""))
  end
  local round = load_result()
  round.cpu_us = (after.run - before.run) / round.requests * 1e6
  round.user, round.system = after.user - before.user, after.system - before.system
  round.ours = (after.run - before.run + origin_after.run - origin_before.run + round.cpu) / round.seconds
  round.rate = round.requests / round.seconds
  round.opened = check.origin_counts() - opened
  return round
end

-- Starts a peer and checks it; one that fails goes to `left_out` and makes the run fail.
local function start_checked(peer, row, left_out)
  local gateway = gateways.start(peer, row)
  local fine, why = check.wait_until_up(gateway, START_SECONDS)
  if fine then
    fine, why = check.check(gateway)
  end
  if fine then
    return gateway
  end
  failed = true
  left_out[#left_out + 1] = { peer = peer.name, row = row.name, why = why }
  say("  %s (%s): left out: %s", peer.name, row.name, why)
  say("%s", (process.read(gateway.log) or ""):sub(-2000))
  gateways.stop(gateway)
end

-- The gateways of a row; with `against`, each peer also as it is in that other row.
local function start_all(row, peers, left_out)
  local list = {}
  for _, peer in ipairs(peers) do
    local able, need = gateways.can(peer, row)
    local gateway = able and start_checked(peer, row, left_out) or nil
    if not able then
      left_out[#left_out + 1] = { peer = peer.name, row = row.name, why = "it has no feature " .. need }
      say("  %s: left out: it has no feature %s", peer.name, need)
    end
    list[#list + 1] = gateway
    if gateway and row.against and not peer.features.floor then
      gateway.base = start_checked(peer, find_row(row.against), left_out)
      list[#list + 1] = gateway.base
    end
  end
  return list
end

local function run_row(row, peers)
  say("%s: %s", row.name, row.about)
  local left_out = {}
  local list = start_all(row, peers, left_out)
  for _, gateway in ipairs(list) do
    measure(gateway, WARM_SECONDS)
    gateway.rounds = {}
  end
  for n = 1, options.rounds do
    for i = 1, #list do
      local gateway = list[(n + i - 2) % #list + 1] -- each round begins with another one
      local round = measure(gateway, options.seconds)
      gateway.rounds[n] = round
      say("  round %d %-10s %-10s %7.2f us/request %8.0f requests/s %4.0f %% of the CPU%s", n, gateway.peer.name,
        gateway.row == row and "" or "(" .. gateway.row.name .. ")", round.cpu_us, round.rate, round.ours * 100,
        round.errors > 0 and ("  %d errors"):format(round.errors) or "")
    end
  end
  for _, gateway in ipairs(list) do
    gateways.stop(gateway)
  end
  local result = figures.row(row, list, left_out)
  failed = failed or #result.faults > 0
  return result
end

if options.callgrind then
  os.exit(callgrind.run(find_row(options.callgrind), options) and 0 or 1)
end

local todo = chosen_rows()
local peers, absent = chosen_peers()
local load_before = process.read("/proc/loadavg"):match("%S+")

local results = {}
for i, row in ipairs(todo) do
  results[i] = run_row(row, peers)
end
io.write(report.all(results, { peers = peers, absent = absent, options = options, load = load_before }))
os.exit(failed and 1 or 0)
