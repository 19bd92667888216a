-- SPDX-License-Identifier: Apache-2.0

-- The plugin contract as the core meets it: checks plugins' configs against their schemas, makes an
-- instance per place where one is enabled, and makes of each chain and phase one function that C
-- calls. Finding and loading them is demilune.plugin.load's.

local ffi = require "ffi"
local attempt = require "demilune.attempt"
local border = require "demilune.ffi"
local core = require "demilune.core"
local credential = require "demilune.credential"
local exchange = require "demilune.exchange"
local handshake = require "demilune.handshake"
local loading = require "demilune.plugin.load"
local schema = require "demilune.schema"
local selector = require "demilune.selector"

local M = {}

core.open_metatable(getmetatable(schema.open ""))

M.HOOKS, M.installed, M.load, M.missing = loading.HOOKS, loading.installed, loading.load, loading.missing

-- --- checking -----------------------------------------------------------------------------------

local NO_CONFIG = { type = "object", properties = {} }
local compiled = {} -- by plugin

local uses = {}        -- by index in the snapshot: { plugin, instance, context, continues }
local credentials = {} -- by kind

-- The config as the plugin gets it, or nil and a list of faults { text = path, message }.
local function convert(plugin, config, params)
  local check = compiled[plugin]
  if not check then
    check = schema.compile(plugin.schema or NO_CONFIG)
    compiled[plugin] = check
  end
  return check:check(config == nil and {} or config, { formats = selector.checks(params) })
end

-- An instance whose config leaves nothing to do in a hook has false in its place.
local function hooks_of(use)
  local list = {}
  for i, hook in ipairs(M.HOOKS) do
    if use.plugin[hook] and use.instance[hook] ~= false then
      list[#list + 1] = i - 1
    end
  end
  return list
end

-- Called by plugin.c for each place where a plugin is enabled: the numbers of its hooks, or nil and
-- a list of faults, each with a path within the config (none: the place itself). The third result is
-- a list of paths: what must never be shown.
function M.check(index, name, config, params, place)
  local faults, secrets = M.make(index, name, config, params, place)
  local paths = {}
  for i, path in ipairs(secrets or {}) do
    paths[i] = schema.path_text(path)
  end
  if faults then
    return nil, faults, paths
  end
  return hooks_of(uses[index]), nil, paths
end

-- What is wrong with the credentials of a kind, the name of a plugin that can be used: as
-- demilune.credential says it.
function M.check_credentials(kind)
  return (select(2, credential.read(kind, M.load(kind).credential)))
end

-- Is `name` told to stand after `other`?
function M.stands_after(name, other)
  for _, before in ipairs(M.load(name).after or {}) do
    if before == other then
      return true
    end
  end
  return false
end

function M.guards(name)
  return M.load(name).guards == true
end

function M.answers_preflights(name)
  return M.load(name).answers_preflights == true
end

-- --- instances ----------------------------------------------------------------------------------

-- Another configuration has come into this VM.
function M.reset()
  uses, credentials = {}, {}
  exchange.reset()
end

-- The credentials of a kind, as demilune.credential gives them. One list for all places, made when
-- it is first asked for.
local function consumers(kind)
  local list = credentials[kind]
  if not list then
    local plugin = M.load(kind)
    list = credential.read(kind, plugin and plugin.credential)
    credentials[kind] = list
  end
  return list
end

local function fallback(config)
  return { config = config }
end

-- Makes the instance of a place; returns nil, or a list of faults as M.check. params: names of the
-- route's path parameters, nil where any may be meant; `place` has route, scope and version.
function M.make(index, name, config, params, place, continues)
  local plugin, message = M.load(name)
  if not plugin then
    return { { message = message, of_name = true } }
  end
  local ok, value, faults, secrets = pcall(convert, plugin, config, params)
  if not ok then
    return { { message = ('the plugin "%s" can\'t be used: %s'):format(name, tostring(value)), of_name = true } }
  elseif value == nil then
    return faults, secrets
  end
  local context = {
    plugin = name,
    route = place.route,
    scope = place.scope,
    params = params,
    version = place.version,
    worker = core.worker,
    first = core.worker == 1,
    consumers = consumers,
    consumer = core.consumer,
  }
  local instance, path
  ok, instance, message, path = xpcall(plugin.new or fallback, debug.traceback, value, context)
  if not ok then
    return { { message = "new failed: " .. tostring(instance) } }, secrets
  elseif instance == nil and type(message) == "string" then -- new found the config at fault
    return { { message = message, text = path } }, secrets
  elseif type(instance) ~= "table" then
    return { { message = "new returned no table" } }, secrets
  elseif not plugin.new then
    setmetatable(instance, { __index = plugin })
  end
  uses[index] = { plugin = plugin, instance = instance, context = context, continues = continues }
  return nil, secrets
end

-- --- chains -------------------------------------------------------------------------------------

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

-- Per phase: what stands before, around each hook, and behind. $H is the hook, $I its instance, $U
-- the index of its use. The whole is one function per sequence of hooks, so that LuaJIT compiles
-- each sequence for itself; chains with the same sequence share it.
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

local function one_call(shape, item, safe, is_timed)
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
  lines[#lines + 1] = shape.stop
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
    out[#out + 1] = one_call(shape, item, shape.always_safe or continues[i], is_timed)
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

local function maker_of(phase, hooks, continues, is_timed)
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

-- The function of a chain for a phase: called by C with the exchange's handle. `indices` are the
-- uses that have this hook, in the order in which they run. is_timed: it tells when each has ended.
function M.chain(phase, indices, is_timed)
  local hooks, instances, continues = {}, {}, {}
  for i, index in ipairs(indices) do
    local use = uses[index]
    hooks[i], instances[i], continues[i] = use.plugin[phase], use.instance, use.continues
  end
  return maker_of(phase, hooks, continues, is_timed)(instances, indices)
end

-- start or stop of one place: the hook and its arguments.
function M.background(phase, index)
  local use = uses[index]
  return use.plugin[phase], use.instance, use.context
end

return M
