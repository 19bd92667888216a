-- SPDX-License-Identifier: Apache-2.0

-- Makes of a sequence of hooks one function that C calls: written out as Lua source, so that LuaJIT
-- compiles each sequence for itself, from its beginning to its end. Chains with the same sequence
-- share it.

local ffi = require "ffi"
local attempt = require "demilune.attempt"
local border = require "demilune.ffi"
local core = require "demilune.core"
local exchange = require "demilune.exchange"
local handshake = require "demilune.handshake"

local M = {}

local function traceback(message)
  return type(message) == "string" and debug.traceback(message, 2) or tostring(message)
end

-- The outcome of an attempt hook.
local function judge(handle, verdict, delay)
  if verdict ~= "retry" then
    error(('an attempt hook returns "retry" and a delay, or nothing, not %s'):format(tostring(verdict)), 0)
  elseif delay ~= nil and type(delay) ~= "number" then
    error("the delay of a retry is a number of seconds", 0)
  end
  local rc = border.C.dml_retry(border.gateway, handle, delay or 0)
  if rc < 0 then
    error("the delay of a retry is from 0 seconds to a day", 0)
  end
end

local function first_chunk(handle)
  local last = border.C.dml_chunk(border.gateway, handle, border.out)
  return ffi.string(border.out.ptr, border.out.len), last == 1
end

local function send_chunk(handle, chunk)
  exchange.chunks[handle % 2 ^ 20 + 1] = chunk
  border.C.dml_chunk_replace(border.gateway, handle, chunk, #chunk)
end

local function wrong_chunk(value)
  error("a body hook returns a text, or nil, not a " .. type(value), 0)
end

-- Per phase: what stands before, around each hook, and behind. $H is the hook, $I what it is called
-- on, $U the index of its use.
local SHAPES = {
  plain = {
    call = "$H($I, exchange)",
    safe = "xpcall($H, traceback, $I, exchange)",
    stop = "if C.dml_exchange_replied(gateway, handle) ~= 0 then return end",
  },
  -- A reply made here is the response that those behind it get.
  response = { call = "$H($I, exchange)", safe = "xpcall($H, traceback, $I, exchange)" },
  certificate = {
    object = "local handshake = Handshake(handle)",
    call = "$H($I, handshake)",
    safe = "xpcall($H, traceback, $I, handshake)",
    stop = "if handshake.is_settled then return end",
  },
  log = { call = "$H($I, exchange)", safe = "xpcall($H, traceback, $I, exchange)", always_safe = true },
  balance = {
    before = "local attempt = latest(handle)",
    call = "$H($I, exchange, attempt)",
    safe = "xpcall($H, traceback, $I, exchange, attempt)",
    stop = "if C.dml_exchange_replied(gateway, handle) ~= 0 then return end",
  },
  attempt = {
    before = "local attempt, verdict, delay = latest(handle)",
    call = "verdict, delay = $H($I, exchange, attempt)",
    safe = "xpcall($H, traceback, $I, exchange, attempt)",
    results = "verdict, delay",
    stop = [[if verdict ~= nil then return judge(handle, verdict, delay) end
      if C.dml_exchange_replied(gateway, handle) ~= 0 then return end]],
  },
  body = {
    before = "local result; local chunk, last = first_chunk(handle)",
    call = "result = $H($I, exchange, chunk, last)",
    safe = "xpcall($H, traceback, $I, exchange, chunk, last)",
    results = "result",
    stop = [[if result ~= nil then
      if type(result) ~= "string" then wrong_chunk(result) end
      chunk = result
      send_chunk(handle, chunk)
      if chunk == "" and not last then return end
    end]],
  },
}

local PARAMETERS_MAX = 16 -- hooks that are upvalues of their own; more than that are looked up in tables

local HEAD = [[
local C, gateway, cell, Exchange, latest, traceback, failed, judge, first_chunk, send_chunk, wrong_chunk,
  Handshake, H = ...
%s
return function(I, U)
%s
return function(handle)
%s
]]

local function one_call(shape, item, safe, is_timed, is_last)
  local lines = { "cell.use = $U" }
  if safe then
    lines[2] = ("local ok, first%s = %s"):format(shape.results == "verdict, delay" and ", second" or "", shape.safe)
    lines[3] = "if not ok then failed($U, first)"
    if shape.results == "verdict, delay" then
      lines[4] = "verdict, delay = nil, nil else verdict, delay = first, second"
    elseif shape.results then
      lines[4] = "result = nil else result = first"
    end
    lines[#lines + 1] = "end"
  else
    lines[2] = shape.call
  end
  lines[#lines + 1] = is_timed and "C.dml_hook_ran(gateway, $U)" or nil
  if not is_last or shape.results then -- behind the last there is nothing to be stopped
    lines[#lines + 1] = shape.stop
  end
  local text = "do " .. table.concat(lines, "\n") .. "\nend\n"
  return (text:gsub("%$(%u)", item))
end

local function unpacked(letter, n)
  local names, values = {}, {}
  for i = 1, n do
    names[i], values[i] = letter .. i, ("%s[%d]"):format(letter, i)
  end
  return ("local %s = %s"):format(table.concat(names, ", "), table.concat(values, ", "))
end

local function source_of(shape, n, continues, is_timed)
  local as_upvalues = n <= PARAMETERS_MAX
  local out = {
    HEAD:format(as_upvalues and unpacked("H", n) or "",
      as_upvalues and unpacked("I", n) .. "\n" .. unpacked("U", n) or "",
      shape.object or "local exchange = Exchange(handle)"),
    shape.before and shape.before .. "\n" or "",
  }
  for i = 1, n do
    local form = as_upvalues and "%s%d" or "%s[%d]"
    local item = { H = form:format("H", i), I = form:format("I", i), U = form:format("U", i) }
    out[#out + 1] = one_call(shape, item, shape.always_safe or continues[i], is_timed, i == n)
  end
  out[#out + 1] = "end\nend\n"
  return table.concat(out)
end

local made = {}              -- sequence of hooks → function that makes a chain's function
local numbers, count = {}, 0 -- hook → number, for the name of a sequence

local function number_of(hook)
  local n = numbers[hook]
  if not n then
    count = count + 1
    n, numbers[hook] = count, count
  end
  return n
end

-- A function of the hooks' objects and the indices of their uses, that makes the function which C calls
-- with the exchange's handle. continues: by hook, whether the chain goes on when it fails. is_timed: it
-- tells when each has ended.
function M.maker(phase, hooks, continues, is_timed)
  local name = { is_timed and "timed " .. phase or phase }
  for i, hook in ipairs(hooks) do
    name[i + 1] = number_of(hook) .. (continues[i] and "c" or "")
  end
  local key = table.concat(name, " ")
  if not made[key] then
    local source = source_of(SHAPES[phase] or SHAPES.plain, #hooks, continues, is_timed)
    local chunk = assert(load(source, "=(" .. phase .. " hooks)"))
    made[key] = chunk(border.C, border.gateway, border.cell, exchange.new, attempt.latest, traceback,
      core.hook_failed, judge, first_chunk, send_chunk, wrong_chunk, handshake.new, hooks)
  end
  return made[key]
end

return M
