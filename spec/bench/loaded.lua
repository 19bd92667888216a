-- SPDX-License-Identifier: Apache-2.0

-- Rows under load: all gateways of a row run at once, idle but for the one under load, so that
-- rounds interleave with no start in between.

local check = require "check"
local figures = require "figures"
local gateways = require "gateway"
local process = require "process"
local provide = require "provide"

local M = {}

local HERE, WORK, TOOLS = os.getenv("BENCH_HERE"), os.getenv("BENCH_WORK"), os.getenv("BENCH_TOOLS")
local ALL_CPUS = os.getenv("BENCH_ALL_CPUS")
local WARM_SECONDS = 1
local PER = 1000 -- requests, for futex calls

-- Commands that print microseconds of CPU time.
local YARDSTICKS = {
  rs256 = ("%s verify %s"):format(process.quote(TOOLS .. "/rs256"), process.quote(gateways.TOKEN_KEY)),
}

local function wrk(gateway, seconds, result)
  local row = gateway.row
  local name, credential = gateways.credential(row)
  return table.concat({
    "BENCH_RESULT=" .. process.quote(result),
    "BENCH_PATH=" .. process.quote(row.path),
    "BENCH_SPREAD=" .. (row.spread or 1),
    "BENCH_CREDENTIAL_NAME=" .. (name or "Authorization"),
    "BENCH_CREDENTIAL=" .. process.quote(credential or ""),
    (row.gateway or {}).first_token and ("BENCH_TOKENS=%s BENCH_SENT=%d"):format(process.quote(gateways.TOKENS),
      gateway.sent or 0) or "",
    row.all_cpus and "taskset -c " .. ALL_CPUS or "",
    "wrk -t1 --timeout 10s",
    "-c" .. row.connections,
    "-d" .. seconds .. "s",
    "-s " .. process.quote(HERE .. "/load.lua"),
    ("%s://127.0.0.1:%d/ 2>&1"):format(gateway.scheme, gateway.port),
  }, " ")
end

local function clients(gateway, seconds, result)
  local row = gateway.row
  return ("%s again tls %d %s %d %d %s 2>&1"):format(process.quote(TOOLS .. "/clients"), gateway.port,
    process.quote(check.path_of(row)), row.connections, seconds, process.quote(result))
end

-- One load of one gateway: what the load has seen. options: `meanwhile` is called once it has begun, `before` is
-- a command to put before it.
function M.load(gateway, seconds, options)
  options = options or {}
  local result = WORK .. "/load"
  os.remove(result)
  local command = gateway.row.kind == "handshakes" and clients or wrk
  local pipe = assert(io.popen((options.before or "env") .. " " .. command(gateway, seconds, result)))
  if options.meanwhile then
    options.meanwhile()
  end
  local said = pipe:read("*a")
  pipe:close()
  local seen = loadfile(result)
  if not seen or not process.alive(gateway.pid) then
    error(("it failed under load: %s\n%s"):format(said, process.read(gateway.log) or ""), 0)
  end
  seen = seen()
  gateway.sent = (gateway.sent or 0) + seen.requests + gateway.row.connections -- at the end some are under way
  return seen
end

-- A load and what it cost.
local function measure(gateway, seconds, origin)
  local opened = check.origin_counts()
  local row = gateway.row
  local yardstick = row.yardstick and tonumber(process.output(YARDSTICKS[row.yardstick]))
  local redis_before, scripts_before = provide.redis_spent(row)
  local before, origin_before = process.cpu(gateway.pid), process.cpu(origin)
  local seen = M.load(gateway, seconds)
  process.sleep(0.05)
  local after, origin_after = process.cpu(gateway.pid), process.cpu(origin)
  local redis_after, scripts = provide.redis_spent(row)
  local spent = after.run - before.run
  local others = origin_after.run - origin_before.run + redis_after - redis_before
  return {
    cpu_us = spent / seen.requests * 1e6,
    user = after.user - before.user, system = after.system - before.system,
    ours = not row.all_cpus and (spent + others + seen.cpu) / seen.seconds or nil,
    yardstick_us = yardstick, redis_scripts = scripts and (scripts - scripts_before) / seen.requests,
    requests = seen.requests, errors = seen.errors, p50 = seen.p50, p99 = seen.p99,
    rate = seen.requests / seen.seconds,
    opened = check.origin_counts() - opened,
    mib = process.memory(gateway.pid).mib,
    inside_ns = row.inside and tonumber(check.get(gateway, row.inside).body),
  }
end

-- How many futex calls a gateway makes while a command runs, by perf; nil where it can't count them.
local function count_futexes(gateway, run)
  local counts = WORK .. "/futexes"
  os.remove(counts)
  run(("perf stat -x, -e syscalls:sys_enter_futex -p %s -o %s env"):format(
    table.concat(process.tree(gateway.pid), ","), process.quote(counts)))
  return tonumber((process.read(counts) or ""):match("(%d+),[^\n]*futex"))
end

-- A mutex that is free costs no system call: each futex call is one that had to wait, or woke one
-- that did. What there is each second without a request, of threads that wait for the next second, is
-- subtracted. Per 1,000 requests.
local function futexes(gateway)
  local idle = count_futexes(gateway, function(counter)
    process.output(counter .. " sleep " .. WARM_SECONDS .. " 2>&1")
  end)
  local seen
  local busy = idle and count_futexes(gateway, function(counter)
    seen = M.load(gateway, WARM_SECONDS, { before = counter })
  end)
  return busy and math.max(busy - idle * seen.seconds / WARM_SECONDS, 0) / seen.requests * PER
end

local function one_round(n, list, context)
  local row = context.row
  context.each(list, function(gateway)
    local round = measure(gateway, context.options.seconds, context.origin)
    gateway.rounds[n] = round
    context.say("  round %d %-10s %-10s %7.2f us/request %8.0f requests/s %s%s", n, gateway.peer.name,
      gateway.row == row and "" or "(" .. gateway.row.name .. ")", round.cpu_us, round.rate,
      round.ours and ("%4.0f %% of the CPU"):format(round.ours * 100) or "",
      round.errors > 0 and ("  %d errors"):format(round.errors) or "")
  end, n)
end

-- The gateways of a row; with `against`, each peer also as it is in that other row.
local function start_all(row, peers, context)
  local wrap = row.all_cpus and function()
    return "taskset -c " .. ALL_CPUS
  end
  local todo, list = {}, {}
  for i, peer in ipairs(peers) do
    todo[i] = { peer = peer }
  end
  context.each(todo, function(one)
    local gateway = context.start_checked(one.peer, row, wrap)
    if row.against and not one.peer.features.floor then
      gateway.base = context.start_checked(one.peer, context.find_row(row.against), wrap)
    end
    list[#list + 1], list[#list + 2] = gateway, gateway.base
  end)
  return list
end

local function allow_origin(context, cpus)
  process.output(("taskset -apc %s %d"):format(cpus, context.origin))
end

-- Measures a row: its result.
function M.run(row, peers, context)
  local list = start_all(row, peers, context)
  if row.all_cpus then
    allow_origin(context, ALL_CPUS)
  end
  context.each(list, function(gateway)
    M.load(gateway, WARM_SECONDS)
    gateway.rounds = {}
  end)
  for n = 1, context.rounds do
    one_round(n, list, context)
  end
  context.each(list, function(gateway)
    gateway.once = row.all_cpus and { futexes = futexes(gateway) } or nil
  end)
  allow_origin(context, context.options.cpu)
  return figures.row(row, list, context.left_out)
end

return M
