-- SPDX-License-Identifier: Apache-2.0

-- OAuth 2.0 and OpenID Connect in three roles: requests that bring an access token (token.lua), browsers that log in
-- (login.lua), and tokens of the gateway's own toward the upstream (upstream_token.lua).

local Admission = require "demilune.plugins.oauth2.admission"
local Bearer = require "demilune.plugins.oauth2.bearer"
local Introspection = require "demilune.plugins.oauth2.introspection"
local Login = require "demilune.plugins.oauth2.login"
local Tokens = require "demilune.plugins.oauth2.token"
local UpstreamToken = require "demilune.plugins.oauth2.upstream_token"
local challenge = require "demilune.plugins.oauth2.challenge"
local issuers = require "demilune.plugins.oauth2.issuer"

local OAuth2 = { name = "oauth2", version = "1.1.0", guards = true }
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

-- What is wrong with a config beyond its schema, and where; or nil.
local function fault_of(config)
  local only_asks = config.introspection and config.introspection.endpoint
  if not config.issuer and not only_asks and not config.upstream_token then
    return "missing: whose tokens are good? Give issuer, or introspection with its endpoint", "issuer"
  elseif not config.issuer and (config.keys or config.jwks_uri or config.login) then
    return "missing: a token's iss must be known", "issuer"
  elseif config.introspection and config.cache_ttl <= 0 then
    return "must be more than nothing", "cache_ttl"
  end
end

-- Are JWTs taken? A login alone needs no audience.
local function takes_jwts(config)
  if not config.issuer then
    return false
  end
  return config.audience ~= nil or not config.login
end

-- The parts of an instance; nil, message and path when the config is at fault.
local function fill(self, config, context)
  local path
  local line, message = issuers.line(config.ca)
  if not line then
    return nil, message, "ca"
  end
  self.admission, message, path = Admission.new(config, context)
  if not self.admission then
    return nil, message, path
  end
  local bearer, introspection
  if takes_jwts(config) then
    bearer, message, path = Bearer.new(config, line, self.admission:reads_claims())
  end
  if config.introspection and not message then
    introspection, message, path = Introspection.new(config, line)
  end
  if config.login and not message then
    self.login, message, path = Login.new(config, line, self.admission)
  end
  if config.upstream_token and not message then
    self.upstream_token, message, path = UpstreamToken.new(config, line)
  end
  if bearer or introspection then
    self.tokens = Tokens.new(bearer, introspection, self.admission, config, context)
  end
  self.bearer = bearer
  self.warnings = self.login and self.login.warnings
  return not message, message, path
end

function OAuth2.new(config, context)
  local message, path = fault_of(config)
  if message then
    return nil, message, path
  end
  local self = setmetatable({}, OAuth2)
  local is_fine
  is_fine, message, path = fill(self, config, context)
  return is_fine and self or nil, message, path
end

function OAuth2:start(context)
  if not context.first then
    return
  end
  for _, part in ipairs { self.bearer or false, self.login or false, self.upstream_token or false } do
    if part then
      part:watch(context.version)
    end
  end
end

-- --- requests ------------------------------------------------------------------------------------

-- Who asks? False when the request has been answered.
local function recognise(self, exchange)
  local value = exchange.request.headers["authorization"]
  local login = self.login
  if login and (not value or not self.tokens or login:is_own(exchange)) then
    return login:access(exchange)
  elseif not self.tokens then
    return true
  end
  local entry = self.tokens:entry(exchange, value)
  if not entry then
    return false
  elseif entry ~= challenge.ANONYMOUS then
    self.admission:let_in(exchange, entry)
  end
  if login then
    login:hide(exchange)
  end
  return true
end

function OAuth2:access(exchange)
  if recognise(self, exchange) and self.upstream_token then
    self.upstream_token:give(exchange)
  end
end

return OAuth2
