-- SPDX-License-Identifier: Apache-2.0

-- One hook at a time, without sockets: the plugin's instance lives in the spec's own VM, and its hooks
-- are called with an exchange that nobody has sent.
--
--   local x = test.exchange {
--     method = "POST", path = "/orders/7?a=1", headers = { ["x-a"] = "1" }, body = "...",
--     client_ip = "192.0.2.1", scheme = "https", trusted = true,
--     plugin = "cors", config = { origins = { "*" } },   -- or plugin = the table of a plugin
--     route = "/orders/{id}",                            -- else no route fits but "/*"
--     response = { status = 200, headers = {}, body = "" },
--     consumer = "acme", gateway = { config = {}, ... }, -- a configuration as for test.gateway, no plugins
--   }
--   x:run "access"                         -- true when it replied: x.answer.status, .headers, .body
--   x:run "response"
--   x:run("body", "chunk", true)           -- what goes on
--   x:run("attempt", { status = 503 })     -- or { error = "timeout" }: the verdict and the delay
--   x.exchange                             -- as hooks see it
--
-- `new` may find fault with the config: test.exchange raises then.

local core = require "demilune.core"
local exchange = require "demilune.exchange"
local gateway = require "demilune.test.gateway"
local attempt = require "demilune.attempt"
local message = require "demilune.test.message"
local plugin = require "demilune.plugin"
local scope = require "demilune.test.scope"

local SLOTS = 2 ^ 20
local INDEX = 0 -- of the only use

local M = {}

local OPTIONS = {
  method = true, path = true, headers = true, body = true, client_ip = true, scheme = true, trusted = true,
  plugin = true, config = true, route = true, response = true, consumer = true, gateway = true,
}

-- --- the configuration --------------------------------------------------------------------------

local present -- the text of the one that is in use

local function use(options)
  local wanted = {}
  for key, value in pairs(options.gateway or {}) do
    wanted[key] = value
  end
  wanted.routes = wanted.routes or { { name = "test", paths = { options.route or "/*" } } }
  local text = gateway.configuration(wanted)
  if text == present then
    return
  end
  local ok, faults = core.test_plan(text)
  if not ok then
    error("test.exchange: " .. faults, 0)
  end
  present = text
  plugin.reset()
end

-- --- the plugin ---------------------------------------------------------------------------------

local function describe(faults)
  local lines = {}
  for i, fault in ipairs(faults) do
    local place = fault.text and fault.text ~= "" and fault.text .. ": " or ""
    lines[i] = place .. tostring(fault.message)
  end
  return table.concat(lines, "\n")
end

local function make(options)
  local name = options.plugin
  if name == nil then
    return nil
  elseif type(name) == "table" then
    package.loaded["demilune.plugins." .. name.name] = name
    name = name.name
  end
  local place = { scope = "route:test", route = "test", version = 1 }
  local faults = plugin.make(INDEX, name, options.config, nil, place, false)
  if faults then
    error(("test.exchange: %s: %s"):format(name, describe(faults)), 0)
  end
  return name
end

-- --- running ------------------------------------------------------------------------------------

local Exchange = {}
Exchange.__index = Exchange

local function hook_of(self, phase)
  local hook = self.plugin and self.plugin[phase]
  if not hook or self.instance[phase] == false then
    error(('test.exchange: there is no hook "%s" here'):format(phase), 3)
  end
  return hook
end

local function answer(self)
  local status, headers, body = core.test_exchange_answer(self.handle)
  if status then
    self.answer = { status = status, headers = message.headers(headers), body = body }
  end
  return status ~= nil
end

local function call(self, phase, hook, ...)
  local ok, first, second = xpcall(hook, function(text)
    return type(text) == "string" and debug.traceback(text, 2) or text
  end, ...)
  core.test_exchange_phase(self.handle, "none")
  if not ok then
    error(first, 0)
  end
  local replied = answer(self)
  if phase == "attempt" then
    return first, second
  elseif phase == "body" then
    return first
  end
  return replied
end

local function run_body(self, hook, chunk, last)
  chunk = chunk or ""
  local result = call(self, "body", hook, self.instance, self.exchange, chunk, last and true or false)
  return result == nil and chunk or result
end

-- Runs a hook; what it raises is raised.
function Exchange:run(phase, first, second)
  local hook, instance = hook_of(self, phase), self.instance
  local outcome = phase == "attempt" and type(first) == "table" and message.flat(first) or nil
  core.test_exchange_phase(self.handle, phase, outcome)
  if phase == "body" then
    return run_body(self, hook, first, second)
  elseif phase == "balance" or phase == "attempt" then
    return call(self, phase, hook, instance, self.exchange, attempt.latest(self.handle))
  end
  return call(self, phase, hook, instance, self.exchange)
end

-- What the upstream has answered.
function Exchange:respond(response)
  core.test_exchange_response(self.handle, message.flat(response))
end

-- --- making -------------------------------------------------------------------------------------

local function request_of(options)
  local path, query = (options.path or "/"):match "^([^?]*)%??(.*)$"
  local flat = message.flat { headers = options.headers }
  local host = "localhost"
  for i, field in ipairs(flat.headers) do
    if field[1]:lower() == "host" then
      host = field[2]
      table.remove(flat.headers, i)
      break
    end
  end
  return {
    method = options.method or "GET",
    authority = host,
    path = path,
    query = (options.path or ""):find("?", 1, true) and query or nil,
    headers = flat.headers,
    body = options.body,
    scheme = options.scheme,
    client_ip = options.client_ip,
    trusted = options.trusted,
  }
end

local function finish(self)
  core.test_exchange_end(self.handle)
  local slot = self.handle % SLOTS + 1
  exchange.contexts[slot], exchange.chunks[slot] = nil, nil
end

local function begin(options)
  use(options)
  local name = make(options)
  local handle = core.test_exchange(request_of(options))
  if not handle then
    error(("test.exchange: the method %q is unknown"):format(options.method), 0)
  end
  local self = setmetatable({ handle = handle, exchange = exchange.new(handle) }, Exchange)
  self.stop = scope.add(function() finish(self) end)
  if name then
    self.plugin = plugin.load(name)
    self.instance = select(2, plugin.background("access", INDEX))
  end
  if options.consumer then
    self.exchange.consumer = options.consumer
  end
  if options.response then
    self:respond(options.response)
  end
  return self
end

function M.new(options)
  for key in pairs(options) do
    if not OPTIONS[key] then
      error(("test.exchange: there is no option %q"):format(tostring(key)), 3)
    end
  end
  local ok, result = pcall(begin, options)
  if not ok then
    error(result, 3)
  end
  return result
end

return M
