-- SPDX-License-Identifier: Apache-2.0

-- The test kit: gateways, upstreams and time for specs that `demilune test` runs.
--
--   local upstream = test.upstream(function(request) return 200, {}, request.headers["x-a"] end)
--   local gateway = test.gateway{ upstream = upstream, plugins = { { name = "mine", config = {} } } }
--   local response = gateway:get("/path", { headers = { ["x-a"] = "1" } })
--   assert.equal(200, response.status)
--
-- All of it is real: sockets on free loopback ports, the core's own gateway, plugins in a VM of
-- their own. What a spec or a describe has started and not closed is closed when it is done.

local core = require "demilune.core"
local client = require "demilune.test.client"
local exchange = require "demilune.test.exchange"
local issuer = require "demilune.test.issuer"
local json = require "demilune.json"
local kafka = require "demilune.test.kafka"
local redis = require "demilune.test.redis"
local scope = require "demilune.test.scope"
local task = require "demilune.task"
local upstream = require "demilune.test.upstream"

core.test_start()

---@class demilune.test
---@field clock { advance: fun(seconds: number) }  `clock.advance` moves all clocks of the process, and lets the timers run that are due then.
local M = {}

-- It is closed with the spec or describe that has made it (test/scope.lua).
local function remember(object)
  scope.add(function() object:close() end)
  return object
end

-- Gateways ----------------------------------------------------------------------------------

---@class test.response
---@field status integer
---@field reason string
---@field version string
---@field headers table<string, string>  By lower-case name.
---@field list string[][]  The same in their order: { name, value }.
---@field body string
---@field trailers? table<string, string>

---@class test.request
---@field method? string  GET
---@field path? string
---@field headers? table<string, any>
---@field body? string|table  A table becomes JSON.
---@field chunks? string[]
---@field host? string
---@field timeout? number

---@class test.gateway
---@field get fun(self: test.gateway, path: string, options?: test.request): test.response, string?, test.response?  As request, by its method and path.
---@field head fun(self: test.gateway, path: string, options?: test.request): test.response, string?, test.response?
---@field post fun(self: test.gateway, path: string, options?: test.request): test.response, string?, test.response?
---@field put fun(self: test.gateway, path: string, options?: test.request): test.response, string?, test.response?
---@field patch fun(self: test.gateway, path: string, options?: test.request): test.response, string?, test.response?
---@field delete fun(self: test.gateway, path: string, options?: test.request): test.response, string?, test.response?
---@field options fun(self: test.gateway, path: string, options?: test.request): test.response, string?, test.response?
---@field address string
---@field addresses string[]  One for each listener.
---@field folder? string  Of a spill that names none.
local Gateway = { __name = "test gateway" }
Gateway.__index = Gateway

-- The folder of this library: .../lua, and that of the shipped plugins.
local function library_folder()
  return debug.getinfo(1, "S").source:match "^@(.*)/demilune/test%.lua$"
end

local function list(value)
  return value and json.array(value) or nil
end

-- What a route says of test.gateway's upstream: a URL, or the name of one whose certificate is verified.
local function url_of(value)
  return type(value) == "table" and (value.ca_file and "test" or value.url) or value
end

local function upstreams_of(options, config)
  local asked = options.upstream
  if type(asked) ~= "table" or not asked.ca_file then
    return config.upstreams
  end
  local named = json.array { unpack(config.upstreams or {}) }
  named[#named + 1] = {
    name = "test", endpoints = json.array { { address = asked.address } }, tls = { ca = asked.ca_file },
    connect_timeout = "10s", -- a handshake on a busy machine
  }
  return named
end

-- The plugins' maps may be empty; a map that JSON would take for a list is one all the same.
local function uses(plugins)
  if not plugins then
    return nil
  end
  local out = json.array {}
  for i, use in ipairs(plugins) do
    out[i] = type(use) == "string" and { name = use } or use
  end
  return out
end

local function default_route(options)
  local route = { name = "test", paths = json.array { "/*" }, plugins = uses(options.plugins) }
  if options.upstream then
    route.upstream = url_of(options.upstream)
  else
    route.respond = { status = 200, body = "" }
  end
  return route
end

-- A spill that names no folder gets one of its own, which goes with the gateway.
local function with_folder(spill)
  if type(spill) ~= "table" or spill.dir then
    return spill
  end
  local own = { dir = os.tmpname() }
  os.remove(own.dir) -- a file until now
  for key, value in pairs(spill) do
    own[key] = value
  end
  return own, own.dir
end

-- The configuration of test.gateway's options, as a table; and the folder that is to be removed at its end.
local function config_of(options)
  local config = {}
  for key, value in pairs(options.config or {}) do
    config[key] = value
  end
  config.listeners = config.listeners or json.array { { address = "127.0.0.1:0" } }
  config.plugins = config.plugins or uses(options.global)
  config.upstreams = upstreams_of(options, config)
  config.consumers = config.consumers or list(options.consumers)
  config.routes = config.routes or list(options.routes) or json.array { default_route(options) }
  local folder
  config.spill, folder = with_folder(config.spill)
  return config, folder
end

local function text_of(options)
  if options.text then
    return options.text
  end
  local config, folder = config_of(options)
  local text, err, what = json.encode(config)
  if not text then
    error(("test.gateway: the configuration can't be written: %s (%s)"):format(err, what or ""), 3)
  end
  return text, folder
end

