-- SPDX-License-Identifier: Apache-2.0

-- One hook at a time, without sockets: the plugin's instance lives in the spec's own VM, and its hooks
-- are called with an exchange that nobody has sent.
--
--   local x = test.exchange {
--     method = "POST", path = "/orders/7?a=1", host = "api.example.com", headers = { ["x-a"] = "1" },
--     body = "...", client_ip = "192.0.2.1", scheme = "https", trusted = true,
--     plugin = "mine", config = {},        -- its name, or the table that it returns
--     route = "/orders/{id}",              -- the path of the only route; "/*" unless given
--     upstream = "http://127.0.0.1:9001",  -- where that goes; else it answers 200
--     consumers = {}, consumer = "acme",   -- those of the configuration; who was recognised
--     settings = { limits = {} },          -- further keys of the configuration, without plugins
--     response = { status = 200, headers = {}, body = "" },  -- what the upstream has answered
--   }
--   x:run "access"                         -- true when it replied: x.answer.status, .headers, .list, .body
--   x:run "response"
--   x:run("body", "chunk", true)           -- what goes on
--   x:run("attempt", { status = 503 })     -- or { error = "timeout" }: the hook's verdict and delay
--   x:run("certificate", { server_name = "a.example", alpn = {} })   -- true when it chose: x.certificate (.cert,
--                                          -- .key) or x.refused
--   x.exchange                             -- as hooks see it
--   x.instance                             -- of the plugin
--
-- What the schema or `new` finds wrong with the config raises, and so does what a hook raises. Waits are
-- waits; the hooks of others, limits of time and the wire are for test.gateway.

local attempt = require "demilune.attempt"
local core = require "demilune.core"
local exchange = require "demilune.exchange"
local json = require "demilune.json"
local plugin = require "demilune.plugin"
local scope = require "demilune.test.scope"

local SLOTS = 2 ^ 20 -- a handle's lower part is the number of its slot
local INDEX = 0      -- of the only use

local M = {}

local OPTIONS = {}
for name in ([[
  method path query host headers body client_ip scheme trusted plugin config route upstream consumers consumer
  settings response]]):gmatch "%S+" do
  OPTIONS[name] = true
end

-- --- the configuration --------------------------------------------------------------------------

local present -- the text of the one that is in use; nil: none

local function text_of(options)
  local config = {}
  for key, value in pairs(options.settings or {}) do
    config[key] = value
  end
  local route = { name = "test", paths = json.array { options.route or "/*" }, upstream = options.upstream }
  if not options.upstream then
    route.respond = { status = 200 }
  end
  config.listeners = config.listeners or json.array { { address = "127.0.0.1:0" } }
  config.routes = json.array { route }
  config.consumers = options.consumers and json.array(options.consumers)
  return assert(json.encode(config))
end

local function change(text)
  local ok, faults = core.test_plan(text)
  if not ok then
    error("test.exchange: the configuration is at fault:\n" .. faults, 0)
  end
  present = text
  plugin.reset()
end

-- The configuration is the whole process's; the one before comes back with the end of the spec.
local function use(options)
  local text, before = text_of(options), present
  if text ~= before then
    change(text)
    scope.add(function() change(before) end)
  end
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
    local module = "demilune.plugins." .. name.name
    local before = package.loaded[module]
    package.loaded[module] = name
    scope.add(function() package.loaded[module] = before end)
    name = name.name
  end
  local place = { scope = "route:test", route = "test", version = 1 }
  local faults = plugin.make(INDEX, name, options.config, place, false)
  if faults then
    error(("test.exchange: %s: %s"):format(name, describe(faults)), 0)
  end
  return name
end

-- --- messages -----------------------------------------------------------------------------------

