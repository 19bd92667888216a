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

-- What is wrong with a config beyond its schema, and where; or nil.
local function fault_of(config)
  if config.store == "redis" and not config.redis then
    return '"redis" is missing: the name of the server'
  end
  for _, option in ipairs(FOR_REDIS) do
    if config.store ~= "redis" and config[option] ~= nil then
      return "is for store: redis", option
    end
  end
  if config.limits and config.limit then
    return "limit or limits, not both", "limits"
  elseif not config.limits and not config.limit then
    return '"limit" is missing'
  end
  for i, one in ipairs(config.limits or { config }) do
    if one.algorithm ~= "concurrent" and not one.window then
      return '"window" is missing: the time that the limit is for', config.limits and ("limits[%d]"):format(i - 1)
    end
  end
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
  local verdict, places, why = self.limiter:take(exchange)
  if not verdict then
    return places ~= "cancelled" and without_store(self, exchange, places, why)
  elseif verdict.refused ~= 0 then
    refuse(self, exchange, verdict)
  elseif places then
    exchange.ctx[self] = places
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
  local places = exchange.ctx[self]
  if places then
    self.limiter:leave(places)
  end
end

return RateLimit