-- A plugin's specs lie beside it: the folder above the spec that calls is searched for plugins.
local function folder_of_plugins()
  local level = 2
  repeat
    local info = debug.getinfo(level, "S")
    local file = info and info.source:match "^@(.*_spec%.lua)$"
    if file then
      return (file:match "^(.*)/[^/]*$" or ".") .. "/.."
    end
    level = level + 1
  until not info
end

local function start(options)
  local folders = { folder_of_plugins() or "..", "..", "." }
  for _, folder in ipairs(options.plugin_path or {}) do
    table.insert(folders, 1, folder)
  end
  local text, folder = text_of(options)
  local gateway, addresses = core.test_gateway(text, library_folder(), table.concat(folders, ";"), core.shipped_dir,
    options.keep_stores, options.dev)
  if folder and not gateway then
    core.test_remove_folder(folder)
  end
  return gateway, addresses, folder
end

--- options: upstream (of test.upstream, or a URL; absent = 200 and an empty body), plugins (of the one
--- route: names, or { name, config, on_error }), global (plugins for every request), consumers, routes
--- (instead of the one), config (further keys of a configuration; a `spill` without `dir` has a folder of its own, and
--- what no broker has taken by the gateway's end is gone with it), text (all of it as YAML), plugin_path,
--- keep_stores, dev (true: misuse is explained as by `demilune run --dev`). Raises when the configuration is
--- at fault.
---@param options? table
---@return test.gateway
function M.gateway(options)
  local gateway, addresses, folder = start(options or {})
  if not gateway then
    error("test.gateway: the configuration is at fault:\n" .. tostring(addresses), 2)
  end
  return remember(setmetatable({
    gateway = gateway, addresses = addresses, address = addresses[1], folder = folder,
  }, Gateway))
end

--- The faults of a configuration that must not start, as `demilune check` prints them; nil when it does.
---@param options? table
---@return string? faults
function M.faults(options)
  local gateway, faults, folder = start(options or {})
  if not gateway then
    return faults
  end
  setmetatable({ gateway = gateway, folder = folder }, Gateway):close()
  return nil
end

--- The response; or nil, a word and what there is of it when it broke off.
---@param request test.request
---@return test.response response
---@return string? word
---@return test.response? part
function Gateway:request(request)
  return client.request(self.address, request)
end

for _, method in ipairs { "get", "head", "post", "put", "patch", "delete", "options" } do
  Gateway[method] = function(self, path, options)
    local request = { method = method:upper(), path = path }
    for key, value in pairs(options or {}) do
      request[key] = value
    end
    return client.request(self.address, request)
  end
end

--- A raw connection: send(text), receive(max), response(method), close(reset).
---@return table connection
function Gateway:connect()
  return client.connect(self.address)
end

--- Cuts off what is open, runs the stop hooks, and gives everything back.
function Gateway:close()
  local gateway = self.gateway
  if not gateway then
    return
  end
  self.gateway = nil
  core.test_end(gateway)
  for _ = 1, 1000 do
    if not core.test_is_busy(gateway) then
      break
    end
    task.sleep(0.001)
  end
  core.test_unload(gateway)
  task.sleep(0.001)
  core.test_free(gateway)
  if self.folder then
    core.test_remove_folder(self.folder)
  end
end

-- Upstreams, Redis, time ---------------------------------------------------------------------

--- A real HTTP/1.1 server on a free loopback port: what it answers is a function of the request, options, or
--- a list of such, one for each request. Options: handler, status, headers, body, delay, stall, reset,
--- truncate, trickle, garbage, close (see lua/demilune/test/upstream.lua).
---@param script? function|table
---@return test.upstream
function M.upstream(script)
  return remember(upstream.new(script))
end

--- A real redis-server (test/redis.lua).
---@param options? test.redis.options
---@return test.redis
function M.redis(options)
  return remember(redis.new(options))
end

--- A Kafka cluster that keeps what it is given and fails on command (test/kafka.lua).
---@param options? test.kafka.options
---@return test.kafka
function M.kafka(options)
  return remember(kafka.new(options))
end

--- Reads back what a Kafka cluster was given, a real one too.
---@param options { brokers: string, topic: string, options?: table<string, string> }
---@return test.kafka.reader
function M.kafka_reader(options)
  return kafka.reader(options)
end

--- An OAuth 2.0 and OpenID issuer whose keys rotate (test/issuer.lua).
---@param options? test.issuer.options
---@return test.issuer
function M.issuer(options)
  return remember(issuer.new(options))
end

M.clock = {}

--- Moves all clocks of the process, and lets the timers run that are due then.
---@private
function M.clock.advance(seconds)
  core.test_advance(seconds)
  task.sleep(0.001)
  task.sleep(0.001)
end

--- Waits until f gives something true, and gives that; raises with the message after `seconds` (2).
---@param f fun(): any
---@param message? string
---@param seconds? number
---@return any value
function M.eventually(f, message, seconds)
  local rounds = (seconds or 2) / 0.002
  for _ = 1, rounds do
    local value = f()
    if value then
      return value
    end
    task.sleep(0.002)
  end
  error(message or "it did not happen", 2)
end

-- One hook without sockets --------------------------------------------------------------------

--- One exchange without sockets, on which hooks are run one at a time (see lua/demilune/test/exchange.lua).
--- Options: method, path, host, headers, body, client_ip, scheme, trusted, plugin, config, route, upstream,
--- consumers, consumer, settings, response.
---@param options? table
---@return test.exchange
function M.exchange(options)
  return remember((exchange.new(options)))
end

return M