-- Headers as a list of { name, value }: a map whose values may be lists, or such a list.
local function flat(headers)
  local list = {}
  for name, value in pairs(headers or {}) do
    if type(name) == "number" then
      list[#list + 1] = value
    else
      for _, one in ipairs(type(value) == "table" and value or { value }) do
        list[#list + 1] = { name, tostring(one) }
      end
    end
  end
  return list
end

-- By lower-case name, several joined by ", ".
local function by_name(list)
  local headers = {}
  for _, field in ipairs(list) do
    local name = field[1]:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. field[2] or field[2]
  end
  return headers
end

local function with_flat_headers(given)
  return { status = given.status, error = given.error, body = given.body, headers = flat(given.headers) }
end

-- --- running ------------------------------------------------------------------------------------

---@class test.exchange
---@field exchange exchange  As hooks see it.
---@field instance table  Of the plugin.
---@field answer table?  What a hook has replied: { status, headers, list, body }.
local Exchange = {}
Exchange.__index = Exchange

-- The hook and what it is called on.
local function hook_of(self, phase)
  local hook, object
  if self.plugin then
    hook, object = plugin.hook_of(self.plugin, self.instance, phase)
  end
  if not hook then
    error(('test.exchange: there is no hook "%s" here'):format(phase), 3)
  end
  return hook, object
end

local function answer(self)
  local status, list, body = core.test_exchange_answer(self.handle)
  if status then
    self.answer = { status = status, headers = by_name(list), list = list, body = body }
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

-- A handshake that nobody has begun: what the hook says of it is kept.
local function run_certificate(self, hook, object, hello)
  hello = hello or {}
  local handshake = {
    server_name = hello.server_name, client_ip = hello.client_ip or "192.0.2.1",
    listener = hello.listener or "127.0.0.1:8443", alpn = hello.alpn or {},
  }
  self.certificate, self.refused = nil, nil
  function handshake.use(_, cert, key)
    local fault = core.tls_fault(cert, key)
    if fault then
      return nil, fault
    end
    self.certificate = { cert = cert, key = key }
    return true
  end
  function handshake.refuse()
    self.refused = true
    return true
  end
  hook(object, handshake)
  return self.certificate ~= nil or self.refused == true
end

--- Runs a hook; what it raises is raised. True when it replied: see `answer`. An attempt hook gives its
--- verdict and delay, a body hook what goes on; a certificate hook
--- leaves `certificate` and `refused`.
---@param phase string
---@param first? any  of an attempt hook: what came of the attempt; of a body hook: the chunk
---@param second? boolean  of a body hook: is it the last?
---@return any result
---@return any more
function Exchange:run(phase, first, second)
  local hook, object = hook_of(self, phase)
  if phase == "certificate" then
    return run_certificate(self, hook, object, first)
  end
  local outcome = phase == "attempt" and type(first) == "table" and with_flat_headers(first) or nil
  core.test_exchange_phase(self.handle, phase, outcome)
  if phase == "body" then
    return run_body(self, hook, first, second)
  elseif phase == "balance" or phase == "attempt" then
    return call(self, phase, hook, object, self.exchange, attempt.latest(self.handle))
  end
  return call(self, phase, hook, object, self.exchange)
end

--- The upstream has answered this: { status, headers, body }.
---@param response table
function Exchange:respond(response)
  local given = with_flat_headers(response)
  given.status = given.status or 200
  core.test_exchange_response(self.handle, given)
end

-- --- making -------------------------------------------------------------------------------------

local function request_of(options)
  local path, query = (options.path or "/"):match "^([^?]*)%??(.*)$"
  return {
    method = options.method or "GET",
    authority = options.host or "test.example",
    path = path,
    query = options.query or query ~= "" and query or nil,
    headers = flat(options.headers),
    body = options.body,
    scheme = options.scheme,
    client_ip = options.client_ip or "192.0.2.1",
    trusted = options.trusted,
  }
end

--- It ends. Hooks find it gone from now on.
function Exchange:close()
  local handle = self.handle
  if not handle then
    return
  end
  self.handle = nil
  core.test_exchange_end(handle)
  local slot = handle % SLOTS + 1
  exchange.contexts[slot], exchange.chunks[slot] = nil, nil
end

local function fill(self, name, options)
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
end

local function begin(options)
  use(options)
  local name = make(options)
  local handle = core.test_exchange(request_of(options))
  if not handle then
    error(("test.exchange: the method %q is unknown"):format(options.method), 0)
  end
  local self = setmetatable({ handle = handle, exchange = exchange.new(handle) }, Exchange)
  local ok, message = pcall(fill, self, name, options)
  if not ok then
    self:close()
    error(message, 0)
  end
  return self
end

function M.new(options)
  options = options or {}
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
