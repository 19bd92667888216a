-- SPDX-License-Identifier: Apache-2.0

-- Circuit breakers, shared by all workers. For what a plugin asks by itself:
--
--   local guard = breaker.new("pricing", { window = 10, failure_ratio = 0.5 })
--   local pass, wait = guard:enter()          -- nil and seconds: it is open
--   ...
--   guard:leave(pass, ok, seconds)            -- ok: true, false, or nil when nothing is known
--
-- and for attempts, as circuit-breaker has them: breaker.circuit(options, fallback), :hold(context) in
-- start, :enter(exchange) in balance; what comes of the attempt it sees by itself.

local ffi = require "ffi"
local border = require "demilune.ffi"

local C, gateway = border.C, border.gateway

local M = {}

local SCOPES = { upstream = C.DML_CIRCUIT_UPSTREAM, endpoint = C.DML_CIRCUIT_ENDPOINT, route = C.DML_CIRCUIT_ROUTE }
local DEFAULT_FAILURES = { "connect", "reset", "timeout", "protocol", 500, 502, 503, 504 }
local NEVER = 2 -- a ratio that nothing reaches

-- window (10), min_requests (20), failure_ratio (0.5), slow_call { over, ratio }, open_for (5),
-- open_for_max (60), half_open_requests (5), ramp (10): seconds and shares.
local function options_of(options)
  local o = ffi.new "struct dml_breaker_options"
  local slow = options.slow_call or {}
  o.window, o.min_requests = options.window or 10, options.min_requests or 20
  o.failure_ratio = options.failure_ratio or 0.5
  o.slow_over, o.slow_ratio = slow.over or 0, slow.ratio or NEVER
  o.open_for, o.open_for_max = options.open_for or 5, options.open_for_max or 60
  o.probes, o.ramp = options.half_open_requests or 5, options.ramp or 10
  return o
end

-- --- one by name --------------------------------------------------------------------------------

local Breaker = { __name = "breaker" }
Breaker.__index = Breaker

-- Those of one name and the same options are one, and survive reloads.
function M.new(name, options)
  if type(name) ~= "string" then
    error("a breaker has a name", 2)
  end
  local b = C.dml_breaker_new(name, #name, options_of(options or {}))
  return setmetatable({ breaker = ffi.gc(b, C.dml_breaker_free) }, Breaker)
end

function Breaker:enter()
  local pass = C.dml_breaker_enter(self.breaker)
  if pass < 0 then
    return nil, (-1 - pass) / 1000
  end
  return pass
end

function Breaker:leave(pass, ok, seconds)
  C.dml_breaker_leave(self.breaker, pass, ok and 1 or ok == nil and -1 or 0, seconds or 0)
end

-- closed, half_open, open, forced_closed, forced_open.
function Breaker:state()
  return ffi.string(C.dml_breaker_state(self.breaker))
end

-- --- of a place ---------------------------------------------------------------------------------

local Circuit = { __name = "circuit" }
Circuit.__index = Circuit

-- options: as above, and scope (upstream | endpoint | route), failures (as on of demilune.retry).
-- fallback: the name of an upstream that takes what is refused, or nil. nil, a message and a path for what
-- can't be.
function M.circuit(options, fallback)
  local circuit = ffi.gc(C.dml_circuit_new(SCOPES[options.scope or "upstream"], options_of(options), fallback,
    fallback and #fallback or 0), C.dml_circuit_free)
  for i, word in ipairs(options.failures or DEFAULT_FAILURES) do
    word = tostring(word)
    if C.dml_circuit_on(circuit, word, #word) < 0 then
      return nil, ('"%s" is no outcome of an attempt: connect, reset, timeout, protocol, a status, 5xx or '
        .. 'grpc:unavailable'):format(word), ("failures[%d]"):format(i - 1)
    end
  end
  return setmetatable({ circuit = circuit }, Circuit)
end

-- In a start hook: its breakers are there from now on.
function Circuit:hold(context)
  C.dml_circuit_hold(gateway, self.circuit, context.scope, #context.scope)
end

-- What the core does of a balance hook that only calls enter, while the circuit is closed (core_hooks of an instance).
function Circuit:core_hook()
  return C.dml_circuit_hook(self.circuit)
end

-- In a balance hook: nil when the attempt may go, or the seconds until it is worth to ask again.
function Circuit:enter(exchange)
  local wait = C.dml_circuit_enter(gateway, exchange.h, self.circuit)
  if wait >= 0 then
    return wait
  end
end

return M
