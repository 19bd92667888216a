-- SPDX-License-Identifier: Apache-2.0

-- `demilune bench METHOD URL`: what the hooks of a request cost. The request goes through the hooks of its
-- chain in their order, again and again, as an exchange that has no connections (core.test_exchange); between
-- access and response its upstream answers 200 at once. Each hook is measured for itself, and the median told.
--
-- Hooks really run: what they count is counted in this process, and what they call is called.

local ffi = require "ffi"
local attempt = require "demilune.attempt"
local core = require "demilune.core"
local exchange = require "demilune.exchange"
local plugin = require "demilune.plugin"
local url = require "demilune.url"

ffi.cdef [[
  struct dml_bench_time { long seconds, nanoseconds; };
  int clock_gettime(int clock, struct dml_bench_time *time);
]]

local C, time = ffi.C, ffi.new "struct dml_bench_time"

local M = {}

local WALL, CPU = 1, 3      -- CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID
local WARM_UP = 200         -- runs until all is compiled
local RUNS, SECONDS = 2000, 3
local WAITS = 3e-6          -- so much longer than it worked, and by this share of it: it has waited. A server on
local WAITS_SHARE = 0.05    -- this machine answers in some 10 us; a busy machine takes more from hooks that work long
local SLOTS = 2 ^ 20

local PHASES = { "rewrite", "access", "balance", "attempt", "response", "body", "log" }
local BEFORE_ANSWER = { rewrite = true, access = true, balance = true, attempt = true }
local NEEDS = { access = "route", balance = "upstream", attempt = "upstream" }
local ANSWER = { status = 200, headers = { { "content-type", "application/json" } }, body = '{"ok":true}' }

local function now(clock)
  C.clock_gettime(clock, time)
  return tonumber(time.seconds) + tonumber(time.nanoseconds) * 1e-9
end

-- --- one run -------------------------------------------------------------------------------------

local function call(hook, object, x, phase, handle)
  if phase == "balance" or phase == "attempt" then
    return hook(object, x, attempt.latest(handle))
  elseif phase == "body" then
    return hook(object, x, ANSWER.body, true)
  end
  return hook(object, x)
end

