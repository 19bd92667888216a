-- SPDX-License-Identifier: Apache-2.0

-- Attempts after attempts, as the retry plugin has them; a plugin of one's own that decides when may
-- leave the how to it. Made once at load:
--
--   local policy, err, path = retry.new({ attempts = 3, on = { "connect", 503 }, budget = 0.2 }, context)
--   function Mine:balance(exchange) policy:prepare(exchange) end     -- only needed with per_try_timeout or hedge
--   function Mine:attempt(exchange) return policy:judge(exchange) end

local ffi = require "ffi"
local border = require "demilune.ffi"

local C, gateway = border.C, border.gateway

local M = {}

local Policy = { __name = "retry policy" }
Policy.__index = Policy

local DEFAULT_ON = { "connect", "reset", "timeout", 502, 503, 504 }

-- options: attempts (all in all; 3), on (kinds of failure, statuses), methods (the idempotent ones),
-- per_try_timeout (seconds), backoff { base, max } (seconds), budget (a share; 0.2), budget_min (3),
-- hedge { percentile }. The budget and what is known of latencies belong to context.scope. nil, a message
-- and a path for what can't be.
function M.new(options, context)
  local backoff = options.backoff or {}
  local o = ffi.new "struct dml_retry_options"
  o.attempts, o.per_try = options.attempts or 3, options.per_try_timeout or 0
  o.base, o.max = backoff.base or 0.025, backoff.max or 1
  o.share, o.least = options.budget or 0.2, options.budget_min or 3
  o.hedge_percentile = options.hedge and options.hedge.percentile or 0
  local name = "retry " .. (context and context.scope or "global")
  local policy = ffi.gc(C.dml_retry_new(name, #name, o), C.dml_retry_free)
  for i, word in ipairs(options.on or DEFAULT_ON) do
    word = tostring(word)
    if C.dml_retry_on(policy, word, #word) < 0 then
      return nil, ('"%s" is no outcome of an attempt: connect, reset, timeout, protocol, a status, 5xx or '
        .. 'grpc:unavailable'):format(word), ("on[%d]"):format(i - 1)
    end
  end
  for i, method in ipairs(options.methods or {}) do
    if C.dml_retry_method(policy, method, #method) < 0 then
      return nil, ('"%s" is no method that the gateway knows'):format(method), ("methods[%d]"):format(i - 1)
    end
  end
  return setmetatable({ policy = policy }, Policy)
end

-- What the core does of these two hooks while all is well (core_hooks of an instance).
function Policy:core_hooks()
  return { balance = C.dml_retry_hook(self.policy, 0), attempt = C.dml_retry_hook(self.policy, 1) }
end

-- In a balance hook: gives the attempt its time.
function Policy:prepare(exchange)
  C.dml_retry_prepare(gateway, exchange.h, self.policy)
end

-- In an attempt hook, once for each attempt: what the hook returns.
function Policy:judge(exchange)
  local delay = C.dml_retry_judge(gateway, exchange.h, self.policy)
  if delay >= 0 then
    return "retry", delay
  end
end

return M
