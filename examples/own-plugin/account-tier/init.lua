-- account-tier: asks a service which tier an account has, keeps the answer in Redis, and tells the upstream.

local http = require "demilune.http"
local log = require "demilune.log"
local redis = require "demilune.redis"
local store = require "demilune.store"
local url = require "demilune.url"

local AccountTier = {
  name = "account-tier",
  version = "0.1.0",
  schema = require "demilune.plugins.account-tier.schema",
}
AccountTier.__index = AccountTier

---@param config { service: string, redis: string, ttl: number, timeout: number }
function AccountTier.new(config)
  return setmetatable({
    service = config.service, ttl = config.ttl, timeout = config.timeout,
    db = redis.use(config.redis),
    under_way = store.use(), -- memory that all workers share
  }, AccountTier)
end

-- The tier of an account; nil and what is wrong when the service has no answer.
local function ask(self, account)
  local response, err = http.get(self.service .. "/" .. url.encode(account), { timeout = self.timeout })
  if not response then
    return nil, err
  elseif response.status == 404 then
    return "none"
  elseif response.status ~= 200 then
    return nil, "status " .. response.status
  end
  local answer = response:json()
  if type(answer) ~= "table" or type(answer.tier) ~= "string" then
    return nil, "the answer has no tier"
  end
  return answer.tier
end

-- The same from Redis, or from the service by one request at a time, over all workers; those that come meanwhile wait for
-- its answer. A Redis that can't be reached is as an empty one: the service is asked then.
local function tier_of(self, account)
  local key = "account-tier:" .. account
  local tier = self.db:command("GET", key)
  if tier then
    return tier
  end
  return self.under_way:once(key, 1, function()
    local fresh, err = ask(self, account)
    if fresh then
      self.db:command("SET", key, fresh, "PX", math.ceil(self.ttl * 1000))
    end
    return fresh, err
  end)
end

---@param exchange exchange
function AccountTier:access(exchange)
  local headers = exchange.request.headers
  local account = headers["x-account"]
  headers["x-account-tier"] = nil -- nobody chooses his own
  if not account then
    return
  end
  local tier, err = tier_of(self, account)
  if tier then
    headers["x-account-tier"] = tier
  elseif err ~= "cancelled" then -- the client has not left
    log.warn("an account can't be looked up", { account = account, reason = err })
    exchange:problem(503, "The account can't be looked up now.")
  end
end

return AccountTier
