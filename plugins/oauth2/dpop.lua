-- SPDX-License-Identifier: Apache-2.0

-- Proofs of DPoP (RFC 9449): a JWT that the client signs for each request with the key that its token is bound to. It
-- names the request and the token, is young, and is good once.

local crypto = require "demilune.crypto"
local jwt = require "demilune.jwt"
local marks = require "demilune.marks"
local time = require "demilune.time"
local url = require "demilune.url"

local M = {}

local AGE = 60  -- seconds that a proof may be old
local SKEW = 5  -- seconds that its clock may be ahead
local SIZE = 8 * 1024
local PRIVATE = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" } -- what no proof may show of its key

local verifier = jwt.verifier {
  algorithms = { "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA" },
  type = "dpop+jwt", audience = false, required = { "jti", "htm", "htu", "iat", "ath" }, max_size = SIZE,
  skew = SKEW,
}

-- What a proof says of a token.
function M.ath(token)
  return crypto.base64url(crypto.digest("sha256", token))
end

-- The key that the proof brings along, if it is the one that the token is bound to.
local function key_of(proof, jkt)
  local parts = jwt.decode(proof)
  local jwk = parts and parts.header and parts.header.jwk
  if type(jwk) ~= "table" then
    return nil
  end
  for _, name in ipairs(PRIVATE) do
    if jwk[name] ~= nil then
      return nil
    end
  end
  local key = crypto.key(jwk)
  return key and key:thumbprint() == jkt and key or nil
end

-- As the gateway has paths (RFC 3986, 6.2.2).
local function normal(path)
  return (path:gsub("%%(%x%x)", function(hex)
    local char = string.char(tonumber(hex, 16))
    return char:find "[%w._~-]" and char or "%" .. hex:upper()
  end))
end

-- scheme, authority and path in their one form, without query.
local function place(text)
  local parts = type(text) == "string" and url.parse(text)
  return parts and url.build { scheme = parts.scheme, host = parts.host, port = parts.port, path = normal(parts.path) }
end

-- nil: HTTP/1.0 may not say which host it asks.
local function own_place(request)
  local host = request.host
  return host and url.build { scheme = request.scheme, host = host:lower(), port = request.port, path = request.path }
end

local function is_of(claims, request, ath)
  local age, own = time.now() - (tonumber(claims.iat) or 0), own_place(request)
  return claims.htm == request.method and own and place(claims.htu) == own and claims.ath == ath
    and age <= AGE and age >= -SKEW
end

-- A jti is good once for a key. nil: it is; "proof": it came before; "full": that can't be told of another one now. The
-- key in the store is short, for there is one for each request of a minute.
local function fault_of_jti(claims, jkt)
  if type(claims.jti) ~= "string" or #claims.jti > 512 then
    return "proof"
  end
  local key = "p" .. crypto.digest("sha256", jkt .. " " .. claims.jti):sub(1, 16)
  local is_first = marks.first(key, AGE + SKEW + 1)
  if is_first == nil then
    return "full"
  end
  return not is_first and "proof" or nil
end

-- Why the request has no good proof: "proof", or "full" when it can't be told whether it came before; nil: it has one.
-- bound: jkt and ath.
function M.fault(bound, exchange)
  local proofs = exchange.request.headers:all "dpop"
  local key = #proofs == 1 and #proofs[1] <= SIZE and key_of(proofs[1], bound.jkt)
  local claims = key and verifier:verify(proofs[1], jwt.keys(key))
  if not claims or not is_of(claims, exchange.request, bound.ath) then
    return "proof"
  end
  return fault_of_jti(claims, bound.jkt)
end

return M
