-- SPDX-License-Identifier: Apache-2.0

-- Limits over time, exact over all workers. Made once at load:
--
--   local limiter = limit.new({ limit = 100, window = 60, by = "client_ip" }, context)
--   local verdict, err = limiter:take(exchange)           -- by the request's parts
--   local verdict, err = limiter:take_key("some key", 3)  -- by a key of your own, cost 3
--   if verdict and verdict.refused == 1 then ... verdict.retry_after ... end
--
-- A verdict has refused (0 or 1), limit, remaining, retry_after and reset (seconds). It is valid
-- until the next decision of this worker. A decision costs one call of C.

local ffi = require "ffi"
local border = require "demilune.ffi"
local selector = require "demilune.selector"

local C, gateway = border.C, border.gateway
local no_self = border.no_self
local verdict = ffi.new "struct dml_verdict"

---@class demilune.limit
local M = {}

local ALGORITHMS = {
  gcra = C.DML_GCRA, sliding_window = C.DML_SLIDING_WINDOW, fixed_window = C.DML_FIXED_WINDOW,
  concurrent = C.DML_CONCURRENT,
}

local HEADERS = {
  none = 0, ietf = C.DML_LIMIT_IETF, x = C.DML_LIMIT_X, both = C.DML_LIMIT_IETF + C.DML_LIMIT_X,
}

---@class limiter
local Limiter = { __name = "limiter" }
Limiter.__index = Limiter

local function add_part(filled, message, limiter, text)
  return C.dml_limiter_by(limiter, text, #text, filled, message)
end

local function add_cost(filled, message, limiter, text)
  return C.dml_limiter_cost(limiter, text, #text, filled, message)
end

-- One word without braces is a selector, all else is a template.
local function add_text(limiter, context, add, text)
  local flags = text:find("{", 1, true) and 0 or C.DML_SCOPE_SELECTOR
  local rc, err = selector.with_scope(context, flags, add, limiter, text)
  if not rc then
    error(("%q: %s"):format(text, err), 0)
  end
end

local function add_policy(limiter, options, name, algorithm)
  local o = ffi.new "struct dml_limit_options"
  o.limit, o.window, o.burst = options.limit, options.window or 0, options.burst or 0
  o.algorithm = ALGORITHMS[options.algorithm or algorithm or "gcra"]
  o.name = name
  if C.dml_limiter_policy(limiter, o) < 0 then
    error("a limit is at least 1, its window at least 1ms, and at most 4 go together", 0)
  end
end

--- options: limit, window (seconds), burst, algorithm, or `limits`, a list of such; by (a selector, a
--- template, or a list of them), ipv6_prefix, cost (a number or a selector), store (a name),
--- headers (none | ietf | x | both: written into the response with each decision). The counts belong
--- to context.scope, or to options.scope.
---@param options table
---@param context context
---@return limiter? limiter
---@return string? message
---@return string? path
function M.new(options, context)
  local store = C.dml_store(options.store or "default", #(options.store or "default"))
  if store == nil then
    error(('the configuration has no store "%s"'):format(options.store or "default"), 2)
  end
  local scope = options.scope or context and context.scope or "global"
  local limiter = ffi.gc(C.dml_limiter_new(store, scope, #scope, HEADERS[options.headers or "none"],
    options.ipv6_prefix or 64), C.dml_limiter_free)
  local list = options.limits and #options.limits > 0 and options.limits or { options }
  for i, item in ipairs(list) do
    add_policy(limiter, item, #list == 1 and "default" or ("%d"):format(i), options.algorithm)
  end
  local by = options.by or "client_ip"
  for _, text in ipairs(type(by) == "table" and by or { by }) do
    add_text(limiter, context, add_part, text)
  end
  local cost = options.cost or 1
  if type(cost) == "string" then
    add_text(limiter, context, add_cost, cost)
    cost = -1
  end
  return setmetatable({ limiter = limiter, cost = cost }, Limiter)
end

--- About a request, by its parts. The verdict, or nil and a word: the store failed.
---@param exchange exchange
---@param cost? number
---@return verdict? verdict
---@return string? word
function Limiter:take(exchange, cost)
  local rc = C.dml_limiter_take(gateway, exchange.h, self.limiter or no_self(), cost or self.cost, verdict)
  if rc < 0 then
    return border.failed(rc)
  end
  return verdict
end

--- What the core does of an access hook that only calls take, while nothing is refused (core_hooks of an instance).
---@private
function Limiter:core_hook()
  return C.dml_limiter_hook(self.limiter, self.cost)
end

--- About a key. What `concurrent` lets in must be given back by leave.
---@param key string
---@param cost? number
---@return verdict? verdict
---@return string? word
function Limiter:take_key(key, cost)
  local rc = C.dml_limiter_take_key(self.limiter or no_self(), key, #key, cost or 1, verdict)
  if rc < 0 then
    return border.failed(rc)
  end
  return verdict
end

--- Gives back what `concurrent` has let in.
---@param key string
function Limiter:leave(key)
  C.dml_limiter_leave(self.limiter or no_self(), key, #key)
end

--- The texts of RateLimit (for the latest verdict) and of RateLimit-Policy.
---@param of? integer
---@return string limit
---@return string policy
function Limiter:describe(of)
  C.dml_limiter_describe(self.limiter or no_self(), of, 0, border.out)
  local now = ffi.string(border.out.ptr, border.out.len)
  C.dml_limiter_describe(self.limiter or no_self(), of, 1, border.out)
  return now, ffi.string(border.out.ptr, border.out.len)
end

return M
