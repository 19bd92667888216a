-- SPDX-License-Identifier: Apache-2.0

-- Claims that the issuer does not put into its ID tokens, and says when it is asked (OpenID Connect Core, 5.3).

local json = require "demilune.json"

local M = {}

-- What the ID token and the grant say, and no attribute of a person's.
local NOT_ITS = {
  iss = true, aud = true, azp = true, exp = true, nbf = true, iat = true, client_id = true, scope = true, scp = true,
}

-- Adds what it says of the same person to an ID token's claims. nil and why: they are as they were.
function M.add(login, claims, access)
  local address, why = login.metadata:endpoint "userinfo_endpoint"
  local body, more
  if address then
    body, why = login.client.line:get(address, "Bearer " .. access)
  end
  if body then
    more, why = json.decode(body, { depth = 32 }), "its userinfo is none of this person"
  end
  if type(more) ~= "table" or more.sub ~= claims.sub then
    return nil, why
  end
  for name, value in pairs(more) do
    if claims[name] == nil and not NOT_ITS[name] then
      claims[name] = value
    end
  end
  return claims
end

return M
