-- SPDX-License-Identifier: Apache-2.0

-- Refuses clients that ask too often. Counts live in the shared store, so a limit holds exactly over all
-- workers, and belong to the place where the plugin is enabled, so they survive reloads.

local limit = require "demilune.limit"
local log = require "demilune.log"
local problem = require "demilune.problem"

local RateLimit = { name = "rate-limit", version = "1.0.0" }
RateLimit.__index = RateLimit
RateLimit.schema = require "demilune.plugins.rate-limit.schema"

-- What the schema can't say, or nil.
local function fault_of(config)
  if config.store == "redis" or config.redis then
    return "not yet supported: counts are kept in memory", config.redis and "redis" or "store"
  end
  for i, one in ipairs(config.limits or { config }) do
    if (one.algorithm or config.algorithm) ~= "concurrent" and not one.window then
      return '"window" is missing', config.limits and ("limits[%d]"):format(i - 1) or nil
    end
  end
end

function RateLimit.new(config, context)
  local fault, path = fault_of(config)
  if fault then
    return nil, fault, path
  end
  local ok, limiter = pcall(limit.new, {
    limit = config.limit, window = config.window, burst = config.burst, algorithm = config.algorithm,
    limits = config.limits, by = config.by, ipv6_prefix = config.ipv6_prefix, cost = config.cost,
    headers = config.headers,
  }, context)
  if not ok then
    return nil, limiter
  end
  return setmetatable({
    limiter = limiter, status = config.status, denies = config.on_store_failure == "deny",
  }, RateLimit)
end

local function refuse(self, exchange, verdict)
  local headers
  if verdict.retry_after < 1e9 then
    headers = { ["retry-after"] = ("%d"):format(math.max(1, math.ceil(verdict.retry_after))) }
  end
  problem.reply(exchange, self.status, "Too many requests: slow down.", headers)
end

local function on_failure(self, exchange, err)
  log.warn("the store of a rate limit failed", { error = err, allowed = not self.denies })
  if self.denies then
    problem.reply(exchange, 503, "The request can't be counted.")
  end
end

function RateLimit:access(exchange)
  local verdict, err = self.limiter:take(exchange)
  if not verdict then
    return on_failure(self, exchange, err)
  elseif verdict.refused == 1 then
    return refuse(self, exchange, verdict)
  end
end

return RateLimit
