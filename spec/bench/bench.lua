-- SPDX-License-Identifier: Apache-2.0

-- The run: inside the room that the shell script opened, goes through the rows, each measured
-- by what its kind says, and reports.

package.path = os.getenv("BENCH_HERE") .. "/?.lua;" .. package.path

local callgrind = require "callgrind"
local check = require "check"
local gateways = require "gateway"
local goals = require "goals"
local machine = require "machine"
local options = assert(require("options").parse(arg))
local process = require "process"
local provide = require "provide"
local report = require "report"
local rows = require "rows"

local KINDS = {
  load = require "loaded", handshakes = require "loaded", idle = require "idle", start = require "starting",
  reload = require "reloading",
}
local START_SECONDS = 120

local failed = false

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
  local list = {}
  for _, row in ipairs(options.rows and {} or rows) do
    list[#list + 1] = not row.is_base and row or nil
  end
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

local function make_certificate()
  assert(process.run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 " ..
    "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s"):format(
    gateways.CERTIFICATE_KEY, gateways.CERTIFICATE)))
end

-- What a row's measuring is given. A peer that fails is left out of the row, and makes the run fail.
local function context_of(row, origin)
  local context = { row = row, left_out = {}, started = {}, options = options, origin = origin, say = say,
    find_row = find_row, rounds = math.min(options.rounds, row.rounds or math.huge) }

  function context.start(peer, ...)
    local gateway = gateways.start(peer, ...)
    table.insert(context.started, gateway)
    return gateway
  end

  -- Raises when it does not do its work.
  function context.start_checked(peer, its_row, wrap)
    local gateway = context.start(peer, its_row, wrap)
    local fine, why = check.wait_until_up(gateway, START_SECONDS)
    if fine then
      fine, why = check.check(gateway)
    end
    if not fine then
      say("%s", (process.read(gateway.log) or ""):sub(-2000))
      error(why .. (its_row ~= row and (" (as in %s)"):format(its_row.name) or ""), 0)
    end
    return gateway
  end

  local function leave_out(list, one, why)
    failed = true
    table.insert(context.left_out, { peer = one.peer.name, why = why })
    say("  %s: left out: %s", one.peer.name, why)
    for i = #list, 1, -1 do
      if list[i].peer == one.peer then
        table.remove(list, i)
      end
    end
  end

  -- Calls f of each member of a list, each with its peer, beginning with another one for each n. All of
  -- a peer for which it raises are taken out of the list.
  function context.each(list, f, n)
    local turn = {}
    for i = 1, #list do
      turn[i] = list[((n or 1) + i - 2) % #list + 1]
    end
    local is_out = {}
    for _, one in ipairs(turn) do
      if not is_out[one.peer] then
        local fine, why = pcall(f, one)
        if not fine then
          is_out[one.peer] = true
          leave_out(list, one, why)
        end
      end
    end
  end
  return context
end

local function run_row(row, peers, origin)
  say("%s: %s", row.name, row.about)
  local context, able = context_of(row, origin), {}
  local has, lack = provide.provide(row)
  for _, peer in ipairs(peers) do
    local can, need = gateways.can(peer, row)
    if can and not has then
      table.insert(context.left_out, { peer = peer.name, why = lack })
    elseif can then
      able[#able + 1] = peer
    elseif not peer.features.floor then
      table.insert(context.left_out, { peer = peer.name, why = "it has no feature " .. need })
    end
  end
  local result = KINDS[row.kind or "load"].run(row, able, context)
  for _, gateway in ipairs(context.started) do
    gateways.stop(gateway)
  end
  failed = failed or #result.faults > 0
  return result
end

make_certificate()
local origin = process.start(os.getenv("BENCH_TOOLS") .. "/origin", { gateways.ORIGIN_PORT }, {},
  os.getenv("BENCH_WORK") .. "/origin.log")
assert(check.wait_for_origin(origin, START_SECONDS))

if options.callgrind then
  os.exit(callgrind.run(find_row(options.callgrind), options) and 0 or 1)
end

local todo = chosen_rows()
local peers, absent = chosen_peers()
local where = machine.describe()

local results = {}
for i, row in ipairs(todo) do
  results[i] = run_row(row, peers, origin)
  results[i].goals = goals.judge(row, results[i], absent)
end
io.write(report.all(results, { machine = where, peers = peers, absent = absent, options = options }))
os.exit(failed and 1 or 0)