-- What is kept of each hook, by phase and place.
local function sample_of(samples, phase, use)
  local key = phase .. " " .. use.index
  local sample = samples[key]
  if not sample then
    sample = { phase = phase, plugin = use.name, wall = {}, cpu = {}, bytes = {} }
    samples[key] = sample
    samples[#samples + 1] = sample
  end
  return sample
end

local function measured(sample, keeps, hook, object, x, phase, handle)
  local memory, cpu, wall = collectgarbage "count", now(CPU), now(WALL)
  local verdict = call(hook, object, x, phase, handle)
  local wall_end, cpu_end = now(WALL), now(CPU)
  if keeps then
    local n = #sample.wall + 1
    sample.bytes[n] = (collectgarbage "count" - memory) * 1024
    sample.wall[n], sample.cpu[n] = wall_end - wall, cpu_end - cpu
  end
  return verdict
end

-- Runs the hooks of a phase; true when one has answered.
local function run_phase(samples, keeps, phase, x, handle)
  local uses = core.test_exchange_chain(handle, phase)
  if #uses == 0 then
    return false
  end
  core.test_exchange_phase(handle, phase, phase == "attempt" and ANSWER or nil)
  for _, use in ipairs(uses) do
    local hook, object = plugin.hook_at(phase, use.index)
    local verdict = measured(sample_of(samples, phase, use), keeps, hook, object, x, phase, handle)
    local has_answered = phase ~= "response" and core.test_exchange_answer(handle)
    if has_answered or phase == "attempt" and verdict ~= nil then
      core.test_exchange_phase(handle, "none")
      return has_answered and use.name
    end
  end
  core.test_exchange_phase(handle, "none")
  return false
end

-- Runs all phases: what answered, and in which phase (nil when it was the upstream), and the status.
local function run_phases(samples, keeps, handle)
  local x = exchange.new(handle)
  local name, where
  for _, phase in ipairs(PHASES) do
    local is_skipped = BEFORE_ANSWER[phase] and (name or NEEDS[phase] and not x[NEEDS[phase]])
    if not is_skipped then
      if phase == "response" and not name then
        core.test_exchange_response(handle, ANSWER)
      end
      local who = run_phase(samples, keeps, phase, x, handle)
      if who and not name then
        name, where = who, phase
      end
    end
  end
  return name, where, x.response.status
end

local function run(samples, keeps, request)
  local handle = core.test_exchange(request)
  local ok, name, where, status = pcall(run_phases, samples, keeps, handle)
  core.test_exchange_end(handle)
  local slot = handle % SLOTS + 1
  exchange.contexts[slot], exchange.chunks[slot] = nil, nil
  if not ok then
    error(name, 0)
  end
  return name, where, status
end

-- --- the figures ---------------------------------------------------------------------------------

local function median(list)
  table.sort(list)
  return list[math.floor(#list / 2) + 1]
end

-- What measuring takes by itself.
local function overhead()
  local samples = { wall = {}, cpu = {}, bytes = {} }
  local function nothing() end
  for i = 1, WARM_UP * 5 do
    measured(samples, i > WARM_UP, nothing, nil, nil, "access", 0)
  end
  return { wall = median(samples.wall), cpu = median(samples.cpu), bytes = median(samples.bytes) }
end

local function microseconds(seconds)
  return ("%.2f us"):format(math.max(seconds, 0) * 1e6)
end

-- A row of the table, and the CPU time and bytes in it.
local function row_of(sample, base)
  local wall, cpu = median(sample.wall) - base.wall, median(sample.cpu) - base.cpu
  local bytes = math.max(median(sample.bytes) - base.bytes, 0)
  local has_waited = wall - cpu > math.max(WAITS, cpu * WAITS_SHARE)
  local busy = math.max(has_waited and cpu or wall, 0)
  return { sample.phase, sample.plugin, microseconds(busy), has_waited and microseconds(wall - cpu) or "-",
    ("%d B"):format(bytes + 0.5), tostring(#sample.wall) }, busy, bytes
end

local function rows_of(samples, base)
  local rows, busy, bytes = { { "PHASE", "PLUGIN", "CPU", "WAITS", "MEMORY", "RUNS" } }, 0, 0
  for _, sample in ipairs(samples) do
    local row, its_busy, its_bytes = row_of(sample, base)
    rows[#rows + 1] = row
    busy, bytes = busy + its_busy, bytes + its_bytes
  end
  rows[#rows + 1] = { "all", "", microseconds(busy), "", ("%d B"):format(bytes + 0.5), "" }
  return rows
end

-- --- traces --------------------------------------------------------------------------------------

local OURS = debug.getinfo(1, "S").source:match "^(.*/)" -- the library

-- LuaJIT gives up on code that it can't compile, and runs it slowly: the places in plugins, with the reason.
local function watch_aborts(places)
  local info, words = require("jit.util").funcinfo, require("jit.vmdef").traceerr
  return function(event, _, func, pc, code, what)
    local place = event == "abort" and info(func, pc)
    if place and place.source:sub(1, #OURS) ~= OURS then
      if type(what) == "function" then
        what = info(what).loc
      end
      local reason = type(words[code]) == "string" and words[code]:format(what) or tostring(code)
      places[("%s: %s"):format(place.loc, reason)] = true
    end
  end
end

-- --- lines of plugins in the log -------------------------------------------------------------------

local LINES = 10 -- that are written; thousands of runs say the same

-- How many more there were. What writing them takes is not measured then.
local function limit_lines(outcome)
  local write, count = core.log_write, 0
  function core.log_write(...)
    count = count + 1
    if count <= LINES then
      return write(...)
    end
    outcome.lines = count - LINES
  end
end

-- --- the command ---------------------------------------------------------------------------------

-- What core.test_exchange takes, or nil and what is wrong.
local function request_of(args)
  local parts = args[2]:sub(1, 1) == "/" and url.parse("http://localhost" .. args[2]) or url.parse(args[2])
  if not parts then
    return nil, ("%q is no URL: http://host/path, or /path"):format(args[2])
  end
  local request = {
    method = args[1], path = parts.path, query = parts.query, scheme = parts.scheme, headers = {}, body = "",
    client_ip = "127.0.0.1", authority = parts.port and ("%s:%d"):format(parts.host, parts.port) or parts.host,
  }
  for i = 3, #args do
    local name, value = args[i]:match "^([^:%s]+):%s*(.-)%s*$"
    if not name then
      return nil, ("%q is no header: NAME: VALUE"):format(args[i])
    elseif name:lower() == "host" then
      request.authority = value
    else
      request.headers[#request.headers + 1] = { name, value }
    end
  end
  return request
end

local function print_table(rows)
  io.write(require("demilune.catalog").layout(rows))
end

local function report(samples, places, outcome)
  if #samples == 0 then
    io.write "no plugin has a hook for it: it costs no Lua at all\n"
    return
  end
  print_table(rows_of(samples, overhead()))
  if outcome.name then
    io.write(("\nanswered %d by %s in %s: the hooks behind it did not run\n"):format(outcome.status, outcome.name,
      outcome.phase))
  end
  if outcome.lines then
    io.write(("\n%d more lines of plugins in the log were left out; what writing them takes is not in the figures\n")
      :format(outcome.lines))
  end
  local list = {}
  for place in pairs(places) do
    list[#list + 1] = "  " .. place .. "\n"
  end
  if #list > 0 then
    table.sort(list)
    io.write("\nnot compiled by LuaJIT, at least at the first try\n", table.concat(list))
  end
end

local function measure(request)
  local samples, places, outcome = {}, {}, {}
  local watch = watch_aborts(places)
  limit_lines(outcome)
  jit.attach(watch, "trace")
  local stop = now(WALL) + SECONDS
  for i = 1, WARM_UP + RUNS do
    local keeps = i > WARM_UP or now(WALL) > stop - SECONDS / 2
    if keeps then
      collectgarbage "stop" -- so that what is made can be counted
    end
    outcome.name, outcome.phase, outcome.status = run(samples, keeps, request)
    if i % 100 == 0 then
      collectgarbage "restart"
      collectgarbage()
    end
    if now(WALL) > stop then
      break
    end
  end
  collectgarbage "restart"
  jit.attach(watch)
  return samples, places, outcome
end

-- args: METHOD, URL, headers. Gives the exit status.
function M.main(args)
  local request, message = request_of(args)
  if not request then
    io.stderr:write("demilune bench: ", message, "\n")
    return 2
  end
  local handle = core.test_exchange(request)
  if not handle then
    io.stderr:write(("demilune bench: the method %q is unknown\n"):format(request.method))
    return 2
  end
  local route = exchange.new(handle).route
  core.test_exchange_end(handle)
  io.write(("%s %s: %s\n\n"):format(args[1], args[2], route and "route " .. route.name or "no route takes it"))
  report(measure(request))
  return route and 0 or 1
end

return M
