-- SPDX-License-Identifier: Apache-2.0

-- ID tokens (OpenID Connect Core, 3.1.3.7): who has logged in, said to this client.

local crypto = require "demilune.crypto"
local jwt = require "demilune.jwt"
local Bearer = require "demilune.plugins.oauth2.bearer"
local keys = require "demilune.plugins.oauth2.keys"

local IdTokens = {}
IdTokens.__index = IdTokens

-- config: issuer, keys, jwks_uri, algorithms. nil, message and path when it is at fault.
function IdTokens.new(config, client_id, skew, line)
  local source, message, path = keys.source(config, line)
  if not source then
    return nil, message, path
  end
  return setmetatable({
    source = source, client_id = client_id,
    verifier = jwt.verifier {
      algorithms = config.algorithms or Bearer.ASYMMETRIC, issuer = config.issuer, audience = client_id, skew = skew,
      type = "JWT", untyped = true,
      required = { "iss", "sub", "aud", "exp", "iat" },
    },
  }, IdTokens)
end

-- Who it is for besides must not matter: with several audiences azp says whose it is.
local function is_ours(claims, client_id)
  if claims.azp ~= nil then
    return claims.azp == client_id
  end
  return type(claims.aud) ~= "table" or #claims.aud == 1
end

-- Its claims; nil and a word. nonce: that of the login; nil at a renewal, where subject is what must not change.
function IdTokens:verify(token, nonce, subject)
  local claims, word = keys.verify(self.source, self.verifier, "verify", token)
  if not claims then
    return nil, word
  elseif type(claims.sub) ~= "string" or claims.sub == "" or subject and claims.sub ~= subject then
    return nil, "subject"
  elseif claims.events ~= nil then -- a logout token, or another security event
    return nil, "type"
  elseif not is_ours(claims, self.client_id) then
    return nil, "audience"
  elseif nonce and not (type(claims.nonce) == "string" and crypto.equal(claims.nonce, nonce)) then
    return nil, "nonce"
  end
  return claims
end

function IdTokens:watch(version)
  if self.source.remote then
    self.source.remote:watch(version)
  end
end

return IdTokens
