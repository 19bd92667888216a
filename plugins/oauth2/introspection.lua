-- SPDX-License-Identifier: Apache-2.0

-- Opaque tokens: the issuer is asked what they are (RFC 7662).
--
-- Answers lie in the store under a keyed digest of the token, good and bad ones alike, and one call is made for a token
-- over all workers. While the issuer gives no answers nobody asks it for BACKOFF seconds: tokens that were good a while
-- ago stay good for GRACE seconds more, others get a 503.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local log = require "demilune.log"
local stores = require "demilune.store"
local task = require "demilune.task"
local time = require "demilune.time"
local claims_of = require "demilune.plugins.oauth2.claims"
local client = require "demilune.plugins.oauth2.client"

local Introspection = {}
Introspection.__index = Introspection

local BACKOFF = 2    -- seconds without calls after one that failed
local GRACE = 300    -- seconds beyond cache_ttl, in an outage
local PATIENCE = 5   -- seconds that a request waits
local LEASE = 30
local CALLS_MAX = 64 -- of a worker and place at a time
local TOKEN_MAX = 16 * 1024
local ANSWER_MAX = 64 * 1024
local INACTIVE = "-" -- what is kept of a token that is none

-- A set of them; nil: any.
local function issuers_of(issuer)
  if not issuer then
    return nil
  end
  local set = {}
  for _, item in ipairs(type(issuer) == "string" and { { issuer = issuer } } or issuer) do
    set[item.issuer] = true
  end
  return set
end

-- nil, message and path when the config is at fault.
function Introspection.new(config, line)
  local options = config.introspection
  if not options.endpoint and type(config.issuer) ~= "string" then
    return nil, "missing: it is discovered where there is one issuer", "introspection.endpoint"
  end
  local id = ("%s %s%s"):format(options.endpoint or config.issuer, options.client_id, line.id)
  return setmetatable({
    id = id, endpoint = options.endpoint, issuer = type(config.issuer) == "string" and config.issuer or nil,
    issuers = issuers_of(config.issuer),
    secret = options.client_secret, client = client.new(options, line), line = line,
    ttl = config.cache_ttl, skew = config.clock_skew,
    audience = type(config.audience) == "string" and { config.audience } or config.audience, calls = 0,
    id_tokens = config.id_tokens, down = "oauth2 down " .. id,
  }, Introspection)
end

-- --- asking --------------------------------------------------------------------------------------

-- What stands in an answer: INACTIVE, or its JSON behind the time of the call.
local function read(response)
  local answer = #response.body <= ANSWER_MAX and json.decode(response.body, { depth = 32 })
  if response.status ~= 200 or type(answer) ~= "table" or type(answer.active) ~= "boolean" then
    return nil, response.status == 200 and "its answer is none of RFC 7662" or "status " .. response.status
  end
  return answer.active and ("%.3f\n%s"):format(time.now(), response.body) or INACTIVE
end

local function endpoint_of(self)
  local why
  if not self.endpoint then
    self.endpoint, why = self.line:discover(self.issuer, "introspection_endpoint")
  end
  return self.endpoint, why
end

local function call(self, token)
  local address, why = endpoint_of(self)
  local response
  if address then
    response, why = self.client:post(address, { token = token, token_type_hint = "access_token" })
  end
  local text
  if response then
    text, why = read(response)
  end
  if not text then
    log.warn("the issuer says nothing of tokens", { endpoint = address or self.issuer, reason = why })
    stores.use():set(self.down, true, BACKOFF)
  end
  return text, why
end

-- Runs in a task of its own, which does not end with the request.
local function ask(self, token, key)
  local store = stores.use()
  local text = store:once(key, self.ttl, function()
    if store:get(self.down) then
      return nil, "unavailable"
    end
    return call(self, token)
  end, { lease = LEASE })
  if type(text) == "string" and text ~= INACTIVE then
    store:set(key .. " kept", text, self.ttl + GRACE)
  elseif text == INACTIVE then
    store:delete(key .. " kept")
  end
  return text
end

-- The text of a token and until when it is good without asking again; nil: nobody knows.
local function text_of(self, token)
  local store = stores.use()
  local key = ("oauth2 token %s %s"):format(self.id, crypto.hmac("sha256", self.secret, token))
  local text = store:get(key)
  if text == nil and not store:get(self.down) and self.calls < CALLS_MAX then
    self.calls = self.calls + 1
    local work = task.detach(function()
      local ok, made = pcall(ask, self, token, key)
      self.calls = self.calls - 1
      return ok and made or nil
    end)
    text = task.deadline(PATIENCE, work.join, work)
  end
  if text == nil then
    return store:get(key .. " kept"), time.now() + BACKOFF
  end
  return text
end

-- --- judging -------------------------------------------------------------------------------------

local function is_for(self, aud)
  if aud == nil or aud == json.null or not self.audience then
    return true
  end
  for _, name in ipairs(type(aud) == "table" and aud or { aud }) do
    for _, mine in ipairs(self.audience) do
      if name == mine then
        return true
      end
    end
  end
  return false
end

-- A time that a claim gives; nil: it gives none; false: it is no time.
local function time_of(claims, name)
  local value = claims[name]
  if value == nil or value == json.null then
    return nil
  end
  return type(value) == "number" and value
end

local function fault_of(self, claims)
  local exp, nbf, now = time_of(claims, "exp"), time_of(claims, "nbf"), time.now()
  if exp == false or nbf == false then
    return "bad_claim"
  elseif exp and exp + self.skew <= now then
    return "expired"
  elseif nbf and nbf - self.skew > now then
    return "not_yet_valid"
  elseif self.issuers and claims.iss ~= nil and claims.iss ~= json.null and not self.issuers[claims.iss] then
    return "issuer"
  elseif not claims_of.are_for_access(claims, self.id_tokens) then
    return "type"
  end
  return not is_for(self, claims.aud) and "audience" or nil
end

-- As Bearer:verify.
function Introspection:verify(token)
  if #token > TOKEN_MAX then
    return nil, "too_large"
  end
  local text, good_until = text_of(self, token)
  if text == nil then
    return nil, "unavailable"
  elseif text == INACTIVE then
    return nil, "inactive"
  end
  local at, body = text:match "^(%S+)\n(.*)$"
  local claims = json.decode(body, { depth = 32 })
  local fault = fault_of(self, claims)
  if fault then
    return nil, fault
  end
  local exp = time_of(claims, "exp")
  good_until = good_until or tonumber(at) + self.ttl
  return claims, exp and math.min(good_until, exp + self.skew) or good_until
end

return Introspection
