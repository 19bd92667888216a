-- SPDX-License-Identifier: Apache-2.0

-- What clients are told whose token does not do (RFC 6750, section 3; RFC 9449, section 7). Where the place has an
-- anonymous consumer they go on as it.

local M = {}

local SAYINGS = {
  malformed = "The token is malformed.",
  too_large = "The token is too large.",
  algorithm = "The token's algorithm is not accepted.",
  critical = "The token wants extensions that are not known here.",
  type = "The token's type is none for access.",
  unknown_key = "The token's key is not known.",
  signature = "The token's signature is wrong.",
  missing_claim = "The token lacks a claim.",
  bad_claim = "A claim of the token is malformed.",
  expired = "The token has expired.",
  not_yet_valid = "The token is not yet valid.",
  issuer = "The token is of another issuer.",
  audience = "The token is for somebody else.",
  inactive = "The token is not active.",
  bound = "The token is bound to a key in a way that is not known here.",
  unbound = "The token is bound to no key, and is not for DPoP.",
  wants_dpop = "The token is bound to a key, and is good with DPoP only.",
  certificate = "The token is bound to another client certificate.",
  proof = "The DPoP proof is missing, or is none for this request.",
}

local DPOP = { wants_dpop = "invalid_token", proof = "invalid_dpop_proof" } -- words → errors of that scheme
local ALGS = "ES256 ES384 ES512 EdDSA PS256 PS384 PS512 RS256 RS384 RS512"

local function challenge(self, error, description, scheme)
  local parts = {}
  if error then
    parts[1] = ('error="%s"'):format(error)
    parts[2] = ('error_description="%s"'):format(description)
  end
  if self.scope and (not error or error == "insufficient_scope") then
    parts[#parts + 1] = ('scope="%s"'):format(self.scope)
  end
  if scheme == "DPoP" then
    parts[#parts + 1] = ('algs="%s"'):format(ALGS)
  end
  scheme = scheme or "Bearer"
  return { ["WWW-Authenticate"] = #parts > 0 and scheme .. " " .. table.concat(parts, ", ") or scheme }
end

-- nil: the request has been answered; else the entry of nobody in particular.
local function refuse(self, exchange, status, detail, headers)
  return self.identity:refuse(exchange, status, detail, headers) and M.ANONYMOUS or nil
end

M.ANONYMOUS = { is_enough = true }

-- scopes: a list, or nil; identity: of the place.
function M.new(scopes, identity)
  return setmetatable({ scope = scopes and table.concat(scopes, " "), identity = identity }, { __index = M })
end

-- There is no token.
function M:none(exchange)
  return refuse(self, exchange, 401, "An access token is needed.", challenge(self))
end

function M:malformed(exchange, detail)
  exchange:problem(400, detail, challenge(self, "invalid_request", detail))
end

-- By the word of a verifier.
function M:invalid(exchange, word)
  local detail = SAYINGS[word] or "The token is not valid."
  local scheme = DPOP[word] and "DPoP" or nil
  return refuse(self, exchange, 401, detail, challenge(self, DPOP[word] or "invalid_token", detail, scheme))
end

function M:insufficient(exchange)
  local detail = "The token does not allow this."
  exchange:problem(403, detail, challenge(self, "insufficient_scope", detail))
end

function M.unavailable(_, exchange, seconds)
  exchange:problem(503, "Tokens can't be verified for now.", { ["Retry-After"] = tostring(seconds) })
end

return M
