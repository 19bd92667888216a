-- SPDX-License-Identifier: Apache-2.0

-- Does not ask what does not work. The state machine is the core's (side/breaker), shared by all
-- workers; an attempt passes it in one call, and it sees by itself what comes of that.

local border = require "demilune.ffi"
local breaker = require "demilune.breaker"
local core = require "demilune.core"
local edit = require "demilune.edit"

local C, gateway = border.C, border.gateway

local CircuitBreaker = { name = "circuit-breaker", version = "1.0.0" }
CircuitBreaker.__index = CircuitBreaker
CircuitBreaker.schema = require "demilune.plugins.circuit-breaker.schema"

-- What is wrong with a fallback, and where; or nil.
local function fault_of(fallback)
  if not fallback or fallback == "stale" or not fallback.upstream then
    return nil
  elseif fallback.headers or fallback.body then
    return "an answer or an upstream, not both", "fallback"
  elseif not core.upstream(fallback.upstream) then
    return ('the configuration has no upstream "%s"'):format(fallback.upstream), "fallback.upstream"
  end
end

-- Of times that must be: 0 would mean that there is none.
local function fault_of_times(config)
  for _, option in ipairs { "window", "open_for" } do
    if config[option] == 0 then
      return "more than 0", option
    end
  end
  if config.slow_call and config.slow_call.over == 0 then
    return "more than 0", "slow_call.over"
  end
end

-- What the answer of a fallback can't have.
local function fault_of_answer(fallback, context)
  if type(fallback) ~= "table" or not fallback.headers then
    return nil
  end
  local literal = {}
  for name, value in pairs(fallback.headers) do
    literal[name] = value:gsub("[{}]", "%0%0") -- a list of edits takes templates
  end
  local _, message = edit.new("response", { set = literal }, context)
  return message, message and "fallback.headers"
end

local function first_fault(config, context)
  local message, path = fault_of(config.fallback)
  if not message then
    message, path = fault_of_times(config)
  end
  if not message then
    message, path = fault_of_answer(config.fallback, context)
  end
  return message, path
end

function CircuitBreaker.new(config, context)
  local message, path = first_fault(config, context)
  if message then
    return nil, message, path
  end
  local circuit
  local is_stale = config.fallback == "stale"
  circuit, message, path = breaker.circuit(config, not is_stale and config.fallback and config.fallback.upstream or nil)
  if not circuit then
    return nil, message, path
  end
  return setmetatable({
    circuit = circuit, is_stale = is_stale, answer = not is_stale and config.fallback or nil,
    core_hooks = { balance = circuit:core_hook() },
  }, CircuitBreaker)
end

function CircuitBreaker:start(context)
  self.circuit:hold(context)
end

local function refuse(self, exchange, wait)
  local answer = self.answer
  local headers = wait > 0 and { ["retry-after"] = math.ceil(wait) } or {}
  if not answer or answer.upstream then
    return exchange:problem(503, "The service is not available just now.", headers)
  end
  for name, value in pairs(answer.headers or {}) do
    headers[name:lower()] = value
  end
  exchange:reply(answer.status, headers, answer.body)
end

function CircuitBreaker:balance(exchange)
  local wait = self.circuit:enter(exchange)
  if wait and not (self.is_stale and C.dml_cache_stand_in(gateway, exchange.h) == 1) then
    refuse(self, exchange, wait)
  end
end

return CircuitBreaker
