-- SPDX-License-Identifier: Apache-2.0

-- Lets those pass who bring an access token: the resource server of OAuth 2.0 (RFC 6750).
--
-- JWTs are verified here (bearer.lua, by the keys of keys.lua), other tokens by asking the issuer (introspection.lua).
-- What came of a token is remembered until it is over: of a request with such a token no more is done than to look it
-- up, to say its claims and consumer to the exchange, and to edit the headers.

local border = require "demilune.ffi"
local edit = require "demilune.edit"
local json = require "demilune.json"
local regex = require "demilune.regex"
local time = require "demilune.time"
local Bearer = require "demilune.plugins.oauth2.bearer"
local Introspection = require "demilune.plugins.oauth2.introspection"
local challenge = require "demilune.plugins.oauth2.challenge"
local claims_of = require "demilune.plugins.oauth2.claims"
local keys = require "demilune.plugins.oauth2.keys"
local memory = require "demilune.plugins.oauth2.memory"

local C, gateway = border.C, border.gateway
local CLAIMS = C.DML_TEXT_CLAIMS
local now = time.now

local OAuth2 = { name = "oauth2", version = "1.0.0", guards = true }
OAuth2.__index = OAuth2
OAuth2.schema = require "demilune.plugins.oauth2.schema"

OAuth2.credential = {
  schema = {
    type = "object",
    properties = {
      client_id = { type = "string", minLength = 1, description = "As the consumer's tokens name it." },
    },
    required = { "client_id" },
  },
  unique = "client_id",
}

-- --- instances -----------------------------------------------------------------------------------

local LATER = { "login", "upstream_token" }

-- What is wrong with a config beyond its schema, and where; or nil.
local function fault_of(config)
  for _, name in ipairs(LATER) do
    if config[name] ~= nil then
      return "not yet supported", name
    end
  end
  local only_asks = config.introspection and config.introspection.endpoint
  if not config.issuer and not only_asks then
    return "missing: whose tokens are good? Give issuer, or introspection with its endpoint", "issuer"
  elseif not config.issuer and (config.keys or config.jwks_uri) then
    return "missing: a token's iss must be known", "issuer"
  elseif config.introspection and config.cache_ttl <= 0 then
    return "must be more than nothing", "cache_ttl"
  end
end

local consumers = setmetatable({}, { __mode = "k" }) -- list of credentials → names of consumers by client_id

local function consumers_of(list)
  local names = consumers[list]
  if not names then
    names = {}
    for _, item in ipairs(list) do
      names[item.credential.client_id] = item.consumer.name
    end
    consumers[list] = names
  end
  return names
end

local function compile_edits(config, context)
  local set = { [config.consumer_header] = "{consumer}" }
  for name, header in pairs(config.claims_to_headers or {}) do
    set[header] = ("{claim:%s}"):format(name)
  end
  return edit.new("request", { set = set, remove = config.hide_credentials and { "authorization" } or nil }, context)
end

function OAuth2.new(config, context)
  local message, path = fault_of(config)
  if message then
    return nil, message, path
  end
  local self = setmetatable({
    memory = memory.new(), answers = challenge.new(config.scopes), scopes = config.scopes or {},
    rules = config.claims or {}, consumer_claim = config.consumer_claim,
    consumers = consumers_of(context.consumers "oauth2"),
  }, OAuth2)
  self.edits, message = compile_edits(config, context)
  if not self.edits then
    return nil, message, "claims_to_headers"
  end
  if config.issuer then
    self.bearer, message, path = Bearer.new(config)
  end
  if config.introspection and not message then
    self.introspection, message, path = Introspection.new(config)
  end
  if message then
    return nil, message, path
  end
  return self
end

function OAuth2:start(context)
  if context.first and self.bearer then
    self.bearer:watch(context.version)
  end
end

-- --- tokens that are met for the first time ------------------------------------------------------

local TOKEN = regex.compile [[^[A-Za-z0-9._~+/-]+=*\z]] -- compiled, for tokens are long

-- The request's token; nil when it has been answered.
local function token_of(self, exchange, value)
  if not value then
    return self.answers:none(exchange)
  elseif #exchange.request.headers:all "authorization" > 1 then
    return self.answers:malformed(exchange, "The request has several Authorization fields.")
  end
  local scheme, at = value:match "^(%S+) *()"
  if not scheme or scheme:lower() ~= "bearer" then
    return self.answers:none(exchange)
  end
  local token = value:sub(at)
  if not TOKEN:test(token) then
    return self.answers:malformed(exchange, "The Authorization field has no token.")
  end
  return token
end

local function verify(self, token)
  local way = self.bearer
  if not way or self.introspection and not token:find "^[^.]+%.[^.]*%.[^.]*$" then
    way = self.introspection
  end
  local claims, good_until = way:verify(token)
  if claims and claims.cnf ~= nil then
    return nil, "bound"
  end
  return claims, good_until
end

local function entry_of(self, claims, good_until)
  local client = claims_of.client(claims, self.consumer_claim)
  return {
    claims = json.encode(claims), good_until = good_until, consumer = client and self.consumers[client],
    is_enough = claims_of.has_scopes(claims, self.scopes) and claims_of.keep_rules(claims, self.rules),
  }
end

-- The entry of a token that is not remembered; nil when the request has been answered.
local function examine(self, exchange, value)
  local token = token_of(self, exchange, value)
  if not token then
    return nil
  end
  local claims, good_until = verify(self, token)
  if not claims then
    if good_until == "unavailable" then
      return self.answers:unavailable(exchange, keys.INTERVAL)
    end
    return self.answers:invalid(exchange, good_until)
  end
  local entry = entry_of(self, claims, good_until)
  self.memory:put(value, entry)
  return entry
end

-- --- requests ------------------------------------------------------------------------------------

function OAuth2:access(exchange)
  local value = exchange.request.headers["authorization"]
  local entry = value and self.memory:get(value)
  if not entry or entry.good_until <= now() then
    entry = examine(self, exchange, value)
    if not entry then
      return
    end
  end
  if not entry.is_enough then
    return self.answers:insufficient(exchange)
  end
  C.dml_exchange_set_text(gateway, exchange.h, CLAIMS, entry.claims, #entry.claims)
  if entry.consumer then
    exchange.consumer = entry.consumer
  end
  self.edits:apply(exchange)
end

return OAuth2
