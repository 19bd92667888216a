-- SPDX-License-Identifier: Apache-2.0

-- Tokens of the gateway's own toward the upstream (client credentials, RFC 6749, section 4.4). One lies in the store for
-- all workers, and is renewed ahead of its end by one call for all, while the old one still serves.

local crypto = require "demilune.crypto"
local log = require "demilune.log"
local stores = require "demilune.store"
local task = require "demilune.task"
local time = require "demilune.time"
local url = require "demilune.url"
local Client = require "demilune.plugins.oauth2.client"
local Metadata = require "demilune.plugins.oauth2.metadata"

local UpstreamToken = {}
UpstreamToken.__index = UpstreamToken

local LIFE = 300   -- seconds of a token whose answer does not say
local AHEAD = 60   -- seconds before its end that it is renewed, at most; a fifth of a short life
local BACKOFF = 2  -- seconds without calls after one that failed
local PATIENCE = 5 -- seconds that a request waits
local LEASE = 30

-- nil, message and path when the config is at fault.
function UpstreamToken.new(config, line)
  local options = config.upstream_token
  local issuer = options.issuer or type(config.issuer) == "string" and config.issuer or nil
  if not options.token_endpoint and not issuer then
    return nil, "missing: it is discovered where there is one issuer", "upstream_token.token_endpoint"
  end
  local form = { grant_type = "client_credentials", scope = options.scopes and table.concat(options.scopes, " ") }
  for name, value in pairs(options.parameters or {}) do
    form[name] = value
  end
  local id = ("%s %s %s%s"):format(options.token_endpoint or issuer, options.client_id, url.query(form), line.id)
  id = crypto.hmac("sha256", options.client_secret, id) -- who does not know the secret gets no token of who does
  return setmetatable({
    client = Client.new(options, line), form = form, metadata = Metadata.new(issuer, options, line),
    calls = 0, key = "oauth2 upstream " .. id, asked = "oauth2 upstream asked " .. id,
  }, UpstreamToken)
end

local function ask(self)
  local address, why = self.metadata:endpoint "token_endpoint"
  local answer
  if address then
    local form = {}
    for name, value in pairs(self.form) do
      form[name] = value
    end
    answer, why = self.client:tokens(address, form)
  end
  if not answer or answer.access_token:find "[^%w%-._~+/=]" then
    log.warn("there is no token for the upstream", { client = self.client.id, reason = why or "it is malformed" })
    return false
  end
  local life, now = answer.expires_in or LIFE, time.now()
  local renew_at = now + life - math.min(AHEAD, life / 5)
  stores.use():set(self.key, ("%.3f\n%s"):format(renew_at, answer.access_token), life)
  return true
end

-- The token that is in the store, and whether it is due.
local function look(self)
  local text = stores.use():get(self.key)
  if not text then
    return nil
  end
  local renew_at, token = text:match "^(%S+)\n(.*)$"
  return token, tonumber(renew_at) <= time.now()
end

-- One call for all, unless there was one just now. It goes on when the request has left.
local function renew(self)
  local store = stores.use()
  if store:get(self.asked) ~= nil then
    return nil
  end
  self.calls = self.calls + 1
  return task.detach(function()
    local ok, message = pcall(store.once, store, self.asked, BACKOFF, function() return ask(self) end,
      { lease = LEASE })
    self.calls = self.calls - 1
    return assert(ok, message)
  end)
end

-- The token; nil when there is none to be had.
function UpstreamToken:token()
  local token, is_due = look(self)
  if token and not is_due then
    return token
  end
  local work = (not token or self.calls == 0) and renew(self)
  if not token and work then
    task.deadline(PATIENCE, work.join, work)
    token = look(self)
  end
  return token
end

-- Puts it into the request, or answers that there is none.
function UpstreamToken:give(exchange)
  local token = self:token()
  if token then
    exchange.request.headers["authorization"] = "Bearer " .. token
  else
    exchange:problem(503, "The service behind can't be called for now.", { ["Retry-After"] = tostring(BACKOFF) })
  end
end

-- In one worker: the first token is there before it is needed.
function UpstreamToken:watch(version)
  self.metadata:watch(version)
  if not look(self) then
    renew(self)
  end
end

return UpstreamToken
