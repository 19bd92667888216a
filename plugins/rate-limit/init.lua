-- SPDX-License-Identifier: Apache-2.0

-- Refuses those who ask too often. Counting, and telling the client, is one call of the core's limiter; with Redis, one
-- round trip. The counts belong to the place where the plugin is enabled, by its name, so they hold over all workers
-- (or all gateways that share the Redis) and survive reloads.

local limit = require "demilune.limit"
local log = require "demilune.log"
local metrics = require "demilune.metrics"
local shared = require "demilune.limit.shared"
local time = require "demilune.time"

local RateLimit = { name = "rate-limit", version = "1.1.0" }
RateLimit.__index = RateLimit
RateLimit.schema = require "demilune.plugins.rate-limit.schema"

local QUIET = 1          -- seconds between two lines about a store that fails
local LONGEST_WAIT = 1e9 -- seconds; what never passes again has no Retry-After

local refused = metrics.counter("demilune_rate_limit_refused_total",
  "Requests over a limit, by the place where rate-limit is enabled.", { "place" })
local uncounted = metrics.counter("demilune_rate_limit_store_failures_total",
  "Requests that the store could not count, by the reason.", { "place", "reason" })

local FOR_REDIS = { "redis", "store_timeout" }
local OF_ONE = { "limit", "window", "burst" } -- what stands in each of `limits`

local LEAST_WINDOW = 0.001 -- seconds

local function fault_of_store(config)
  if config.store == "redis" and not config.redis then
    return '"redis" is missing: the name of the server'
  elseif config.store_timeout == 0 then
    return "more than 0", "store_timeout"
  end
  for _, option in ipairs(FOR_REDIS) do
    if config.store ~= "redis" and config[option] ~= nil then
      return "is for store: redis", option
    end
  end
end

-- Of one limit: what is wrong, and under which key.
local function fault_of_limit(one, algorithm)
  if algorithm ~= "gcra" and one.burst then
    return "is for algorithm: gcra", "burst"
  elseif algorithm == "concurrent" then
    return nil
  elseif not one.window then
    return '"window" is missing: the time that the limit is for'
  elseif one.window < LEAST_WINDOW then
    return "a window is at least 1ms", "window"
  end
end

local function fault_of_limits(config)
  if not config.limits then
    if not config.limit then
      return '"limit" is missing'
    end
    return fault_of_limit(config, config.algorithm)
  end
  for _, option in ipairs(OF_ONE) do
    if config[option] then
      return option == "limit" and "limit or limits, not both" or "stands in each of limits, where there are several",
        option == "limit" and "limits" or option
    end
  end
  for i, one in ipairs(config.limits) do
    local fault, key = fault_of_limit(one, one.algorithm or config.algorithm)
    if fault then
      return fault, ("limits[%d]%s"):format(i - 1, key and "." .. key or "")
    end
  end
end

-- What is wrong with a config beyond its schema, and where; or nil.
local function fault_of(config)
  local fault, path = fault_of_store(config)
  if fault then
    return fault, path
  end
  return fault_of_limits(config)
end

function RateLimit.new(config, context)
  local fault, path = fault_of(config)
  if fault then
    return nil, fault, path or nil
  end
  local is_shared = config.store == "redis"
  local ok, limiter = pcall(is_shared and shared.new or limit.new, {
    limit = config.limit, window = config.window, burst = config.burst, algorithm = config.algorithm,
    limits = config.limits, by = config.by, ipv6_prefix = config.ipv6_prefix, cost = config.cost,
    headers = config.headers, scope = "rate-limit/" .. context.scope,
    redis = config.redis, timeout = config.store_timeout,
  }, context)
  if not ok then
    return nil, limiter
  end
  return setmetatable({
    limiter = limiter, status = config.status, place = context.scope, is_shared = is_shared,
    on_failure = config.on_store_failure, quiet_until = 0,
    core_hooks = not is_shared and { access = limiter:core_hook() } or nil,
    log = is_shared and limiter.has_places and RateLimit.log or false,
  }, RateLimit)
end

local function refuse(self, exchange, verdict)
  refused:inc(self.place)
  local wait = math.ceil(verdict.retry_after)
  exchange:problem(self.status, "Too many requests.", wait < LONGEST_WAIT and { ["retry-after"] = wait } or nil)
end

local function without_store(self, exchange, word, why)
  uncounted:inc(self.place, word)
  local now = time.monotonic()
  if word ~= "open" and now >= self.quiet_until then -- "open": it was said before
    self.quiet_until = now + QUIET
    log.warn("the store can't count", { error = word, why = why, on_store_failure = self.on_failure })
  end
  if self.on_failure == "deny" then
    exchange:problem(503, "The gateway can't count requests just now.")
  elseif self.on_failure == "local" and self.is_shared then
    local verdict = self.limiter.own:take(exchange)
    if verdict and verdict.refused ~= 0 then
      refuse(self, exchange, verdict)
    end
  end
end

local function access_shared(self, exchange)
  local verdict, word, why = self.limiter:take(exchange)
  if not verdict then
    return word ~= "cancelled" and without_store(self, exchange, word, why)
  elseif verdict.refused ~= 0 then
    refuse(self, exchange, verdict)
  end
end

function RateLimit:access(exchange)
  if self.is_shared then
    return access_shared(self, exchange)
  end
  local verdict, word = self.limiter:take(exchange)
  if not verdict then
    return without_store(self, exchange, word)
  elseif verdict.refused ~= 0 then
    return refuse(self, exchange, verdict)
  end
end

-- With Redis, places of `concurrent` are given back here; those in memory know by themselves.
function RateLimit:log(exchange)
  self.limiter:leave(exchange)
end

return RateLimit
