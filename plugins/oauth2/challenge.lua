-- SPDX-License-Identifier: Apache-2.0

-- What clients are told whose token does not do (RFC 6750, section 3).

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
  bound = "The token is bound to a key, which is not yet supported.",
}

local function challenge(self, error, description)
  local parts = {}
  if error then
    parts[1] = ('error="%s"'):format(error)
    parts[2] = ('error_description="%s"'):format(description)
  end
  if self.scope and (not error or error == "insufficient_scope") then
    parts[#parts + 1] = ('scope="%s"'):format(self.scope)
  end
  return { ["WWW-Authenticate"] = #parts > 0 and "Bearer " .. table.concat(parts, ", ") or "Bearer" }
end

-- scopes: a list, or nil.
function M.new(scopes)
  return setmetatable({ scope = scopes and table.concat(scopes, " ") }, { __index = M })
end

-- There is no token.
function M:none(exchange)
  exchange:problem(401, "An access token is needed.", challenge(self))
end

function M:malformed(exchange, detail)
  exchange:problem(400, detail, challenge(self, "invalid_request", detail))
end

-- By the word of a verifier.
function M:invalid(exchange, word)
  local detail = SAYINGS[word] or "The token is not valid."
  exchange:problem(401, detail, challenge(self, "invalid_token", detail))
end

function M:insufficient(exchange)
  local detail = "The token does not allow this."
  exchange:problem(403, detail, challenge(self, "insufficient_scope", detail))
end

function M.unavailable(_, exchange, seconds)
  exchange:problem(503, "Tokens can't be verified for now.", { ["Retry-After"] = tostring(seconds) })
end

return M
