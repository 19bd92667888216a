-- account-tier: asks a service which tier an account has, and tells the upstream.

local http = require "demilune.http"
local log = require "demilune.log"
local store = require "demilune.store"
local url = require "demilune.url"

local AccountTier = {
  name = "account-tier",
  version = "0.1.0",
  schema = require "demilune.plugins.account-tier.schema",
}
AccountTier.__index = AccountTier

---@param config { service: string, ttl: number, timeout: number }
function AccountTier.new(config)
  return setmetatable({
    service = config.service, ttl = config.ttl, timeout = config.timeout,
    answers = store.use(), -- memory that all workers share
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

---@param exchange exchange
function AccountTier:access(exchange)
  local headers = exchange.request.headers
  local account = headers["x-account"]
  headers["x-account-tier"] = nil -- nobody chooses his own
  if not account then
    return
  end
  -- One request asks, over all workers; those that come meanwhile wait for its answer.
  local tier, err = self.answers:once("account-tier " .. account, self.ttl, function()
    return ask(self, account)
  end)
  if tier then
    headers["x-account-tier"] = tier
  elseif err ~= "cancelled" then -- the client has not left
    log.warn("an account can't be looked up", { account = account, reason = err })
    exchange:problem(503, "The account can't be looked up now.")
  end
end

return AccountTier
