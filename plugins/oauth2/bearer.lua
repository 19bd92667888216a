-- SPDX-License-Identifier: Apache-2.0

-- Access tokens that are JWTs. With several issuers a token's iss chooses among them; one that is none of them is refused
-- and nothing is asked about it.

local json = require "demilune.json"
local jwt = require "demilune.jwt"
local claims_of = require "demilune.plugins.oauth2.claims"
local keys = require "demilune.plugins.oauth2.keys"

local Bearer = {}
Bearer.__index = Bearer

local ASYMMETRIC = {
  "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}
Bearer.ASYMMETRIC = ASYMMETRIC

-- Where none of these is in a token, and nobody wants to know more of it, no table is made of its claims: that, and taking
-- it away again, costs half of what the signature does.
local NOTED = { "cnf", unpack(claims_of.KINDS) }
local NONE = {}
local JSON = { depth = 32 }
local TYPES = { "at+jwt", "JWT" } -- tokens of other types are not for access

-- --- made at load --------------------------------------------------------------------------------

local function algorithms_of(config)
  if config.algorithms then
    return config.algorithms
  end
  local list, known = {}, {}
  for _, name in ipairs(ASYMMETRIC) do
    list[#list + 1], known[name] = name, true
  end
  for _, item in ipairs(config.keys or {}) do
    if item.algorithm and not known[item.algorithm] then
      list[#list + 1], known[item.algorithm] = item.algorithm, true
    end
  end
  return list
end

-- Of an issuer's part of the config. nil, message and path when it is at fault.
local function new_issuer(config, common, line)
  local path = config.path
  if not config.audience then
    return nil, "missing: tokens for others would be good here", path .. "audience"
  elseif config.keys and config.jwks_uri then
    return nil, "either keys or jwks_uri", path .. "jwks_uri"
  end
  local self, message, at = keys.source(config, line)
  if not self then
    return nil, message, path .. at
  end
  self.verifier = jwt.verifier {
    algorithms = algorithms_of(config), issuer = config.issuer, audience = config.audience, skew = common.clock_skew,
    type = common.rfc9068 and "at+jwt" or TYPES, untyped = not common.rfc9068,
    noted = NOTED,
    required = common.rfc9068 and { "iss", "exp", "aud", "sub", "client_id", "iat", "jti" } or { "iss", "exp", "aud" },
  }
  return self
end

-- The issuers of a config; what one does not say of itself it has of the whole.
local function list_of(config)
  local single = type(config.issuer) == "string"
  local out = {}
  for i, item in ipairs(single and { { issuer = config.issuer } } or config.issuer) do
    local source = (item.keys or item.jwks_uri) and item or config
    out[i] = {
      issuer = item.issuer, path = single and "" or ("issuer[%d]."):format(i - 1), keys = source.keys,
      jwks_uri = source.jwks_uri, audience = item.audience or config.audience,
      algorithms = item.algorithms or config.algorithms,
    }
  end
  return out
end

-- reads_claims: does anybody have to know what a token's claims say? nil, message and path when the config is at fault.
function Bearer.new(config, line, reads_claims)
  local self = setmetatable({
    issuers = {}, skew = config.clock_skew, id_tokens = config.id_tokens, reads_claims = reads_claims,
  }, Bearer)
  local list = list_of(config)
  for _, item in ipairs(list) do
    if self.issuers[item.issuer] then
      return nil, "named twice", item.path .. "issuer"
    end
    local made, message, path = new_issuer(item, config, line)
    if not made then
      return nil, message, path
    end
    self.issuers[item.issuer] = made
    self.only = #list == 1 and made
  end
  return self
end

-- In one worker: keys are there before they are needed.
function Bearer:watch(version)
  for _, issuer in pairs(self.issuers) do
    if issuer.remote then
      issuer.remote:watch(version)
    end
  end
end

-- --- requests ------------------------------------------------------------------------------------

local function issuer_of(self, token)
  if self.only then
    return self.only
  end
  local parts, word = jwt.decode(token)
  if not parts then
    return nil, word
  end
  local name = parts.claims and parts.claims.iss
  return self.issuers[name or false], "issuer"
end

-- Its claims as far as they matter, until when it is good, and all claims as they were signed; nil and a word:
-- demilune.jwt's, or "unavailable" when there are no keys.
function Bearer:verify(token)
  local issuer, word = issuer_of(self, token)
  if not issuer then
    return nil, word
  end
  local payload, expires, has_noted = keys.verify(issuer, issuer.verifier, "verify_text", token)
  if not payload then
    return nil, expires
  end
  local claims = (has_noted or self.reads_claims) and json.decode(payload, JSON) or NONE
  if not claims_of.are_for_access(claims, self.id_tokens) then
    return nil, "type"
  end
  return claims, expires + self.skew, payload
end

return Bearer
