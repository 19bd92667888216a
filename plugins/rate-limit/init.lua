-- SPDX-License-Identifier: Apache-2.0

-- Refuses those who ask too often. Counting, and telling the client, is one call of the core's
-- limiter. The counts belong to the place where the plugin is enabled, by its name, so they hold
-- over all workers and survive reloads.

local limit = require "demilune.limit"
local log = require "demilune.log"

local RateLimit = { name = "rate-limit", version = "1.0.0" }
RateLimit.__index = RateLimit
RateLimit.schema = require "demilune.plugins.rate-limit.schema"

local LONGEST_WAIT = 1e9 -- seconds; what never passes again has no Retry-After

local NOT_YET = { "redis", "store_timeout" }

-- What is wrong with a config beyond its schema, and where; or nil.
local function fault_of(config)
  if config.store == "redis" then
    return "not yet supported: counts are kept in memory", "store"
  end
  for _, option in ipairs(NOT_YET) do
    if config[option] ~= nil then
      return "not yet supported: counts are kept in memory", option
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
  local ok, limiter = pcall(limit.new, {
    limit = config.limit, window = config.window, burst = config.burst, algorithm = config.algorithm,
    limits = config.limits, by = config.by, ipv6_prefix = config.ipv6_prefix, cost = config.cost,
    headers = config.headers, scope = "rate-limit/" .. context.scope,
  }, context)
  if not ok then
    return nil, limiter
  end
  return setmetatable({
    limiter = limiter, status = config.status, denies = config.on_store_failure == "deny",
  }, RateLimit)
end

local function refuse(self, exchange, verdict)
  local wait = math.ceil(verdict.retry_after)
  exchange:problem(self.status, "Too many requests.", wait < LONGEST_WAIT and { ["retry-after"] = wait } or nil)
end

local function without_store(self, exchange, word)
  log.warn("the store can't count", { error = word, passes = not self.denies })
  if self.denies then
    exchange:problem(503, "The gateway can't count requests just now.")
  end
end

function RateLimit:access(exchange)
  local verdict, word = self.limiter:take(exchange)
  if not verdict then
    return without_store(self, exchange, word)
  elseif verdict.refused ~= 0 then
    return refuse(self, exchange, verdict)
  end
end

return RateLimit
